package dispatcher

import (
	"slices"
	"sync"
	"time"
)

// slots are the workers' places: one for every attempt at once.
//
// The last half is only for lanes with fewer than reservedPerLane attempts in flight, so that 20 merchants
// that hang cannot fill the process: whoever is quick still finds a place. A lane that found no free worker
// is remembered, and named in turn when one is free that it may have.
type slots struct {
	mu      sync.Mutex
	total   int
	used    int
	byLane  map[string]int
	starved []string      // lanes with a backlog that found no free worker; head first, each once
	waiters []*waiter     // fresh notifications that wait a moment for a place
	judged  int           // attempts that gave their place back and are being written down
	closed  bool          // no more places are given
	idle    chan struct{} // closed when closed, all places are back and all attempts are written down
}

// reservedPerLane is how many attempts a lane may have in flight on places of the last half.
const reservedPerLane = 2

func newSlots(total int) *slots {
	return &slots{
		total: total, byLane: make(map[string]int), idle: make(chan struct{}),
	}
}

// waiter is one who waits for one place.
type waiter struct {
	lane  string
	ready chan struct{} // closed with the place taken
}

// takeSoon gives the lane one place, if one is free within the given time. A lane that starves already does
// not wait: it has a backlog, and what joins a backlog is not claimed at once.
func (s *slots) takeSoon(lane string, within time.Duration) bool {
	s.mu.Lock()
	if s.takeLocked(lane, 1) == 1 {
		s.mu.Unlock()
		return true
	}
	if s.closed || slices.Contains(s.starved, lane) {
		s.mu.Unlock()
		return false
	}
	w := &waiter{lane: lane, ready: make(chan struct{})}
	s.waiters = append(s.waiters, w)
	s.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.ready:
		return true
	case <-timer.C:
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.waiters, w)
	if i < 0 {
		return true // given in this very moment
	}
	s.waiters = slices.Delete(s.waiters, i, i+1)
	return false
}

// close gives no more places; the channel is closed when all that were given are back and settled. The lanes
// that had found no worker will find none here.
func (s *slots) close() (idle <-chan struct{}, starved []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.idleLocked()
	starved, s.starved = s.starved, nil
	return s.idle, starved
}

func (s *slots) idleLocked() {
	if s.closed && s.used == 0 && s.judged == 0 {
		close(s.idle)
	}
}

// take gives the lane up to want places and tells how many.
func (s *slots) take(lane string, want int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.takeLocked(lane, want)
}

// takeOrStarve is take for a lane that has its turn: when it gets nothing, it is remembered. It is not ok
// once no more places are given.
func (s *slots) takeOrStarve(lane string, want int) (got int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, false
	}
	got = s.takeLocked(lane, want)
	if got == 0 && !slices.Contains(s.starved, lane) {
		s.starved = append(s.starved, lane)
	}
	return got, true
}

func (s *slots) takeLocked(lane string, want int) int {
	mine := s.byLane[lane]
	got := max(0, min(want, s.roomLocked(lane)))
	if got > 0 {
		s.used += got
		s.byLane[lane] = mine + got
	}
	return got
}

// roomLocked is how many places the lane could have now.
func (s *slots) roomLocked(lane string) int {
	if s.closed {
		return 0
	}
	return min(s.total-s.used, max(s.total/2-s.used, reservedPerLane-s.byLane[lane]))
}

// giveBack frees places and names a lane to hand out for them, one that had found no worker; empty for none.
func (s *slots) giveBack(lane string, n int) (starved string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.freeLocked(lane, n)
}

// judge gives back the place of an attempt whose outcome is known and not yet written down: the next attempt
// need not wait for a commit.
func (s *slots) judge(lane string) (starved string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judged++
	return s.freeLocked(lane, 1)
}

// settled ends what judge began.
func (s *slots) settled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.judged--
	s.idleLocked()
}

func (s *slots) freeLocked(lane string, n int) (starved string) {
	s.used -= n
	if s.byLane[lane] -= n; s.byLane[lane] <= 0 {
		delete(s.byLane, lane)
	}
	s.idleLocked()
	for i, other := range s.starved {
		if s.roomLocked(other) > 0 {
			s.starved = slices.Delete(s.starved, i, i+1)
			return other
		}
	}
	s.waiters = slices.DeleteFunc(s.waiters, func(w *waiter) bool {
		if s.takeLocked(w.lane, 1) == 0 {
			return false
		}
		close(w.ready)
		return true
	})
	return ""
}

// inFlight is how many attempts are under way or not yet written down.
func (s *slots) inFlight() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used + s.judged
}
