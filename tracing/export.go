//go:build otel

package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// Start begins to export where the environment names a collector. Nothing is asked of the collector yet: one
// that cannot be reached is no error here, only a warning in the log later.
func Start(ctx context.Context, o Options) (Tracer, error) {
	wanted, err := configured()
	if err != nil || !wanted {
		return Tracer{}, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return Tracer{}, fmt.Errorf("OTEL_EXPORTER_OTLP_*: %w", err)
	}
	about, err := resource.New(ctx, resource.WithTelemetrySDK(),
		resource.WithAttributes(
			attribute.String("service.name", "paynotify"), attribute.String("service.version", o.Version)),
		resource.WithFromEnv()) // last: what the operator says counts
	if err != nil {
		return Tracer{}, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// OpenTelemetry reports what goes wrong behind its back to one place of the whole process.
	otel.SetErrorHandler(&complaints{log: o.Log})
	otel.SetLogger(logr.FromSlogHandler(o.Log.Handler()))
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithBatcher(exporter), sdktrace.WithResource(about), sdktrace.WithIDGenerator(ids{}))
	s := sender{provider.Tracer("paynotify")}
	return Tracer{Attempt: s.attempt, stop: provider.Shutdown}, nil
}

// configured reports whether the environment asks for an export, and refuses what this build cannot do.
func configured() (bool, error) {
	first := func(names ...string) (name, value string) {
		for _, name := range names {
			if value := strings.TrimSpace(os.Getenv(name)); value != "" {
				return name, value
			}
		}
		return "", ""
	}
	_, endpoint := first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
	_, disabled := first("OTEL_SDK_DISABLED")
	if endpoint == "" || strings.EqualFold(disabled, "true") {
		return false, nil
	}
	switch name, exporter := first("OTEL_TRACES_EXPORTER"); exporter {
	case "", "otlp":
	case "none":
		return false, nil
	default:
		return false, fmt.Errorf("%s is %q: this build exports by otlp alone", name, exporter)
	}
	name, protocol := first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	if protocol != "" && protocol != "http/protobuf" {
		return false, fmt.Errorf("%s is %q: this build speaks http/protobuf", name, protocol)
	}
	return true, nil
}

// complaintPause keeps a collector that is away from filling the log.
const complaintPause = time.Minute

// complaints passes the exporter's errors to the log, not more often than once in complaintPause.
type complaints struct {
	log  *slog.Logger
	last atomic.Int64 // unix ns
}

// Handle takes an error of the exporter.
func (c *complaints) Handle(err error) {
	now, last := time.Now().UnixNano(), c.last.Load()
	if last != 0 && now-last < int64(complaintPause) || !c.last.CompareAndSwap(last, now) {
		return
	}
	c.log.Warn("spans cannot be delivered and are dropped", "err", err)
}
