package sqlitestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/store/storetest"
)

// clock is a clock that tests move.
type clock struct{ us atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.us.Store(time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time          { return time.UnixMicro(c.us.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.us.Add(d.Microseconds()) }

// open opens a store, and closes it with the test.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil && !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

// copyFiles copies what a process that dies now leaves on disk.
func copyFiles(t testing.TB, path string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy.db")
	for _, suffix := range []string{"", "-wal"} {
		b, err := os.ReadFile(path + suffix)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to+suffix, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

func TestConformance(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Harness { return harness(t) })
}

func BenchmarkStore(b *testing.B) {
	storetest.Benchmarks(b, func(b *testing.B) storetest.Harness { return harness(b) })
}

func harness(t testing.TB) storetest.Harness {
	c := newClock()
	o := Options{
		Path: filepath.Join(t.TempDir(), "test.db"), MaxInflightDefault: storetest.MaxInflightDefault,
		Now: c.now, ReserveBytes: 64 << 10,
	}
	s := open(t, o)
	return storetest.Harness{
		Store: s, Now: c.now, Advance: c.advance,
		Reopen: func() store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, o)
			return s
		},
		Crash: func() store.Store {
			o.Path = copyFiles(t, o.Path)
			s = open(t, o)
			return s
		},
		Damage: func(notifyID string) { damage(t, s, notifyID) },
	}
}

// damage flips a bit in the frozen part of a record.
func damage(t testing.TB, s *Store, notifyID string) {
	t.Helper()
	at, _, err := store.ParseID(notifyID)
	if err != nil {
		t.Fatal(err)
	}
	err = s.do(context.Background(), func(w *writer) error {
		if err := w.begin(); err != nil {
			return err
		}
		var body []byte
		_, err := w.st.bodyOf.query(context.Background(), at.UnixMicro()).one(func(r *rows) { body = r.blob(0) })
		if err != nil {
			return err
		}
		body[len(body)-5] ^= 1
		return w.c.do("UPDATE body SET data = ? WHERE id = ?", body, at.UnixMicro())
	})
	if err != nil {
		t.Fatal(err)
	}
}
