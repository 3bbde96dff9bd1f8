package asynqqueue

import (
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// breakerPause is how long a queue that did not take a wake is left alone. A waker that names 256 lanes then
// waits once, and the lanes of other queues wait no longer than that.
const breakerPause = time.Second

// breaker refuses to enqueue into a queue that just did not work; after a pause one wake tries.
type breaker struct {
	outage outage

	mu      sync.Mutex
	last    error     // nil while the queue works
	until   time.Time // of the pause
	probing bool      // one is trying
}

// admit returns an error when trying makes no sense now. Otherwise judge or withdraw must follow.
func (b *breaker) admit() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.last == nil {
		return nil
	}
	if b.probing || time.Now().Before(b.until) {
		return fmt.Errorf("not tried, a moment ago: %w", b.last)
	}
	b.probing = true
	return nil
}

// judge ends a try.
func (b *breaker) judge(err error) {
	b.mu.Lock()
	b.last, b.probing = err, false
	b.until = time.Now().Add(breakerPause)
	b.mu.Unlock()
	b.outage.note(err)
}

// withdraw ends a try that had no result.
func (b *breaker) withdraw() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
}

// outage writes one line when something stops to work, and one when it works again.
type outage struct {
	log   *slog.Logger
	queue string
	what  string // does not work

	mu    sync.Mutex
	since time.Time // zero while it works
}

// note takes the result of every use; nil is success.
func (o *outage) note(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	switch down := !o.since.IsZero(); {
	case err != nil && !down:
		o.since = time.Now()
		o.log.Warn(o.what, "queue", o.queue, "err", err)
	case err == nil && down:
		o.log.Info("queue works again", "queue", o.queue, "after", time.Since(o.since).Round(time.Millisecond))
		o.since = time.Time{}
	}
}

// lasts reports whether the last use failed.
func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return !o.since.IsZero()
}
