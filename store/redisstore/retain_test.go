package redisstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/redis"
)

// rig is a store of its own prefix on the shared server, with a clock that can be moved and short words for
// what tests of the read side do.
type rig struct {
	testing.TB
	*Store

	server *redis.Server
	o      Options
	shift  *atomic.Int64
}

const rigLease = time.Minute

func newRig(t testing.TB, shards int) *rig {
	t.Helper()
	r := &rig{TB: t, server: redis.Shared(t), shift: &atomic.Int64{}}
	r.o = Options{
		URL: r.server.URL(), Prefix: fmt.Sprintf("rig%d:", prefixes.Add(1)), Shards: shards,
		MaxInflightDefault: 1000, Shift: func() time.Duration { return time.Duration(r.shift.Load()) },
	}
	t.Cleanup(func() { r.server.Flush(r.o.Prefix + "*") })
	r.Store = open(t, r.o)
	return r
}

// another is a second process on the same store.
func (r *rig) another() *Store { return open(r, r.o) }

func (r *rig) advance(d time.Duration) { r.shift.Add(int64(d)) }

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) merchants(names ...string) {
	r.Helper()
	for _, name := range names {
		_, err := r.CreateMerchant(r.Context(), store.Merchant{
			MchID: name, Profile: "form", NotifyURL: "https://shop.example/notify",
		})
		r.must(err)
	}
}

// item is a notification with 600 bytes of parameters that is to be claimed at once.
func item(mchID string) store.Incoming {
	return store.Incoming{Want: true, Notification: store.Notification{
		MchID: mchID, Profile: "alipay", Schedule: "alipay", NotifyType: "trade_status_sync",
		Params: json.RawMessage(`{"trade_no":"2026112122001","subject":"` + strings.Repeat("x", 560) + `"}`),
	}}
}

// accept stores items, each of which must be new and claimed if it wants to be.
func (r *rig) accept(items ...store.Incoming) []store.Accepted {
	r.Helper()
	as, err := r.Accept(r.Context(), items, rigLease)
	r.must(err)
	for i, a := range as {
		if a.Status != store.New || items[i].Want != (a.Claim != nil) {
			r.Fatalf("item %d of %s: status %d, claimed %v", i, items[i].MchID, a.Status, a.Claim != nil)
		}
	}
	r.advance(time.Millisecond)
	return as
}

// settle ends claims with one outcome.
func (r *rig) settle(outcome func(c store.Claim) store.Outcome, as ...store.Accepted) {
	r.Helper()
	ss := make([]store.Settlement, len(as))
	for i, a := range as {
		ss[i] = store.Settlement{
			NotifyID: a.NotifyID, MchID: a.Claim.MchID, Token: a.Claim.Token, Outcome: outcome(*a.Claim),
		}
	}
	_, err := r.Settle(r.Context(), ss)
	r.must(err)
}

func try(c store.Claim, v store.Verdict, why store.Reason) store.Attempt {
	return store.Attempt{
		Send: c.Send, Charged: true, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt, StartedAt: c.ClaimedAt,
		Duration: 3 * time.Millisecond, Verdict: v, Reason: why, Status: 200, Reply: []byte("success"),
		RemoteAddr: "192.0.2.1:443", RequestSHA256: strings.Repeat("0f", 32),
	}
}

func ack(c store.Claim) store.Outcome {
	return store.Outcome{Attempt: try(c, store.Acked, store.AckExact)}
}

func give(c store.Claim) store.Outcome {
	return store.Outcome{Attempt: try(c, store.Timeout, store.TimeoutHeaders), State: store.Exhausted}
}

// again refuses, with an hour to wait.
func again(c store.Claim) store.Outcome {
	next := c.ClaimedAt.Add(time.Hour)
	return store.Outcome{
		Attempt: try(c, store.Refused, store.AckHTML), State: store.Pending, NextAt: next, PlannedAt: next,
	}
}

