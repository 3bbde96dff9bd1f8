package dispatcher_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// staleOnce says of one request that its kept connection was dead, and makes all others.
type staleOnce struct {
	dispatcher.Poster
	done bool
}

func (s *staleOnce) Do(ctx context.Context, r *egress.Request) egress.Result {
	if s.done {
		return s.Poster.Do(ctx, r)
	}
	s.done = true
	return egress.Result{Fault: egress.ConnStale, Reused: true, Wrote: true}
}

// TestTracedSeesWhatIsStored checks that every attempt is told once, as the store keeps it: those on a stale
// connection and a person's too.
func TestTracedSeesWhatIsStored(t *testing.T) {
	var mu sync.Mutex
	var told []store.Attempt
	prepare := func(w *world) {
		w.withClient = func(p dispatcher.Poster) dispatcher.Poster { return &staleOnce{Poster: p} }
		w.traced = func(n *store.Notification, a *store.Attempt) {
			mu.Lock()
			defer mu.Unlock()
			if n.MchID != "m1" || n.OutTradeNo != "order" {
				t.Errorf("told of %q, %q", n.MchID, n.OutTradeNo)
			}
			told = append(told, *a)
		}
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1"})
		w.answer = func(_ *world, _ string, nth int, _ post) reply {
			return []reply{status(500), {status: 200, body: "fail", after: time.Second}, success()}[nth-1]
		}
		id := w.accept("m1", "order")[0]
		w.pass(5 * time.Minute)
		if _, err := w.d.Store.Resend(t.Context(), id, store.Resend, false); err != nil {
			t.Fatal(err)
		}
		w.d.Nudge()
		w.pass(time.Minute)
		n, stored := w.get(id)
		mu.Lock()
		defer mu.Unlock()
		if len(stored) != 4 || n.State != store.Spent {
			t.Fatalf("%d attempts, %s", len(stored), n.State)
		}
		charged := []bool{false, true, true, false}
		for i := range stored {
			if stored[i].Charged != charged[i] {
				t.Errorf("attempt %d: charged %t", i+1, stored[i].Charged)
			}
		}
		if diff := cmp.Diff(stored, told); diff != "" {
			t.Errorf("stored and told differ: %s", diff)
		}
		if told[2].Phases.FirstByte != time.Second {
			t.Errorf("the merchant thought for 1s, the phases say %+v", told[2].Phases)
		}
	})
}
