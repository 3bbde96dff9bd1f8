//go:build otel

package tracing_test

import (
	"compress/gzip"
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	trace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// collector takes spans over OTLP/HTTP.
type collector struct {
	*httptest.Server

	mu     sync.Mutex
	spans  []span
	status int // what it answers; 0 = 200
}

// span is what the tests want to know of one.
type span struct {
	Service, Name string
	Trace, Parent string // hex; Parent is empty for a root
	id            string
	Start, End    time.Duration // since the epoch
	Attributes    map[string]string
	Failed        string // the description of an error status
}

// newCollector starts a collector that lives as long as the test.
func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/traces" || r.Method != http.MethodPost {
			t.Errorf("the exporter asks %s %s", r.Method, r.URL)
		}
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			unzipped, err := gzip.NewReader(r.Body)
			if err != nil {
				t.Error(err)
				return
			}
			body = unzipped
		}
		raw, err := io.ReadAll(body)
		var in trace.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(raw, &in)
		}
		if err != nil {
			t.Error(err)
			return
		}
		c.take(w, &in)
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) take(w http.ResponseWriter, in *trace.ExportTraceServiceRequest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != 0 {
		w.WriteHeader(c.status)
		return
	}
	for _, of := range in.ResourceSpans {
		service := attributes(of.Resource.Attributes)["service.name"]
		for _, scope := range of.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, read(service, s))
			}
		}
	}
}

func read(service string, s *otlp.Span) span {
	out := span{
		Service: service, Name: s.Name, Trace: hex.EncodeToString(s.TraceId), id: hex.EncodeToString(s.SpanId),
		Parent: hex.EncodeToString(s.ParentSpanId), Attributes: attributes(s.Attributes),
		Start: time.Duration(s.StartTimeUnixNano), End: time.Duration(s.EndTimeUnixNano),
	}
	if s.Status.GetCode() == otlp.Status_STATUS_CODE_ERROR {
		out.Failed = s.Status.Message
	}
	return out
}

func attributes(list []*common.KeyValue) map[string]string {
	out := map[string]string{}
	for _, kv := range list {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_IntValue:
			out[kv.Key] = strconv.FormatInt(v.IntValue, 10)
		case *common.AnyValue_StringValue:
			out[kv.Key] = v.StringValue
		default:
			out[kv.Key] = "?"
		}
	}
	return out
}

// named are the spans with this name that have come, in the order of their starts.
func (c *collector) named(name string) (list []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			list = append(list, s)
		}
	}
	return list
}

// children are the spans below this one.
func (c *collector) children(of span) (list []span) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Parent == of.id && s.Trace == of.Trace {
			list = append(list, s)
		}
	}
	return list
}
