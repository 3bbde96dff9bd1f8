package storetest

import (
	"time"

	"paynotify/store"
)

// … and fenced by its claim: an outcome whose claim was lost changes nothing, except that an acknowledgement
// still makes the notification spent.
var lateCases = []testCase{
	{"Settle/fenced by its token", lateFenced},
	{"Settle/fenced after a crash", lateFencedCrash},
	{"Settle/a late acknowledgement from every state", lateEveryState},
	{"Settle/the same acknowledgement twice", lateTwice},
	{"Settle/a place is charged once", lateChargedOnce},
	{"Settle/spent absorbs", lateSpentAbsorbs},
	{"Settle/canceled in flight", lateCanceled},
	{"Settle/asked for again in flight", lateAsked},
}

// unchanged settles an outcome that must not change anything.
func (e *env) unchanged(why string, s store.Settlement) {
	e.Helper()
	n, as := e.get(s.NotifyID)
	e.settleAll([]store.Settlement{s})
	gotN, gotAs := e.get(s.NotifyID)
	e.diff(why+": notification", n, gotN)
	e.diff(why+": attempts", as, gotAs)
}

// lose lets the lease of the one live claim run out and wants it to be recovered.
func (e *env) lose() {
	e.Helper()
	e.Advance(lease + time.Second)
	if w := e.wakes(plenty); w.Recovered != 1 {
		e.Fatalf("%d claims recovered after their lease, want 1", w.Recovered)
	}
	e.Advance(tick)
}

func lateFenced(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 1 })
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	for _, token := range []uint64{0, c.Token - 1, c.Token + 1, ^uint64(0)} {
		s := settlement(c, refused(c, e.in(time.Hour)))
		s.Token = token
		e.unchanged("wrong token", s)
	}
	e.expect(c, uncharged(c, e.in(0)))
	e.Advance(tick)
	e.unchanged("settled already", settlement(c, refused(c, e.in(time.Hour))))

	old := e.claimID("m1", id)
	e.lose()
	e.unchanged("lease ran out", settlement(old, exhausted(old)))
	e.unchanged("lease ran out", settlement(old, blocked(old, e.in(0))))
	now := e.claimID("m1", id)
	e.unchanged("another claim is live", settlement(old, exhausted(old)))
	e.unchanged("another claim is live", settlement(old, blocked(old, e.in(0))))
	if m, err := e.Store.Merchant(e.ctx, "m1"); err != nil || m.Blocked {
		e.Fatalf("a lost claim holds the merchant: %v, %v", m.Blocked, err)
	}
	e.add("m1", 1)
	e.noClaim("m1", store.LaneCapped) // nor has it freed the place
	e.expect(now, refused(now, e.in(time.Hour)))
}

func lateFencedCrash(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	old := e.claimID("m1", id)
	e.Store = e.Crash()
	e.recovered(id)
	now := e.claimID("m1", id)
	if now.Token == old.Token {
		e.Fatal("a token was given again after a crash")
	}
	e.unchanged("claim of a dead process", settlement(old, exhausted(old)))
	e.expect(now, acked(now))
}

// recovered waits until the claim that a crash left behind is an interrupted attempt.
func (e *env) recovered(notifyID string) {
	e.Helper()
	e.wakes(plenty)
	n, _ := e.get(notifyID)
	if n.InFlight {
		e.Advance(lease + time.Second)
		e.wakes(plenty)
		n, _ = e.get(notifyID)
	}
	if n.InFlight {
		e.Fatalf("%s is in flight still, though its process died and its lease ran out", notifyID)
	}
	e.Advance(tick)
}

// settleLate settles the acknowledgement of a lost claim and wants what state.go makes of it.
func (e *env) settleLate(c store.Claim) store.Notification {
	e.Helper()
	o := acked(c)
	want, before := e.get(c.NotifyID)
	if !want.SettleLate(o) {
		e.Fatalf("state.go takes no late acknowledgement while %s", want.State)
	}
	e.settle(c, o)
	n, after := e.get(c.NotifyID)
	e.diff("notification after a late acknowledgement", want, n)
	e.diff("attempts after a late acknowledgement", append(before, numbered(o.Attempt, len(before)+1)), after)
	if n.State != store.Spent || n.SpentAt.IsZero() {
		e.Fatalf("after a late acknowledgement: %s at %v", n.State, n.SpentAt)
	}
	return n
}

func lateEveryState(e *env) {
	e.merchant("m1", nil)
	into := map[string]func(id string){
		"pending":   func(string) {},
		"in flight": func(id string) { e.claimID("m1", id) },
		"retry": func(id string) {
			c := e.claimID("m1", id)
			e.settle(c, refused(c, e.in(time.Hour)))
		},
		"exhausted": func(id string) {
			c := e.claimID("m1", id)
			e.settle(c, exhausted(c))
		},
		"canceled": func(id string) {
			_, err := e.Store.Cancel(e.ctx, id)
			e.must("Cancel", err)
		},
		"quarantined": func(id string) {
			c := e.claimID("m1", id)
			e.settle(c, store.Outcome{
				Attempt: attempt(c, store.InternalError, store.Internal, false), State: store.Quarantined,
			})
		},
		"resend owed": func(id string) { e.resend(id, false) },
	}
	for name, f := range into {
		id := e.add("m1", 1)[0]
		old := e.claimID("m1", id)
		e.lose()
		f(id)
		n := e.settleLate(old)
		e.Store = e.Reopen()
		if name != "in flight" {
			e.never()
			continue
		}
		if !n.InFlight {
			e.Fatal("a late acknowledgement ended another claim")
		}
		e.recovered(id)
		e.state(id, store.Spent)
		e.never()
	}
}

