package main

import (
	"log/slog"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newRegistry has what tells about the process and the backend; the parts of the engine add theirs.
func (e *engine) newRegistry(v buildVersion) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo(v))
	r.MustRegister(e.backend.collectors...)
	return r
}

// scrape answers GET /metrics. Whoever asks for OpenMetrics, as Prometheus does, gets exemplars: the
// notify_id of one that fell into a bucket lately. A collector with a fault costs its own series only.
func (e *engine) scrape(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		EnableOpenMetrics: true, ErrorHandling: promhttp.ContinueOnError,
		ErrorLog: slog.NewLogLogger(e.log.Handler(), slog.LevelError),
	})
}
