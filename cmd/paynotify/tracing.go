package main

import (
	"context"

	"paynotify/tracing"
)

// startTracing exports spans of attempts, where this build can and the environment names a collector.
func (e *engine) startTracing(ctx context.Context, version string) (err error) {
	e.tracer, err = tracing.Start(ctx, tracing.Options{Version: version, Log: e.log})
	if err != nil {
		return &problem{
			code: exitConfig, what: "spans cannot be exported", why: err.Error(),
			do: "correct the variable, or unset OTEL_EXPORTER_OTLP_ENDPOINT to export nothing",
		}
	}
	if e.tracer.Attempt != nil {
		e.log.Info("a span of every attempt goes to the collector of OTEL_EXPORTER_OTLP_*")
	}
	return nil
}

// stopTracing delivers the last spans. What the collector does not take by then is lost, and nothing waits
// for it.
func (e *engine) stopTracing(ctx context.Context) {
	if err := e.tracer.Stop(ctx); err != nil {
		e.log.Warn("the last spans could not be delivered", "err", err)
	}
}
