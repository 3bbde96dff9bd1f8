package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"paynotify/store"
)

// Accept stores items durably, in order and in one commit, and answers one Accepted per item …
var acceptCases = []testCase{
	{"Accept/in order", acceptInOrder},
	{"Accept/newborn", acceptNewborn},
	{"Accept/frozen fields survive", acceptFrozen},
	{"Accept/idempotency", acceptIdempotency},
	{"Accept/idempotency inside one call", acceptIdempotencyInside},
	{"Accept/idempotency at the same time", acceptIdempotencyConcurrent},
	{"Accept/idempotency survives", acceptIdempotencySurvives},
	{"ByKey", byKey},
	{"Accept/no merchant", acceptNoMerchant},
	{"Accept/at the same time", acceptConcurrent},
}

func acceptInOrder(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	before := e.Now().Truncate(time.Millisecond)
	var items []store.Incoming
	for i := range 50 {
		items = append(items, incoming([]string{"m1", "m2"}[i%2]))
	}
	got := e.accept(items...)
	got = append(got, e.accept(incoming("m1"), incoming("m2"))...)
	after := e.Now()
	last := map[string]string{}
	seen := map[string]bool{}
	for i, a := range got {
		mch := []string{"m1", "m2"}[i%2]
		if a.Status != store.New || a.Claim != nil {
			e.Fatalf("item %d: status %d, claim %v, want New without a claim", i, a.Status, a.Claim)
		}
		if _, _, err := store.ParseID(a.NotifyID); err != nil {
			e.Fatalf("item %d: notify_id %q: %v", i, a.NotifyID, err)
		}
		if seen[a.NotifyID] || a.NotifyID <= last[mch] {
			e.Fatalf("item %d: notify_id %q does not sort after %q", i, a.NotifyID, last[mch])
		}
		seen[a.NotifyID], last[mch] = true, a.NotifyID
		if a.CreatedAt.Before(before) || a.CreatedAt.After(after) {
			e.Fatalf("item %d: created at %v, want %v to %v", i, a.CreatedAt, before, after)
		}
		if n, _ := e.get(a.NotifyID); n.MchID != mch || !n.CreatedAt.Equal(a.CreatedAt) {
			e.Fatalf("item %d: is %s of %v, want %s of %v", i, n.MchID, n.CreatedAt, mch, a.CreatedAt)
		}
	}
}

func acceptNewborn(e *env) {
	e.merchant("m1", nil)
	in := incoming("m1")
	in.NotifyID, in.CreatedAt, in.State = "chosen-by-the-caller", e.in(-time.Hour), store.Spent
	in.NotifyCount, in.AttemptCount, in.NextAt = 3, 4, e.in(time.Hour)
	in.LastVerdict, in.InFlight, in.Blocked, in.Resend = store.Refused, true, true, store.Replay
	in.ResendAt, in.Shrunk, in.Streak = e.in(0), true, store.Streak{Reason: store.Crash, Count: 2}
	a := e.accept(in)[0]
	n, as := e.get(a.NotifyID)
	want := in.Notification
	want.Accept(a.NotifyID, a.CreatedAt)
	e.diff("newborn notification", want, n)
	if len(as) != 0 {
		e.Fatalf("a newborn notification has attempts: %v", as)
	}
	e.claimID("m1", a.NotifyID)
}

