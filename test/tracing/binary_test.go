//go:build otel

package tracing_test

import (
	"bytes"
	"debug/buildinfo"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/test/product"
)

// What a binary with tracing may cost.
const (
	modulesMax = 65
	bytesMax   = 32_000_000
)

func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "paynotify")
	cmd := exec.Command("go", "build", "-tags", "otel,grpcnotrace", "-trimpath", "-buildvcs=false",
		"-ldflags", "-s -w", "-o", binary, "paynotify/cmd/paynotify")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// TestBinary drives the real one: a caller's trace goes on in our spans, and no merchant hears of it.
func TestBinary(t *testing.T) {
	binary := build(t)
	checkBudget(t, binary)
	c := newCollector(t)
	var asked atomic.Int64
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name := range r.Header {
			if slices.Contains([]string{"traceparent", "tracestate", "baggage"}, strings.ToLower(name)) {
				t.Errorf("the merchant is sent %s", name)
			}
		}
		if asked.Add(1) == 1 {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Write([]byte("success"))
	}))
	defer merchant.Close()
	cmd := exec.Command(binary, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "p.db"))
	cmd.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT="+c.URL, "OTEL_SERVICE_NAME=till",
		"OTEL_BSP_SCHEDULE_DELAY=20")
	server := product.Serve(t, cmd)

	post(t, server.URL+"/v1/merchants", `{"mch_id":"m1","profile":"form","schedule":"0,1h","notify_url":"`+
		merchant.URL+`/notify"}`)
	var got struct {
		NotifyID string `json:"notify_id"`
	}
	body := post(t, server.URL+"/v1/notifications", `{"mch_id":"m1","params":{"trade_no":"1"}}`)
	if err := json.Unmarshal(body, &got); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(); err != nil { // delivers what is in hand
		t.Fatalf("%v\n%s", err, server.Output())
	}
	sends := c.named("send")
	if len(sends) == 0 {
		t.Fatalf("no span has come\n%s", server.Output())
	}
	first := sends[0]
	want := map[string]string{
		"notify_id": got.NotifyID, "mch_id": "m1", "profile": "form", "n": "1", "send": "1", "trigger": "first",
		"verdict": "http_5xx", "reason": "http_status", "status": "500",
	}
	if diff := cmp.Diff(want, first.Attributes); diff != "" {
		t.Error(diff)
	}
	if first.Trace != traceID || first.Parent != parentID || first.Service != "till" {
		t.Errorf("%+v", first)
	}
	var phases []string
	for _, s := range c.children(first) {
		phases = append(phases, s.Name)
	}
	if diff := cmp.Diff([]string{"connect", "ttfb", "body"}, phases); diff != "" {
		t.Error(diff)
	}
}

func checkBudget(t *testing.T, binary string) {
	t.Helper()
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.Stat(binary)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d modules, %d bytes", len(info.Deps), file.Size())
	if len(info.Deps) > modulesMax || file.Size() > bytesMax {
		t.Errorf("%d modules and %d bytes, at most %d and %d", len(info.Deps), file.Size(), modulesMax, bytesMax)
	}
}

func post(t *testing.T, url, body string) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Traceparent", traceParent)
	req.Header.Set("Tracestate", "vendor=1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var answer bytes.Buffer
	if _, err := answer.ReadFrom(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("%s: %d %s", url, resp.StatusCode, answer.String())
	}
	return answer.Bytes()
}
