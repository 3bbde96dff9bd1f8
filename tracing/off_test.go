//go:build !otel

package tracing

import "testing"

// TestOff: this build exports nothing, whatever the environment says, and never fails because of it.
func TestOff(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
	tracer, err := Start(t.Context(), Options{})
	if err != nil || tracer.Attempt != nil {
		t.Errorf("got %v, %v", tracer.Attempt != nil, err)
	}
	if err := tracer.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}