// spend accepts items and has them acknowledged.
func (r *rig) spend(items ...store.Incoming) []string {
	r.Helper()
	as := r.accept(items...)
	r.settle(ack, as...)
	return idsOfAll(as)
}

func idsOfAll(as []store.Accepted) []string {
	ids := make([]string, len(as))
	for i, a := range as {
		ids[i] = a.NotifyID
	}
	return ids
}

// listed follows a query to its end, by pages.
func (r *rig) listed(q store.Query) []string {
	r.Helper()
	ids := []string{}
	for {
		page, next, err := r.List(r.Context(), q)
		r.must(err)
		for i := range page {
			ids = append(ids, page[i].NotifyID)
		}
		if next == "" {
			return ids
		}
		q.Cursor = next
	}
}

// lists wants a query to give exactly these, which stand oldest first.
func (r *rig) lists(q store.Query, want []string) {
	r.Helper()
	want = slices.Clone(want)
	slices.Sort(want)
	slices.Reverse(want)
	if got := r.listed(q); !slices.Equal(got, want) {
		r.Errorf("List(%+v) gives %d\n%v\nwant %d\n%v", q, len(got), got, len(want), want)
	}
}

// keys are the keys of the store that match a pattern behind the prefix of any shard.
func (r *rig) keys(pattern string) []string {
	r.Helper()
	found := r.server.MustDo("KEYS", r.o.Prefix+"{s*}:"+pattern)
	var keys []string
	for _, k := range toList(found) {
		_, key, _ := strings.Cut(toText(k), "}:")
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (r *rig) prune(before time.Duration, most, want int) {
	r.Helper()
	at := r.Now().Add(before)
	got, err := r.Prune(r.Context(), at, at, most)
	r.must(err)
	if got != want {
		r.Errorf("Prune deleted %d, want %d", got, want)
	}
}

// After everything was deleted nothing may be left that grows with what was stored.
func TestPruneLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	var items []store.Incoming
	for i := range 6 {
		name := fmt.Sprintf("m%d", i)
		r.merchants(name)
		for k := range 4 {
			in := item(name)
			in.OutTradeNo, in.IdempotencyKey = fmt.Sprintf("T%d", k), fmt.Sprintf("key-%d", k)
			items = append(items, in)
		}
	}
	as := r.accept(items...)
	r.settle(ack, as[:8]...)
	r.settle(give, as[8:16]...)
	r.settle(again, as[16:]...)
	for _, a := range as[16:] {
		_, err := r.Cancel(t.Context(), a.NotifyID)
		r.must(err)
	}
	r.advance(time.Hour)
	n, err := r.Shrink(t.Context(), r.Now(), 4)
	if err != nil || n != 4 {
		t.Fatalf("Shrink: %d, %v; want 4", n, err)
	}
	for i := range 6 {
		r.must(r.DeleteMerchant(t.Context(), fmt.Sprintf("m%d", i)))
	}
	r.prune(0, 1000, len(items))
	r.prune(0, 1000, 0) // goes past the merchants that are empty now
	for _, key := range r.keys("*") {
		switch kind, name, _ := strings.Cut(key, ":"); {
		case kind == "l":
			lane := r.rdb.HGetAll(t.Context(), r.prefix(shardOf(name, 3))+key).Val()
			if len(lane) != 2 || lane["rv"] == "" || lane["dl"] != "1" {
				t.Errorf("of the lane %s is left %v, want rv and dl", name, lane)
			}
		case key == "meta", key == "log", key == "snd", key == "nodes":
		default:
			t.Errorf("%s is left", key)
		}
	}
	stats, err := r.Stats(t.Context())
	r.must(err)
	if stats.States[store.Spent] != 0 || len(stats.PendingBySend) != 0 {
		t.Errorf("Stats of an empty store: %+v", stats)
	}
}

// A merchant that is created again goes on from the revision it had, so that what was computed from the old
// one does not count for the new one.
func TestPruneKeepsRevision(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1")
	for range 3 {
		_, err := r.UpdateMerchant(t.Context(), "m1", func(m *store.Merchant) error { m.Name += "x"; return nil })
		r.must(err)
	}
	before, err := r.Merchant(t.Context(), "m1")
	r.must(err)
	r.must(r.DeleteMerchant(t.Context(), "m1"))
	r.prune(0, 10, 0)
	if gone := r.keys("gone"); len(gone) != 0 {
		t.Fatalf("the deleted merchant is still listed in %v", gone)
	}
	r.merchants("m1")
	after, err := r.Merchant(t.Context(), "m1")
	r.must(err)
	if after.Revision <= before.Revision {
		t.Errorf("revision %d after %d", after.Revision, before.Revision)
	}
	r.lists(store.Query{}, r.spend(item("m1")))
}

// What retention leaves: a person's send that is owed, an attempt under way, what became final late.
func TestPruneLeavesWhatIsOwed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1", "m2")
	ids := r.spend(item("m1"), item("m1"), item("m2"))
	late := r.accept(item("m1"))
	_, err := r.Resend(t.Context(), ids[0], store.Resend, true)
	r.must(err)
	_, err = r.Resend(t.Context(), ids[2], store.Resend, true)
	r.must(err)
	r.advance(time.Second)
	claims, err := r.Claim(t.Context(), "m2", 1, rigLease)
	if err != nil || len(claims.Items) != 1 {
		t.Fatalf("Claim: %+v, %v", claims, err)
	}
	r.advance(time.Hour)
	late[0].Claim.ClaimedAt = r.Now()
	r.settle(give, late...)
	r.prune(-time.Minute, 100, 1)
	r.lists(store.Query{}, []string{ids[0], ids[2], late[0].NotifyID})
}

