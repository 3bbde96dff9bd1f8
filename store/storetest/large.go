package storetest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"
	"time"

	"paynotify/store"
)

// The merchants of a large store. One has half of everything, nearly all of it spent; one is paused with all
// that was accepted in the last two hours; many are small; one is the engine's own.
const (
	largeBig     = "big"
	largeBacklog = "backlog"
	largeSmalls  = 1000
	largeDays    = 30
	largeBatch   = 2000
	largeRare    = 5 // of a kind, and the oldest of all
)

func largeSmall(i int) string { return fmt.Sprintf("small-%03d", i) }

// Fill puts rows notifications into an empty store, skewed as those of a large one are: a merchant with half
// of them, a paused one with 30 % and the newest of all, a thousand small ones; most are spent, many are
// near-misses, few are exhausted, and of some kinds there are five, older than everything else. The order
// number of the n-th is large-n.
func Fill(tb testing.TB, s store.Mover, rows int) {
	tb.Helper()
	ctx, began := context.Background(), time.Now()
	f := &filler{
		now: s.Now().Truncate(time.Microsecond), rows: rows,
		rng: rand.New(rand.NewPCG(7, 7)), //nolint:gosec // a benchmark's
	}
	f.domain = func(string) int { return 0 }
	if d, ok := s.(store.Divided); ok {
		f.domain = d.Domain
	}
	names := []string{largeBig, largeBacklog, store.CallbackMerchant}
	for i := range largeSmalls {
		names = append(names, largeSmall(i))
	}
	for _, name := range names {
		m := store.MovedMerchant{Merchant: store.Merchant{
			MchID: name, Profile: "alipay", NotifyURL: "https://shop.example/n", Paused: name == largeBacklog,
			MaxInflight: plenty, Revision: 1, CreatedAt: f.now.Add(-2 * largeDays * 24 * time.Hour),
		}}
		if err := s.ImportMerchants(ctx, []store.MovedMerchant{m}); err != nil {
			tb.Fatal(err)
		}
	}
	times := make([]int64, rows) // microseconds back from now, the oldest first
	for i := range times {
		times[i] = f.back(i)
	}
	slices.Sort(times)
	slices.Reverse(times)
	for done := 0; done < rows; {
		page := make([]store.Moved, 0, largeBatch)
		for ; done < rows && len(page) < largeBatch; done++ {
			page = append(page, f.item(done, times[done]))
		}
		if err := s.Import(ctx, page); err != nil {
			tb.Fatal(err)
		}
	}
	tb.Logf("filled with %d notifications in %v", rows, time.Since(began).Round(time.Second))
}

type filler struct {
	now    time.Time
	rows   int
	rng    *rand.Rand
	domain func(mchID string) int
	last   int64
}

const largeFresh = 30 // per cent, accepted in the last two hours

// back draws when a notification was accepted.
func (f *filler) back(i int) int64 {
	if i%100 < largeFresh {
		return 1 + f.rng.Int64N((2 * time.Hour).Microseconds())
	}
	return (2 * time.Hour).Microseconds() + f.rng.Int64N((largeDays * 24 * time.Hour).Microseconds())
}

// item is the n-th notification, counted from the oldest.
func (f *filler) item(n int, back int64) store.Moved {
	us := max(f.now.UnixMicro()-back, f.last+1)
	f.last = us
	at := time.UnixMicro(us).UTC()
	mch := largeBacklog
	if back >= (2 * time.Hour).Microseconds() {
		switch p := f.rng.IntN(100); {
		case p < 71:
			mch = largeBig
		case p < 72:
			mch = store.CallbackMerchant
		default:
			mch = largeSmall(f.rng.IntN(largeSmalls))
		}
	}
	m := store.Moved{Notification: store.Notification{
		MchID: mch, Profile: "alipay", NotifyType: "trade_status_sync", Schedule: "alipay", Params: benchParams,
		OutTradeNo: fmt.Sprintf("large-%d", n),
	}}
	m.Accept(store.NewID(at, f.domain(mch)), at)
	f.live(&m, n)
	return m
}

