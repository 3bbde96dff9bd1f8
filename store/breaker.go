package store

import (
	"slices"
	"time"
)

// What a lane does whose merchant does not answer. A send that times out holds a place for as long as the
// timeout; a lane of such sends would hold them all. So each failure halves the lane's cap and each
// acknowledgement doubles it again: a lane that only fails shrinks to one send at a time. After
// BreakerFailures different notifications have failed and none was acknowledged between them, the breaker
// opens: one send at a time, with a growing pause between them. These probes are ordinary due sends, each of
// another notification where there is another.
//
// Nothing is dropped and nothing waits for ever: a send that was held back for BreakerDelayMax goes under the
// lane's full cap and rate. So a dead merchant's notifications still exhaust, on a schedule that is
// 15 minutes late at most.
const (
	BreakerFailures = 5
	BreakerDelayMax = 15 * time.Minute

	breakerWaitMin  = 5 * time.Second
	breakerWaitMax  = time.Minute
	breakerLevelMax = 10 // a cap of 1000 is 1 then
)

// Breaker is what a store keeps of a lane's failures. The zero value is a lane that is well. Instants are
// microseconds since 1970, as the store counts them. A store decides with it in the same step in which it
// claims or settles.
type Breaker struct {
	Level   int      // the cap is halved so many times
	Failed  []string // the last different notifications that failed since an acknowledgement, newest last
	Open    bool
	ProbeAt int64 // while open no probe before
	Wait    int64 // between the last probe's failure and the next probe
	// Since is when sends began to be held back. It stays until nothing is due in a lane that is well, so that
	// no send is held back longer because the merchant came back for a moment.
	Since int64
}

// Calm reports whether nothing is held back, and nothing is to be remembered.
func (b *Breaker) Calm() bool { return b.Level == 0 && !b.Open && b.Since == 0 }

// Tight reports whether less is sent than the lane's settings allow.
func (b *Breaker) Tight() bool { return b.Level > 0 || b.Open }

// Judge learns from an attempt of a notification that was settled at now. Only what a merchant did counts,
// and of its failures only those by timeout or connection: a merchant that says no is there.
func (b *Breaker) Judge(name string, a *Attempt, now int64) {
	switch {
	case a.Verdict == Acked:
		b.Level, b.Failed, b.Open, b.Wait = max(0, b.Level-1), nil, false, 0
	case a.Failed():
		b.fail(name, now)
	case a.Answered():
		b.Open, b.Wait = false, 0 // the next failure opens it again
	}
}

// Failed reports whether an attempt counts as a failure for the breaker: nobody answered it, and it was not
// our own proxy that did not.
func (a *Attempt) Failed() bool {
	return a.Charged && (a.Verdict == Timeout || a.Verdict == ConnectError)
}

// Answered reports whether somebody answered an attempt, though with no acknowledgement.
func (a *Attempt) Answered() bool { return a.Verdict.Class() == "refused" || a.Verdict == BadReply }

func (b *Breaker) fail(name string, now int64) {
	b.Level = min(b.Level+1, breakerLevelMax)
	if b.Since == 0 {
		b.Since = now
	}
	b.Failed = slices.DeleteFunc(slices.Clone(b.Failed), func(other string) bool { return other == name })
	b.Failed = append(b.Failed, name)
	b.Failed = b.Failed[max(0, len(b.Failed)-BreakerFailures):]
	if len(b.Failed) < BreakerFailures || b.Open && now < b.ProbeAt {
		return // sends that were under way when it opened are no probes
	}
	b.Open = true
	b.Wait = min(max(2*b.Wait, breakerWaitMin.Microseconds()), breakerWaitMax.Microseconds())
	b.ProbeAt = now + b.Wait
}

// Cap is how many sends may be in flight of a lane whose cap is full, 1 or more.
func (b *Breaker) Cap(full int) int {
	if b.Open {
		return 1
	}
	return max(1, full>>b.Level)
}

// May reports whether a send may start now that has not been held back too long.
func (b *Breaker) May(inflight, full int, now int64) bool {
	return inflight < b.Cap(full) && !(b.Open && now < b.ProbeAt)
}

// Released is when a notification that is due at an instant goes in spite of all.
func (b *Breaker) Released(due int64) int64 {
	return max(due, b.Since) + BreakerDelayMax.Microseconds()
}

// Next is when the first of a lane's notifications, due at an instant, may go.
func (b *Breaker) Next(due int64, inflight, full int) int64 {
	at := b.Released(due)
	switch {
	case inflight >= b.Cap(full):
		return at
	case b.Open:
		return min(at, max(due, b.ProbeAt))
	}
	return due
}

// Probe picks the notification to probe with, among the names of those that are due, in lane order: one that
// has not just failed, or at least not the last that did.
func (b *Breaker) Probe(names []string) int {
	if !b.Open || len(b.Failed) == 0 {
		return 0
	}
	last := b.Failed[len(b.Failed)-1]
	other := 0
	for i, name := range names {
		if !slices.Contains(b.Failed, name) {
			return i
		}
		if names[other] == last && name != last {
			other = i
		}
	}
	return other
}

// Rest forgets since when sends were held back: nothing is due in the lane.
func (b *Breaker) Rest() {
	if !b.Tight() {
		b.Since = 0
	}
}

// ClosesBreaker reports whether a change of a merchant is reason to send to it as to one that is well:
// another address, or somebody who resumed it.
func ClosesBreaker(was, now *Merchant) bool {
	return was.NotifyURL != now.NotifyURL || was.Paused && !now.Paused || was.Blocked && !now.Blocked ||
		was.BreakerOpen && !now.BreakerOpen
}
