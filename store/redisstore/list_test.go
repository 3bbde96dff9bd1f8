package redisstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/store"
)

// Lists over all merchants put together what lies in several shards; what a deleted merchant leaves, and what
// was shrunk, is among it.
func TestListOverShards(t *testing.T) {
	t.Parallel()
	r := newRig(t, 7)
	all, spent, ofGone := []string{}, []string{}, []string{}
	for i := range 20 {
		name := fmt.Sprintf("m%d", i)
		r.merchants(name)
		ids := r.spend(item(name), item(name))
		spent = append(spent, ids...)
		r.advance(time.Minute)
		if i%4 == 0 {
			ofGone = append(ofGone, ids...)
			r.must(r.DeleteMerchant(t.Context(), name))
			continue
		}
		as := r.accept(item(name), item(name), item(name))
		r.settle(again, as[0])
		r.settle(give, as[1])
		all = append(all, idsOfAll(as)...)
	}
	all = append(all, spent...)
	if n, err := r.Shrink(t.Context(), r.Now(), 9); n != 9 || err != nil {
		t.Fatalf("Shrink: %d, %v", n, err)
	}
	for _, limit := range []int{1, 7, 50, 500} {
		r.lists(store.Query{Limit: limit}, all)
		r.lists(store.Query{Limit: limit, State: store.Spent}, spent)
		r.lists(store.Query{Limit: limit, Reason: store.AckExact}, spent)
		r.lists(store.Query{Limit: limit, MchID: "m0"}, ofGone[:2])
	}
}

// More lanes in one shard than one script looks at.
func TestListOverManyLanes(t *testing.T) {
	t.Parallel()
	const lanes = 700
	r := newRig(t, 1)
	var as []store.Accepted
	for i := range lanes {
		name := fmt.Sprintf("m-%d", i*7919%lanes)
		r.merchants(name)
		as = append(as, r.accept(item(name))...)
	}
	ids := idsOfAll(as)
	for i := 0; i < lanes; i += 2 { // the deleted ones lie behind the others
		r.settle(give, as[i])
		r.must(r.DeleteMerchant(t.Context(), as[i].Claim.MchID))
	}
	for _, limit := range []int{30, 500} {
		r.lists(store.Query{Limit: limit}, ids)
		r.lists(store.Query{Limit: limit, State: store.Pending, Held: "false"}, odd(ids))
	}
	stats, err := r.Stats(t.Context())
	r.must(err)
	if stats.States[store.Pending] != lanes/2 || stats.States[store.Exhausted] != lanes/2 ||
		stats.InFlight != lanes/2 || stats.Merchants.Active != lanes/2 {
		t.Errorf("Stats: %+v, want %d pending, exhausted and in flight", stats, lanes/2)
	}
	r.prune(time.Hour, 1000, lanes/2)
	r.lists(store.Query{}, odd(ids))
}

func odd(ids []string) (out []string) {
	for i := 1; i < len(ids); i += 2 {
		out = append(out, ids[i])
	}
	return out
}

// Order numbers may be anybody's, and may share a score: the record says which it is.
func TestListByOrderNumber(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	var same, ofOne []string
	for i := range 90 {
		name := fmt.Sprintf("m%d", i%3)
		if i < 3 {
			r.merchants(name)
		}
		in := item(name)
		if in.OutTradeNo = "T-1"; i%10 == 0 {
			in.OutTradeNo = "T-2"
		}
		id := r.accept(in)[0].NotifyID
		if i%10 == 0 { // as if it had the same hash
			p := r.prefix(shardOf(name, 3))
			r.server.MustDo("ZREM", p+orderKey(otnScore("T-2")), id)
			r.server.MustDo("ZADD", p+orderKey(otnScore("T-1")), otnScore("T-1"), id)
			continue
		}
		if same = append(same, id); name == "m1" {
			ofOne = append(ofOne, id)
		}
	}
	for _, limit := range []int{1, 8, 100} {
		r.lists(store.Query{Limit: limit, OutTradeNo: "T-1"}, same)
		r.lists(store.Query{Limit: limit, OutTradeNo: "T-1", MchID: "m1"}, ofOne)
		r.lists(store.Query{Limit: limit, OutTradeNo: "T-2"}, nil)
	}
	from, _, err := r.Get(t.Context(), same[20])
	r.must(err)
	to, _, err := r.Get(t.Context(), same[50])
	r.must(err)
	q := store.Query{Limit: 4, OutTradeNo: "T-1", CreatedFrom: from.CreatedAt, CreatedTo: to.CreatedAt}
	r.lists(q, same[20:50])
}

