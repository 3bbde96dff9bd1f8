package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
)

// moveIn gives a notification another notify_id, as if it had been accepted by a store where its merchant
// belonged to another shard.
func (r *rig) moveIn(id string, letter byte) string {
	r.Helper()
	rec, shard, err := r.load(r.Context(), id)
	r.must(err)
	moved := id[:10] + string(letter) + id[11:]
	p, mch := r.prefix(shard), rec.n.MchID
	r.server.MustDo("RENAME", p+"n:"+id, p+"n:"+moved)
	order := orderKey(otnScore(rec.n.OutTradeNo))
	for _, set := range []string{"t:" + mch + ":" + rec.part(), "d1:" + mch, "c:" + mch, order} {
		if score, _ := r.server.Do("ZSCORE", p+set, id); score != nil {
			r.server.MustDo("ZREM", p+set, id)
			r.server.MustDo("ZADD", p+set, score, moved)
		}
	}
	if rec.n.IdempotencyKey != "" {
		r.server.MustDo("HSET", p+"k:"+mch, keyField(rec.n.IdempotencyKey), moved)
	}
	return moved
}

func TestMovedIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	r.merchants("m1", "m2")
	var moved []string
	for i, letter := range "0123z" { // the last one is no shard of this store
		in := item("m1")
		in.Want, in.OutTradeNo, in.IdempotencyKey = false, "T", fmt.Sprint(i)
		moved = append(moved, r.moveIn(r.accept(in)[0].NotifyID, byte(letter)))
	}
	for i, id := range moved {
		n, _, err := r.Get(t.Context(), id)
		if err != nil || n.NotifyID != id || n.MchID != "m1" {
			t.Errorf("Get(%s): %+v, %v", id, n, err)
		}
		if n, err = r.ByKey(t.Context(), "m1", fmt.Sprint(i)); err != nil || n.NotifyID != id {
			t.Errorf("ByKey: %s, %v; want %s", n.NotifyID, err, id)
		}
	}
	for _, limit := range []int{2, 50} {
		r.lists(store.Query{Limit: limit}, moved)
		r.lists(store.Query{Limit: limit, OutTradeNo: "T"}, moved)
	}
	for _, id := range moved {
		if _, err := r.Cancel(t.Context(), id); err != nil {
			t.Errorf("Cancel(%s): %v", id, err)
		}
	}
	r.lists(store.Query{State: store.Canceled}, moved)
	r.prune(time.Hour, 100, len(moved))
	r.lists(store.Query{}, nil)
	if _, _, err := r.Get(t.Context(), moved[0]); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("Get of a deleted one: %v", err)
	}
}

// Follow sees every attempt of all shards once, and those of one notification in their order.
func TestFollowOverShards(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5)
	_, start, err := r.Attempts(t.Context(), "", 10)
	r.must(err)
	want := map[string]int{}
	for i := range 12 {
		name := fmt.Sprintf("m%d", i)
		r.merchants(name)
		for range 3 {
			as := r.accept(item(name))
			stale := try(*as[0].Claim, store.ConnectError, store.ConnStale)
			stale.Charged = false
			r.settle(func(c store.Claim) store.Outcome {
				o := again(c)
				o.Stale = &stale
				return o
			}, as...)
			want[as[0].NotifyID] = 2
		}
	}
	got := map[string]int{}
	for cursor, s := start, r.Store; ; s = r.another() {
		page, next, err := s.Attempts(t.Context(), cursor, 7)
		r.must(err)
		if len(page) > 7 {
			t.Fatalf("a page of %d, asked for 7", len(page))
		}
		for _, a := range page {
			if got[a.NotifyID]++; a.N != got[a.NotifyID] || a.NextAt.IsZero() || a.State != store.Pending {
				t.Errorf("attempt %d of %s comes as number %d: %+v", a.N, a.NotifyID, got[a.NotifyID], a)
			}
		}
		if cursor = next; len(page) == 0 {
			break
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("attempts (-want +got):\n%s", d)
	}

	for id := range want { // what is gone, and what has no attempts any more, is left out
		_, err := r.Cancel(t.Context(), id)
		r.must(err)
	}
	kept := r.spend(item("m0"))
	r.prune(time.Hour, 1000, len(want)+1)
	page, _, err := r.Attempts(t.Context(), start, 1000)
	if err != nil || len(page) != 0 {
		t.Errorf("%d attempts of deleted notifications, %v", len(page), err)
	}
	r.spend(item("m0"))
	r.advance(time.Hour)
	if n, err := r.Shrink(t.Context(), r.Now(), 10); n != 1 || err != nil {
		t.Fatalf("Shrink: %d, %v", n, err)
	}
	if page, _, err = r.Attempts(t.Context(), start, 1000); err != nil || len(page) != 0 {
		t.Errorf("%d attempts of %v and one that was shrunk, %v", len(page), kept, err)
	}
}

