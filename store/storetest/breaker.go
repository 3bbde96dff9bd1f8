package storetest

import (
	"slices"
	"time"

	"paynotify/store"
)

// … within the lane's cap over all nodes and its rate, and no faster than its breaker allows (see Breaker).
var breakerCases = []testCase{
	{"Breaker/shrinks", breakerShrinks},
	{"Breaker/opens", breakerOpens},
	{"Breaker/probes are others", breakerProbes},
	{"Breaker/five different", breakerDifferent},
	{"Breaker/an ack between", breakerAckBetween},
	{"Breaker/an answer", breakerAnswer},
	{"Breaker/a fault of ours", breakerOurs},
	{"Breaker/fifteen minutes", breakerDelay},
	{"Breaker/closed by a person", breakerClosed},
	{"Breaker/gone with its merchant", breakerGone},
	{"Breaker/fresh ones", breakerFresh},
	{"Breaker/wakes", breakerWakes},
}

// timedOut is the outcome of a charged send that nobody answered, the next one due at the given instant.
func timedOut(c store.Claim, next time.Time) store.Outcome {
	return store.Outcome{
		Attempt: attempt(c, store.Timeout, store.TimeoutHeaders, true),
		State:   store.Pending, NextAt: next, PlannedAt: next,
	}
}

// open makes a lane's breaker open and returns what is in flight then: nothing.
func (e *env) open(lane string) {
	e.Helper()
	for range store.BreakerFailures {
		c := e.claim(lane, 1).Items[0]
		e.settle(c, timedOut(c, e.in(time.Hour)))
	}
	e.breaker(lane, true)
}

func (e *env) breaker(lane string, want bool) {
	e.Helper()
	m, err := e.Store.Merchant(e.ctx, lane)
	e.must("Merchant", err)
	reason := ""
	if want {
		reason = store.HeldBreakerOpen
	}
	if m.BreakerOpen != want || m.HeldReason(e.Now()) != reason {
		e.Fatalf("the breaker of %s is open: %v, held for %q", lane, m.BreakerOpen, m.HeldReason(e.Now()))
	}
	page, _, err := e.Store.Merchants(e.ctx, "", 10)
	e.must("Merchants", err)
	i := slices.IndexFunc(page, func(m store.Merchant) bool { return m.MchID == lane })
	if i < 0 || page[i].BreakerOpen != want {
		e.Fatalf("the breaker of %s is open in the list: %v", lane, !want)
	}
}

func breakerShrinks(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 8 })
	e.add("m1", 40)
	first := e.claimN("m1", 8)
	for i, most := range []int{4, 2, 1, 1} { // each is of another notification
		e.settle(first[i], timedOut(first[i], e.in(time.Hour)))
		if cs := e.claim("m1", plenty); len(cs.Items) > 0 || cs.Lane != store.LaneTight {
			e.Fatalf("%d given (%v) beyond a cap of %d", len(cs.Items), laneStatus(cs.Lane), most)
		}
	}
	for _, c := range first[4:] {
		e.settle(c, acked(c)) // 4 failures and 4 acknowledgements: as before
	}
	e.claimN("m1", 8)
	e.noClaim("m1", store.LaneCapped)
}

func breakerOpens(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	e.add("m1", 20)
	e.add("m2", 1)
	e.open("m1")
	e.breaker("m2", false)
	e.claimN("m2", 1)
	held := e.listAll(store.Query{Held: store.HeldBreakerOpen})
	if len(held) != 20 || len(e.listAll(store.Query{Held: "true"})) != 20 {
		e.Fatalf("%d notifications are listed as held by the breaker, want 20", len(held))
	}
	stats, err := e.Store.Stats(e.ctx)
	e.must("Stats", err)
	if stats.Merchants.BreakerOpen != 1 || stats.Held != 20 || stats.Due != 0 {
		e.Fatalf("stats are %+v", stats)
	}
	e.update("m1", func(m *store.Merchant) { m.Name = "another name" }) // no reason to close it
	for _, wait := range []time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second,
		time.Minute, time.Minute,
	} {
		e.noClaim("m1", store.LaneTight)
		e.Advance(wait - 100*time.Millisecond)
		e.noClaim("m1", store.LaneTight)
		e.Advance(200 * time.Millisecond)
		c := e.claimN("m1", 1)[0]
		e.noClaim("m1", store.LaneTight) // one at a time
		e.settle(c, timedOut(c, e.in(3*time.Hour)))
	}
	e.Advance(time.Minute + tick)
	c := e.claim("m1", 1).Items[0]
	e.settle(c, acked(c))
	e.breaker("m1", false)
	if len(e.listAll(store.Query{Held: "true"})) != 0 {
		e.Fatalf("something is held though the breaker closed")
	}
}

func breakerProbes(e *env) {
	e.merchant("m1", nil)
	e.add("m1", store.BreakerFailures+3)
	seen := map[string]int{}
	fail := func(c store.Claim) {
		seen[c.NotifyID]++
		e.settle(c, timedOut(c, e.in(0))) // due again at once
	}
	for len(seen) < store.BreakerFailures {
		fail(e.claim("m1", 1).Items[0])
	}
	e.breaker("m1", true)
	last := ""
	for range 8 {
		e.Advance(time.Minute + tick)
		c := e.claimN("m1", 1)[0]
		if c.NotifyID == last {
			e.Fatalf("the same notification is the probe twice in a row")
		}
		last = c.NotifyID
		fail(c)
	}
	if len(seen) != store.BreakerFailures+3 {
		e.Fatalf("%d of %d notifications were tried", len(seen), store.BreakerFailures+3)
	}
}

