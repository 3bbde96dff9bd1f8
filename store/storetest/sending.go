package storetest

import (
	"time"

	"paynotify/store"
)

// Sending reads, SetSending turns, the switch that stops all sending on every node.
var sendingCases = []testCase{
	{"Sending/never switched", sendingNever},
	{"Sending/stops claims and wakes", sendingStops},
	{"Health/open", healthOpen},
}

func (e *env) sending() store.Sending {
	e.Helper()
	s, err := e.Store.Sending(e.ctx)
	e.must("Sending", err)
	return s
}

func sendingNever(e *env) {
	e.diff("sending of a new store", store.Sending{}, e.sending())
	e.Store = e.Reopen()
	e.diff("sending after reopening", store.Sending{}, e.sending())
}

func sendingStops(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	e.add("m1", 3)
	c := e.claimN("m1", 1)[0]
	before := e.Now().Truncate(time.Millisecond)
	e.setSending(true, "incident “7”")
	stopped := e.sending()
	if !stopped.Paused || stopped.Reason != "incident “7”" ||
		stopped.Since.Before(before) || stopped.Since.After(e.Now()) {
		e.Fatalf("sending is %+v, stopped at %v", stopped, before)
	}
	for _, restart := range []func() store.Store{func() store.Store { return e.Store }, e.Reopen, e.Crash} {
		e.Store = restart()
		e.diff("sending", stopped, e.sending())
		if a := e.accept(wanted("m2"))[0]; a.Status != store.New || a.Claim != nil {
			e.Fatalf("while stopped: status %d, claimed %v", a.Status, a.Claim != nil)
		}
		e.wakesNames()
		e.noClaim("m1", store.LaneHeld)
		e.noClaim("m2", store.LaneHeld)
	}
	e.settle(c, acked(c)) // what was under way ends, here or as a late acknowledgement
	e.state(c.NotifyID, store.Spent)

	e.setSending(false, "")
	if s := e.sending(); s.Paused || s.Since.Before(stopped.Since) {
		e.Fatalf("sending is %+v after it went on", s)
	}
	e.Advance(store.AwakeLeaseMax + tick)
	e.wakesNames("m1", "m2")
	e.claimN("m1", 2)
	e.claimN("m2", 3)
}

func healthOpen(e *env) {
	if h := e.Store.Health(e.ctx); h.Err != nil {
		e.Fatalf("an open store is unwell: %v", h.Err)
	}
}

// What the store has returned nil for survives a crash.
var crashCases = []testCase{
	{"Crash/everything acknowledged is there", crashKeeps},
	{"Crash/live claims come back interrupted", crashClaims},
	{"Crash/again and again", crashAgain},
}

func crashKeeps(e *env) {
	ids := e.zoo()
	more := e.accept(keyed("open", "k", "one"), wanted("open"), incoming("over"))
	e.setSending(true, "test")
	for _, a := range more {
		ids = append(ids, a.NotifyID)
	}
	notifications := map[string]store.Notification{}
	attempts := map[string][]store.Attempt{}
	for _, id := range ids {
		n, as := e.get(id)
		if !n.InFlight {
			notifications[id], attempts[id] = n, as
		}
	}
	_, cursor := e.follow("", plenty)
	e.Store = e.Crash()
	for id, n := range notifications {
		got, as := e.get(id)
		e.diff("notification after a crash", n, got)
		e.diff("attempts after a crash", attempts[id], as)
	}
	if got := e.listAll(store.Query{}); len(got) != len(ids) {
		e.Fatalf("List has %d after a crash, want %d", len(got), len(ids))
	}
	if !e.sending().Paused {
		e.Fatal("sending went on by a crash")
	}
	if _, next := e.follow(cursor, plenty); next == "" {
		e.Fatal("the cursor of attempts is lost")
	}
	e.setSending(false, "")
	e.statuses(e.accept(keyed("open", "k", "one")), store.Replayed)
}

func crashClaims(e *env) {
	e.merchant("m1", func(m *store.Merchant) { m.MaxInflight = 4 })
	retry := e.retries("m1", 1)[0]
	asked := e.add("m1", 1)[0]
	e.resend(asked, false)
	e.Advance(tick)
	cs := e.claimN("m1", 2)
	for _, a := range e.accept(wanted("m1"), wanted("m1")) {
		cs = append(cs, *a.Claim)
	}
	waiting := e.add("m1", 1)[0]
	crashed := e.Now()
	e.Store = e.Crash()
	for _, c := range cs {
		e.recovered(c.NotifyID)
		n := e.interrupted(c, crashed)
		if n.State != store.Pending {
			e.Fatalf("after a crash: %s", n.State)
		}
	}
	again := e.claimN("m1", 4)
	byID := map[string]store.Claim{}
	for _, c := range again {
		byID[c.NotifyID] = c
	}
	for _, c := range cs {
		got, ok := byID[c.NotifyID]
		if !ok && c.NotifyID != waiting {
			continue // the one that waited took its place
		}
		if got.Trigger != c.Trigger || got.Send != c.Send {
			e.Fatalf("repeat after a crash: %s, send %d; want %s, %d", got.Trigger, got.Send, c.Trigger, c.Send)
		}
		if !c.Trigger.Manual() && !got.ScheduledAt.Equal(c.ScheduledAt) {
			e.Fatalf("repeat after a crash: planned for %v, want %v", got.ScheduledAt, c.ScheduledAt)
		}
	}
	if c, ok := byID[retry]; !ok || c.Send != 2 {
		e.Fatalf("the retry in flight does not come back as send 2: %v, %d", ok, c.Send)
	}
}

func crashAgain(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	for i := range 4 {
		c := e.claimID("m1", id)
		if c.Send != 1 {
			e.Fatalf("after %d crashes send %d comes next, want 1", i, c.Send)
		}
		e.Store = e.Crash()
		e.recovered(id)
		if n := e.interrupted(c, c.ClaimedAt); n.AttemptCount != i+1 {
			e.Fatalf("%d attempts after %d crashes", n.AttemptCount, i+1)
		}
	}
	n, _ := e.get(id)
	if wait := n.NextAt.Sub(n.LastAt); wait < time.Second {
		e.Fatalf("interrupted four times in a row: it goes again %v after the last start", wait)
	}
	e.Advance(2 * time.Second)
	c := e.claimID("m1", id)
	if n := e.expect(c, acked(c)); n.State != store.Spent || n.NotifyCount != 1 || n.AttemptCount != 5 {
		e.Fatalf("%s, counts %d/%d; want spent, 1/5", n.State, n.NotifyCount, n.AttemptCount)
	}
}
