package redisstore

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
)

// large is an item with an order number, a key and a digest of the usual greatest length.
func large(mchID, key string) store.Incoming {
	in := item(mchID)
	in.OutTradeNo = strings.Repeat("4", store.OutTradeNoCharsMax)
	in.IdempotencyKey = key + strings.Repeat("k", 36-len(key))
	in.ContentDigest = bytes.Repeat([]byte{0xd5}, 32)
	in.NotifyURL = "https://shop.example/other/notify?source=paynotify"
	in.TraceParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	return in
}

func (r *rig) shrinks(want int) {
	r.Helper()
	n, err := r.Shrink(r.Context(), r.Now(), 1000)
	r.must(err)
	if n != want {
		r.Fatalf("Shrink shrank %d, want %d", n, want)
	}
}

func TestShrink(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	r.merchants("m1")
	in := large("m1", "a")
	as := r.accept(in, item("m1"), item("m1"))
	r.settle(ack, as[0])
	r.settle(give, as[1])
	id := as[0].NotifyID
	before, attempts, err := r.Get(t.Context(), id)
	if err != nil || len(attempts) != 1 {
		t.Fatalf("Get: %d attempts, %v", len(attempts), err)
	}
	if n, err := r.Shrink(t.Context(), before.SpentAt, 1000); n != 0 || err != nil {
		t.Fatalf("Shrink at the very instant: %d, %v", n, err)
	}
	r.advance(time.Hour)
	r.shrinks(1)
	r.shrinks(0)

	want := before
	want.Shrunk, want.Params, want.NotifyURL, want.TraceParent = true, nil, "", ""
	got, attempts, err := r.Get(t.Context(), id)
	r.must(err)
	if d := cmp.Diff(want, got); d != "" || len(attempts) != 0 {
		t.Errorf("shrunk, with %d attempts (-want +got):\n%s", len(attempts), d)
	}
	r.lists(store.Query{State: store.Spent}, []string{id})
	r.lists(store.Query{Verdict: store.Acked, MchID: "m1"}, []string{id})
	r.lists(store.Query{OutTradeNo: in.OutTradeNo}, []string{id})
	r.lists(store.Query{}, idsOfAll(as))
	stats, err := r.Stats(t.Context())
	if err != nil || stats.States[store.Spent] != 1 {
		t.Errorf("Stats: %+v, %v; want 1 spent", stats, err)
	}

	in.Want = false
	again, err := r.Accept(t.Context(), []store.Incoming{in}, rigLease)
	if err != nil || again[0].Status != store.Replayed || again[0].NotifyID != id {
		t.Errorf("the same again: %+v, %v; want a replay", again, err)
	}
	if n, err := r.ByKey(t.Context(), "m1", in.IdempotencyKey); err != nil || n.NotifyID != id {
		t.Errorf("ByKey: %s, %v", n.NotifyID, err)
	}
	in.ContentDigest = bytes.Repeat([]byte{0xd6}, 32)
	if again, err = r.Accept(t.Context(), []store.Incoming{in}, rigLease); again[0].Status != store.Conflict {
		t.Errorf("another content: %+v, %v; want a conflict", again, err)
	}
	if _, err := r.Resend(t.Context(), id, store.Resend, true); !errors.Is(err, store.ErrShrunk) {
		t.Errorf("Resend: %v, want ErrShrunk", err)
	}
	late := as[0]
	late.Claim.ClaimedAt = late.Claim.ClaimedAt.Add(time.Minute)
	r.settle(ack, late)
	after, attempts, err := r.Get(t.Context(), id)
	r.must(err)
	if d := cmp.Diff(want, after); d != "" || len(attempts) != 0 {
		t.Errorf("a late ack left %d attempts (-want +got):\n%s", len(attempts), d)
	}

	r.prune(0, 1000, 2)
	if _, err := r.ByKey(t.Context(), "m1", in.IdempotencyKey); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the key of a deleted one: %v, want ErrNotFound", err)
	}
	r.lists(store.Query{}, []string{as[2].NotifyID})
}

