package asynqqueue

import (
	"sync"
	"time"
)

// table says where the lanes are that this process has in hand, so that a lane has one runner here, and that
// wakes fold.
//
// Folding must never lose a wake, and this process does not know what others do. So a wake is dropped only
// when a turn that serves it begins later in this very process: the lane waits for a runner here, or it is
// being run and will be enqueued again, or this process enqueued the wake before it last began a turn of the
// lane. The last is known by number: seq at the beginning of a turn covers every wake that was enqueued here
// until then.
type table struct {
	mu    sync.Mutex
	lanes map[string]*place
}

// place is where one lane is.
type place struct {
	at     progress
	served uint64    // own wakes up to this number have had their turn
	since  time.Time // when the lane became idle
}

type progress int

const (
	idle  progress = iota // not here; kept for a while because of served
	waits                 // for a runner
	runs                  // a runner has it
	dirty                 // a runner has it and it was woken meanwhile
)

func newTable() *table { return &table{lanes: make(map[string]*place)} }

// remember notes a wake of a lane that is here; false when it is not.
func (t *table) remember(lane string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.lanes[lane]
	if p == nil || p.at == idle {
		return false
	}
	if p.at == runs {
		p.at = dirty
	}
	return true
}

// arrive takes a wake that Redis gave us; own is its number when this Queue enqueued it, else 0. It reports
// whether the caller must bring the lane to a runner; otherwise the wake is folded.
func (t *table) arrive(lane string, own uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.lanes[lane]
	if p == nil {
		p = &place{}
		t.lanes[lane] = p
	}
	switch {
	case own > 0 && own <= p.served:
		return false
	case p.at == idle:
		p.at = waits
		return true
	case p.at == runs:
		p.at = dirty
	}
	return false
}

// start begins a turn of a lane that waits; it serves the wakes up to the given number.
func (t *table) start(lane string, seq uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.lanes[lane]
	p.at, p.served = runs, seq
}

// leave ends the stay of a lane, run or not. It reports whether it must be enqueued again.
func (t *table) leave(lane string) (again bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p := t.lanes[lane]
	again = p.at != runs
	p.at, p.since = idle, time.Now()
	return again
}

// forget drops lanes that have been idle for so long that none of their old wakes can still be under way. If
// one is, it leads to a turn with nothing to do.
func (t *table) forget(before time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for lane, p := range t.lanes {
		if p.at == idle && p.since.Before(before) {
			delete(t.lanes, lane)
		}
	}
}