// A cursor of a store with another number of shards is none of ours.
func TestFollowCursorOfAnother(t *testing.T) {
	t.Parallel()
	_, cursor, err := newRig(t, 3).Attempts(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err = newRig(t, 4).Attempts(t.Context(), cursor, 1); !errors.Is(err, store.ErrBadCursor) {
		t.Errorf("%v, want ErrBadCursor", err)
	}
}

// When somebody emptied Redis nothing pretends that there never was anything.
func TestReadEmptied(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.merchants("m1")
	id := r.spend(item("m1"))[0]
	_, cursor, err := r.Attempts(t.Context(), "", 1)
	r.must(err)
	r.server.Flush(r.o.Prefix + "*")
	for name, ask := range map[string]func() error{
		"Get":   func() error { _, _, err := r.Get(t.Context(), id); return err },
		"ByKey": func() error { _, err := r.ByKey(t.Context(), "m1", "k"); return err },
		"List":  func() error { _, _, err := r.List(t.Context(), store.Query{}); return err },
		"List by number": func() error {
			_, _, err := r.List(t.Context(), store.Query{OutTradeNo: "T"})
			return err
		},
		"List of one": func() error { _, _, err := r.List(t.Context(), store.Query{MchID: "m1"}); return err },
		"Attempts":    func() error { _, _, err := r.Attempts(t.Context(), cursor, 1); return err },
		"from now on": func() error { _, _, err := r.Attempts(t.Context(), "", 1); return err },
		"Stats":       func() error { _, err := r.Stats(t.Context()); return err },
		"Prune":       func() error { _, err := r.Prune(t.Context(), r.Now(), r.Now(), 10); return err },
		"Shrink":      func() error { _, err := r.Shrink(t.Context(), r.Now(), 10); return err },
	} {
		if err := ask(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s of an emptied store: %v, want ErrUnavailable", name, err)
		}
	}
}

// A damaged record is shown as far as it can be read, and retention takes it like any other.
func TestReadDamaged(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1")
	in := item("m1")
	in.OutTradeNo = "T"
	ids := r.spend(in, in, in)
	damage(t, r.Store, ids[1])
	n, attempts, err := r.Get(t.Context(), ids[1])
	if err != nil || n.State != store.Spent || len(attempts) != 1 {
		t.Errorf("Get: %s with %d attempts, %v", n.State, len(attempts), err)
	}
	r.lists(store.Query{State: store.Spent}, ids)
	r.prune(time.Hour, 10, 3)
	if left := r.keys("[ntbo]:*"); len(left) != 0 {
		t.Errorf("left: %s", strings.Join(left, " "))
	}
}

// While a shard does not answer, the attempts of the others are followed, and a list is not given without it.
func TestReadWithoutShard(t *testing.T) {
	t.Parallel()
	r := newRig(t, 4)
	_, start, err := r.Attempts(t.Context(), "", 1)
	r.must(err)
	down := shardOf("m0", 4)
	other := 1
	for shardOf(fmt.Sprintf("m%d", other), 4) == down {
		other++
	}
	name := fmt.Sprintf("m%d", other)
	r.merchants("m0", name)
	r.spend(item("m0"))
	id := r.spend(item(name))[0]
	meta := r.prefix(down) + "meta"
	r.server.MustDo("RENAME", meta, meta+"-away")
	page, cursor, err := r.Attempts(t.Context(), start, 10)
	if err != nil || len(page) != 1 || page[0].NotifyID != id {
		t.Errorf("without a shard: %d attempts, %v; want that of %s", len(page), err, id)
	}
	if _, _, err := r.List(t.Context(), store.Query{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("List without a shard: %v, want ErrUnavailable", err)
	}
	r.lists(store.Query{MchID: name}, []string{id})
	r.server.MustDo("RENAME", meta+"-away", meta)
	page, _, err = r.Attempts(t.Context(), cursor, 10)
	if err != nil || len(page) != 1 || page[0].MchID != "m0" {
		t.Errorf("with the shard again: %d attempts, %v; want that of m0", len(page), err)
	}
}