// While notifications change all the time, a list of all of them shows each once.
func TestListWhileSettling(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	var as []store.Accepted
	for i := range 8 {
		name := fmt.Sprintf("m%d", i)
		r.merchants(name)
		as = append(as, r.accept(slices.Repeat([]store.Incoming{item(name)}, 40)...)...)
	}
	ids := idsOfAll(as)
	order := rand.New(rand.NewPCG(1, 2)).Perm(len(as))
	done := make(chan error, 1)
	go func() {
		for _, i := range order {
			c := as[i].Claim
			_, err := r.Settle(t.Context(), []store.Settlement{{
				NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: ack(*c),
			}})
			if err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	for settling := true; settling; {
		select {
		case err := <-done:
			r.must(err)
			settling = false
		default:
		}
		r.lists(store.Query{Limit: 50}, ids)
	}
	r.lists(store.Query{State: store.Spent}, ids)
}

// What nothing can match costs no script, and no strange instant breaks a list.
func TestListLimits(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1")
	ids := r.spend(item("m1"), item("m1"))
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	old := time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		q    store.Query
		want []string
	}{
		{store.Query{State: "lost"}, nil},
		{store.Query{Verdict: "0"}, nil},
		{store.Query{Reason: "."}, nil},
		{store.Query{Held: "perhaps"}, nil},
		{store.Query{Held: store.HeldBreakerOpen}, nil},
		{store.Query{State: store.Spent, Held: "true"}, nil},
		{store.Query{CreatedFrom: far}, nil},
		{store.Query{CreatedTo: old}, nil},
		{store.Query{CreatedFrom: old, CreatedTo: far}, ids},
		{store.Query{MchID: "m1:acked"}, nil},
		{store.Query{MchID: "*"}, nil},
		{store.Query{Limit: -1}, ids},
		{store.Query{Limit: 10_000}, ids},
	} {
		r.lists(c.q, c.want)
	}
	n, _, err := r.Get(t.Context(), ids[1])
	r.must(err)
	r.lists(store.Query{CreatedTo: n.CreatedAt}, ids[:1])
	r.lists(store.Query{CreatedTo: n.CreatedAt.Add(time.Nanosecond)}, ids)
	r.lists(store.Query{CreatedFrom: n.CreatedAt}, ids[1:])
	r.lists(store.Query{CreatedFrom: n.CreatedAt.Add(time.Nanosecond)}, nil)
}

// FuzzCursors: no text is taken for a cursor but those that we made.
func FuzzCursors(f *testing.F) {
	id := store.NewID(time.Now(), 3)
	at := []entryAt{{1763700000000, 3}, {}, {1763700000001, 0}}
	f.Add(cursorOf(kindList, id))
	f.Add(followCursor(at))
	f.Add("")
	f.Add("n" + strings.Repeat("z", 30))
	f.Fuzz(func(t *testing.T, text string) {
		filter, err := newFilter(store.Query{Cursor: text, Limit: 1}, 4)
		if text != "" && err == nil && cursorOf(kindList, filter.below) != text {
			t.Errorf("%q is taken for a cursor", text)
		}
		if err != nil && !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("%q: %v", text, err)
		}
		got, err := parseFollowCursor(text, len(at))
		if err != nil && !errors.Is(err, store.ErrBadCursor) {
			t.Errorf("%q: %v", text, err)
		}
		if err == nil && len(got) != len(at) {
			t.Errorf("%q gives %v", text, got)
		}
	})
}
