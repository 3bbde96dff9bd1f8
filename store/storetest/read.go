package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"paynotify/store"
)

// Get returns a notification with its attempts, oldest first, or ErrNotFound.
var getCases = []testCase{
	{"Get/not found", getNotFound},
	{"Get/attempts are numbered without gaps", getNumbering},
}

func getNotFound(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	for _, unknown := range []string{store.NewID(e.Now(), 3), "", "x", id[:25], id + "0", "../../x", "%"} {
		if _, _, err := e.Store.Get(e.ctx, unknown); !errors.Is(err, store.ErrNotFound) {
			e.Fatalf("Get(%q): %v, want ErrNotFound", unknown, err)
		}
	}
}

func getNumbering(e *env) {
	e.merchant("m1", nil)
	id := e.add("m1", 1)[0]
	verdicts := []store.Verdict{}
	step := func(settle func(c store.Claim), want ...store.Verdict) {
		e.Helper()
		settle(e.claimID("m1", id))
		verdicts = append(verdicts, want...)
		e.Advance(time.Minute)
	}
	step(func(c store.Claim) { e.expect(c, uncharged(c, e.in(0))) }, store.DNSError)
	step(func(store.Claim) { e.lose() }, store.Interrupted)
	step(func(c store.Claim) {
		o := refused(c, e.in(0))
		stale := attempt(c, store.ConnectError, store.ConnStale, false)
		o.Stale = &stale
		e.expect(c, o)
	}, store.ConnectError, store.Refused)
	e.resend(id, false)
	step(func(c store.Claim) { e.expect(c, refused(c, e.in(0))) }, store.Refused)
	e.Store = e.Reopen()
	step(func(c store.Claim) { e.expect(c, exhausted(c)) }, store.Timeout)
	e.resend(id, false)
	step(func(c store.Claim) { e.expect(c, acked(c)) }, store.Acked)

	n, as := e.get(id)
	got := []store.Verdict{}
	for i, a := range as {
		got = append(got, a.Verdict)
		if a.N != i+1 {
			e.Fatalf("attempt %d is numbered %d", i+1, a.N)
		}
		if a.Trigger.Manual() != (a.Send == 0) {
			e.Fatalf("attempt %d: %s with send %d", a.N, a.Trigger, a.Send)
		}
	}
	e.diff("verdicts", verdicts, got)
	if n.AttemptCount != len(verdicts) || n.NotifyCount != 2 {
		e.Fatalf("counts %d/%d, want 2/%d", n.NotifyCount, n.AttemptCount, len(verdicts))
	}
}

// List returns notifications newest first, and the cursor of the next page, empty at the end.
var listCases = []testCase{
	{"List/filters", listFilters},
	{"List/held by the switch", listHeldBySwitch},
	{"List/pages", listPages},
	{"List/bad cursor", listBadCursor},
}

// listAll follows a query to its end, by small pages.
func (e *env) listAll(q store.Query) []store.Notification {
	e.Helper()
	all := []store.Notification{}
	q.Limit = 3
	for {
		page, cursor, err := e.Store.List(e.ctx, q)
		e.must("List", err)
		if len(page) > q.Limit {
			e.Fatalf("List gave a page of %d, asked for %d", len(page), q.Limit)
		}
		all = append(all, page...)
		if cursor == "" {
			return all
		}
		if len(all) > plenty || cursor == q.Cursor {
			e.Fatalf("List(%+v) finds no end", q)
		}
		q.Cursor = cursor
	}
}

func newestFirst(a, b store.Notification) int { return cmp.Compare(b.NotifyID, a.NotifyID) }

// held is why a notification is held, as the contract of the API says it.
func held(n store.Notification, m store.Merchant, s store.Sending, now time.Time) string {
	switch {
	case n.State != store.Pending:
		return ""
	case s.Paused:
		return store.HeldSendingPaused
	case m.PausedAt(now):
		return store.HeldMerchantPaused
	case n.Blocked, m.Blocked:
		return store.HeldAddressBlocked
	case m.BreakerOpen:
		return store.HeldBreakerOpen
	}
	return ""
}

