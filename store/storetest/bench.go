package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
)

const (
	benchLanes   = 16
	benchBatch   = 50     // claims and settlements at a time, as a busy runner has them
	benchPrefill = 10_000 // notifications that Get and List choose from
)

// Benchmarks measures what every Store has to do often. A record has about 600 bytes of parameters.
func Benchmarks(b *testing.B, open func(b *testing.B) Harness) {
	for _, x := range []struct {
		name string
		run  func(b *testing.B, h Harness)
	}{
		{"AcceptSettle", benchAcceptSettle},
		{"AcceptSettleParallel", benchAcceptSettleParallel},
		{"Drain", benchDrain},
		{"Get", benchGet},
		{"List", benchList},
	} {
		b.Run(x.name, func(b *testing.B) {
			h := open(b)
			defer func() {
				if err := h.Store.Close(); err != nil {
					b.Error(err)
				}
			}()
			for i := range benchLanes {
				m := store.Merchant{
					MchID: benchLane(i), Profile: "form", NotifyURL: "https://shop.example/notify",
					MaxInflight: plenty,
				}
				if _, err := h.Store.CreateMerchant(b.Context(), m); err != nil {
					b.Fatal(err)
				}
			}
			x.run(b, h)
		})
	}
}

func benchLane(i int) string { return fmt.Sprintf("m%02d", i%benchLanes) }

var benchParams = json.RawMessage(`{"trade_no":"2026112122001","subject":"` + strings.Repeat("x", 550) + `"}`)

func benchItem(i int, want bool) store.Incoming {
	in := incoming(benchLane(i))
	in.Params, in.Want = benchParams, want
	in.OutTradeNo = fmt.Sprintf("T%d", i)
	in.IdempotencyKey, in.ContentDigest = fmt.Sprintf("key-%d", i), []byte("0123456789abcdef0123456789abcdef")
	return in
}

// pair accepts, claims and settles one notification: the hot path.
func pair(ctx context.Context, s store.Store, i int) error {
	as, err := s.Accept(ctx, []store.Incoming{benchItem(i, true)}, lease)
	if err != nil {
		return err
	}
	if as[0].Claim == nil {
		return fmt.Errorf("item %d was not claimed", i)
	}
	_, err = s.Settle(ctx, []store.Settlement{settlement(*as[0].Claim, acked(*as[0].Claim))})
	return err
}

func benchAcceptSettle(b *testing.B, h Harness) {
	for i := 0; b.Loop(); i++ {
		if err := pair(b.Context(), h.Store, i); err != nil {
			b.Fatal(err)
		}
	}
}

func benchAcceptSettleParallel(b *testing.B, h Harness) {
	var next atomic.Int64
	b.SetParallelism(64) // as many callers wait for a commit at a time on one processor
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := pair(b.Context(), h.Store, int(next.Add(1))); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// prefill accepts n notifications, which are due after it.
func prefill(b *testing.B, h Harness, n int) []string {
	b.Helper()
	all := make([]string, 0, n)
	for len(all) < n {
		items := make([]store.Incoming, min(500, n-len(all)))
		for i := range items {
			items[i] = benchItem(len(all)+i, false)
		}
		as, err := h.Store.Accept(b.Context(), items, lease)
		if err != nil {
			b.Fatal(err)
		}
		for _, a := range as {
			all = append(all, a.NotifyID)
		}
	}
	h.Advance(time.Minute)
	return all
}

// benchDrain claims and settles a backlog lane by lane; one operation is one notification.
func benchDrain(b *testing.B, h Harness) {
	prefill(b, h, b.N)
	b.ResetTimer()
	done := 0
	for i := 0; done < b.N; i++ {
		cs, err := h.Store.Claim(b.Context(), benchLane(i), benchBatch, lease)
		if err != nil {
			b.Fatal(err)
		}
		ss := make([]store.Settlement, len(cs.Items))
		for j, c := range cs.Items {
			ss[j] = settlement(c, acked(c))
		}
		if _, err = h.Store.Settle(b.Context(), ss); err != nil {
			b.Fatal(err)
		}
		done += len(ss)
		if i > benchLanes*(b.N+1) {
			b.Fatalf("drained %d of %d", done, b.N)
		}
	}
}

func benchGet(b *testing.B, h Harness) {
	all := prefill(b, h, benchPrefill)
	b.ResetTimer()
	for i := range b.N {
		if _, _, err := h.Store.Get(b.Context(), all[i*7919%len(all)]); err != nil {
			b.Fatal(err)
		}
	}
}

// benchList reads first pages, of one merchant and of all in turn.
func benchList(b *testing.B, h Harness) {
	prefill(b, h, benchPrefill)
	b.ResetTimer()
	for i := range b.N {
		q := store.Query{Limit: 50}
		if i%2 == 0 {
			q.MchID = benchLane(i / 2)
		}
		page, _, err := h.Store.List(b.Context(), q)
		if err != nil || len(page) != q.Limit {
			b.Fatalf("a page of %d, %v", len(page), err)
		}
	}
}
