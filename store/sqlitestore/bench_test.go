package sqlitestore

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"paynotify/store"
)

var benchRows = flag.Int("rows", 1_000_000, "notifications in the benchmarks of a large store")

const benchCallers = 64

func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// benchParams are about 600 bytes, as a payment's are.
var benchParams = json.RawMessage(`{"trade_no":"2026112122001000000000000001",` +
	`"trade_status":"TRADE_SUCCESS",` +
	`"total_amount":"88.88","receipt_amount":"88.88","invoice_amount":"88.88","buyer_pay_amount":"88.88",` +
	`"point_amount":"0.00","buyer_id":"2088102116773037","buyer_logon_id":"159****4719","seller_id":` +
	`"2088102119685838","seller_email":"pay@shop.example","gmt_create":"2026-11-21 10:00:00","gmt_payment":` +
	`"2026-11-21 10:00:07","subject":"Order 20261121-000000001 of Shop 1","body":"Three items, gift-wrapped",` +
	`"fund_bill_list":"[{\"amount\":\"88.88\",\"fundChannel\":\"ALIPAYACCOUNT\"}]"}`)

var benchOrder atomic.Int64

func benchItem(mch string, want bool) store.Incoming {
	return store.Incoming{Want: want, Notification: store.Notification{
		MchID: mch, Profile: "alipay", NotifyType: "trade_status_sync", Schedule: "alipay", Params: benchParams,
		OutTradeNo: fmt.Sprintf("20261121-%09d", benchOrder.Add(1)),
	}}
}

