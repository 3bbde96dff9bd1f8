//go:build otel

package tracing

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"paynotify/store"
)

// sender makes spans of attempts.
type sender struct{ tracer trace.Tracer }

// attempt makes the spans of one attempt. They are over when they are made, so nothing is kept meanwhile.
func (s sender) attempt(n *store.Notification, a *store.Attempt) {
	ctx := context.WithValue(context.Background(), notifyIDKey{}, n.NotifyID)
	if parent := parse(n.TraceParent); parent.IsValid() {
		ctx = trace.ContextWithRemoteSpanContext(ctx, parent)
	}
	end := a.StartedAt.Add(a.Duration)
	ctx, span := s.tracer.Start(ctx, "send", trace.WithTimestamp(a.StartedAt),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(attributes(n, a)...))
	if span.IsRecording() {
		if a.Verdict != store.Acked {
			span.SetStatus(codes.Error, string(a.Verdict)+" "+string(a.Reason))
		}
		s.phases(ctx, a, end)
	}
	span.End(trace.WithTimestamp(end))
}

func attributes(n *store.Notification, a *store.Attempt) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("notify_id", n.NotifyID), attribute.String("mch_id", n.MchID),
		attribute.String("profile", n.Profile), attribute.Int("n", a.N),
		attribute.String("trigger", string(a.Trigger)),
		attribute.String("verdict", string(a.Verdict)), attribute.String("reason", string(a.Reason)),
	}
	if a.Send > 0 {
		list = append(list, attribute.Int("send", a.Send))
	}
	if a.Status > 0 {
		list = append(list, attribute.Int("status", a.Status))
	}
	return list
}

// phases makes a child of every phase that happened. Only their lengths are known, so the connection's stand
// at the beginning of the attempt and the reply's at its end; between them lie signing and writing.
func (s sender) phases(ctx context.Context, a *store.Attempt, end time.Time) {
	at := a.StartedAt
	for _, p := range []struct {
		name string
		took time.Duration
	}{
		{"dns", a.Phases.DNS},
		{"connect", a.Phases.Connect},
		{"tls", a.Phases.TLS},
	} {
		s.phase(ctx, p.name, at, p.took)
		at = at.Add(max(0, p.took))
	}
	body := end.Add(-a.Phases.Body)
	s.phase(ctx, "ttfb", body.Add(-a.Phases.FirstByte), a.Phases.FirstByte)
	s.phase(ctx, "body", body, a.Phases.Body)
}

func (s sender) phase(ctx context.Context, name string, at time.Time, took time.Duration) {
	if took <= 0 {
		return
	}
	_, span := s.tracer.Start(ctx, name, trace.WithTimestamp(at))
	span.End(trace.WithTimestamp(at.Add(took)))
}

// parse reads a traceparent of version 00 (https://www.w3.org/TR/trace-context/), which is all that is
// stored. The result is not valid for anything else. Of the flags, "sampled" alone means something to us.
func parse(text string) trace.SpanContext {
	fields := strings.Split(text, "-")
	if len(fields) != 4 || fields[0] != "00" {
		return trace.SpanContext{}
	}
	traceID, err1 := trace.TraceIDFromHex(fields[1])
	spanID, err2 := trace.SpanIDFromHex(fields[2])
	flags, err3 := strconv.ParseUint(fields[3], 16, 8)
	if err1 != nil || err2 != nil || err3 != nil {
		return trace.SpanContext{}
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID, TraceFlags: trace.TraceFlags(flags) & trace.FlagsSampled, Remote: true,
	})
}

// notifyIDKey is where a context has the notify_id whose trace is begun.
type notifyIDKey struct{}

// ids gives traces and spans their ids. A notification that came without a traceparent has a trace id all the
// same, the beginning of a digest of its notify_id, so that its attempts, made hours apart by several
// processes, stand together, and a sampler takes all of them or none.
type ids struct{}

// NewIDs begins the trace of the context's notification.
func (i ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	notifyID, _ := ctx.Value(notifyIDKey{}).(string)
	digest := sha256.Sum256([]byte("paynotify trace " + notifyID))
	traceID := trace.TraceID(digest[:16])
	return traceID, i.NewSpanID(ctx, traceID)
}

// NewSpanID draws an id.
func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	for !id.IsValid() {
		rand.Read(id[:])
	}
	return id
}
