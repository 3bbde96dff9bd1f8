package storetest

import (
	"errors"
	"time"

	"paynotify/store"
)

// Stats counts without scanning.
var statsCases = []testCase{
	{"Stats/counts", statsCounts},
	{"Stats/held", statsHeld},
}

// wantStats counts what Get says about every notification.
func (e *env) wantStats(ids []string, mchIDs ...string) store.Stats {
	e.Helper()
	want := store.Stats{States: map[store.State]int{}, PendingBySend: map[int]int{}}
	sending, err := e.Store.Sending(e.ctx)
	e.must("Sending", err)
	now := e.Now()
	for _, id := range ids {
		n, _ := e.get(id)
		m, err := e.Store.Merchant(e.ctx, n.MchID)
		e.must("Merchant", err)
		want.States[n.State]++
		if n.State == store.Pending {
			want.PendingBySend[n.Send()]++
		}
		if n.InFlight {
			want.InFlight++
		}
		if held(n, m, sending, now) != "" {
			want.Held++
			continue
		}
		if at, _ := n.Due(); !at.IsZero() && !at.After(now) && m.Open(now) && !sending.Paused {
			want.Due++
			if want.OldestDue.IsZero() || at.Before(want.OldestDue) {
				want.OldestDue = at
			}
		}
	}
	for _, mchID := range mchIDs {
		m, err := e.Store.Merchant(e.ctx, mchID)
		e.must("Merchant", err)
		if m.PausedAt(now) {
			want.Merchants.Paused++
		}
	}
	return want
}

// checkStats compares Stats with a count by Get. Which merchants fail is the store's own judgement.
func (e *env) checkStats(ids []string, mchIDs ...string) {
	e.Helper()
	want := e.wantStats(ids, mchIDs...)
	got, err := e.Store.Stats(e.ctx)
	e.must("Stats", err)
	ms := got.Merchants
	if ms.Active+ms.Failing+ms.Paused+ms.BreakerOpen != len(mchIDs) || ms.Paused != want.Merchants.Paused {
		e.Fatalf("merchants are %+v, want %d with %d paused", ms, len(mchIDs), want.Merchants.Paused)
	}
	got.Merchants = want.Merchants
	for state, n := range got.States {
		if n == 0 {
			delete(got.States, state)
		}
	}
	for send, n := range got.PendingBySend {
		if n == 0 {
			delete(got.PendingBySend, send)
		}
	}
	if got.PendingBySend == nil {
		got.PendingBySend = want.PendingBySend
	}
	e.diff("stats", want, got)
}

func statsCounts(e *env) {
	e.checkStats(nil)
	ids := e.zoo()
	mchIDs := []string{"open", "paused", "blocked", "over"}
	e.checkStats(ids, mchIDs...)
	e.Store = e.Reopen()
	e.wakes(plenty)
	e.checkStats(ids, mchIDs...)
	e.Advance(2 * time.Hour)
	e.wakes(plenty)
	e.checkStats(ids, mchIDs...)
	for _, c := range e.claim("open", plenty).Items {
		if c.NotifyCount > 0 {
			e.settle(c, refused(c, e.in(time.Hour)))
		}
	}
	e.checkStats(ids, mchIDs...)
	e.Store = e.Crash()
	e.wakes(plenty)
	e.checkStats(ids, mchIDs...)
	e.drop("open")
	_, err := e.Store.Prune(e.ctx, e.Now().Add(time.Hour), e.Now().Add(time.Hour), plenty)
	e.must("Prune", err)
	left := []string{}
	for _, id := range ids {
		if _, _, err := e.Store.Get(e.ctx, id); err == nil {
			left = append(left, id)
		}
	}
	if len(left) == len(ids) {
		e.Fatal("nothing was pruned")
	}
	e.checkStats(left, mchIDs...)
}