// matches says what a query selects.
func matches(q store.Query, n store.Notification, why string) bool {
	switch {
	case q.MchID != "" && q.MchID != n.MchID,
		q.OutTradeNo != "" && q.OutTradeNo != n.OutTradeNo,
		q.State != "" && q.State != n.State,
		q.Verdict != "" && q.Verdict != n.LastVerdict,
		q.Reason != "" && q.Reason != n.LastReason,
		!q.CreatedFrom.IsZero() && n.CreatedAt.Before(q.CreatedFrom),
		!q.CreatedTo.IsZero() && !n.CreatedAt.Before(q.CreatedTo):
		return false
	}
	switch q.Held {
	case "":
		return true
	case "true":
		return why != ""
	case "false":
		return why == ""
	}
	return why == q.Held
}

// zoo fills a store with notifications of every kind in four merchants, and returns all of them.
func (e *env) zoo() []string {
	e.Helper()
	all := []string{}
	outcomes := []func(c store.Claim) store.Outcome{
		nil, // not claimed
		acked,
		func(c store.Claim) store.Outcome { return refused(c, e.in(time.Hour)) },
		exhausted,
		func(c store.Claim) store.Outcome { return blocked(c, e.in(time.Hour)) },
		func(c store.Claim) store.Outcome {
			return store.Outcome{
				Attempt: attempt(c, store.InternalError, store.Internal, false), State: store.Quarantined,
			}
		},
	}
	for _, lane := range []string{"open", "paused", "blocked", "over"} {
		e.merchant(lane, nil)
		for i, outcome := range outcomes {
			in := wanted(lane)
			in.Want = outcome != nil
			in.OutTradeNo = fmt.Sprintf("T%d", i%3)
			in.NotifyURL = "https://own.example/n" // a refused address holds this one only
			a := e.accept(in)[0]
			all = append(all, a.NotifyID)
			switch {
			case i == 0:
				e.settleOnce(lane, a.NotifyID)
			case a.Claim == nil:
				e.Fatalf("%s was wanted and is not claimed", a.NotifyID)
			default:
				e.settle(*a.Claim, outcome(*a.Claim))
			}
			e.Advance(time.Second)
		}
		flying := e.accept(wanted(lane))[0]
		canceled := e.accept(incoming(lane))[0]
		_, err := e.Store.Cancel(e.ctx, canceled.NotifyID)
		e.must("Cancel", err)
		asked := e.accept(incoming(lane))[0]
		e.resend(asked.NotifyID, false)
		all = append(all, flying.NotifyID, canceled.NotifyID, asked.NotifyID)
	}
	e.update("paused", func(m *store.Merchant) { m.Paused = true })
	e.update("over", func(m *store.Merchant) { m.Paused, m.PausedUntil = true, e.in(time.Second) })
	e.update("blocked", func(m *store.Merchant) { m.Blocked = true })
	e.Advance(2 * time.Second)
	return all
}

// settleOnce gives a notification an uncharged attempt, and a wait of an hour, so that its lane stays free.
func (e *env) settleOnce(lane, notifyID string) {
	e.Helper()
	c := e.claimID(lane, notifyID)
	e.settle(c, uncharged(c, e.in(time.Hour)))
}

func (e *env) queries(ns []store.Notification) []store.Query {
	qs := []store.Query{{}}
	for _, s := range store.States {
		qs = append(qs, store.Query{State: s})
	}
	for _, h := range slices.Concat([]string{"true", "false"}, store.HeldReasons) {
		qs = append(qs, store.Query{Held: h})
	}
	for _, v := range store.Verdicts {
		qs = append(qs, store.Query{Verdict: v})
	}
	for _, r := range []store.Reason{store.AckExact, store.AckHTML, store.TimeoutHeaders, store.DNSFailure} {
		qs = append(qs, store.Query{Reason: r})
	}
	for _, no := range []string{"T0", "T1", "20261121-1", "nobody's", "T", "%"} {
		qs = append(qs, store.Query{OutTradeNo: no})
	}
	a, b := ns[len(ns)/3].CreatedAt, ns[2*len(ns)/3].CreatedAt
	qs = append(
		qs, store.Query{CreatedFrom: b}, store.Query{CreatedTo: a}, store.Query{CreatedFrom: b, CreatedTo: a},
		store.Query{CreatedFrom: a, CreatedTo: b}, store.Query{CreatedFrom: a, CreatedTo: a},
		store.Query{State: store.Pending, Held: "false", OutTradeNo: "T2"},
		store.Query{State: store.Pending, Verdict: store.Refused, Reason: store.AckHTML, CreatedFrom: b},
		store.Query{State: store.Exhausted, Held: "true"},
	)
	return qs
}

