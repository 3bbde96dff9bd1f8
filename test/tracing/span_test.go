//go:build otel

package tracing_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
	"paynotify/tracing"
)

const (
	traceID     = "4bf92f3577b34da6a3ce929d0e0e4736"
	parentID    = "00f067aa0ba902b7"
	traceParent = "00-" + traceID + "-" + parentID + "-01"
)

var at = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// attempt is one that was refused after every phase.
func attempt() *store.Attempt {
	return &store.Attempt{
		N: 3, Send: 2, Trigger: store.Retry, StartedAt: at, Duration: 100 * time.Millisecond,
		Verdict: store.Refused, Reason: store.AckHTML, Status: 200, Reply: []byte("SECRET-REPLY"),
		Detail: "SECRET-DETAIL", RemoteAddr: "192.0.2.1:443",
		Phases: store.Phases{
			DNS: time.Millisecond, Connect: 2 * time.Millisecond, TLS: 3 * time.Millisecond,
			FirstByte: 20 * time.Millisecond, Body: 4 * time.Millisecond,
		},
	}
}

func notification() *store.Notification {
	return &store.Notification{
		NotifyID: "n1", MchID: "m1", Profile: "alipay", TraceParent: traceParent,
		NotifyURL: "https://shop.example/SECRET-PATH?q=SECRET-QUERY", OutTradeNo: "SECRET-ORDER",
	}
}

func start(t *testing.T, c *collector) tracing.Tracer {
	t.Helper()
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	tracer, err := tracing.Start(t.Context(), tracing.Options{Version: "v1"})
	if err != nil || tracer.Attempt == nil {
		t.Fatalf("nothing is exported: %v", err)
	}
	return tracer
}

// TestSpansOfAttempts checks one attempt's spans: their parents, their places in time, what they say.
func TestSpansOfAttempts(t *testing.T) {
	c := newCollector(t)
	tracer := start(t, c)
	tracer.Attempt(notification(), attempt())
	if err := tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	sends := c.named("send")
	if len(sends) != 1 {
		t.Fatalf("%d spans named send", len(sends))
	}
	since := func(ms int) time.Duration {
		return time.Duration(at.UnixNano()) + time.Duration(ms)*time.Millisecond
	}
	want := span{
		Service: "paynotify", Name: "send", Trace: traceID, Parent: parentID, Start: since(0), End: since(100),
		Attributes: map[string]string{
			"notify_id": "n1", "mch_id": "m1", "profile": "alipay", "n": "3", "send": "2", "trigger": "retry",
			"verdict": "refused", "reason": "ack_html", "status": "200",
		},
		Failed: "refused ack_html",
	}
	if diff := cmp.Diff(want, sends[0], cmp.FilterPath(func(p cmp.Path) bool {
		return p.Last().String() == ".id"
	}, cmp.Ignore())); diff != "" {
		t.Error(diff)
	}
	got := map[string][2]time.Duration{}
	for _, s := range c.children(sends[0]) {
		got[s.Name] = [2]time.Duration{s.Start, s.End}
		if len(s.Attributes) > 0 || s.Failed != "" {
			t.Errorf("%s: %+v", s.Name, s)
		}
	}
	phases := map[string][2]time.Duration{
		"dns": {since(0), since(1)}, "connect": {since(1), since(3)}, "tls": {since(3), since(6)},
		"ttfb": {since(76), since(96)}, "body": {since(96), since(100)},
	}
	if diff := cmp.Diff(phases, got); diff != "" {
		t.Error(diff)
	}
}

// TestTracesWithoutParent: the attempts of one notification stand in one trace of its own.
func TestTracesWithoutParent(t *testing.T) {
	c := newCollector(t)
	tracer := start(t, c)
	for _, parent := range []string{
		"", "00", "00-" + strings.Repeat("0", 32) + "-" + parentID + "-01", "ff" + traceParent[2:],
		"00-" + traceID + "-" + strings.Repeat("0", 16) + "-01", traceParent + "-", strings.ToUpper(traceParent),
	} {
		n := notification()
		n.TraceParent = parent
		tracer.Attempt(n, &store.Attempt{N: 1, StartedAt: at, Verdict: store.Acked, Reason: store.AckExact})
	}
	other := notification()
	other.NotifyID, other.TraceParent = "n2", ""
	tracer.Attempt(other, &store.Attempt{N: 1, StartedAt: at, Verdict: store.Acked, Reason: store.AckExact})
	if err := tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	traces := map[string]int{}
	for _, s := range c.named("send") {
		traces[s.Trace]++
		if s.Parent != "" || s.Failed != "" || s.Attributes["status"] != "" {
			t.Errorf("%+v", s)
		}
	}
	if len(traces) != 2 || traces[traceID] != 0 {
		t.Errorf("want the trace of n1 seven times and that of n2 once, got %v", traces)
	}
	if len(c.children(c.named("send")[0])) != 0 {
		t.Error("phases that did not happen have spans")
	}
}

// TestCallerDecidesAboutSampling: what the caller does not record, we do not.
func TestCallerDecidesAboutSampling(t *testing.T) {
	c := newCollector(t)
	tracer := start(t, c)
	n := notification()
	n.TraceParent = strings.TrimSuffix(traceParent, "01") + "00"
	tracer.Attempt(n, attempt())
	n.TraceParent = strings.TrimSuffix(traceParent, "01") + "03" // sampled, and a bit of level 2
	tracer.Attempt(n, attempt())
	if err := tracer.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := c.named("send"); len(got) != 1 {
		t.Errorf("%d spans, want 1", len(got))
	}
}

// TestCollectorThatIsAway costs a warning and the spans, nothing else.
func TestCollectorThatIsAway(t *testing.T) {
	c := newCollector(t)
	c.status = 400
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	var log bytes.Buffer
	tracer, err := tracing.Start(t.Context(), tracing.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	for range 5000 { // more than the exporter keeps
		tracer.Attempt(notification(), attempt())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := tracer.Stop(ctx); err != nil && ctx.Err() != nil {
		t.Error("Stop waited for a collector that refuses")
	}
	if n := strings.Count(log.String(), "spans cannot be delivered"); n != 1 {
		t.Errorf("%d warnings:\n%s", n, log.String())
	}
}

// TestConfiguration lists which environments export and which are refused.
func TestConfiguration(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	for _, tt := range []struct {
		env    map[string]string
		on     bool
		refuse string // a part of the error
	}{
		{env: map[string]string{}},
		{env: map[string]string{endpoint: "http://127.0.0.1:1"}, on: true},
		{env: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1/x"}, on: true},
		{env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}},
		{env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "none"}},
		{env: map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "otlp"}, on: true},
		{
			env:    map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_TRACES_EXPORTER": "zipkin"},
			refuse: `OTEL_TRACES_EXPORTER is "zipkin"`,
		},
		{
			env:    map[string]string{endpoint: "http://127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
			refuse: `OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"`,
		},
	} {
		t.Run("", func(t *testing.T) {
			for name, value := range tt.env {
				t.Setenv(name, value)
			}
			tracer, err := tracing.Start(t.Context(), tracing.Options{})
			if err == nil {
				defer tracer.Stop(t.Context())
			}
			switch {
			case tt.refuse != "" && (err == nil || !strings.Contains(err.Error(), tt.refuse)):
				t.Errorf("%v: got %v", tt.env, err)
			case tt.refuse == "" && err != nil:
				t.Errorf("%v: %v", tt.env, err)
			case (tracer.Attempt != nil) != tt.on:
				t.Errorf("%v: exported: %t", tt.env, !tt.on)
			}
		})
	}
}