func acceptFrozen(e *env) {
	e.merchant("m1", nil)
	in := store.Incoming{Notification: store.Notification{
		MchID: "m1", Profile: "alipay", NotifyType: "trade_status_sync", OutTradeNo: "单号-20261121-0001",
		Params:    json.RawMessage(`{"z":1.10,"a":"\u00e9 <&>","n":123456789012345678901,"z2":{"k":[1,"x",null]}}`),
		NotifyURL: "https://other.example/n?a=b%20c", Schedule: "15s,1m,5m", IdempotencyKey: "key-1",
		ContentDigest: []byte{0, 1, 2, 0xff, 0xfe},
		TraceParent:   "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}}
	a := e.accept(in)[0]
	want := in.Notification
	want.Accept(a.NotifyID, a.CreatedAt)
	n, _ := e.get(a.NotifyID)
	e.diff("accepted notification", want, n)
	e.Store = e.Reopen()
	n, _ = e.get(a.NotifyID)
	e.diff("notification after reopening", want, n)
	c := e.claimID("m1", a.NotifyID)
	want.InFlight = true
	e.diff("claimed notification", want, c.Notification)
}

// keyed is a notification with an idempotency key and the digest of its content.
func keyed(mchID, key, content string) store.Incoming {
	in := incoming(mchID)
	in.IdempotencyKey, in.ContentDigest = key, []byte(content)
	return in
}

func (e *env) statuses(got []store.Accepted, want ...store.AcceptStatus) {
	e.Helper()
	statuses := make([]store.AcceptStatus, len(got))
	for i := range got {
		statuses[i] = got[i].Status
	}
	e.diff("statuses of Accept", want, statuses)
}

func acceptIdempotency(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	first := e.accept(keyed("m1", "k", "one"))
	e.statuses(first, store.New)
	again := keyed("m1", "k", "one")
	again.Want = true
	got := e.accept(again, keyed("m1", "k", "two"), keyed("m2", "k", "two"), keyed("m1", "k2", "one"))
	e.statuses(got, store.Replayed, store.Conflict, store.New, store.New)
	if got[0].NotifyID != first[0].NotifyID || !got[0].CreatedAt.Equal(first[0].CreatedAt) {
		e.Fatalf("replay names %s of %v, want %s of %v",
			got[0].NotifyID, got[0].CreatedAt, first[0].NotifyID, first[0].CreatedAt)
	}
	if got[0].Claim != nil || got[1].Claim != nil {
		e.Fatal("a replay or a conflict was claimed")
	}
	c := e.claimID("m1", first[0].NotifyID)
	e.settle(c, acked(c))
	e.statuses(e.accept(keyed("m1", "k", "one"), keyed("m1", "k", "two")), store.Replayed, store.Conflict)
	plain := e.accept(incoming("m2"), incoming("m2"))
	e.statuses(plain, store.New, store.New)
}

func acceptIdempotencyInside(e *env) {
	e.merchant("m1", nil)
	got := e.accept(keyed("m1", "k", "one"), incoming("m1"), keyed("m1", "k", "one"), keyed("m1", "k", "two"))
	e.statuses(got, store.New, store.New, store.Replayed, store.Conflict)
	if got[2].NotifyID != got[0].NotifyID {
		e.Fatalf("replay names %s, want %s", got[2].NotifyID, got[0].NotifyID)
	}
	e.claimN("m1", 2)
	e.noClaim("m1", store.LaneIdle)
}

// together calls f n times at the same time and waits.
func together(n int, f func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	wg.Wait()
}

func acceptIdempotencyConcurrent(e *env) {
	const callers = 100
	e.merchant("m1", nil)
	got := make([]store.Accepted, callers)
	together(callers, func(i int) {
		in := keyed("m1", "k", "one")
		in.Want = i%2 == 0
		as, err := e.Store.Accept(e.ctx, []store.Incoming{in}, lease)
		if err != nil || len(as) != 1 {
			e.Errorf("Accept: %d answers, %v", len(as), err)
			return
		}
		got[i] = as[0]
	})
	count := map[store.AcceptStatus]int{}
	for _, a := range got {
		count[a.Status]++
		if a.NotifyID != got[0].NotifyID || !a.CreatedAt.Equal(got[0].CreatedAt) {
			e.Fatalf("two notifications under one key: %s and %s", got[0].NotifyID, a.NotifyID)
		}
	}
	e.diff("statuses", map[store.AcceptStatus]int{store.New: 1, store.Replayed: callers - 1}, count)
	ns, _, err := e.Store.List(e.ctx, store.Query{Limit: 10})
	e.must("List", err)
	if len(ns) != 1 {
		e.Fatalf("%d notifications stored under one key", len(ns))
	}
}

func byKey(e *env) {
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	first := e.accept(keyed("m1", "k", "one"))[0]
	look := func(mchID, key string, want error) {
		e.Helper()
		n, err := e.Store.ByKey(e.ctx, mchID, key)
		if !errors.Is(err, want) {
			e.Fatalf("ByKey(%s, %q): %v, want %v", mchID, key, err, want)
		}
		if want == nil && (n.NotifyID != first.NotifyID || string(n.ContentDigest) != "one") {
			e.Fatalf("ByKey(%s, %q) names %s, want %s", mchID, key, n.NotifyID, first.NotifyID)
		}
	}
	look("m1", "k", nil)
	look("m1", "other", store.ErrNotFound)
	look("m1", "", store.ErrNotFound)
	look("m2", "k", store.ErrNotFound)
	_, err := e.Store.Cancel(e.ctx, first.NotifyID)
	e.must("Cancel", err)
	e.must("DeleteMerchant", e.Store.DeleteMerchant(e.ctx, "m1"))
	look("m1", "k", nil) // a key is kept as long as its record
}

func acceptIdempotencySurvives(e *env) {
	e.merchant("m1", nil)
	first := e.accept(keyed("m1", "k", "one"))[0]
	for _, restart := range []func() store.Store{e.Reopen, e.Crash} {
		e.Store = restart()
		got := e.accept(keyed("m1", "k", "one"), keyed("m1", "k", "two"))
		e.statuses(got, store.Replayed, store.Conflict)
		if got[0].NotifyID != first.NotifyID || !got[0].CreatedAt.Equal(first.CreatedAt) {
			e.Fatalf("replay names %s, want %s", got[0].NotifyID, first.NotifyID)
		}
	}
}

func acceptNoMerchant(e *env) {
	e.merchant("m1", nil)
	got := e.accept(incoming("m1"), wanted("nobody"), keyed("nobody", "k", "one"), incoming("m1"))
	e.statuses(got, store.New, store.NoMerchant, store.NoMerchant, store.New)
	if got[1].Claim != nil {
		e.Fatal("a notification of no merchant was claimed")
	}
	ns, _, err := e.Store.List(e.ctx, store.Query{Limit: 10})
	e.must("List", err)
	if len(ns) != 2 {
		e.Fatalf("%d notifications stored, want 2", len(ns))
	}
}

func acceptConcurrent(e *env) {
	const callers, each = 16, 20
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	all := make([][]string, callers)
	together(callers, func(i int) {
		mch := []string{"m1", "m2"}[i%2]
		for range each {
			as, err := e.Store.Accept(e.ctx, []store.Incoming{incoming(mch), wanted(mch)}, lease)
			if err != nil || len(as) != 2 {
				e.Errorf("Accept: %d answers, %v", len(as), err)
				return
			}
			all[i] = append(all[i], as[0].NotifyID, as[1].NotifyID)
		}
	})
	seen := map[string]bool{}
	for _, own := range all {
		if !slices.IsSorted(own) || len(own) != 2*each {
			e.Fatalf("one caller's notify_ids do not sort in the order of its calls: %v", own)
		}
		for _, id := range own {
			if seen[id] {
				e.Fatalf("notify_id %s given twice", id)
			}
			seen[id] = true
			e.state(id, store.Pending)
		}
	}
}
