package redisstore

import (
	"testing"
	"time"

	"paynotify/store"
)

// Two versions may run side by side while nodes are replaced: what the newer one wrote the older one leaves
// alone, in its place in the schedule, and goes on with the rest.
func TestNewerRecords(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.merchants("m1")
	version := func(id string, v byte) {
		t.Helper()
		r.server.MustDo("SETRANGE", r.prefix(shardOf("m1", 2))+"n:"+id, 0, string([]byte{v}))
	}
	var ids []string
	for range 3 {
		waiting := item("m1")
		waiting.Want = false
		ids = append(ids, r.accept(waiting)[0].NotifyID)
	}
	version(ids[0], recordVersion+1)
	version(ids[2], recordVersion+1)
	claims := func() store.Claims {
		t.Helper()
		r.shift.Add(int64(time.Second))
		cs, err := r.Claim(t.Context(), "m1", 10, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		return cs
	}
	cs := claims()
	if len(cs.Items) != 1 || cs.Items[0].NotifyID != ids[1] || cs.Newer != 2 || len(cs.Quarantined) != 0 {
		t.Fatalf("claimed %d, %d newer, %d quarantined; want the second one",
			len(cs.Items), cs.Newer, len(cs.Quarantined))
	}
	if cs.Lane != store.LaneIdle || cs.Next.Before(r.Now()) {
		t.Errorf("lane %d has work again at %v, and it is %v: it would be looked at all the time",
			cs.Lane, cs.Next, r.Now())
	}
	if _, _, err := r.Get(t.Context(), ids[0]); err == nil {
		t.Error("a record that cannot be read is shown")
	}
	version(ids[0], recordVersion)
	version(ids[2], recordVersion)
	if cs = claims(); len(cs.Items) != 2 || cs.Newer != 0 {
		t.Errorf("the newer version finds %d of its 2, %d newer ones", len(cs.Items), cs.Newer)
	}
}
