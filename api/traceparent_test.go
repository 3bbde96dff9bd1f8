package api

import (
	"net/http"
	"strings"
	"testing"
)

// TestTraceParent goes through what https://www.w3.org/TR/trace-context/ says about versions and fields.
func TestTraceParent(t *testing.T) {
	const fields = "-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct{ given, want string }{
		{"00" + fields, "00" + fields},
		{"00" + strings.TrimSuffix(fields, "01") + "00", "00" + strings.TrimSuffix(fields, "01") + "00"},
		{"00" + strings.TrimSuffix(fields, "01") + "ff", "00" + strings.TrimSuffix(fields, "01") + "ff"},
		{"01" + fields, "00" + fields},
		{"cc" + fields + "-what-the-future-will-be-like", "00" + fields},
		{"cc" + fields + "-", "00" + fields},
		{"", ""},
		{"00", ""},
		{"00" + fields + "-", ""},
		{"00" + fields + "-x", ""},
		{"cc" + fields + ".x", ""},
		{"ff" + fields, ""},
		{"0" + fields, ""},
		{"00" + strings.ToUpper(fields), ""},
		{"00-00000000000000000000000000000000-b7ad6b7169203331-01", ""},
		{"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", ""},
		{"00-0af7651916cd43dd8448eb211c80319-cb7ad6b7169203331-01", ""},
		{"00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", ""},
		{"00-0af7651916cd43dd8448eb211c8031.c-b7ad6b7169203331-01", ""},
	} {
		req := &http.Request{Header: http.Header{"Traceparent": {tt.given}}}
		if got := traceParent(req); got != tt.want {
			t.Errorf("%q: got %q, want %q", tt.given, got, tt.want)
		}
	}
	twice := &http.Request{Header: http.Header{"Traceparent": {"00" + fields, "00" + fields}}}
	if got := traceParent(twice); got != "" {
		t.Errorf("two headers: got %q", got)
	}
	if got := traceParent(&http.Request{}); got != "" {
		t.Errorf("no header: got %q", got)
	}
}
