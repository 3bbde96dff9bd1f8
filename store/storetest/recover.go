package storetest

import (
	"time"

	"paynotify/store"
)

// … It also turns claims whose lease ran out into interrupted attempts, due again.
var recoverCases = []testCase{
	{"Wakes/expired claim", recoverExpired},
	{"Wakes/live claims stay", recoverLive},
	{"Wakes/growing waits", recoverWaits},
	{"Wakes/expired claim of a manual send", recoverManual},
	{"Wakes/many expired claims", recoverMany},
}

// interrupted checks the attempt and the progress that the loss of a claim leaves.
func (e *env) interrupted(c store.Claim, from time.Time) store.Notification {
	e.Helper()
	n, as := e.get(c.NotifyID)
	if len(as) == 0 {
		e.Fatalf("the lost claim of %s left no attempt", c.NotifyID)
	}
	a := as[len(as)-1]
	want := store.Attempt{
		N: len(as), Send: c.Send, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt, StartedAt: c.ClaimedAt,
		Duration: a.Duration, Verdict: store.Interrupted, Reason: store.Crash, Detail: a.Detail,
	}
	e.diff("interrupted attempt", want, a)
	if a.Duration < from.Sub(c.ClaimedAt)-time.Millisecond || a.Duration > e.Now().Sub(c.ClaimedAt) {
		e.Fatalf("interrupted after %v, claimed at %v, and it is %v", a.Duration, c.ClaimedAt, e.Now())
	}
	if n.InFlight || n.NotifyCount != c.NotifyCount || n.AttemptCount != len(as) {
		e.Fatalf("interrupted: in flight %v, counts %d/%d; want %d/%d",
			n.InFlight, n.NotifyCount, n.AttemptCount, c.NotifyCount, len(as))
	}
	if n.Streak.Reason != store.Crash || n.Streak.Count != c.Streak.Count+1 {
		e.Fatalf("interrupted after a streak of %+v: %+v", c.Streak, n.Streak)
	}
	return n
}

func recoverExpired(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	e.wakesNames("m1")
	c := e.claimID("m1", id)
	e.settle(c, refused(c, e.in(time.Minute)))
	e.noClaim("m1", store.LaneIdle)
	e.Advance(time.Minute + tick)
	e.wakesNames("m1")
	c = e.claimID("m1", id)
	e.noClaim("m1", store.LaneIdle)
	e.later(e.wakesNames(), c.LeaseUntil.Add(time.Second))

	e.Advance(lease + time.Second)
	w := e.wakes(plenty)
	if w.Recovered != 1 {
		e.Fatalf("%d claims recovered, want 1", w.Recovered)
	}
	if len(w.Lanes) == 0 { // what is due from now on may be named in the next call
		e.Advance(tick)
		e.wakesNames("m1")
	}
	e.interrupted(c, c.LeaseUntil)
	again := e.claimID("m1", id)
	if again.Trigger != c.Trigger || again.Send != c.Send || !again.ScheduledAt.Equal(c.ScheduledAt) {
		e.Fatalf("repeat of a lost claim: %s, send %d, planned for %v; want %s, %d, %v",
			again.Trigger, again.Send, again.ScheduledAt, c.Trigger, c.Send, c.ScheduledAt)
	}
	if n := e.expect(again, refused(again, e.in(time.Hour))); n.NotifyCount != 2 || n.AttemptCount != 3 {
		e.Fatalf("counts %d/%d, want 2/3", n.NotifyCount, n.AttemptCount)
	}
	if w = e.wakes(plenty); w.Recovered != 0 {
		e.Fatalf("%d claims recovered a second time", w.Recovered)
	}
}

func recoverLive(e *env) {
	e.merchant("m1", nil)
	ids := e.add("m1", 2)
	first := e.claimID("m1", ids[0])
	e.Advance(lease / 2)
	second := e.claimID("m1", ids[1])
	e.Advance(lease/2 - 10*time.Second)
	if w := e.wakes(plenty); w.Recovered != 0 {
		e.Fatalf("%d claims recovered before their lease ran out", w.Recovered)
	}
	e.expect(first, refused(first, e.in(time.Hour)))
	e.Advance(12 * time.Second)
	if w := e.wakes(plenty); w.Recovered != 0 {
		e.Fatalf("%d claims recovered, one settled and one live", w.Recovered)
	}
	if n := e.expect(second, acked(second)); n.State != store.Spent || n.AttemptCount != 1 {
		e.Fatalf("settled within its lease: %s, %d attempts", n.State, n.AttemptCount)
	}
}

func recoverWaits(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	planned := time.Time{}
	for i, wait := range []time.Duration{0, 0, 0, time.Second, 2 * time.Second, 4 * time.Second} {
		c := e.claimID("m1", id)
		if i == 0 {
			planned = c.ScheduledAt
		}
		if c.Send != 1 || c.Trigger != store.First || !c.ScheduledAt.Equal(planned) {
			e.Fatalf("after %d interruptions: %s, send %d, planned for %v", i, c.Trigger, c.Send, c.ScheduledAt)
		}
		e.Advance(lease + time.Second)
		before := e.Now().Truncate(time.Millisecond)
		w := e.wakes(plenty)
		after := e.Now()
		if w.Recovered != 1 {
			e.Fatalf("%d claims recovered, want 1", w.Recovered)
		}
		n := e.interrupted(c, c.LeaseUntil)
		if n.NextAt.Before(before.Add(wait)) || n.NextAt.After(after.Add(wait)) {
			e.Fatalf("interrupted %d times in a row: next at %v, want %v after %v", i+1, n.NextAt, wait, before)
		}
		if !n.PlannedAt.Equal(planned) {
			e.Fatalf("interrupted: planned for %v, was %v", n.PlannedAt, planned)
		}
		e.Advance(wait + tick)
	}
	c := e.claimID("m1", id)
	e.settle(c, refused(c, e.in(0)))
	e.Advance(tick)
	c = e.claimID("m1", id)
	if c.Send != 2 || c.Streak.Count != 0 {
		e.Fatalf("after a charged send: send %d, streak %+v", c.Send, c.Streak)
	}
}

func recoverManual(e *env) {
	e.merchant("m1", nil)
	id := e.exhaust()
	e.resend(id, false)
	e.Advance(tick)
	c := e.claimID("m1", id)
	e.lose()
	n := e.interrupted(c, c.LeaseUntil)
	if n.State != store.Exhausted || n.Resend != store.Resend {
		e.Fatalf("interrupted resend: %s, owed %q", n.State, n.Resend)
	}
	again := e.claimID("m1", id)
	if again.Trigger != store.Resend || again.Send != 0 {
		e.Fatalf("repeat of an interrupted resend: %s, send %d", again.Trigger, again.Send)
	}
	e.expect(again, acked(again))
	e.never()
}

func recoverMany(e *env) {
	const each = 40
	for _, lane := range []string{"m1", "m2", "m3"} {
		e.merchant(lane, nil)
		e.add(lane, each)
		e.claimN(lane, each)
		e.noClaim(lane, store.LaneIdle)
	}
	e.Advance(lease + time.Second)
	recovered := 0
	named := map[string]bool{}
	for range 3 * each { // a store may do it in steps
		w := e.wakes(plenty)
		recovered += w.Recovered
		for _, lane := range w.Lanes {
			named[lane] = true
		}
		e.Advance(time.Millisecond)
	}
	if recovered != 3*each || len(named) != 3 {
		e.Fatalf("%d claims recovered in %d lanes, want %d in 3", recovered, len(named), 3*each)
	}
	for _, lane := range []string{"m1", "m2", "m3"} {
		e.claimN(lane, each)
	}
}
