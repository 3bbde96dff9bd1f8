package dispatcher_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// poisoned panics for one merchant.
type poisoned struct {
	dispatcher.Poster

	mch string
}

func (p poisoned) Do(ctx context.Context, r *egress.Request) egress.Result {
	if r.Pool == p.mch {
		panic("poison")
	}
	return p.Poster.Do(ctx, r)
}

func TestAPanicIsIsolatedAndQuarantinedAtTheThird(t *testing.T) {
	prepare := func(w *world) {
		w.withClient = func(p dispatcher.Poster) dispatcher.Poster { return poisoned{p, "m1"} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1"})
		w.merchant(store.Merchant{MchID: "m2"})
		bad := w.accept("m1", "1")[0]
		good := w.accept("m2", "1")[0]
		w.pass(time.Hour)
		n, attempts := w.get(bad)
		if n.State != store.Quarantined || n.NotifyCount != 0 || len(attempts) != 3 {
			t.Fatalf("%s, %d charged, %d attempts; want quarantined, none charged, 3", n.State, n.NotifyCount,
				len(attempts))
		}
		for i, wait := range []time.Duration{0, time.Second, 11 * time.Second} {
			if got := attempts[i].StartedAt.Sub(attempts[0].StartedAt).Round(time.Second); got != wait {
				t.Errorf("attempt %d after %v, want %v", i+1, got, wait)
			}
		}
		if n, _ := w.get(good); n.State != store.Spent {
			t.Errorf("the other merchant's is %s", n.State)
		}
	})
}

// cutOff is a client whose proxy does not work, in one way or another, while it is told so.
type cutOff struct {
	dispatcher.Poster

	broken *atomic.Bool
	sends  *atomic.Int32
}

func (c cutOff) Do(ctx context.Context, r *egress.Request) egress.Result {
	if !c.broken.Load() {
		return c.Poster.Do(ctx, r)
	}
	ways := []egress.Fault{egress.ConnRefused, egress.TimeoutConnect, egress.Unreachable, egress.DNSFailure}
	fault := ways[int(c.sends.Add(1))%len(ways)]
	return egress.Result{Fault: fault, Ours: true, Detail: "egress proxy: it does not work"}
}

func TestOurProxyChargesNobody(t *testing.T) {
	var broken atomic.Bool
	prepare := func(w *world) {
		w.withClient = func(p dispatcher.Poster) dispatcher.Poster { return cutOff{p, &broken, new(atomic.Int32)} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1"})
		broken.Store(true)
		id := w.accept("m1", "1")[0]
		w.pass(3 * time.Minute)
		n, attempts := w.get(id)
		if n.State != store.Pending || n.NotifyCount != 0 || len(attempts) != 6 {
			t.Fatalf("%s, %d charged, %d attempts; want pending, none charged, 6", n.State, n.NotifyCount,
				len(attempts))
		}
		for i, after := range []float64{0, 5, 15, 35, 75, 135} {
			a := attempts[i]
			if got := a.StartedAt.Sub(attempts[0].StartedAt).Round(time.Second); got.Seconds() != after ||
				a.Charged || a.Send != 1 || a.Detail == "" {
				t.Errorf("attempt %d: after %v, %+v", i+1, got, a)
			}
		}
		broken.Store(false)
		w.pass(time.Minute)
		if n, attempts := w.get(id); n.State != store.Spent || n.NotifyCount != 1 || len(attempts) != 7 {
			t.Errorf("%s, %d charged, %d attempts; want spent by the first send", n.State, n.NotifyCount,
				len(attempts))
		}
	})
}

func TestAProxyThatStaysAwayDoesNotKeepANotificationForEver(t *testing.T) {
	var broken atomic.Bool
	prepare := func(w *world) {
		w.withClient = func(p dispatcher.Poster) dispatcher.Poster { return cutOff{p, &broken, new(atomic.Int32)} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1"})
		broken.Store(true)
		id := w.accept("m1", "1")[0]
		w.pass(14*time.Minute + 30*time.Second)
		if n, _ := w.get(id); n.NotifyCount != 0 {
			t.Errorf("%d charged after 14 minutes, want none", n.NotifyCount)
		}
		w.pass(time.Minute + 30*time.Second)
		if n, _ := w.get(id); n.NotifyCount != 1 || n.State != store.Pending {
			t.Errorf("%d charged after 16 minutes, want 1", n.NotifyCount)
		}
		w.pass(50 * time.Hour)
		if n, _ := w.get(id); n.State != store.Exhausted || n.NotifyCount != 8 {
			t.Errorf("%s with %d charged in the end, want exhausted with 8", n.State, n.NotifyCount)
		}
	})
}

// deaf is a store that cannot settle while it is told so.
type deaf struct {
	store.Store

	broken *atomic.Bool
}

func (d deaf) Settle(ctx context.Context, ss []store.Settlement) ([]string, error) {
	if d.broken.Load() {
		return nil, fmt.Errorf("disk: %w", store.ErrUnavailable)
	}
	return d.Store.Settle(ctx, ss)
}

func TestNoSendWithoutThePowerToRecordIt(t *testing.T) {
	var broken atomic.Bool
	prepare := func(w *world) {
		w.withStore = func(s store.Store) store.Store { return deaf{s, &broken} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1"})
		w.merchant(store.Merchant{MchID: "m2"})
		broken.Store(true)
		first := w.accept("m1", "1")[0]
		w.pass(time.Second) // acknowledged, but nobody can write that down
		second := w.accept("m2", "1")[0]
		w.pass(20 * time.Second)
		if posts := w.seen(); len(posts) != 1 {
			t.Fatalf("%d POSTs while nothing can be recorded, want the 1 that found it out", len(posts))
		}
		broken.Store(false)
		w.pass(5 * time.Second)
		for _, id := range []string{first, second} {
			if n, attempts := w.get(id); n.State != store.Spent || len(attempts) != 1 {
				t.Errorf("%s after %d attempts, want spent by one", n.State, len(attempts))
			}
		}
		if posts := w.seen(); len(posts) != 2 {
			t.Errorf("%d POSTs in the end, want 2: an outcome in hand is not sent again", len(posts))
		}
	})
}

// damaged is a store whose first claim comes upon a damaged record.
type damaged struct {
	store.Store

	once *atomic.Bool
}

func (d damaged) Claim(
	ctx context.Context, lane string, most int, lease time.Duration,
) (store.Claims, error) {
	c, err := d.Store.Claim(ctx, lane, most, lease)
	if d.once.CompareAndSwap(false, true) {
		c.Quarantined = append(c.Quarantined, "0000000000000000000000dead")
	}
	return c, err
}

func TestADamagedRecordIsCounted(t *testing.T) {
	prepare := func(w *world) {
		w.withStore = func(s store.Store) store.Store { return damaged{s, new(atomic.Bool)} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.answer = func(*world, string, int, post) reply { return says("fail") }
		w.merchant(store.Merchant{MchID: "m1"})
		w.accept("m1", "1")
		w.pass(5 * time.Minute) // its retry goes through Claim
		if got := w.counter("paynotify_notifications_total", "quarantined"); got != 1 {
			t.Errorf("counted %v times, want once", got)
		}
	})
}