// A person's send that is owed needs the parameters.
func TestShrinkLeavesWhatIsOwed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1")
	ids := r.spend(item("m1"), item("m1"))
	_, err := r.Resend(t.Context(), ids[0], store.Resend, true)
	r.must(err)
	r.advance(time.Hour)
	r.shrinks(1)
	claims, err := r.Claim(t.Context(), "m1", 1, rigLease)
	if err != nil || len(claims.Items) != 1 || len(claims.Items[0].Params) == 0 {
		t.Fatalf("Claim after Shrink: %+v, %v", claims, err)
	}
	r.shrinks(0)
}

// shrunkSizes are the mch_ids with which a shrunk record must keep to its size, and what it keeps of what it
// need not: an order number of 64 characters, a key of 36 and a digest of 32 bytes leave so much room.
func TestShrunkSize(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mchID          string
		keepsType      bool
		keepsSchedule  bool
		staysWithinMax bool
	}{
		{strings.Repeat("m", 10), true, true, true},
		{strings.Repeat("m", 26), true, true, true},
		{strings.Repeat("m", 36), false, true, true},
		{strings.Repeat("m", 49), false, false, true},
		{strings.Repeat("m", 64), false, false, false},
	} {
		r := newRig(t, 1)
		r.merchants(c.mchID)
		as := r.accept(large(c.mchID, "a"))
		r.advance(25 * time.Hour) // the last send of the longest schedule: the longest distances in time
		as[0].Claim.ClaimedAt = r.Now()
		r.settle(ack, as...)
		r.advance(time.Hour)
		r.shrinks(1)
		n, _, err := r.Get(t.Context(), as[0].NotifyID)
		r.must(err)
		if (n.NotifyType != "") != c.keepsType || (n.Schedule != "") != c.keepsSchedule {
			t.Errorf("mch_id of %d: kept notify_type %q and schedule %q", len(c.mchID), n.NotifyType, n.Schedule)
		}
		size := int(r.rdb.StrLen(t.Context(), r.prefix(0)+"n:"+as[0].NotifyID).Val())
		t.Logf("mch_id of %d characters: %d bytes", len(c.mchID), size)
		if (size <= shrunkBytesMax) != c.staysWithinMax {
			t.Errorf("mch_id of %d: a shrunk record takes %d bytes", len(c.mchID), size)
		}
	}
}

// TestShrunkMemory names what a shrunk notification costs in Redis, index by index. The bounds are about a
// tenth above what Redis 7.0 takes.
func TestShrunkMemory(t *testing.T) {
	t.Parallel()
	const many = 2000
	r := newRig(t, 1)
	r.merchants("m1")
	for batch := range many / 500 {
		items := make([]store.Incoming, 500)
		for i := range items {
			items[i] = large("m1", fmt.Sprintf("%d-", batch*500+i))
			items[i].OutTradeNo = fmt.Sprintf("%064d", batch*500+i)
		}
		r.spend(items...)
	}
	r.advance(time.Hour)
	for left := many; left > 0; left -= 1000 {
		r.shrinks(1000)
	}
	usage := func(pattern string) (bytes int64) {
		for _, key := range r.keys(pattern) {
			bytes += toInt(r.server.MustDo("MEMORY", "USAGE", r.prefix(0)+key, "SAMPLES", 0))
		}
		return bytes
	}
	record := usage("n:" + r.listed(store.Query{Limit: 500})[0])
	total := record
	t.Logf("record n:ID with its key: %d", record)
	for _, index := range []struct {
		key  string
		name string
		most int64 // a notification
	}{
		{"t:m1:511", "partition of the list", 150},
		{"o:*", "order numbers", 150},
		{"k:m1", "idempotency key", 150},
	} {
		each := usage(index.key) / many
		total += each
		t.Logf("%s %s: %d", index.name, index.key, each)
		if each <= 0 || each > index.most {
			t.Errorf("%s takes %d bytes a notification, want 1–%d", index.key, each, index.most)
		}
	}
	t.Logf("together: %d", total)
	if record > 400 {
		t.Errorf("a shrunk record takes %d bytes of memory, at most 400", record)
	}
}
