package dispatcher

import (
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/store"
)

// BenchmarkMetrics counts all that one acknowledged attempt moves: it is on the way of every send.
func BenchmarkMetrics(b *testing.B) {
	for name, merchants := range map[string]int{"plain": 0, "by merchant": 200} {
		b.Run(name, func(b *testing.B) {
			m := newMetrics(prometheus.NewRegistry(), nil, merchants)
			began := time.Now()
			h := &held{Claim: store.Claim{Notification: store.Notification{
				NotifyID: "01jd4zq0000000000000000000", MchID: "m1", Profile: "alipay", CreatedAt: began, NextAt: began,
			}}}
			b.ReportAllocs()
			b.RunParallel(func(p *testing.PB) {
				o := store.Outcome{Attempt: store.Attempt{
					Trigger: store.First, Verdict: store.Acked, Duration: 3 * time.Millisecond,
					Phases: store.Phases{FirstByte: 2 * time.Millisecond, Body: time.Millisecond},
				}}
				for p.Next() {
					o.Attempt.StartedAt = time.Now()
					m.signed("RSA2", time.Millisecond, nil)
					m.lag(h, o.Attempt.StartedAt)
					m.attempt(h, &o.Attempt)
					m.outcome(h, o)
				}
			})
		})
	}
}