func listFilters(e *env) {
	ids := e.zoo()
	ns := make([]store.Notification, len(ids))
	for i, id := range ids {
		ns[i], _ = e.get(id)
	}
	slices.SortFunc(ns, newestFirst)
	e.checkQueries(ns)
}

func (e *env) checkQueries(ns []store.Notification) {
	e.Helper()
	ms := map[string]store.Merchant{}
	for _, lane := range []string{"open", "paused", "blocked", "over"} {
		m, err := e.Store.Merchant(e.ctx, lane)
		e.must("Merchant", err)
		ms[lane] = m
	}
	sending, err := e.Store.Sending(e.ctx)
	e.must("Sending", err)
	for _, q := range e.queries(ns) {
		for _, mch := range []string{"", "open", "paused", "blocked", "over", "nobody"} {
			q.MchID = mch
			want := []store.Notification{}
			for _, n := range ns {
				if matches(q, n, held(n, ms[n.MchID], sending, e.Now())) {
					want = append(want, n)
				}
			}
			e.diff(fmt.Sprintf("List(%+v)", q), want, e.listAll(q))
		}
	}
}

func listHeldBySwitch(e *env) {
	ids := e.zoo()
	e.setSending(true, "test")
	ns := make([]store.Notification, len(ids))
	for i, id := range ids {
		ns[i], _ = e.get(id)
	}
	slices.SortFunc(ns, newestFirst)
	e.checkQueries(ns)
}

func listPages(e *env) {
	const old = 25
	e.merchant("m1", nil)
	e.merchant("m2", nil)
	var want []string
	for i := range old {
		want = append(want, e.add([]string{"m1", "m2"}[i%2], 1)...)
	}
	slices.Reverse(want)
	for _, q := range []store.Query{
		{Limit: 4}, {Limit: 1}, {Limit: 5}, {Limit: 25}, {Limit: 500}, {Limit: 3, MchID: "m1"},
	} {
		wanted := want
		if q.MchID == "m1" { // the older one of each pair, and the oldest of all
			wanted = slices.DeleteFunc(slices.Clone(want), func(id string) bool {
				n, _ := e.get(id)
				return n.MchID != "m1"
			})
		}
		got := []string{}
		for range plenty {
			page, cursor, err := e.Store.List(e.ctx, q)
			e.must("List", err)
			for _, n := range page {
				got = append(got, n.NotifyID)
			}
			if cursor == "" {
				break
			}
			if len(page) != q.Limit {
				e.Fatalf("a page of %d, asked for %d, has a next one", len(page), q.Limit)
			}
			q.Cursor = cursor
			e.add("m1", 1) // newer than every page to come
		}
		if i := slices.Index(got, want[0]); q.MchID == "" && i > 0 {
			got = got[i:] // what earlier rounds added
		}
		if q.MchID != "" {
			got = got[max(0, len(got)-len(wanted)):]
		}
		e.diff(fmt.Sprintf("notifications by pages of %d", q.Limit), wanted, got)
	}
}

func listBadCursor(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 5)
	_, good, err := e.Store.List(e.ctx, store.Query{Limit: 2})
	e.must("List", err)
	for _, bad := range []string{"garbage", "!", " ", good + "x", "\x00", "null", "'; drop table"} {
		_, _, err = e.Store.List(e.ctx, store.Query{Limit: 2, Cursor: bad})
		if !errors.Is(err, store.ErrBadCursor) {
			e.Fatalf("List with the cursor %q: %v, want ErrBadCursor", bad, err)
		}
	}
	e.Store = e.Reopen()
	page, _, err := e.Store.List(e.ctx, store.Query{Limit: 2, Cursor: good})
	e.must("List with a cursor from before", err)
	if len(page) != 2 {
		e.Fatalf("the second page has %d", len(page))
	}
}
