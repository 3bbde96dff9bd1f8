package storetest

import (
	"time"

	"paynotify/store"
)

// check looks at every notification: nothing is lost, numbers and counts are right, and all is as it must be.
func (m *model) check() {
	for _, f := range m.facts {
		m.recover(f)
	}
}

// recover reads a notification, takes over the interruption that the store has made of its live claim, if it
// has, and checks the rest.
func (m *model) recover(f *facts) {
	n, as, err := m.e.Store.Get(m.e.ctx, f.want.NotifyID)
	if err != nil {
		m.fail(acceptedLost, "#%d: %v", f.n, err)
	}
	m.sound(f, n, as)
	if f.live != nil && !n.InFlight && len(as) == len(f.attempts)+1 {
		m.interrupted(f, n, as[len(as)-1])
	}
	m.same(progressWrong, f, f.want, n)
	if len(f.attempts)+len(as) > 0 {
		m.same(progressWrong, f, f.attempts, as)
	}
	f.spent = f.want.State == store.Spent
}

// sound checks what is true of any notification, whatever its history.
func (m *model) sound(f *facts, n store.Notification, as []store.Attempt) {
	places := map[int]bool{}
	for i, a := range as {
		if a.N != i+1 {
			m.fail(numbersGap, "#%d: attempt %d is numbered %d", f.n, i+1, a.N)
		}
		if a.Charged && a.Verdict == store.Interrupted {
			m.fail(chargedToCrash, "#%d: attempt %d", f.n, a.N)
		}
		if a.Charged {
			places[a.Send] = true
		}
	}
	if len(places) != n.NotifyCount || len(as) != n.AttemptCount {
		m.fail(countsWrong, "#%d: counts %d/%d with %d attempts for %d places of the schedule",
			f.n, n.NotifyCount, n.AttemptCount, len(as), len(places))
	}
	for send := range places {
		if send < 1 || send > n.NotifyCount {
			m.fail(countsWrong, "#%d: send %d was charged, and the count is %d", f.n, send, n.NotifyCount)
		}
	}
	if f.spent && n.State != store.Spent {
		m.fail(leftSpent, "#%d is %s", f.n, n.State)
	}
}

// interrupted checks that a live claim was lost for a reason and became what state.go makes of it.
func (m *model) interrupted(f *facts, n store.Notification, a store.Attempt) {
	c, now := *f.live, m.e.Now()
	at := c.ClaimedAt.Add(a.Duration)
	if !f.crashed && at.Before(c.LeaseUntil.Add(-time.Millisecond)) || at.After(now.Add(time.Millisecond)) {
		m.fail(interruptWrong, "#%d: at %v, its lease lasts until %v, and it is %v", f.n, at, c.LeaseUntil, now)
	}
	o := c.Interrupt(at, a.Detail)
	f.want.Settle(o)
	for _, t := range []struct{ want, got *time.Time }{
		{&f.want.NextAt, &n.NextAt},
		{&f.want.ResendAt, &n.ResendAt},
	} { // a store that keeps milliseconds has rounded the duration
		if t.want.Sub(*t.got).Abs() <= time.Millisecond {
			*t.want = *t.got
		}
	}
	o.Attempt.Duration = a.Duration
	f.attempts = append(f.attempts, numbered(o.Attempt, len(f.attempts)+1))
	f.live, f.lost = nil, append(f.lost, c)
}
