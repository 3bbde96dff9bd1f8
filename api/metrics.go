package api

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// ingest counts what callers bring: one result per notification, one duration per request.
type ingest struct {
	accepted, duplicate, rejected, failed prometheus.Counter
	duration                              prometheus.Histogram
}

// newIngest makes the metrics with every series at zero; a nil registerer keeps them to ourselves.
func newIngest(registerer prometheus.Registerer) *ingest {
	results := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "paynotify_ingest_requests_total",
		Help: "Notifications that callers brought, by result: accepted, duplicate (same idempotency key and " +
			"content), rejected (4xx), error (5xx).",
	}, []string{"result"})
	m := &ingest{
		accepted: results.WithLabelValues("accepted"), duplicate: results.WithLabelValues("duplicate"),
		rejected: results.WithLabelValues("rejected"), failed: results.WithLabelValues("error"),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "paynotify_ingest_duration_seconds",
			Help: "Time from the head of a request that brings notifications to its answer.",
			Buckets: []float64{
				.00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2,
			},
		}),
	}
	if registerer != nil {
		registerer.MustRegister(results, m.duration)
	}
	return m
}

func (m *ingest) observe(began time.Time, receipt Receipt, p *Problem) {
	m.duration.Observe(time.Since(began).Seconds())
	status := 202
	switch {
	case p != nil:
		status = p.Status
	case receipt.Replayed:
		status = 200
	}
	m.count(status)
}

func (m *ingest) observeBatch(began time.Time, results []BatchItem, p *Problem) {
	m.duration.Observe(time.Since(began).Seconds())
	if p != nil {
		m.count(p.Status)
	}
	for i := range results {
		m.count(results[i].Status)
	}
}

func (m *ingest) count(status int) {
	switch {
	case status == 202:
		m.accepted.Inc()
	case status == 200:
		m.duplicate.Inc()
	case status < 500:
		m.rejected.Inc()
	default:
		m.failed.Inc()
	}
}
