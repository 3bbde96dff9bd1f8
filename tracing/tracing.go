// Package tracing tells an OpenTelemetry collector about the attempts that were made, in a binary built with
// -tags otel,grpcnotrace. Any other build holds none of OpenTelemetry's code and pays one comparison with nil
// an attempt. (The second tag leaves out what gRPC, of which the exporter needs a few types, brings along to
// trace itself: html/template, and with it 11 MB that the linker cannot drop.)
//
// An attempt is one span, "send", whose children are its phases: dns, connect, tls, ttfb (the wait for the
// first byte of the reply) and body. Its parent is the W3C traceparent that the notification was handed in
// with. Without one, all attempts of a notification share a trace that follows from its notify_id. Spans go
// to the collector and nowhere else: no merchant is sent a traceparent, and no address, parameter or reply of
// a merchant stands in a span.
//
// The standard variables configure it: OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT says
// where spans go, and without either nothing is exported; OTEL_EXPORTER_OTLP_*, OTEL_BSP_*,
// OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES do the rest. Spans that the collector
// does not take in time are dropped: tracing never holds up a send.
//
// Start reading at Start in export.go.
package tracing

import (
	"context"
	"log/slog"

	"paynotify/store"
)

// Options is what Start needs. Every field is optional.
type Options struct {
	Version string       // of this program, for the collector
	Log     *slog.Logger // is told when spans cannot be delivered, at most once a minute; nil = silent
}

// Tracer exports attempts. Its zero value exports nothing, and costs nothing.
type Tracer struct {
	// Attempt is told of every attempt once it is settled: the notification as it was before, and the attempt
	// with its number. It does not block and keeps nothing of what it is given. It is nil where nothing is
	// exported.
	Attempt func(*store.Notification, *store.Attempt)

	stop func(context.Context) error
}

// Stop delivers what is still in hand, until ctx is done, and ends the exporter.
func (t Tracer) Stop(ctx context.Context) error {
	if t.stop == nil {
		return nil
	}
	return t.stop(ctx)
}
