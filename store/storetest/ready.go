package storetest

import (
	"slices"
	"time"

	"paynotify/store"
)

// … It answers which of these lanes have work now that nobody is awake for, and marks them awake as Wakes
// does.
var readyCases = []testCase{
	{"Settle/answers ready lanes", readyLanes},
	{"Settle/answers no lane that is awake", readyAwake},
	{"Settle/answers no lane without work", readyIdle},
	{"Settle/answers each lane once", readyMany},
	{"Claim/next", claimNext},
}

// settlesReady settles and wants exactly these lanes to be ready.
func (e *env) settlesReady(c store.Claim, o store.Outcome, want ...string) {
	e.Helper()
	got := e.settleAll([]store.Settlement{settlement(c, o)})
	e.diff("ready lanes", slices.Concat([]string{}, want), slices.Concat([]string{}, got))
}

func readyLanes(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 1 })
	e.merchant("m2", nil)
	e.add("m2", 1) // somebody else's business
	e.add("m1", 4)
	for range 2 {
		c := e.claimN("m1", 1)[0]
		e.noClaim("m1", store.LaneCapped)
		e.settlesReady(c, acked(c), "m1")
	}
	c := e.claimN("m1", 1)[0]
	e.noClaim("m1", store.LaneCapped)
	e.settlesReady(c, acked(c), "m1")
	e.wakesNames("m2") // and not m1, which is awake
	e.Advance(store.AwakeLeaseMax + tick)
	e.wakesNames("m1", "m2") // whoever settled died
	e.claimN("m1", 1)
}

func readyAwake(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 5)
	e.wakesNames("m1")
	cs := e.claimN("m1", 3)
	e.settlesReady(cs[0], acked(cs[0])) // its run goes on
	rest := e.claimN("m1", 2)
	e.noClaim("m1", store.LaneIdle)
	e.add("m1", 1)
	e.settlesReady(cs[1], acked(cs[1]), "m1")
	e.settlesReady(cs[2], acked(cs[2]))
	e.wakesNames()
	e.claimN("m1", 1)
	e.noClaim("m1", store.LaneIdle)
	e.add("m1", 1)
	e.wakesNames("m1")
	e.settlesReady(rest[0], acked(rest[0]))
}

func readyIdle(e *env) {
	e.merchant("m1", nil)
	e.merchant("slow", func(m *store.Merchant) { m.RatePerSecond = 0.01 })
	e.add("slow", 2)
	slow := e.claimN("slow", 1)[0]
	e.noClaim("slow", store.LaneRated)
	e.settlesReady(slow, acked(slow)) // no token
	e.add("m1", 6)
	cs := e.claimN("m1", 4)
	e.update("m1", func(m *store.Merchant) { m.Paused = true })
	e.noClaim("m1", store.LaneHeld)
	e.settlesReady(cs[0], refused(cs[0], e.in(0)))
	e.update("m1", func(m *store.Merchant) { m.Paused = false })
	e.setSending(true, "test")
	e.noClaim("m1", store.LaneHeld)
	e.settlesReady(cs[1], refused(cs[1], e.in(0)))
	e.setSending(false, "")
	e.Advance(tick)
	e.drop("m1")
	e.settlesReady(cs[2], refused(cs[2], e.in(time.Hour))) // not due yet
	e.settlesReady(cs[3], acked(cs[3]))
	e.add("m1", 2)
	c := e.claimN("m1", 1)[0]
	e.Advance(store.AwakeLeaseMax + tick)
	e.settlesReady(c, blocked(c, e.in(0))) // closes its lane
}

func readyMany(e *env) {
	lanes := []string{"m1", "m2", "m3"}
	var batch []store.Settlement
	for _, lane := range lanes {
		e.merchant(lane, func(m *store.Merchant) { m.MaxInflight = 2 })
		e.add(lane, 4)
		for _, c := range e.claimN(lane, 2) {
			batch = append(batch, settlement(c, acked(c)))
		}
		e.noClaim(lane, store.LaneCapped)
	}
	got := slices.Clone(e.settleAll(batch))
	slices.Sort(got)
	e.diff("ready lanes", lanes, got)
	e.wakesNames()
}

// sleepsUntil claims nothing and wants the lane to say, if anything, when it has work again.
func (e *env) sleepsUntil(lane string, status store.LaneStatus, latest time.Time) {
	e.Helper()
	cs := e.claim(lane, plenty)
	if len(cs.Items) != 0 || cs.Lane != status {
		e.Fatalf("claimed %d (%v), want nothing (%v)", len(cs.Items), laneStatus(cs.Lane), laneStatus(status))
	}
	if !cs.Next.IsZero() && (cs.Next.After(latest) || cs.Next.Before(e.Now().Add(-time.Minute))) {
		e.Fatalf("lane has work again at %v, want not after %v", cs.Next, latest)
	}
}

func claimNext(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 2)
	cs := e.claimN("m1", 2)
	late, soon := e.in(2*time.Hour), e.in(time.Hour)
	e.settle(cs[0], refused(cs[0], late))
	e.settle(cs[1], refused(cs[1], soon))
	e.sleepsUntil("m1", store.LaneIdle, soon)
	until := e.in(90 * time.Minute)
	e.update("m1", func(m *store.Merchant) { m.Paused, m.PausedUntil = true, until })
	e.sleepsUntil("m1", store.LaneHeld, until)
	e.merchant("slow", func(m *store.Merchant) { m.RatePerSecond = 0.1 })
	e.add("slow", 2)
	e.claimN("slow", 1)
	e.sleepsUntil("slow", store.LaneRated, e.in(10*time.Second+tick))
}
