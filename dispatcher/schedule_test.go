package dispatcher_test

import (
	"slices"
	"testing"
	"time"

	"paynotify/store"
)

// eight are the instants of Alipay's sends.
var eight = []time.Duration{
	0, 4 * time.Minute, 14 * time.Minute, 24 * time.Minute, 84 * time.Minute, 204 * time.Minute,
	564 * time.Minute, 1464 * time.Minute,
}

func TestTheWholeScheduleThenExhausted(t *testing.T) {
	t.Run("embedded", func(t *testing.T) { inVirtualTime(t, theWholeSchedule) })
	t.Run("redis and asynq", func(t *testing.T) { inVirtualTimeWith(t, onRedis, theWholeSchedule) })
}

func theWholeSchedule(t *testing.T, w *world) {
	w.answer = func(*world, string, int, post) reply { return says("fail") }
	w.merchant(store.Merchant{MchID: "m1"})
	accepted := time.Since(w.began)
	id := w.accept("m1", "1")[0]
	w.pass(26 * time.Hour) // and none after the last one
	checkInstants(t, w.seen(), accepted, eight)
	n, attempts := w.get(id)
	if n.State != store.Exhausted || n.NotifyCount != 8 || !n.NextAt.IsZero() || len(attempts) != 8 {
		t.Errorf("%s after %d sends and %d attempts, next %v", n.State, n.NotifyCount, len(attempts), n.NextAt)
	}
	for i, a := range attempts {
		if a.N != i+1 || a.Send != i+1 || !a.Charged || a.Reason != store.AckMismatch {
			t.Errorf("attempt %d: %+v", i+1, a)
		}
	}
	checkSameness(t, w.seen())
}

func TestAnAckAtSendNEndsIt(t *testing.T) {
	for n := range eight {
		inVirtualTime(t, func(t *testing.T, w *world) {
			w.answer = func(_ *world, _ string, nth int, _ post) reply {
				if nth > n {
					return success()
				}
				return says("fail")
			}
			w.merchant(store.Merchant{MchID: "m1"})
			accepted := time.Since(w.began)
			id := w.accept("m1", "1")[0]
			w.pass(48 * time.Hour)
			checkInstants(t, w.seen(), accepted, eight[:n+1])
			if got, _ := w.get(id); got.State != store.Spent || got.NotifyCount != n+1 {
				t.Errorf("acked at send %d: %s after %d", n+1, got.State, got.NotifyCount)
			}
		})
	}
}

// checkInstants compares when POSTs came with when they should have: never early, and late by less than the
// time that the clock of the store can name.
func checkInstants(t *testing.T, posts []post, from time.Duration, want []time.Duration) {
	t.Helper()
	if len(posts) != len(want) {
		t.Fatalf("%d POSTs, want %d", len(posts), len(want))
	}
	for i, p := range posts {
		if late := p.at - from - want[i]; late < 0 || late > 5*time.Millisecond {
			t.Errorf("send %d at %v, want %v", i+1, p.at-from, want[i])
		}
	}
}

// checkSameness: what the merchant reads as the business of the notification never changes; the time of the
// send and the signature over it do.
func checkSameness(t *testing.T, posts []post) {
	t.Helper()
	var signs []string
	for i, p := range posts {
		for name := range posts[0].form {
			if name != "notify_time" && name != "sign" && p.form.Get(name) != posts[0].form.Get(name) {
				t.Errorf("send %d: %s changed", i+1, name)
			}
		}
		if err := verifyMAPI(p.form); err != nil {
			t.Errorf("send %d: %v", i+1, err)
		}
		signs = append(signs, p.form.Get("sign"))
	}
	slices.Sort(signs)
	if len(slices.Compact(signs)) != len(posts) {
		t.Error("sends at different instants carry the same signature: not signed anew")
	}
}

func TestARestartKeepsTheSchedule(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *world) {
		w.answer = func(*world, string, int, post) reply { return says("fail") }
		w.merchant(store.Merchant{MchID: "m1"})
		accepted := time.Since(w.began)
		w.accept("m1", "1")
		w.pass(5 * time.Minute)
		w.shutdown()
		w.pass(time.Hour) // sends 3 and 4 were due meanwhile
		w.start()
		w.pass(48 * time.Hour)
		// The third send starts at the restart; being far late, the rest counts from there.
		back := 65 * time.Minute
		want := []time.Duration{0, 4 * time.Minute, back}
		for _, wait := range []time.Duration{
			10 * time.Minute, time.Hour, 2 * time.Hour, 6 * time.Hour, 15 * time.Hour,
		} {
			want = append(want, want[len(want)-1]+wait)
		}
		checkInstants(t, w.seen(), accepted, want)
	})
}
