package dispatcher_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// byMerchant are the attempts by "merchant class", without those that are zero unless all are wanted.
func (w *world) byMerchant(zeros bool) map[string]float64 {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	found := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "paynotify_merchant_attempts_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			v := m.GetCounter().GetValue()
			if l := m.GetLabel(); v > 0 || zeros {
				found[l[0].GetValue()+" "+l[1].GetValue()] = v
			}
		}
	}
	return found
}

// TestMerchantSeries: the first ones have series of their own, at zero from their registration on; the others
// share one, which is told; a deleted merchant makes room.
func TestMerchantSeries(t *testing.T) {
	prepare := func(w *world) { w.merchantSeries = 2 }
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.answer = func(_ *world, mch string, _ int, _ post) reply {
			switch mch {
			case "m1":
				return success()
			case "m2":
				return says("fail")
			}
			return reply{close: true, raw: "x"}
		}
		check := func(what string, dropped float64, want map[string]float64) {
			t.Helper()
			if diff := cmp.Diff(want, w.byMerchant(false)); diff != "" {
				t.Errorf("%s: %s", what, diff)
			}
			if got := w.counter("paynotify_merchant_series_dropped_total", ""); got != dropped {
				t.Errorf("%s: %v were dropped, want %v", what, got, dropped)
			}
		}
		for _, mch := range []string{"m1", "m2", "m3"} {
			w.merchant(store.Merchant{MchID: mch})
		}
		if have := w.byMerchant(true); len(have) != 9 || strings.Contains(fmt.Sprint(have), "m3") {
			t.Errorf("before anything happened: %v", have)
		}
		for _, mch := range []string{"m1", "m2", "m3"} {
			w.accept(mch, "1")
		}
		w.pass(time.Second)
		check("one send each", 1, map[string]float64{"m1 acked": 1, "m2 refused": 1, "_other error": 1})

		if err := w.d.Store.DeleteMerchant(context.Background(), "m1"); err != nil {
			t.Fatal(err)
		}
		w.pass(5 * time.Minute) // the second sends of m2 and m3
		check("m3 instead of m1", 1,
			map[string]float64{"m2 refused": 2, "m3 error": 1, "_other error": 1})
		if w.shutdown(); len(w.byMerchant(true)) != 9 {
			t.Errorf("at the end: %v", w.byMerchant(true))
		}

		// The next process gives them to those that are there, before any of them has an attempt.
		w.start()
		w.pass(time.Millisecond)
		check("after a restart", 0, map[string]float64{})
		if have := w.byMerchant(true); len(have) != 9 {
			t.Errorf("after a restart: %v", have)
		}
	})
}

// skipping is a client all of whose replies come from a name with forbidden addresses.
type skipping struct{ dispatcher.Poster }

func (s skipping) Do(ctx context.Context, r *egress.Request) egress.Result {
	result := s.Poster.Do(ctx, r)
	result.Skipped = 2
	return result
}

func TestSkippedAddressesAreCounted(t *testing.T) {
	prepare := func(w *world) {
		w.withClient = func(p dispatcher.Poster) dispatcher.Poster { return skipping{p} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		w.merchant(store.Merchant{MchID: "m1"})
		w.accept("m1", "1", "2")
		w.pass(time.Second)
		if got := w.counter("paynotify_egress_skipped_addresses_total", ""); got != 4 {
			t.Errorf("counted %v, want 4", got)
		}
	})
}