func breakerDifferent(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 1)
	for range 2 * store.BreakerFailures {
		c := e.claimN("m1", 1)[0]
		e.settle(c, timedOut(c, e.in(0)))
		e.Advance(tick)
	}
	e.breaker("m1", false)
}

func breakerAckBetween(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 4*store.BreakerFailures)
	for i := range 3 * store.BreakerFailures {
		c := e.claim("m1", 1).Items[0]
		if i%store.BreakerFailures == store.BreakerFailures-1 {
			e.settle(c, acked(c))
		} else {
			e.settle(c, timedOut(c, e.in(time.Hour)))
		}
	}
	e.breaker("m1", false)
}

// breakerAnswer: who says no is there. He is trusted no further than to the next failure.
func breakerAnswer(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 20)
	e.open("m1")
	e.Advance(5*time.Second + tick)
	c := e.claimN("m1", 1)[0]
	e.settle(c, refused(c, e.in(time.Hour)))
	e.breaker("m1", false)
	c = e.claimN("m1", 1)[0]
	e.settle(c, timedOut(c, e.in(time.Hour)))
	e.breaker("m1", true)
}

func breakerOurs(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 20 })
	e.add("m1", 20)
	for _, c := range e.claimN("m1", 10) {
		o := uncharged(c, e.in(time.Hour))
		o.Attempt.Verdict, o.Attempt.Reason = store.ConnectError, store.ConnRefused // our proxy
		e.settle(c, o)
	}
	e.claimN("m1", 10)
}

// breakerDelay: what was held back for 15 minutes goes under the lane's full cap and rate.
func breakerDelay(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight, m.RatePerSecond = 4, 6 })
	e.add("m1", 30)
	e.open("m1")
	opened := e.Now()
	late := e.add("m1", 1)
	e.Advance(store.BreakerDelayMax - time.Minute)
	e.claimN("m1", 1) // a probe
	e.noClaim("m1", store.LaneTight)
	e.Advance(opened.Add(store.BreakerDelayMax).Sub(e.Now()) + tick)
	e.wakesNames("m1") // the probe's claim has run out meanwhile
	held := e.claimN("m1", 4)
	e.noClaim("m1", store.LaneCapped)
	for _, c := range held {
		e.settle(c, timedOut(c, e.in(2*time.Hour)))
	}
	if cs := e.claim("m1", plenty); len(cs.Items) == 0 || len(cs.Items) > 4 {
		e.Fatalf("%d given (%v) to a lane that does not answer, with much that waited too long",
			len(cs.Items), laneStatus(cs.Lane))
	}
	if n, _ := e.get(late[0]); n.InFlight {
		e.Fatalf("what came last goes before the rest")
	}
}

func breakerClosed(e *env) {
	for name, change := range map[string]func(m *store.Merchant){
		"address": func(m *store.Merchant) { m.NotifyURL += "/new" },
		"person":  func(m *store.Merchant) { m.BreakerOpen = false },
	} {
		e.merchant(name, nil)
		e.add(name, 20)
		e.open(name)
		e.update(name, change)
		e.breaker(name, false)
		e.claimN(name, 15)
	}
	e.merchant("m1", nil)
	e.add("m1", 20)
	e.open("m1")
	e.update("m1", func(m *store.Merchant) { m.Paused = true })
	if m, err := e.Store.Merchant(e.ctx, "m1"); err != nil || m.HeldReason(e.Now()) != store.HeldMerchantPaused {
		e.Fatalf("held for %q, %v: the pause comes first", m.HeldReason(e.Now()), err)
	}
	if len(e.listAll(store.Query{Held: store.HeldBreakerOpen})) != 0 {
		e.Fatalf("listed as held by the breaker though the pause comes first")
	}
	e.update("m1", func(m *store.Merchant) { m.Paused = false })
	e.breaker("m1", false)
	e.claimN("m1", 15)
}

// breakerGone: a merchant of the same name is another one.
func breakerGone(e *env) {
	e.merchant("m1", nil)
	e.add("m1", store.BreakerFailures)
	for range store.BreakerFailures {
		c := e.claim("m1", 1).Items[0]
		e.settle(c, exhausted(c))
	}
	e.breaker("m1", true)
	e.must("DeleteMerchant", e.Store.DeleteMerchant(e.ctx, "m1"))
	e.merchant("m1", nil)
	e.breaker("m1", false)
	e.add("m1", 10)
	e.claimN("m1", 10)
}

func breakerFresh(e *env) {
	e.merchant("m1", nil)
	e.add("m1", store.BreakerFailures)
	e.open("m1")
	want := incoming("m1")
	want.Want = true
	if a := e.accept(want)[0]; a.Claim != nil {
		e.Fatalf("a fresh notification is sent past the open breaker")
	}
	e.Advance(5*time.Second + tick)
	c := e.claimN("m1", 1)[0]
	if a := e.accept(want)[0]; a.Claim != nil {
		e.Fatalf("a fresh notification is sent beside the probe")
	}
	e.settle(c, acked(c))
}

func breakerWakes(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 20)
	e.wakesNames("m1")
	e.open("m1")
	if cs := e.claim("m1", plenty); cs.Next.Sub(e.Now()).Abs() > 6*time.Second {
		e.Fatalf("the lane says that it has work at %v, and it is %v", cs.Next, e.Now())
	}
	e.wakesNames()
	e.Advance(5*time.Second + tick)
	e.wakesNames("m1")
	c := e.claim("m1", plenty).Items[0]
	e.wakesNames()
	if ready := e.settleAll([]store.Settlement{settlement(c, acked(c))}); len(ready) != 1 {
		e.Fatalf("an acknowledged probe makes %v ready, want its lane", ready)
	}
}
