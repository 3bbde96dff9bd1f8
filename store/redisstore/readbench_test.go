package redisstore

import (
	"fmt"
	"testing"
	"time"

	"paynotify/store"
)

// BenchmarkRead measures what people and monitoring ask, with 100,000 notifications of 200 merchants in the
// default number of shards.
func BenchmarkRead(b *testing.B) {
	const merchants, each = 200, 500
	r := newRig(b, 16)
	for i := range merchants {
		fill(r, fmt.Sprintf("m%d", i), each)
	}
	r.advance(time.Second)
	first, _, err := r.List(b.Context(), store.Query{MchID: "m100", Limit: 1})
	r.must(err)
	for _, c := range []struct {
		name string
		q    store.Query
	}{
		{"all", store.Query{}},
		{"older", store.Query{CreatedTo: first[0].CreatedAt}},
		{"spent", store.Query{State: store.Spent}},
		{"pending", store.Query{State: store.Pending}},
		{"exhausted", store.Query{State: store.Exhausted}},
		{"refused", store.Query{Verdict: store.Refused}},
		{"reason", store.Query{Reason: store.TimeoutHeaders}},
		{"held", store.Query{Held: "true"}},
		{"not held", store.Query{Held: "false"}},
		{"number", store.Query{OutTradeNo: "m7-77"}},
		{"merchant", store.Query{MchID: "m7"}},
		{"merchant and verdict", store.Query{MchID: "m7", Verdict: store.Refused}},
		{"page of 500", store.Query{Limit: 500}},
	} {
		if c.q.Limit == 0 {
			c.q.Limit = 50
		}
		b.Run("List/"+c.name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := r.List(b.Context(), c.q); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("Stats", func(b *testing.B) {
		for b.Loop() {
			if _, err := r.Stats(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// fill makes a merchant with notifications, most of them spent.
func fill(r *rig, name string, n int) {
	r.Helper()
	r.merchants(name)
	items := make([]store.Incoming, n)
	for i := range items {
		items[i] = item(name)
		items[i].OutTradeNo = fmt.Sprintf("%s-%d", name, i)
	}
	as := r.accept(items...)
	r.settle(ack, as[:n*8/10]...)
	r.settle(again, as[n*8/10:n*9/10]...)
	r.settle(give, as[n*9/10:n*95/100]...)
}
