package redisstore

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// driftPerSecond is how much the confidence in a sample fades, in nanoseconds a second: two ordinary
	// clocks drift apart by less than 200 parts in a million.
	driftPerSecond = 200_000
	// stepMin is what a clock must have been set back by to be followed; less is jitter, and Now waits.
	stepMin = time.Second
)

// clock is Redis's clock as this process knows it: the local monotonic clock and an offset that every reply
// corrects.
type clock struct {
	base time.Time // what the monotonic clock is measured from
	last atomic.Int64
	best atomic.Pointer[sample]
	mu   sync.Mutex // for learning
}

// sample is one look at Redis's clock.
type sample struct {
	offset int64 // nanoseconds: Redis's clock minus the local one
	err    int64 // at most so far off, when it was taken
	at     int64 // local
}

func newClock() *clock { return &clock{base: time.Now()} }

// local is the local clock in nanoseconds since 1970: by the wall clock at the start, monotonic since.
func (c *clock) local() int64 { return c.at(time.Now()) }

func (c *clock) at(t time.Time) int64 { return c.base.UnixNano() + int64(t.Sub(c.base)) }

// trust is how far off a sample may be by now.
func (s *sample) trust(at int64) int64 {
	age := (at - s.at) / int64(time.Millisecond)
	return s.err + age*(driftPerSecond/1000)
}

// learn takes the clock of a reply (microseconds), which was read at some time between sent and received. A
// sample counts if it is nearer than the one in use is by now, or if the two cannot both be right: then
// Redis's clock has been set, or another Redis answers.
func (c *clock) learn(now int64, sent, received time.Time) {
	from, to := c.at(sent), c.at(received)
	s := &sample{offset: now*1000 - (from+to)/2, err: max(1000, (to-from)/2), at: to}
	old := c.best.Load()
	if old != nil && !s.replaces(old) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if old = c.best.Load(); old == nil || s.replaces(old) {
		c.best.Store(s)
	}
}

func (s *sample) replaces(old *sample) bool {
	if s.at < old.at {
		return false // an older look, come late
	}
	trust := old.trust(s.at)
	apart := s.offset - old.offset
	return s.err <= trust || apart > s.err+trust || -apart > s.err+trust
}

// now is Redis's clock in nanoseconds, plus a shift. Jitter never makes it run backwards; a clock that was
// really set back is followed.
func (c *clock) now(shift time.Duration) int64 {
	t := c.local() + int64(shift)
	if s := c.best.Load(); s != nil {
		t += s.offset
	}
	for {
		last := c.last.Load()
		if t <= last && last-t < int64(stepMin) {
			return last
		}
		if c.last.CompareAndSwap(last, t) {
			return t
		}
	}
}

// Now is Redis's clock, as nearly as this process knows it: every reply brings it. Before the first reply it
// is the machine's own. It never fails and never waits.
func (s *Store) Now() time.Time {
	return time.Unix(0, s.clock.now(s.opts.Shift())).UTC()
}