// live makes of a newborn notification what it is to be.
func (f *filler) live(m *store.Moved, n int) {
	settle := func(v store.Verdict, r store.Reason, state store.State) {
		c := m.Claimed(1, 1, m.CreatedAt.Add(time.Millisecond), time.Minute)
		o := store.Outcome{Attempt: attempt(c, v, r, true), State: state}
		o.Attempt.Status = 200
		if state == store.Pending { // over the next day
			o.NextAt = f.now.Add(time.Duration(f.rng.Int64N(int64(25 * time.Hour)))).Truncate(time.Microsecond)
			o.PlannedAt = o.NextAt
		}
		m.Settle(o)
		m.Attempts = append(m.Attempts, store.MovedAttempt{Attempt: o.Attempt, State: m.State, NextAt: m.NextAt})
		if m.State.Final() {
			m.FinalAt = m.CreatedAt.Add(time.Second)
		}
	}
	switch n / largeRare { // the oldest of all
	case 0:
		settle(store.TLSError, store.TLSExpired, store.Exhausted)
		return
	case 1:
		settle(store.InternalError, store.Internal, store.Quarantined)
		return
	case 2:
		_ = m.Cancel() // never fails for a newborn one
		m.FinalAt = m.CreatedAt.Add(time.Second)
		return
	case 3:
		m.NotifyURL = "https://own.example/n"
		m.Blocked = true
		return
	}
	switch p := f.rng.IntN(1000); {
	case m.MchID == largeBacklog && p < 500: // newborn
	case m.MchID == largeBacklog:
		settle(store.Timeout, store.TimeoutHeaders, store.Pending)
	case p < 900:
		settle(store.Acked, store.AckExact, store.Pending)
	case p < 920:
		settle(store.Acked, store.AckTrimmed, store.Pending)
	case p < 980:
		settle(store.Refused, store.AckHTML, store.Pending)
	case p < 995:
		settle(store.Timeout, store.TimeoutConnect, store.Pending)
	case p < 999:
		settle(store.Refused, store.AckCase, store.Exhausted)
	default:
		settle(store.Refused, store.AckMismatch, store.Exhausted)
	}
}

// Looking measures what people look at in a store that Fill has filled: every filter of List alone and with
// merchants of every size, over all time, over a day long ago and over an hour without any, and every call of
// Survey. It reports the median and the 95th percentile in milliseconds.
func Looking(b *testing.B, s store.Store) {
	b.Helper()
	ctx := context.Background()
	for _, q := range lookedFor(s.Now()) {
		b.Run("List/"+q.name, func(b *testing.B) {
			q.q.Limit = 50
			measure(b, func() (int, error) { ns, _, err := s.List(ctx, q.q); return len(ns), err })
		})
	}
	for _, q := range lookedFor(s.Now()) {
		if q.q.Held != "" || q.q.OutTradeNo != "" {
			continue
		}
		b.Run("Count-all/"+q.name, func(b *testing.B) {
			measure(b, func() (int, error) { c, err := s.Count(ctx, q.q, 0); return c.Total, err })
		})
		b.Run("Count-10000/"+q.name, func(b *testing.B) {
			measure(b, func() (int, error) { c, err := s.Count(ctx, q.q, 10_000); return c.Total, err })
		})
		b.Run("Sample-1000/"+q.name, func(b *testing.B) {
			measure(b, func() (int, error) { ns, err := s.Sample(ctx, q.q, 1000); return len(ns), err })
		})
		b.Run("Sample-10000/"+q.name, func(b *testing.B) {
			measure(b, func() (int, error) { ns, err := s.Sample(ctx, q.q, 10_000); return len(ns), err })
		})
		b.Run("Oldest/"+q.name, func(b *testing.B) {
			measure(b, func() (int, error) { _, err := s.Oldest(ctx, q.q); return 0, err })
		})
	}
	for _, mch := range []string{"", largeBig, largeBacklog, largeSmall(7)} {
		b.Run("Outlook/mch="+mch, func(b *testing.B) {
			from := s.Now()
			measure(b, func() (int, error) {
				from = from.Add(time.Microsecond) // none is answered twice
				o, err := s.Outlook(ctx, mch, from, time.Minute, 25*60)
				return o.Overdue, err
			})
		})
	}
	b.Run("Stats", func(b *testing.B) {
		measure(b, func() (int, error) { _, err := s.Stats(ctx); return 0, err })
	})
}

