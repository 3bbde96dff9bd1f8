package storetest

import (
	"sync"
	"testing"
	"time"

	"paynotify/store"
)

// start is when virtual time begins.
var start = time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)

// virtual is a clock that only Advance moves.
type virtual struct {
	mu  sync.Mutex
	now time.Time
}

func (v *virtual) Now() time.Time {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.now
}

func (v *virtual) Advance(d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.now = v.now.Add(d)
}

// memoryHarness is a Harness over the reference store; dress may wrap it.
func memoryHarness(dress func(*memory) store.Store) Harness {
	clock, d := &virtual{now: start}, newDisk()
	open := func() store.Store { return dress(openMemory(d, clock.Now)) }
	return Harness{
		Store: open(), Now: clock.Now, Advance: clock.Advance, Reopen: open, Crash: open,
		Damage: func(notifyID string) { d.records[notifyID].damaged = true },
	}
}

func plain(m *memory) store.Store { return m }

func TestMemory(t *testing.T) {
	Run(t, func(*testing.T) Harness { return memoryHarness(plain) })
}

// BenchmarkMemory shows that the benchmarks work; the reference store is not made to be fast.
func BenchmarkMemory(b *testing.B) {
	Benchmarks(b, func(*testing.B) Harness { return memoryHarness(plain) })
}