func lateTwice(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	e.expect(c, acked(c))
	e.unchanged("the answer to the settlement was lost", settlement(c, acked(c)))

	id = e.add("m1", 1)[0]
	c = e.claimID("m1", id)
	e.lose()
	e.settleLate(c)
	e.unchanged("the answer to the late settlement was lost", settlement(c, acked(c)))
}

func lateChargedOnce(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	old := e.claimID("m1", id)
	e.lose()
	now := e.claimID("m1", id)
	if n := e.settleLate(old); n.NotifyCount != 1 || !n.InFlight {
		e.Fatalf("late acknowledgement: count %d, in flight %v", n.NotifyCount, n.InFlight)
	}
	if n := e.expect(now, acked(now)); n.NotifyCount != 1 || n.AttemptCount != 3 {
		e.Fatalf("both acknowledged: counts %d/%d, want 1/3", n.NotifyCount, n.AttemptCount)
	}
}

func lateSpentAbsorbs(e *env) {
	e.merchant("m1", nil)
	outcomes := []func(c store.Claim) store.Outcome{
		func(c store.Claim) store.Outcome { return refused(c, e.in(0)) },
		func(c store.Claim) store.Outcome { return uncharged(c, e.in(0)) },
		exhausted,
		func(c store.Claim) store.Outcome { return c.Interrupt(e.in(0), "told to stop") },
		func(c store.Claim) store.Outcome {
			return store.Outcome{
				Attempt: attempt(c, store.InternalError, store.Internal, false), State: store.Quarantined,
			}
		},
	}
	for _, outcome := range outcomes {
		id := e.add("m1", 1)[0]
		old := e.claimID("m1", id)
		e.lose()
		now := e.claimID("m1", id)
		spentAt := e.settleLate(old).SpentAt
		if n := e.expect(now, outcome(now)); n.State != store.Spent || !n.SpentAt.Equal(spentAt) {
			e.Fatalf("%s at %v, want spent at %v", n.State, n.SpentAt, spentAt)
		}
		e.never()
	}
	id := e.spend()
	e.resend(id, true)
	e.Advance(tick)
	c := e.claimID("m1", id)
	if c.Trigger != store.Resend || c.Send != 0 {
		e.Fatalf("forced: %s, send %d", c.Trigger, c.Send)
	}
	if n := e.expect(c, refused(c, e.in(0))); n.State != store.Spent || n.NotifyCount != 1 {
		e.Fatalf("after a refused forced resend: %s, count %d", n.State, n.NotifyCount)
	}
	e.never()
}

func lateCanceled(e *env) {
	e.merchant("m1", nil)
	cancel := func() store.Claim {
		id := e.add("m1", 1)[0]
		c := e.claimID("m1", id)
		n, err := e.Store.Cancel(e.ctx, id)
		e.must("Cancel", err)
		if n.State != store.Canceled || !n.InFlight {
			e.Fatalf("canceled in flight: %s, in flight %v", n.State, n.InFlight)
		}
		return c
	}
	c := cancel()
	if n := e.expect(c, acked(c)); n.State != store.Spent {
		e.Fatalf("canceled in flight, then acknowledged: %s", n.State)
	}
	c = cancel()
	if n := e.expect(c, refused(c, e.in(0))); n.State != store.Canceled || n.NotifyCount != 1 {
		e.Fatalf("canceled in flight, then refused: %s, count %d", n.State, n.NotifyCount)
	}
	c = cancel()
	e.lose()
	if n := e.state(c.NotifyID, store.Canceled); n.AttemptCount != 1 || n.InFlight {
		e.Fatalf("canceled in flight, then lost: %d attempts, in flight %v", n.AttemptCount, n.InFlight)
	}
	e.never()
}

func lateAsked(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	e.resend(id, false)
	e.noClaim("m1", store.LaneIdle)
	e.expect(c, refused(c, e.in(time.Hour)))
	e.Advance(tick)
	manual := e.claimID("m1", id)
	if manual.Trigger != store.Resend {
		e.Fatalf("asked for in flight: %s", manual.Trigger)
	}
	_, err := e.Store.Cancel(e.ctx, id)
	e.must("Cancel", err)
	e.expect(manual, uncharged(manual, e.in(0)))
	e.never()

	id = e.add("m1", 1)[0]
	c = e.claimID("m1", id)
	e.resend(id, false)
	e.expect(c, acked(c))
	e.never() // no person wants a spent one sent again without saying so
}