func statsHeld(e *env) {
	ids := e.zoo()
	mchIDs := []string{"open", "paused", "blocked", "over"}
	e.setSending(true, "test")
	e.checkStats(ids, mchIDs...)
	e.update("paused", func(m *store.Merchant) { m.Paused, m.Blocked = false, true })
	e.update("blocked", func(m *store.Merchant) { m.Paused, m.PausedUntil = true, e.in(time.Hour) })
	e.checkStats(ids, mchIDs...)
	e.setSending(false, "")
	e.checkStats(ids, mchIDs...)
	e.update("blocked", func(m *store.Merchant) { m.Blocked = false })
	e.checkStats(ids, mchIDs...)
	e.Advance(2 * time.Hour)
	e.wakes(plenty)
	e.checkStats(ids, mchIDs...)
}

// Prune deletes at most max notifications that became final before the given instants, with their attempts.
var pruneCases = []testCase{
	{"Prune/by age and state", pruneAge},
	{"Prune/max", pruneMax},
	{"Prune/frees the idempotency key", pruneKeys},
}

func (e *env) prune(spentBefore, othersBefore time.Time, limit, want int) {
	e.Helper()
	got, err := e.Store.Prune(e.ctx, spentBefore, othersBefore, limit)
	e.must("Prune", err)
	if got != want {
		e.Fatalf("Prune deleted %d, want %d", got, want)
	}
}

func (e *env) gone(notifyIDs ...string) {
	e.Helper()
	for _, id := range notifyIDs {
		if _, _, err := e.Store.Get(e.ctx, id); !errors.Is(err, store.ErrNotFound) {
			e.Fatalf("Get of a pruned one: %v, want ErrNotFound", err)
		}
	}
}

func pruneAge(e *env) {
	e.merchant("m1", nil)
	waiting := e.add("m1", 1)[0]
	c := e.claimID("m1", waiting)
	e.settle(c, refused(c, e.in(1000*time.Hour)))
	old := map[store.State]string{
		store.Spent: e.spend(), store.Exhausted: e.exhaust(), store.Quarantined: e.quarantine(),
	}
	late := e.add("m1", 1)[0] // as old as the others, but final later
	old[store.Canceled] = e.add("m1", 1)[0]
	e.cancel(old[store.Canceled])
	e.Advance(time.Hour)
	mark := e.in(0)
	e.Advance(time.Hour)
	lateClaim := e.claimID("m1", late)
	e.settle(lateClaim, acked(lateClaim))
	young := []string{e.spend(), e.exhaust(), late, waiting}

	never := time.Time{}
	e.prune(never, never, plenty, 0)
	e.prune(mark, never, plenty, 1)
	e.gone(old[store.Spent])
	e.state(old[store.Exhausted], store.Exhausted)
	e.prune(mark, mark, plenty, 3)
	e.prune(mark, mark, plenty, 0)
	e.gone(old[store.Exhausted], old[store.Quarantined], old[store.Canceled])
	for _, id := range young {
		e.get(id)
	}
	if got := e.listAll(store.Query{}); len(got) != len(young) {
		e.Fatalf("List has %d, want %d", len(got), len(young))
	}
	e.Store = e.Reopen()
	e.gone(old[store.Spent], old[store.Canceled])
	e.settle(c, acked(c)) // late, of one that is there
	e.state(waiting, store.Spent)
	dead := c
	dead.NotifyID = old[store.Exhausted]
	e.settle(dead, acked(dead)) // late, of one that is gone: no error
	e.gone(dead.NotifyID)
}

func pruneMax(e *env) {
	e.merchant("m1", nil)
	for range 7 {
		e.spend()
	}
	e.Advance(time.Hour)
	before := e.in(0)
	for _, want := range []int{3, 3, 1, 0} {
		e.prune(before, before, 3, want)
	}
}

func pruneKeys(e *env) {
	e.merchant("m1", nil)
	first := e.accept(keyed("m1", "k", "one"))[0]
	c := e.claimID("m1", first.NotifyID)
	e.settle(c, acked(c))
	e.Advance(time.Hour)
	e.statuses(e.accept(keyed("m1", "k", "one")), store.Replayed)
	e.prune(e.in(0), time.Time{}, plenty, 1)
	e.statuses(e.accept(keyed("m1", "k", "two")), store.New)
}
