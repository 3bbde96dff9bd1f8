package storetest

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// Wakes names lanes that have work now and that nobody is awake for, at most max, fairly, and marks them
// awake until their run ends or the awake lease runs out.
var wakesCases = []testCase{
	{"Wakes/names a lane once", wakesOnce},
	{"Wakes/names a lane again after its run", wakesAfterRun},
	{"Wakes/names a lane again after the awake lease", wakesAwakeLease},
	{"Wakes/next", wakesNext},
	{"Wakes/next of a pause", wakesNextPause},
	{"Wakes/capped lane", wakesCapped},
	{"Wakes/closed lane", wakesClosed},
	{"Wakes/max and fairness", wakesFair},
	{"Wakes/a busy lane starves nobody", wakesBusy},
	{"Wakes/survives", wakesSurvive},
	{"Wakes/nothing lost between idle and accept", wakesNothingLost},
}

// later wants the next wake to come by the given instant, and the store not to be polled until then.
func (e *env) later(w store.Wakes, latest time.Time) {
	e.Helper()
	if w.Next.IsZero() || w.Next.After(latest) || !w.Next.After(w.Now) {
		e.Fatalf("next wake at %v, and it is %v: want one after that and not after %v", w.Next, w.Now, latest)
	}
}

func wakesOnce(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	e.merchant("idle", nil)
	e.wakesNames()
	e.add("m1", 3)
	e.add("m2", 1)
	w := e.wakesNames("m1", "m2")
	if w.Now.Before(e.Now().Add(-time.Minute)) || w.Now.After(e.Now()) {
		e.Fatalf("Wakes says it is %v, and it is %v", w.Now, e.Now())
	}
	e.wakesNames()
	e.add("m1", 1)
	e.wakesNames()
	if cs := e.claim("m1", 2); cs.Lane != store.LaneMore {
		e.Fatalf("lane is %v with more due", laneStatus(cs.Lane))
	}
	e.wakesNames() // its run goes on
}

func wakesAfterRun(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 1)
	e.wakesNames("m1")
	c := e.claimN("m1", 1)[0]
	e.noClaim("m1", store.LaneIdle)
	e.wakesNames()
	e.add("m1", 1)
	e.wakesNames("m1")
	e.claimN("m1", 1)
	e.noClaim("m1", store.LaneIdle)
	e.settlesReady(c, refused(c, e.in(0)), "m1")
	e.wakesNames()
	c = e.claimN("m1", 1)[0]
	e.noClaim("m1", store.LaneIdle)
	e.settle(c, exhausted(c))
	e.wakesNames()
	e.resend(c.NotifyID, false)
	e.Advance(tick)
	e.wakesNames("m1")
}

func wakesAwakeLease(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 3)
	for lost := range 3 { // the wake is lost each time
		if w := e.wakesNames("m1"); w.Lost != min(lost, 1) {
			e.Fatalf("after %d lost wakes: %d lanes were marked awake and never run", lost, w.Lost)
		}
		w := e.wakesNames()
		e.later(w, w.Now.Add(store.AwakeLeaseMax))
		e.Advance(store.AwakeLeaseMax + tick)
	}
	e.claimN("m1", 1) // the runner dies here
	e.Advance(store.AwakeLeaseMax + tick)
	e.wakesNames("m1")
	e.claimN("m1", 2)
}

func wakesNext(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	e.add("m1", 1)
	e.add("m2", 1)
	due := map[string]time.Time{"m1": e.in(2 * time.Hour), "m2": e.in(time.Hour)}
	e.wakesNames("m1", "m2")
	for _, lane := range []string{"m1", "m2"} {
		c := e.claimN(lane, 1)[0]
		e.noClaim(lane, store.LaneIdle)
		e.settle(c, refused(c, due[lane]))
	}
	e.later(e.wakesNames(), due["m2"])
	for _, lane := range []string{"m2", "m1"} {
		e.Advance(due[lane].Sub(e.Now()) - 10*time.Second)
		e.later(e.wakesNames(), due[lane])
		e.Advance(10*time.Second + tick)
		e.wakesNames(lane)
		c := e.claimN(lane, 1)[0]
		e.later(e.wakesNames(), c.LeaseUntil.Add(time.Second))
		e.settle(c, acked(c))
		e.noClaim(lane, store.LaneIdle)
	}
	if w := e.wakesNames(); !w.Next.IsZero() && !w.Next.After(w.Now) {
		e.Fatalf("nothing is owed, and the next wake is at %v, when it is %v", w.Next, w.Now)
	}
}

func wakesNextPause(e *env) {
	e.merchant("m1", nil)
	until := e.in(time.Hour)
	e.update("m1", func(m *store.Merchant) { m.Paused, m.PausedUntil = true, until })
	e.add("m1", 1)
	e.later(e.wakesNames(), until)
	e.Advance(time.Hour + tick)
	e.wakesNames("m1")
	e.claimN("m1", 1)
}

func wakesCapped(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 2 })
	e.add("m1", 5)
	e.wakesNames("m1")
	cs := e.claimN("m1", 2)
	e.noClaim("m1", store.LaneCapped)
	e.wakesNames()
	e.Advance(store.AwakeLeaseMax + tick)
	e.wakesNames() // a hanging merchant is not asked again and again
	e.settlesReady(cs[0], acked(cs[0]), "m1")
	e.wakesNames()
	e.claimN("m1", 1)
	e.noClaim("m1", store.LaneCapped)
	e.settlesReady(cs[1], refused(cs[1], e.in(time.Hour)), "m1")
	e.wakesNames()
	e.claimN("m1", 1)
	e.noClaim("m1", store.LaneCapped)
	e.Advance(lease + tick)
	w := e.wakes(plenty) // the leases of the two live claims ran out: two places are free
	if w.Recovered != 2 {
		e.Fatalf("%d claims recovered, want 2", w.Recovered)
	}
	if len(w.Lanes) == 0 {
		e.wakesNames("m1")
	}
	e.Advance(tick)
	e.claimN("m1", 2)
}

