package storetest

import (
	"errors"
	"fmt"
	"time"

	"paynotify/store"
)

// Attempts follows attempts in the order in which they were settled: those after the cursor (empty: from now
// on), at most max, and the cursor to go on from.
var followCases = []testCase{
	{"Attempts/from now on", followFromNow},
	{"Attempts/pages", followPages},
	{"Attempts/fields", followFields},
	{"Attempts/while being settled", followConcurrent},
	{"Attempts/bad cursor", followBadCursor},
}

func (e *env) follow(after string, limit int) ([]store.Settled, string) {
	e.Helper()
	got, cursor, err := e.Store.Attempts(e.ctx, after, limit)
	e.must("Attempts", err)
	if cursor == "" || len(got) > limit {
		e.Fatalf("Attempts gave %d, asked for %d, and the cursor %q", len(got), limit, cursor)
	}
	return got, cursor
}

func followFromNow(e *env) {
	e.merchant("m1", nil)
	got, start := e.follow("", plenty)
	if len(got) != 0 {
		e.Fatalf("%d attempts in an empty store", len(got))
	}
	id := e.spend()
	got, now := e.follow("", plenty)
	if len(got) != 0 {
		e.Fatalf("%d attempts from now on, before anything was settled", len(got))
	}
	if got, _ = e.follow(start, plenty); len(got) != 1 || got[0].NotifyID != id {
		e.Fatalf("%d attempts since the start, want 1", len(got))
	}
	if got, _ = e.follow(now, plenty); len(got) != 0 {
		e.Fatalf("%d attempts since, want none", len(got))
	}
	next := e.spend()
	if got, _ = e.follow(now, plenty); len(got) != 1 || got[0].NotifyID != next {
		e.Fatalf("%d attempts since, want 1", len(got))
	}
}

func followPages(e *env) {
	e.merchant("m1", nil)
	_, cursor := e.follow("", plenty)
	want := []string{}
	for range 7 {
		want = append(want, e.spend())
	}
	got := []string{}
	for i := range 5 {
		page, next := e.follow(cursor, 2)
		for _, s := range page {
			got = append(got, s.NotifyID)
		}
		cursor = next
		if i == 1 {
			e.Store = e.Reopen()
		}
		if i == 2 {
			want = append(want, e.spend())
		}
	}
	e.diff("attempts by pages", want, got)
	if page, _ := e.follow(cursor, 2); len(page) != 0 {
		e.Fatalf("%d attempts after the last", len(page))
	}
}

func followFields(e *env) {
	e.merchant("m1", nil)
	_, cursor := e.follow("", plenty)
	in := incoming("m1")
	in.Schedule, in.OutTradeNo, in.NotifyType = "15s,1m,5m", "T-77", "refund"
	id := e.accept(in)[0].NotifyID
	c := e.claimID("m1", id)
	o := refused(c, e.in(time.Hour))
	stale := attempt(c, store.ConnectError, store.ConnStale, false)
	o.Stale = &stale
	after := e.expect(c, o)
	_, as := e.get(id)
	got, cursor := e.follow(cursor, plenty)
	want := []store.Settled{}
	for _, a := range as {
		want = append(want, store.Settled{
			Attempt: a, NotifyID: id, MchID: "m1", OutTradeNo: "T-77", NotifyType: "refund",
			State: store.Pending, NextAt: after.NextAt, Sends: 4,
		})
	}
	e.diff("settled attempts", want, got)

	e.Advance(time.Hour + tick)
	lost := e.claimID("m1", id)
	e.lose()
	e.settleLate(lost)
	got, _ = e.follow(cursor, plenty)
	if len(got) != 2 || got[0].Verdict != store.Interrupted || got[1].State != store.Spent || got[1].N != 4 {
		e.Fatalf("after a lost claim and its late acknowledgement: %+v", got)
	}
}

func followConcurrent(e *env) {
	const lanes, each = 4, 25
	_, cursor := e.follow("", plenty)
	for i := range lanes {
		lane := fmt.Sprintf("m%d", i)
		e.merchant(lane, nil)
		e.add(lane, each)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		together(lanes, func(i int) {
			lane := fmt.Sprintf("m%d", i)
			for range each {
				cs, err := e.Store.Claim(e.ctx, lane, 1, lease)
				if err != nil || len(cs.Items) != 1 {
					e.Errorf("Claim: %d, %v", len(cs.Items), err)
					return
				}
				ss := []store.Settlement{settlement(cs.Items[0], acked(cs.Items[0]))}
				if _, err = e.Store.Settle(e.ctx, ss); err != nil {
					e.Errorf("Settle: %v", err)
				}
			}
		})
	}()
	seen := map[string]bool{}
	for last := false; ; {
		page, next := e.follow(cursor, 7)
		for _, s := range page {
			if seen[s.NotifyID] {
				e.Fatalf("attempt of %s followed twice", s.NotifyID)
			}
			seen[s.NotifyID] = true
		}
		cursor = next
		if last && len(page) == 0 {
			break
		}
		select {
		case <-done:
			last = true
		default:
		}
	}
	if len(seen) != lanes*each {
		e.Fatalf("followed %d attempts of %d", len(seen), lanes*each)
	}
}

func followBadCursor(e *env) {
	for _, bad := range []string{"garbage", "!", " ", "\x00", "null"} {
		if _, _, err := e.Store.Attempts(e.ctx, bad, 10); !errors.Is(err, store.ErrBadCursor) {
			e.Fatalf("Attempts after %q: %v, want ErrBadCursor", bad, err)
		}
	}
}
