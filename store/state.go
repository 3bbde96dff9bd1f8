package store

import "time"

// How a notification changes state. This file is the whole state machine; a Store applies it in the same
// step in which it records the attempt.
//
//	              ┌────────── uncharged, or charged and the schedule goes on ──────────┐
//	              ▼                                                                    │
//	accept ──▶ pending ── last send refused ──▶ exhausted ─┐                           │
//	              ├── a person ──────────────▶ canceled ───┼── late ack, resend acked ─┼─▶ spent
//	              ├── damaged, or 3 internal ▶ quarantined ┘                           │
//	              └── acked ───────────────────────────────────────────────────────────┘
//
// Spent absorbs: nothing leaves it.

// How long uncharged attempts wait before they go again.
const (
	interruptedAtOnce   = 3 // interruptions in a row that go again at once: a crash must not delay a notice…
	interruptedWaitMin  = time.Second
	interruptedWaitMax  = time.Minute // …but one of them may be what kills the process
	internalInRowMax    = 3           // then the notification is quarantined
	oursWaitMin         = 5 * time.Second
	oursWaitMax         = time.Minute
	OursUnchargedForMax = 15 * time.Minute // faults of our own DNS or proxy count from then on
)

// Outcome is what a delivery asks the store to do.
type Outcome struct {
	Attempt Attempt  // decides; N is given by the store
	Stale   *Attempt // the POST on a dead kept-alive connection that came before it, uncharged; usually nil

	// For a scheduled send that was not acknowledged: Pending, Exhausted or Quarantined.
	State State
	// NextAt is not sent before, PlannedAt what the schedule counts from. For Pending, and with Again.
	NextAt, PlannedAt time.Time
	// Again says that a person's send, not charged for a fault that was not the merchant's, goes again.
	Again  bool
	Streak Streak
	// Hold says that the address was refused: hold the merchant, or only the notification if it has an
	// override of its own. A merchant that was changed since the claim is not held: its address may be
	// another one by now.
	Hold bool
}

// Accept makes the notification a newborn one: pending, its first send due at once. It forgets any progress.
func (n *Notification) Accept(notifyID string, at time.Time) {
	*n = Notification{
		NotifyID: notifyID, MchID: n.MchID, Profile: n.Profile, NotifyType: n.NotifyType,
		OutTradeNo: n.OutTradeNo, Params: n.Params, NotifyURL: n.NotifyURL, Schedule: n.Schedule,
		IdempotencyKey: n.IdempotencyKey, ContentDigest: n.ContentDigest, TraceParent: n.TraceParent,
		CreatedAt: at, State: Pending, NextAt: at, PlannedAt: at,
	}
}

// Settle applies an outcome that the notification's live claim produced.
func (n *Notification) Settle(o Outcome) {
	n.InFlight = false
	if o.Stale != nil {
		n.AttemptCount++
	}
	n.count(o.Attempt)
	n.LastAt = o.Attempt.StartedAt
	n.Streak = o.Streak
	if o.Attempt.Verdict == Acked {
		n.ack(o.Attempt)
		return
	}
	manual, refused := o.Attempt.Trigger.Manual(), o.Hold && n.NotifyURL != ""
	switch {
	case manual && o.Again && !refused && n.Resend != "": // an address of its own is not tried for ever
		n.ResendAt = o.NextAt
	case manual:
		n.clearResend()
	}
	switch {
	case n.State.Final():
	case o.State == Quarantined, !manual:
		n.State, n.NextAt, n.PlannedAt = o.State, o.NextAt, o.PlannedAt
		if o.State.Final() {
			n.NextAt, n.PlannedAt = time.Time{}, time.Time{}
		}
	}
	n.Blocked = refused && !n.State.Final()
}

// SettleLate applies an outcome whose claim was lost meanwhile (the process was frozen, the lease ran out,
// another attempt may be under way). Only an acknowledgement still counts; it reports whether it did. The
// same acknowledgement again, because the answer to its first settlement was lost, adds nothing.
func (n *Notification) SettleLate(o Outcome) bool {
	a := o.Attempt
	again := n.LastVerdict == Acked && n.LastAt.Sub(a.StartedAt).Abs() < time.Millisecond
	if a.Verdict != Acked || again {
		return false
	}
	n.count(a)
	if a.StartedAt.After(n.LastAt) {
		n.LastAt = a.StartedAt
	}
	n.ack(a)
	return true
}

// count adds an attempt. A place in the schedule is charged once, also when a lost claim and its repeat were
// both answered.
func (n *Notification) count(a Attempt) {
	n.AttemptCount++
	n.LastVerdict, n.LastReason = a.Verdict, a.Reason
	if a.Charged && a.Send > n.NotifyCount {
		n.NotifyCount = a.Send
	}
}

func (n *Notification) ack(a Attempt) {
	if n.State != Spent {
		n.State, n.SpentAt = Spent, a.StartedAt.Add(a.Duration)
	}
	n.NextAt, n.PlannedAt, n.Blocked = time.Time{}, time.Time{}, false
	if a.Trigger.Manual() || !n.ResendForce {
		n.clearResend()
	}
}

func (n *Notification) clearResend() {
	n.Resend, n.ResendAt, n.ResendForce = "", time.Time{}, false
}

