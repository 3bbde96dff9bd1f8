// Package tracing tests what a binary with -tags otel exports, against a collector on loopback:
// "go test -tags otel,grpcnotrace ./test/tracing".
//
// Start reading at TestSpansOfAttempts in span_test.go.
package tracing