type looked struct {
	name string
	q    store.Query
}

// lookedFor are the queries of Looking.
func lookedFor(now time.Time) (all []looked) {
	day := now.Add(-20 * 24 * time.Hour)
	filters := []store.Query{
		{},
		{State: store.Pending},
		{State: store.Spent},
		{State: store.Exhausted},
		{State: store.Canceled},
		{State: store.Quarantined},
		{Held: "true"},
		{Held: "false"},
		{Held: store.HeldSendingPaused},
		{Held: store.HeldMerchantPaused},
		{Held: store.HeldAddressBlocked},
		{Held: store.HeldBreakerOpen},
		{Verdict: store.Acked},
		{Verdict: store.Refused},
		{Verdict: store.Timeout},
		{Verdict: store.TLSError},
		{Verdict: store.DNSError},
		{Reason: store.AckExact},
		{Reason: store.AckTrimmed},
		{Reason: store.AckHTML},
		{Reason: store.AckCase},
		{Reason: store.TLSExpired},
		{Reason: store.Upgrade},
		{State: store.Pending, Reason: store.AckHTML},
		{State: store.Exhausted, Verdict: store.Refused},
		{State: store.Spent, Verdict: store.Timeout},
		{State: store.Exhausted, Reason: store.AckHTML},
		{State: store.Pending, Held: "false"},
		{State: store.Pending, Verdict: store.Timeout, Held: "false"},
		{OutTradeNo: "large-77777"},
	}
	spans := []struct {
		name     string
		from, to time.Time
	}{
		{name: "ever"},
		{name: "a-day", from: day, to: day.Add(24 * time.Hour)},
		{name: "last-day", from: now.Add(-24 * time.Hour)},
		{name: "before-all", to: now.Add(-2 * largeDays * 24 * time.Hour)},
	}
	for _, f := range filters {
		for _, span := range spans {
			for _, mch := range []string{"", largeBig, largeBacklog, largeSmall(7)} {
				q := f
				q.MchID, q.CreatedFrom, q.CreatedTo = mch, span.from, span.to
				name := fmt.Sprintf("%s,mch=%s,state=%s,held=%s,verdict=%s,reason=%s,otn=%s", span.name, mch,
					q.State, q.Held, q.Verdict, q.Reason, q.OutTradeNo)
				all = append(all, looked{name, q})
			}
		}
	}
	return all
}

const lookTimes = 20

// measure runs a call some times.
func measure(b *testing.B, fn func() (int, error)) {
	b.Helper()
	took, n := make([]time.Duration, lookTimes), 0
	cpu := cpuTime(b)
	for i := range took {
		start := time.Now()
		var err error
		if n, err = fn(); err != nil {
			b.Fatal(err)
		}
		took[i] = time.Since(start)
	}
	cpu = cpuTime(b) - cpu
	slices.Sort(took)
	ms := func(per int) float64 { return float64(took[(lookTimes*per-1)/100].Microseconds()) / 1000 }
	b.ReportMetric(ms(50), "ms-p50")
	b.ReportMetric(ms(95), "ms-p95")
	b.ReportMetric(float64((cpu/lookTimes).Microseconds())/1000, "ms-cpu")
	b.ReportMetric(float64(n), "found")
	b.ReportMetric(0, "ns/op")
}

// cpuTime is what this process has used: what a machine that others use too cannot spoil.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
