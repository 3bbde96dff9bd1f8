package api_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// storeClock is a time that a test turns.
type storeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *storeClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *storeClock) set(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

func (c *storeClock) add(d time.Duration) { c.set(c.Now().Add(d)) }

// noonOfTest is when clocked worlds begin.
var noonOfTest = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// newClockedWorld starts one whose store has a clock that the test turns.
func newClockedWorld(t *testing.T, change ...func(o *api.Options)) (*world, *storeClock) {
	t.Helper()
	c := &storeClock{now: noonOfTest}
	s, err := sqlitestore.Open(context.Background(), sqlitestore.Options{
		Path: filepath.Join(t.TempDir(), "clocked.db"), Now: c.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	in := &intake{store: s}
	w := newWorld(t, append([]func(o *api.Options){func(o *api.Options) {
		o.Store, o.Intake, o.Now = s, in, c.Now
	}}, change...)...)
	w.store, w.intake = s, in
	return w, c
}

// accept accepts many at once, behind the API.
func (w *world) accept(ns ...store.Notification) {
	w.t.Helper()
	for part := ns; len(part) > 0; {
		size := min(1000, len(part))
		for i := range part[:size] {
			if part[i].Schedule == "" {
				part[i].Schedule = "alipay"
			}
		}
		accepted, err := w.intake.Accept(context.Background(), part[:size])
		if err != nil {
			w.t.Fatal(err)
		}
		for i := range accepted {
			if accepted[i].Status != store.New {
				w.t.Fatalf("item %d: %+v", i, accepted[i])
			}
		}
		part = part[size:]
	}
}
