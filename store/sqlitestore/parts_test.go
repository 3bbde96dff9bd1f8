package sqlitestore

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
)

// TestPartsWhileSettling moves notifications from part to part, some of them new, while others list and
// count: at every instant each of them is in exactly one place.
func TestPartsWhileSettling(t *testing.T) {
	const n = 300
	ctx := context.Background()
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "p.db"), ReserveBytes: 1 << 12})
	importMerchants(t, s, "m")
	var claims []store.Claim
	for i := range n {
		item := store.Incoming{Want: i%2 == 0, Notification: moved("m", time.Now(), 0).Notification}
		item.NotifyURL = "https://own.example/"
		as, err := s.Accept(ctx, []store.Incoming{item}, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if as[0].Claim != nil {
			claims = append(claims, *as[0].Claim)
		}
	}
	cs, err := s.Claim(ctx, "m", n, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	claims = append(claims, cs.Items...)
	if len(claims) < n/2 {
		t.Fatalf("%d are claimed", len(claims))
	}
	var done atomic.Bool
	go func() {
		defer done.Store(true)
		for i, c := range claims {
			a := store.Attempt{Send: 1, Trigger: c.Trigger, Verdict: store.Verdicts[i%len(store.Verdicts)]}
			a.Reason = store.Reasons[i%len(store.Reasons)]
			o := store.Outcome{Attempt: a, State: store.States[i%len(store.States)]}
			if o.State == store.Spent {
				o.State = store.Pending
			}
			if o.State == store.Pending {
				o.NextAt, o.Hold = time.Now().Add(time.Hour), i%4 == 0
			}
			ss := []store.Settlement{{NotifyID: c.NotifyID, MchID: "m", Token: c.Token, Outcome: o}}
			if _, err := s.Settle(ctx, ss); err != nil {
				t.Error(err)
				return
			}
		}
	}()
	for last := false; !last; {
		last = done.Load()
		for _, q := range []store.Query{{MchID: "m", Limit: 500}, {Limit: 500}} {
			ns, _, err := s.List(ctx, q)
			if err != nil || len(ns) != n {
				t.Fatalf("a list of %d, want %d: %v", len(ns), n, err)
			}
			c, err := s.Count(ctx, q, 0)
			if err != nil || c.Total != n || c.ByMerchant["m"] != n {
				t.Fatalf("counted %+v, want %d: %v", c, n, err)
			}
		}
	}
}
