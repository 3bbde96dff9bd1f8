package dispatcher

import (
	"time"

	"paynotify/retry"
	"paynotify/store"
)

// plan turns a judged attempt into what the store is asked to do: whether it is charged, which state follows
// and when the next send goes. ours says that the way to the merchant failed on our side, wait is what the
// merchant's Retry-After asked for, zero for nothing.
func (d *Dispatcher) plan(h *held, a store.Attempt, ours bool, wait time.Duration) store.Outcome {
	h.place(&a)
	o := store.Outcome{State: store.Pending, PlannedAt: h.PlannedAt}
	uncharged := d.uncharged(h, &a, ours, &o)
	a.Charged = !uncharged && !a.Trigger.Manual()
	o.Attempt = a
	if uncharged || a.Verdict == store.Acked || a.Trigger.Manual() {
		return o
	}
	schedule, err := retry.Parse(h.Schedule)
	if err != nil { // checked at accept; a record that says otherwise must not be sent for ever
		o.State = store.Quarantined
		return o
	}
	next, more := schedule.Next(h.Send, a.ScheduledAt, a.StartedAt)
	if !more {
		o.State = store.Exhausted
		o.PlannedAt = time.Time{}
		return o
	}
	if asked := a.StartedAt.Add(a.Duration).Add(wait); wait > 0 && asked.After(next) {
		next = minTime(asked, next.Add(schedule.Wait(h.Send)))
		d.metrics.throttled.retryAfter.Inc()
	}
	o.NextAt, o.PlannedAt = next, next
	return o
}

// uncharged reports whether the attempt was stopped by something that is not the merchant's: our shutdown,
// our DNS, our proxy, our address rules, a bug of ours. Such an attempt goes again with the same place in the
// schedule; uncharged writes into o when.
func (d *Dispatcher) uncharged(h *held, a *store.Attempt, ours bool, o *store.Outcome) bool {
	ended, streak := a.StartedAt.Add(a.Duration), store.DNSFailure
	switch {
	case a.Reason == store.AddressBlocked:
		o.Hold, o.Again, o.NextAt = true, true, h.ScheduledAt
		return true
	case a.Reason == store.Internal:
		streak = store.Internal
	case a.Reason != store.DNSFailure && !ours:
		return false
	}
	o.Streak = h.Streak.Grow(streak, a.StartedAt) // DNS and proxy are one streak, whatever the proxy's fault
	if streak == store.DNSFailure && ended.Sub(o.Streak.Since) >= store.OursUnchargedForMax {
		o.Streak = store.Streak{} // by now it may well be the merchant's own doing: it must exhaust some day
		return false
	}
	pause, last := o.Streak.Wait()
	if last {
		o.State = store.Quarantined
		return true
	}
	o.Again, o.NextAt = true, ended.Add(pause)
	return true
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