// Old notifications that stay must not hide those behind them, however small the steps are.
func TestPruneGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1", "m2", "m3")
	var stay []store.Accepted
	old := 0
	for i := range 60 {
		name := fmt.Sprintf("m%d", 1+i%3)
		if i%5 == 0 {
			r.spend(item(name))
			old++
		} else {
			stay = append(stay, r.accept(item(name))...)
		}
	}
	r.advance(time.Hour)
	for i := range stay {
		stay[i].Claim.ClaimedAt = r.Now()
	}
	r.settle(ack, stay...)
	deleted := 0
	for range 100 {
		n, err := r.Prune(t.Context(), r.Now().Add(-time.Minute), time.Time{}, 2)
		r.must(err)
		if n > 2 {
			t.Fatalf("Prune deleted %d, at most 2", n)
		}
		if deleted += n; n == 0 {
			break
		}
	}
	if deleted != old {
		t.Errorf("%d deleted, want %d", deleted, old)
	}
	r.lists(store.Query{}, idsOfAll(stay))
}

func TestPruneByTwo(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	const many = 300
	for i := range many / 10 {
		name := fmt.Sprintf("m%d", i)
		r.merchants(name)
		r.spend(slices.Repeat([]store.Incoming{item(name)}, 10)...)
	}
	r.advance(time.Hour)
	at, total := r.Now(), atomic.Int64{}
	both := []*Store{r.Store, r.another()}
	done := make(chan error, len(both))
	for _, s := range both {
		go func() {
			for {
				n, err := s.Prune(context.Background(), at, at, 7)
				total.Add(int64(n))
				if n == 0 || err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range both {
		r.must(<-done)
	}
	if total.Load() != many {
		t.Errorf("two processes deleted %d, want %d", total.Load(), many)
	}
	if left := r.keys("[ntbk]:*"); len(left) != 0 {
		t.Errorf("%d keys are left: %v", len(left), left)
	}
}

// orderKey is the set of order numbers in which a score stands; see ORDERS in lua/clock.lua.
func orderKey(score int64) string { return fmt.Sprintf("o:%d", score/8796093022208) }