// AskResend asks for one send on a person's behalf, due at now. A second one before the first is sent adds
// none. It also lifts the hold of a refused address of its own: the person wants it tried again. It fails
// with ErrAlreadySpent for a spent notification without force, with ErrShrunk when there is nothing left to
// send.
func (n *Notification) AskResend(t Trigger, force bool, now time.Time) error {
	switch {
	case n.Shrunk:
		return ErrShrunk
	case n.State == Spent && !force:
		return ErrAlreadySpent
	case n.Resend == "":
		n.Resend, n.ResendAt = t, now
	}
	n.ResendForce, n.Blocked = n.ResendForce || force, false
	return nil
}

// Cancel takes a pending notification back; again on a canceled one it does nothing. It fails with
// ErrNotPending in any other state.
func (n *Notification) Cancel() error {
	switch n.State {
	case Canceled:
		return nil
	case Pending:
		n.State, n.NextAt, n.PlannedAt, n.Blocked = Canceled, time.Time{}, time.Time{}, false
		n.clearResend()
		return nil
	}
	return ErrNotPending
}

// Quarantine takes a damaged record out of the schedule. Also a damaged one stays spent.
func (n *Notification) Quarantine() {
	if n.State != Spent {
		n.State = Quarantined
	}
	n.NextAt, n.PlannedAt, n.InFlight, n.Blocked = time.Time{}, time.Time{}, false, false
	n.LastVerdict, n.LastReason = InternalError, Internal
	n.clearResend()
}

// Due tells when the notification wants its next attempt and as what: a person's send comes before the
// scheduled one, however long that has been due. It is zero when nothing is owed, while an attempt is under
// way, and while the notification is held for its own address.
func (n *Notification) Due() (at time.Time, class Class) {
	switch {
	case n.InFlight, n.Blocked:
		return time.Time{}, 0
	case n.Resend != "":
		return n.ResendAt, ClassResend
	case n.State.Final():
		return time.Time{}, 0
	case n.NotifyCount == 0:
		return n.NextAt, ClassFirst
	}
	return n.NextAt, ClassRetry
}

// Class is the order inside a lane: resends, then first sends, then retries, each oldest first.
type Class int

// At least one claim in four goes to the oldest due retry, whatever waits before it.
const (
	ClassResend Class = iota
	ClassFirst
	ClassRetry
	Classes = 3
)

// Claimed makes the claim of an attempt on a notification, which must be due, and marks it in flight.
func (n *Notification) Claimed(token uint64, revision int64, now time.Time, lease time.Duration) Claim {
	_, class := n.Due()
	c := Claim{Token: token, MerchantRevision: revision, LeaseUntil: now.Add(lease)}
	switch {
	case class == ClassResend:
		c.Trigger, c.ScheduledAt = n.Resend, n.ResendAt
	case n.NotifyCount == 0:
		c.Trigger, c.Send, c.ScheduledAt = First, 1, n.PlannedAt
	default:
		c.Trigger, c.Send, c.ScheduledAt = Retry, n.Send(), n.PlannedAt
	}
	n.InFlight = true
	c.Notification, c.ClaimedAt = *n, now
	return c
}

// Interrupt is the outcome of a claim whose attempt never ended: its process died, froze or was told to
// stop. It is not charged; the repeat has the same place in the schedule.
func (c *Claim) Interrupt(now time.Time, detail string) Outcome {
	streak := c.Notification.Streak.Grow(Crash, c.ClaimedAt)
	o := Outcome{
		Attempt: Attempt{
			Send: c.Send, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt, StartedAt: c.ClaimedAt,
			Duration: max(0, now.Sub(c.ClaimedAt)), Verdict: Interrupted, Reason: Crash, Detail: detail,
		},
		State: Pending, PlannedAt: c.ScheduledAt, Again: true, Streak: streak,
	}
	wait, _ := streak.Wait()
	o.NextAt = now.Add(wait)
	if c.Trigger.Manual() {
		o.PlannedAt = c.Notification.PlannedAt
	}
	return o
}

// Grow is the streak after one more uncharged attempt, which started at the given instant.
func (s Streak) Grow(r Reason, started time.Time) Streak {
	if s.Reason != r {
		return Streak{Reason: r, Count: 1, Since: started}
	}
	s.Count++
	return s
}

// Wait is how long the attempt after this streak waits; last says that there is none, and the notification
// is quarantined.
func (s Streak) Wait() (wait time.Duration, last bool) {
	switch {
	case s.Count == 0:
		return 0, false
	case s.Reason == Crash:
		if s.Count <= interruptedAtOnce {
			return 0, false
		}
		return doubled(interruptedWaitMin, interruptedWaitMax, s.Count-interruptedAtOnce), false
	case s.Reason == Internal:
		if s.Count >= internalInRowMax {
			return 0, true
		}
		return []time.Duration{time.Second, 10 * time.Second}[s.Count-1], false
	}
	return doubled(oursWaitMin, oursWaitMax, s.Count), false
}

// doubled is first for n = 1, twice as long for every further n, at most limit.
func doubled(first, limit time.Duration, n int) time.Duration {
	for ; n > 1 && first < limit; n-- {
		first *= 2
	}
	return min(first, limit)
}
