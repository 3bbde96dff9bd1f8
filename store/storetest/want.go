package storetest

import (
	"time"

	"paynotify/store"
)

// … An item that asks for it is also claimed in the same write, where its lane is open, has no due backlog,
// has tokens and is under its cap.
var wantCases = []testCase{
	{"Accept/claims what is wanted", wantClaims},
	{"Accept/claims in an open lane only", wantOpen},
	{"Accept/claims without a due backlog only", wantBacklog},
	{"Accept/claims under the cap only", wantCap},
	{"Accept/claims with tokens only", wantTokens},
	{"Accept/a claimed one wakes nobody", wantQuiet},
}

func wantClaims(e *env) {
	m := e.merchant("m1", nil)
	got := e.accept(wanted("m1"), wanted("m1"), incoming("m1"))
	for _, a := range got[:2] {
		if a.Claim == nil {
			e.Fatalf("%s was wanted and is not claimed", a.NotifyID)
		}
		want := wanted("m1").Notification
		want.Accept(a.NotifyID, a.CreatedAt)
		want.InFlight = true
		e.diff("claimed notification", want, a.Claim.Notification)
		e.checkClaim(*a.Claim, m, store.First, 1, a.CreatedAt)
		n, _ := e.get(a.NotifyID)
		e.diff("stored notification", want, n)
	}
	if got[2].Claim != nil {
		e.Fatal("an item that was not wanted is claimed")
	}
	if got[0].Claim.Token == got[1].Claim.Token {
		e.Fatal("two claims of one call have the same token")
	}
	e.settle(*got[0].Claim, acked(*got[0].Claim))
	e.state(got[0].NotifyID, store.Spent)
	e.claimID("m1", got[2].NotifyID)
}

// checkClaim checks what a claim says about itself.
func (e *env) checkClaim(c store.Claim, m store.Merchant, t store.Trigger, send int, planned time.Time) {
	e.Helper()
	if c.Trigger != t || c.Send != send || !c.ScheduledAt.Equal(planned) {
		e.Fatalf("claim of %s: %s, send %d, planned for %v; want %s, send %d, %v",
			c.NotifyID, c.Trigger, c.Send, c.ScheduledAt, t, send, planned)
	}
	if c.MerchantRevision != m.Revision {
		e.Fatalf("claim of %s: merchant revision %d, want %d", c.NotifyID, c.MerchantRevision, m.Revision)
	}
	if c.ClaimedAt.After(e.Now()) || c.ClaimedAt.Before(e.Now().Add(-time.Minute)) {
		e.Fatalf("claim of %s: claimed at %v, and it is %v", c.NotifyID, c.ClaimedAt, e.Now())
	}
	if !c.LeaseUntil.Equal(c.ClaimedAt.Add(lease)) {
		e.Fatalf("claim of %s: lease until %v, want %v after %v", c.NotifyID, c.LeaseUntil, lease, c.ClaimedAt)
	}
}

// notWanted accepts a wanted item and wants it not to be claimed.
func (e *env) notWanted(why string) string {
	e.Helper()
	a := e.accept(wanted("m1"))[0]
	if a.Status != store.New || a.Claim != nil {
		e.Fatalf("%s: status %d, claimed %v; want New and not claimed", why, a.Status, a.Claim != nil)
	}
	return a.NotifyID
}

// drop acknowledges whatever is due in a lane.
func (e *env) drop(lane string) {
	e.Helper()
	for range plenty {
		cs := e.claim(lane, plenty)
		for _, c := range cs.Items {
			e.settle(c, acked(c))
		}
		if cs.Lane != store.LaneMore {
			return
		}
	}
	e.Fatalf("lane %s gives out for ever", lane)
}

func wantOpen(e *env) {
	e.merchant("m1", nil)
	switches := []struct {
		why     string
		off, on func()
	}{
		{"sending is paused", func() { e.setSending(true, "test") }, func() { e.setSending(false, "") }},
		{
			"merchant is paused",
			func() { e.update("m1", func(m *store.Merchant) { m.Paused = true }) },
			func() { e.update("m1", func(m *store.Merchant) { m.Paused = false }) },
		},
		{
			"merchant is blocked",
			func() { e.update("m1", func(m *store.Merchant) { m.Blocked = true }) },
			func() { e.update("m1", func(m *store.Merchant) { m.Blocked = false }) },
		},
	}
	for _, s := range switches {
		s.off()
		e.notWanted(s.why)
		s.on()
		e.drop("m1")
		a := e.accept(wanted("m1"))[0]
		if a.Claim == nil {
			e.Fatalf("%s no more: a wanted item is not claimed", s.why)
		}
		e.settle(*a.Claim, acked(*a.Claim))
	}
	e.update("m1", func(m *store.Merchant) { m.Paused, m.PausedUntil = true, e.in(time.Hour) })
	e.notWanted("merchant is paused until later")
	e.Advance(time.Hour + time.Second)
	e.drop("m1")
	if e.accept(wanted("m1"))[0].Claim == nil {
		e.Fatal("the pause is over: a wanted item is not claimed")
	}
}

func wantBacklog(e *env) {
	e.merchant("m1", nil)
	backlog := e.add("m1", 1)[0]
	late := e.notWanted("another one is due")
	for _, id := range []string{backlog, late} {
		c := e.claimID("m1", id)
		e.settle(c, refused(c, e.in(time.Hour)))
	}
	a := e.accept(wanted("m1"))[0]
	if a.Claim == nil {
		e.Fatal("only a future retry waits: a wanted item is not claimed")
	}
	e.Advance(time.Hour + time.Second)
	e.notWanted("retries are due")
	e.drop("m1")
	got := e.accept(incoming("m1"), wanted("m1"))
	if got[1].Claim != nil {
		e.Fatal("claimed past an item of the same call that was not wanted")
	}
	e.drop("m1")
	e.resend(a.NotifyID, false)
	e.settle(*a.Claim, refused(*a.Claim, e.in(time.Hour)))
	e.notWanted("a resend is due")
}

func wantCap(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 3 })
	e.accept(incoming("m1"))
	held := e.claimN("m1", 1)[0]
	var claimed []store.Claim
	for _, a := range e.accept(wanted("m1"), wanted("m1"), wanted("m1"), wanted("m1")) {
		if a.Claim != nil {
			claimed = append(claimed, *a.Claim)
		}
	}
	if len(claimed) != 2 {
		e.Fatalf("%d wanted items claimed beside one in flight under a cap of 3, want 2", len(claimed))
	}
	e.noClaim("m1", store.LaneCapped)
	e.settle(held, acked(held))
	next := e.claimN("m1", 1)[0]
	for _, c := range append(claimed, next) {
		e.settle(c, acked(c))
	}
	e.drop("m1")
	if e.accept(wanted("m1"))[0].Claim == nil {
		e.Fatal("all places are free: a wanted item is not claimed")
	}
}

func wantTokens(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.RatePerSecond = 0.1 })
	a := e.accept(wanted("m1"), wanted("m1"))
	if a[0].Claim == nil || a[1].Claim != nil {
		e.Fatalf("claimed %v and %v with one token, want the first", a[0].Claim != nil, a[1].Claim != nil)
	}
	e.noClaim("m1", store.LaneRated)
	e.Advance(11 * time.Second)
	e.claimID("m1", a[1].NotifyID)
	e.notWanted("the token is used")
}

func wantQuiet(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	a := e.accept(wanted("m1"), incoming("m2"))
	e.wakesNames("m2")
	e.settle(*a[0].Claim, refused(*a[0].Claim, e.in(time.Hour)))
	e.wakesNames()
}