func benchStore(b *testing.B, merchants int) *Store {
	b.Helper()
	s := open(b, Options{Path: filepath.Join(b.TempDir(), "bench.db")})
	for i := range merchants {
		m := store.Merchant{MchID: fmt.Sprintf("m%d", i), Profile: "alipay", MaxInflight: 1000}
		if _, err := s.CreateMerchant(context.Background(), m); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

func benchAcked(c *store.Claim) []store.Settlement {
	return []store.Settlement{{NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: store.Outcome{
		Attempt: store.Attempt{
			Send: c.Send, Charged: true, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt, StartedAt: c.ClaimedAt,
			Duration: 3 * time.Millisecond, Verdict: store.Acked, Reason: store.AckExact, Status: 200,
			Reply: []byte("success"), RemoteAddr: "127.0.0.1:43210",
			RequestSHA256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
		},
	}}}
}

// pairs accepts, claims in the same write, and settles, by benchCallers at once.
func pairs(b *testing.B, s *Store, merchants int) {
	b.Helper()
	ctx := context.Background()
	var next atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	cpu, start := cpuTime(), time.Now()
	for range benchCallers {
		all.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				item := benchItem(fmt.Sprintf("m%d", i%int64(merchants)), true)
				as, err := s.Accept(ctx, []store.Incoming{item}, time.Minute)
				if err != nil || as[0].Claim == nil {
					b.Errorf("Accept: %v, claimed %v", err, err == nil && as[0].Claim != nil)
					return
				}
				if _, err := s.Settle(ctx, benchAcked(as[0].Claim)); err != nil {
					b.Errorf("Settle: %v", err)
					return
				}
			}
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/time.Since(start).Seconds(), "pairs/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/pair")
}

func BenchmarkPairs(b *testing.B) {
	for _, merchants := range []int{1, 100} {
		b.Run(fmt.Sprintf("merchants=%d", merchants), func(b *testing.B) {
			pairs(b, benchStore(b, merchants), merchants)
		})
	}
}

// prefill stores pending notifications of one merchant, which is paused first: they only lie there.
func prefill(b *testing.B, s *Store, mch string, n int) {
	b.Helper()
	ctx := context.Background()
	var left atomic.Int64
	left.Store(int64(n))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for left.Add(-500) > -500 {
				items := make([]store.Incoming, 500)
				for i := range items {
					items[i] = benchItem(mch, false)
				}
				if _, err := s.Accept(ctx, items, time.Minute); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
}

// BenchmarkLarge measures a store with -rows pending notifications: pairs beside a backlog of another
// merchant, claims from that backlog, lists by every filter, and a restart.
func BenchmarkLarge(b *testing.B) {
	ctx := context.Background()
	s := benchStore(b, 2)
	prefill(b, s, "m1", *benchRows)
	if err := s.Close(); err != nil { // whatever the prefill left to do is done
		b.Fatal(err)
	}
	s = open(b, Options{Path: s.opts.Path})
	b.Logf("RSS with %d pending: %d MB", *benchRows, rss(b)>>20)
	b.Run("pairs/another-merchant", func(b *testing.B) { pairs(b, s, 1) })
	b.Run("claim-settle/same-merchant", func(b *testing.B) { drain(b, s, "m1") })
	b.Run("accept/same-merchant", func(b *testing.B) {
		b.ReportMetric(slowest(b, 200, func() error {
			_, err := s.Accept(ctx, []store.Incoming{benchItem("m1", true)}, time.Minute)
			return err
		}), "ms-p95")
	})
	settleOdd(b, s)
	for _, q := range []store.Query{
		{},
		{MchID: "m1"},
		{OutTradeNo: "20261121-000000100"},
		{MchID: "m1", OutTradeNo: "20261121-000000100"},
		{State: store.Pending},
		{MchID: "m1", State: store.Pending},
		{MchID: "m0", State: store.Pending},
		{State: store.Spent},
		{MchID: "m1", State: store.Spent},
		{MchID: "m0", State: store.Spent},
		{State: store.Exhausted},
		{MchID: "m1", State: store.Exhausted},
		{State: store.Canceled},
		{Held: "true"},
		{Held: "false"},
		{MchID: "m1", Held: "true"},
		{MchID: "m1", Held: "false"},
		{Held: store.HeldMerchantPaused},
		{Held: store.HeldAddressBlocked},
		{Held: store.HeldBreakerOpen},
		{Verdict: store.Acked},
		{MchID: "m1", Verdict: store.Acked},
		{Verdict: store.Refused},
		{MchID: "m1", Verdict: store.Refused},
		{Reason: store.AckHTML},
		{MchID: "m1", Reason: store.AckHTML},
		{MchID: "m1", Reason: store.AckExact},
		{CreatedTo: time.Now().Add(-time.Hour)},
		{CreatedTo: time.Now(), MchID: "m1"},
	} {
		q.Limit = 50
		name := fmt.Sprintf("list/mch=%s,otn=%t,state=%s,held=%s,verdict=%s,reason=%s", q.MchID, q.OutTradeNo != "",
			q.State, q.Held, q.Verdict, q.Reason)
		b.Run(name, func(b *testing.B) {
			b.ReportMetric(slowest(b, 20, func() error { _, _, err := s.List(ctx, q); return err }), "ms-p95")
		})
	}
	b.Run("stats", func(b *testing.B) {
		b.ReportMetric(slowest(b, 20, func() error { _, err := s.Stats(ctx); return err }), "ms-p95")
	})
	b.Run("restart", func(b *testing.B) {
		b.ReportMetric(slowest(b, 1, func() error {
			err := s.Close()
			s = open(b, Options{Path: s.opts.Path})
			return err
		}), "ms")
	})
	b.Logf("RSS at the end: %d MB", rss(b)>>20)
}

// settleOdd gives a few notifications of the backlog other ends than the rest.
func settleOdd(b *testing.B, s *Store) {
	b.Helper()
	ctx := context.Background()
	cs, err := s.Claim(ctx, "m1", 300, time.Minute)
	if err != nil {
		b.Fatal(err)
	}
	for i := range cs.Items {
		ss := benchAcked(&cs.Items[i])
		o := &ss[0].Outcome
		o.Attempt.Verdict, o.Attempt.Reason, o.State = store.Refused, store.AckHTML, store.Exhausted
		if i%2 == 0 {
			o.State, o.NextAt = store.Pending, time.Now().Add(time.Hour)
			o.PlannedAt = o.NextAt
		}
		if _, err := s.Settle(ctx, ss); err != nil {
			b.Fatal(err)
		}
	}
	_, err = s.UpdateMerchant(ctx, "m0", func(m *store.Merchant) error { m.Paused = true; return nil })
	if err != nil {
		b.Fatal(err)
	}
	if _, err := s.Accept(ctx, []store.Incoming{benchItem("m0", false)}, time.Minute); err != nil {
		b.Fatal(err)
	}
}

// drain claims from a backlog and settles, by benchCallers at once.
func drain(b *testing.B, s *Store, mch string) {
	b.Helper()
	ctx := context.Background()
	var done atomic.Int64
	var all sync.WaitGroup
	b.ResetTimer()
	cpu, start := cpuTime(), time.Now()
	for range benchCallers {
		all.Go(func() {
			for done.Load() < int64(b.N) {
				cs, err := s.Claim(ctx, mch, 4, time.Minute)
				if err != nil {
					b.Error(err)
					return
				}
				for i := range cs.Items {
					if _, err := s.Settle(ctx, benchAcked(&cs.Items[i])); err != nil {
						b.Error(err)
						return
					}
				}
				if done.Add(int64(len(cs.Items))); len(cs.Items) == 0 {
					return
				}
			}
		})
	}
	all.Wait()
	n := float64(done.Load())
	b.ReportMetric(n/time.Since(start).Seconds(), "settled/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/n, "cpu-µs/settled")
}

// slowest is the 95th percentile of n runs, in milliseconds.
func slowest(b *testing.B, n int, fn func() error) float64 {
	b.Helper()
	took := make([]time.Duration, n)
	for i := range took {
		start := time.Now()
		if err := fn(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return float64(took[(n*95-1)/100].Microseconds()) / 1000
}

// rss is the resident memory of this process in bytes, where /proc says it.
func rss(b *testing.B) int {
	b.Helper()
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	var size, resident int
	if _, err := fmt.Sscan(string(text), &size, &resident); err != nil {
		b.Fatal(err)
	}
	return resident * os.Getpagesize()
}
