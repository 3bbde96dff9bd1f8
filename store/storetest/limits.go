package storetest

import (
	"sync"
	"time"

	"paynotify/store"
)

// … within the lane's cap over all nodes and its rate. … A closed lane gives nothing.
var limitCases = []testCase{
	{"Claim/cap", capHolds},
	{"Claim/default cap", capDefault},
	{"Claim/cap over claimers", capConcurrent},
	{"Claim/cap changes at once", capChanges},
	{"Claim/rate", rateHolds},
	{"Claim/burst", rateBurst},
	{"Claim/closed lane", closedLane},
}

func capHolds(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 3 })
	e.merchant("m2", nil)
	want := e.add("m1", 10)
	e.add("m2", 1)
	cs := e.claim("m1", plenty)
	if len(cs.Items) != 3 || cs.Lane != store.LaneCapped {
		e.Fatalf("claimed %d (%v) under a cap of 3", len(cs.Items), laneStatus(cs.Lane))
	}
	e.noClaim("m1", store.LaneCapped)
	e.claimN("m2", 1)
	next := 3
	for i, c := range cs.Items {
		outcomes := []store.Outcome{acked(c), refused(c, e.in(time.Hour)), uncharged(c, e.in(time.Hour))}
		e.settle(c, outcomes[i])
		e.claimID("m1", want[next])
		e.noClaim("m1", store.LaneCapped)
		next++
	}
	// Somebody else's late settlement frees nothing.
	e.settle(cs.Items[0], acked(cs.Items[0]))
	e.noClaim("m1", store.LaneCapped)
	e.Store = e.Reopen() // may release the claims, which are then due again
	e.wakes(plenty)
	if cs = e.claim("m1", plenty); len(cs.Items) > 3 {
		e.Fatalf("claimed %d under a cap of 3 after reopening", len(cs.Items))
	}
}

func capDefault(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 0 })
	e.add("m1", MaxInflightDefault+4)
	cs := e.claim("m1", plenty)
	if len(cs.Items) != MaxInflightDefault || cs.Lane != store.LaneCapped {
		e.Fatalf("claimed %d (%v), want the default cap of %d",
			len(cs.Items), laneStatus(cs.Lane), MaxInflightDefault)
	}
}

func capConcurrent(e *env) {
	const limit = 10
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = limit })
	e.add("m1", 40)
	var mu sync.Mutex
	live, total := 0, 0
	together(16, func(i int) {
		for range 4 {
			cs, err := e.Store.Claim(e.ctx, "m1", 1+i%5, lease)
			if err != nil {
				e.Errorf("Claim: %v", err)
				return
			}
			mu.Lock()
			live, total = live+len(cs.Items), total+len(cs.Items)
			over := live > limit
			mu.Unlock()
			if over {
				e.Errorf("more than %d claims of the lane live", limit)
			}
			for _, c := range cs.Items {
				mu.Lock()
				live-- // before the settlement: the next claim may come while it is under way
				mu.Unlock()
				if _, err := e.Store.Settle(e.ctx, []store.Settlement{settlement(c, acked(c))}); err != nil {
					e.Errorf("Settle: %v", err)
				}
			}
		}
	})
	if total < limit {
		e.Fatalf("claimed %d in all, want at least %d", total, limit)
	}
}

func capChanges(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 1 })
	e.add("m1", 5)
	held := e.claimN("m1", 1)[0]
	e.noClaim("m1", store.LaneCapped)
	e.update("m1", func(m *store.Merchant) { m.MaxInflight = 3 })
	e.wakesNames("m1")
	if cs := e.claim("m1", plenty); len(cs.Items) != 2 {
		e.Fatalf("claimed %d after the cap rose from 1 to 3, want 2", len(cs.Items))
	}
	e.update("m1", func(m *store.Merchant) { m.MaxInflight = 1 })
	e.settle(held, acked(held))
	e.noClaim("m1", store.LaneCapped)
}

func rateHolds(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.RatePerSecond = 0.1 })
	want := e.add("m1", 5)
	cs := e.claim("m1", plenty)
	if len(cs.Items) != 1 || cs.Lane != store.LaneRated {
		e.Fatalf("claimed %d (%v) with one token", len(cs.Items), laneStatus(cs.Lane))
	}
	for _, id := range want[1:3] {
		e.noClaim("m1", store.LaneRated)
		w := e.wakesNames()
		if w.Next.IsZero() || w.Next.Before(w.Now) || w.Next.After(w.Now.Add(10*time.Second+tick)) {
			e.Fatalf("next wake at %v, and it is %v: want it when there is a token", w.Next, w.Now)
		}
		e.Advance(6 * time.Second)
		e.noClaim("m1", store.LaneRated)
		e.Advance(5 * time.Second)
		e.wakesNames("m1")
		e.claimID("m1", id)
	}
	e.Store = e.Crash()
	e.wakes(plenty)
	e.noClaim("m1", store.LaneRated) // a restart makes no burst
}

func rateBurst(e *env) {
	const rate = 4
	e.merchant("m1", func(m *store.Merchant) { m.RatePerSecond = rate })
	e.add("m1", 20)
	for range 2 {
		before := e.Now()
		got := len(e.claim("m1", plenty).Items)
		most := store.RateBurst(rate) + rate*e.Now().Sub(before).Seconds()
		if got < int(store.RateBurst(rate)) || float64(got) > most {
			e.Fatalf("claimed %d after a rest, want %v", got, store.RateBurst(rate))
		}
		e.Advance(time.Hour)
	}
}

func closedLane(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 20)
	change := func(f func(m *store.Merchant)) func() { return func() { e.update("m1", f) } }
	for _, step := range []func(){
		func() { e.setSending(true, "test") },
		change(func(m *store.Merchant) { m.Paused = true }), // two reasons at once
		func() { e.setSending(false, "") },
		change(func(m *store.Merchant) { m.Paused, m.Blocked = false, true }),
		change(func(m *store.Merchant) { m.Blocked, m.Paused, m.PausedUntil = false, true, e.in(time.Hour) }),
		func() { e.Store = e.Reopen() },
	} {
		step()
		e.noClaim("m1", store.LaneHeld)
	}
	e.resend(e.listAll(store.Query{})[0].NotifyID, false)
	e.Advance(tick)
	e.noClaim("m1", store.LaneHeld)
	e.Advance(time.Hour)
	e.claimN("m1", 1)
	change(func(m *store.Merchant) { m.Paused, m.PausedUntil = true, time.Time{} })()
	e.noClaim("m1", store.LaneHeld)
	change(func(m *store.Merchant) { m.Paused = false })()
	e.claimN("m1", 19)
}
