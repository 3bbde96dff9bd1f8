package storetest

import (
	"errors"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

// Claim gives out at most max due notifications of a lane, in lane order …
var claimCases = []testCase{
	{"Claim/fields", claimFields},
	{"Claim/max", claimMax},
	{"Claim/nothing due", claimNothing},
	{"Claim/lane order", claimOrder},
	{"Claim/one in four to the oldest due retry", claimOneInFour},
	{"Claim/never early", claimNeverEarly},
	{"Claim/exclusive", claimExclusive},
	{"Claim/damaged record", claimDamaged},
}

func claimFields(e *env) {
	e.merchant("m1", nil)
	m := e.update("m1", func(m *store.Merchant) { m.Name = "renamed" })
	id := e.add("m1", 1)[0]
	born, _ := e.get(id)

	first := e.claimID("m1", id)
	e.checkClaim(first, m, store.First, 1, born.CreatedAt)
	n, _ := e.get(id)
	e.diff("claimed notification", n, first.Notification)
	if !n.InFlight {
		e.Fatal("a claimed notification is not in flight")
	}

	planned, next := e.in(50*time.Second), e.in(time.Minute)
	o := refused(first, next)
	o.PlannedAt = planned
	e.settle(first, o)
	e.Advance(2 * time.Minute)
	retry := e.claimID("m1", id)
	e.checkClaim(retry, m, store.Retry, 2, planned)

	e.settle(retry, exhausted(retry))
	asked := e.resend(id, false)
	e.Advance(tick)
	manual := e.claimID("m1", id)
	e.checkClaim(manual, m, store.Resend, 0, asked.ResendAt)
	if first.Token == retry.Token || retry.Token == manual.Token || first.Token == manual.Token {
		e.Fatal("two claims of one notification have the same token")
	}
}

func claimMax(e *env) {
	e.merchant("m1", nil)
	want := e.add("m1", 7)
	cs := e.claim("m1", 3)
	if cs.Lane != store.LaneMore || len(cs.Items) != 3 {
		e.Fatalf("claimed %d (%v) of 7, want 3 and more", len(cs.Items), laneStatus(cs.Lane))
	}
	got := ids(cs.Items)
	got = append(got, ids(e.claimN("m1", 3))...)
	cs = e.claim("m1", 3)
	if cs.Lane != store.LaneIdle || len(cs.Items) != 1 {
		e.Fatalf("claimed %d (%v) of the last one, want 1 and idle", len(cs.Items), laneStatus(cs.Lane))
	}
	e.diff("claims", want, append(got, ids(cs.Items)...))
}

func claimNothing(e *env) {
	e.merchant("m1", nil)
	e.noClaim("m1", store.LaneIdle)
	e.merchant("m2", nil)
	e.add("m2", 2)
	e.noClaim("m1", store.LaneIdle)
	cs, err := e.Store.Claim(e.ctx, "nobody", 5, lease)
	if len(cs.Items) != 0 || err != nil && !errors.Is(err, store.ErrNoMerchant) {
		e.Fatalf("lane of no merchant: %d claims, %v", len(cs.Items), err)
	}
}

// retries makes n notifications whose retries are due, oldest first.
func (e *env) retries(mchID string, n int) []string {
	e.Helper()
	want := e.add(mchID, n)
	for i, c := range e.claimN(mchID, n) {
		e.settle(c, refused(c, e.in(time.Minute+time.Duration(i)*time.Second)))
	}
	e.Advance(time.Minute + time.Duration(n)*time.Second)
	return want
}

// split divides the claims of a lane by class.
func split(cs []store.Claim) (resends, firsts, retries []string) {
	for _, c := range cs {
		switch {
		case c.Trigger.Manual():
			resends = append(resends, c.NotifyID)
		case c.Trigger == store.First:
			firsts = append(firsts, c.NotifyID)
		default:
			retries = append(retries, c.NotifyID)
		}
	}
	return resends, firsts, retries
}

func claimOrder(e *env) {
	e.merchant("m1", nil)
	old := []string{e.exhaust(), e.exhaust()}
	wantRetries := e.retries("m1", 3)
	wantFirsts := e.add("m1", 4)
	// The last of the first sends gets a person's send as well: it goes before all others.
	wantResends := []string{old[1], old[0], wantFirsts[3]}
	for _, id := range wantResends {
		e.resend(id, false)
		e.Advance(tick)
	}
	cs := e.claimN("m1", 9)
	resends, firsts, retries := split(cs)
	e.diff("resends", wantResends, resends)
	e.diff("first sends", wantFirsts[:3], firsts)
	e.diff("retries", wantRetries, retries)
	lastResend, firstFirst := -1, len(cs)
	for i, c := range cs {
		if c.Trigger.Manual() {
			lastResend = i
		}
		if c.Trigger == store.First {
			firstFirst = min(firstFirst, i)
		}
	}
	if firstFirst < lastResend {
		e.Fatal("a first send was claimed before a resend")
	}
	manual := cs[slices.IndexFunc(cs, func(c store.Claim) bool { return c.NotifyID == wantFirsts[3] })]
	e.settle(manual, refused(manual, time.Time{}))
	c := e.claimID("m1", wantFirsts[3])
	if c.Trigger != store.First || c.Send != 1 {
		e.Fatalf("after the resend: %s, send %d; want the first send", c.Trigger, c.Send)
	}
}

func claimOneInFour(e *env) {
	const backlog = 16
	for _, batch := range []int{1, 3, backlog} {
		mch := []string{"", "one", "", "three"}[batch%4]
		if batch == backlog {
			mch = "all"
		}
		e.merchant(mch, nil)
		wantRetries := e.retries(mch, backlog)
		wantFirsts := e.add(mch, backlog)
		var cs []store.Claim
		for len(cs) < backlog {
			cs = append(cs, e.claimN(mch, min(batch, backlog-len(cs)))...)
		}
		for i := 0; i+4 <= len(cs); i++ {
			_, _, retries := split(cs[i : i+4])
			if len(retries) == 0 {
				e.Fatalf("by %d: claims %d to %d are no retry, one in four should be", batch, i, i+3)
			}
		}
		_, firsts, retries := split(cs)
		if len(firsts) < backlog/2 {
			e.Fatalf("by %d: %d of %d claims are first sends, which come before retries",
				batch, len(firsts), backlog)
		}
		e.diff("first sends", wantFirsts[:len(firsts)], firsts)
		e.diff("retries", wantRetries[:len(retries)], retries)
	}
}

func claimNeverEarly(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	c := e.claimID("m1", id)
	next := e.in(4 * time.Minute)
	e.settle(c, refused(c, next))
	e.noClaim("m1", store.LaneIdle)
	e.Advance(4*time.Minute - 10*time.Second)
	e.noClaim("m1", store.LaneIdle)
	e.Store = e.Reopen()
	e.noClaim("m1", store.LaneIdle)
	e.Advance(10*time.Second + tick)
	if c = e.claimID("m1", id); c.ClaimedAt.Before(next) {
		e.Fatalf("claimed at %v, before %v", c.ClaimedAt, next)
	}
}

func claimExclusive(e *env) {
	const claimers, all = 16, 320
	e.merchant("m1", nil)
	want := e.add("m1", all)
	var mu sync.Mutex
	var got []string
	together(claimers, func(int) {
		for range all { // bounded, should a store give out for ever
			cs, err := e.Store.Claim(e.ctx, "m1", 7, lease)
			if err != nil {
				e.Errorf("Claim: %v", err)
				return
			}
			mu.Lock()
			got = append(got, ids(cs.Items)...)
			mu.Unlock()
			if len(cs.Items) == 0 {
				return
			}
		}
	})
	slices.Sort(got)
	e.diff("claims", want, got)
}

func claimDamaged(e *env) {
	if e.Damage == nil {
		e.Skip("the harness cannot damage a record")
	}
	e.merchant("m1", nil)
	spent := e.spend()
	want := e.add("m1", 3)
	e.resend(spent, true)
	e.Damage(want[1])
	e.Damage(spent)
	e.Advance(tick)
	cs := e.claim("m1", plenty)
	e.diff("claims", []string{want[0], want[2]}, ids(cs.Items))
	slices.Sort(cs.Quarantined)
	e.diff("quarantined", []string{spent, want[1]}, cs.Quarantined)
	e.noClaim("m1", store.LaneIdle)
	page, _, err := e.Store.List(e.ctx, store.Query{State: store.Quarantined, Limit: 10})
	e.must("List", err)
	if len(page) != 1 || page[0].NotifyID != want[1] {
		e.Fatalf("List has %d quarantined ones, want %s", len(page), want[1])
	}
	stats, err := e.Store.Stats(e.ctx)
	e.must("Stats", err)
	if stats.States[store.Quarantined] != 1 || stats.States[store.Spent] != 1 {
		e.Fatalf("states are %v, want one quarantined and one spent still", stats.States)
	}
}