func wakesClosed(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 30)
	doors := []struct {
		name       string
		shut, free func()
	}{
		{"sending", func() { e.setSending(true, "test") }, func() { e.setSending(false, "") }},
		{
			"pause",
			func() { e.update("m1", func(m *store.Merchant) { m.Paused = true }) },
			func() { e.update("m1", func(m *store.Merchant) { m.Paused = false }) },
		},
		{
			"address",
			func() { e.update("m1", func(m *store.Merchant) { m.Blocked = true }) },
			func() { e.update("m1", func(m *store.Merchant) { m.Blocked = false }) },
		},
	}
	for _, door := range doors {
		door.shut()
		e.wakesNames()
		e.noClaim("m1", store.LaneHeld)
		e.add("m1", 1)
		e.Advance(store.AwakeLeaseMax + tick)
		if w := e.wakesNames(); !w.Next.IsZero() && !w.Next.After(w.Now) {
			e.Fatalf("%s: closed, and the next wake is at %v, when it is %v", door.name, w.Next, w.Now)
		}
		door.free()
		e.wakesNames("m1")
		// Shut while it is being run: the run ends held.
		e.claimN("m1", 1)
		door.shut()
		e.noClaim("m1", store.LaneHeld)
		door.free()
		e.wakesNames("m1")
		for _, c := range e.claim("m1", 2).Items {
			e.settle(c, acked(c))
		}
		e.drop("m1")
		e.add("m1", 20)
	}
}

func wakesFair(e *env) {
	const lanes, step = 30, 7
	want := make([]string, lanes)
	for i := range want {
		want[i] = fmt.Sprintf("m%02d", i)
		e.merchant(want[i], nil)
		e.add(want[i], 4)
	}
	for round := range 2 {
		got := []string{}
		for range (lanes + step - 1) / step {
			w := e.wakes(step)
			got = append(got, w.Lanes...)
			if len(got) < lanes && (len(w.Lanes) != step || w.Next.IsZero() || w.Next.After(w.Now)) {
				e.Fatalf("named %d lanes of %d left, and the next wake is at %v, when it is %v",
					len(w.Lanes), lanes-len(got)+len(w.Lanes), w.Next, w.Now)
			}
		}
		slices.Sort(got)
		e.diff(fmt.Sprintf("lanes named in round %d", round), want, got)
		e.wakesNames()
		for _, lane := range want {
			for _, c := range e.claimN(lane, 2) {
				e.settle(c, acked(c))
			}
		}
		e.Advance(store.AwakeLeaseMax + tick)
		if round == 0 {
			continue
		}
		e.wakesNames()
	}
}

func wakesBusy(e *env) {
	const others = 5
	e.merchant("busy", nil)
	e.add("busy", 200)
	waiting := map[string]bool{}
	for i := range others {
		lane := fmt.Sprintf("quiet%d", i)
		e.merchant(lane, nil)
		e.add(lane, 1)
		waiting[lane] = true
	}
	for range 3 * (others + 1) {
		for _, lane := range e.wakes(1).Lanes {
			delete(waiting, lane)
			for _, c := range e.claim(lane, 5).Items {
				e.settle(c, acked(c))
			}
		}
		e.add("busy", 1)
		e.Advance(store.AwakeLeaseMax + tick) // the busy lane has a backlog always
	}
	if len(waiting) != 0 {
		e.Fatalf("never named beside a busy lane: %v", waiting)
	}
}

func wakesSurvive(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 2)
	e.wakesNames("m1")
	for _, restart := range []func() store.Store{e.Reopen, e.Crash} {
		e.Store = restart()
		named := e.wakes(plenty).Lanes
		e.Advance(store.AwakeLeaseMax + tick) // the dead runner may count as awake until then
		named = append(named, e.wakes(plenty).Lanes...)
		if !slices.Contains(named, "m1") {
			e.Fatal("a lane with work is named no more after a restart")
		}
	}
	e.claimN("m1", 2)
}

func wakesNothingLost(e *env) {
	const callers, each = 4, 50
	e.merchant("m1", nil)
	var accepting sync.WaitGroup
	var spent atomic.Int64
	for range callers {
		accepting.Go(func() {
			for range each {
				if _, err := e.Store.Accept(e.ctx, []store.Incoming{incoming("m1")}, lease); err != nil {
					e.Errorf("Accept: %v", err)
				}
				e.Advance(time.Millisecond)
			}
		})
	}
	all := make(chan struct{})
	go func() { accepting.Wait(); close(all) }()
	// run works the lane as a runner does: only when it is named, and until a claim leaves nothing.
	run := func() (named bool) {
		for range e.wakes(plenty).Lanes {
			named = true
			for more := true; more && spent.Load() <= callers*each; {
				cs := e.claim("m1", 3)
				more = cs.Lane == store.LaneMore
				for _, c := range cs.Items {
					ready := e.settleAll([]store.Settlement{settlement(c, acked(c))})
					more = more || len(ready) > 0
					spent.Add(1)
				}
			}
		}
		return named
	}
	for accepted := false; !accepted; {
		select {
		case <-all:
			accepted = true
		default:
		}
		run()
	}
	e.Advance(tick)
	for i := 0; run() && i < callers*each; i++ {
		e.Advance(tick)
	}
	if got := spent.Load(); got != callers*each {
		e.Fatalf("the lane is asleep, and only %d of %d are spent", got, callers*each)
	}
}
