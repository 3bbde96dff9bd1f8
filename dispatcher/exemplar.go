package dispatcher

import (
	"sort"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// exemplarEvery is how often a bucket gets a new exemplar. A scrape sees only the last one of each bucket,
// and making one costs seven times as much as counting.
const exemplarEvery = time.Second

// exampled is a histogram series whose buckets each name a notification that fell into them lately: from a
// slow bucket on a board it is one step to the notification. A notify_id is never a label.
type exampled struct {
	prometheus.Observer

	bounds []float64
	last   []atomic.Int64 // by bucket, +Inf too: the instant of its exemplar, unix ns
}

// newExampled makes the series that the labels name.
func newExampled(h *prometheus.HistogramVec, bounds []float64, labels ...string) *exampled {
	return &exampled{h.WithLabelValues(labels...), bounds, make([]atomic.Int64, len(bounds)+1)}
}

// observe counts something that took so many seconds and ended at the given instant.
func (e *exampled) observe(seconds float64, notifyID string, at time.Time) {
	last := &e.last[sort.SearchFloat64s(e.bounds, seconds)]
	was, now := last.Load(), at.UnixNano()
	fresh := was <= now && now-was < int64(exemplarEvery) // a clock that was set back does not count
	if named, ok := e.Observer.(prometheus.ExemplarObserver); ok && !fresh && last.CompareAndSwap(was, now) {
		named.ObserveWithExemplar(seconds, prometheus.Labels{"notify_id": notifyID})
		return
	}
	e.Observe(seconds)
}
