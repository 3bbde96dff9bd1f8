package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/sandbox"
)

// testConfig is a configuration for a test of its own, on a free port.
func testConfig(t *testing.T) Config {
	t.Helper()
	cfg := defaultConfig()
	cfg.Listen, cfg.Store, cfg.Dev = "127.0.0.1:0", "sqlite:"+filepath.Join(t.TempDir(), "test.db"), true
	return cfg
}

func testEngine(t *testing.T, cfg Config) *engine {
	t.Helper()
	e, err := startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// testMerchant is a sandbox merchant that is registered as m1 with the profile form.
func testMerchant(t *testing.T, e *engine, reply string) *sandbox.Merchant {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &sandbox.Merchant{Reply: reply, Profile: "form"}
	if err := m.Start(ln); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	code, _, errs := runAgainst(t, e.URL, "merchant", "add", "m1", "--profile", "form", "--notify-url", m.URL())
	if code != exitOK {
		t.Fatal(errs)
	}
	return m
}

func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	resp, err := http.Get(url) //nolint:noctx // loopback, and the test has a limit
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(text)
}

func TestMetricsListenerOfItsOwn(t *testing.T) {
	cfg := testConfig(t)
	beside := testEngine(t, cfg)
	status, text := fetch(t, beside.URL+"/metrics")
	if status != 200 || !strings.Contains(text, "go_goroutines") {
		t.Errorf("beside the API: got %d %.100s", status, text)
	}
	if err := beside.Shutdown(); err != nil {
		t.Fatal(err)
	}
	cfg.Metrics.Listen = "127.0.0.1:0"
	own := testEngine(t, cfg)
	defer own.Shutdown()
	status, text = fetch(t, own.MetricsURL)
	if status != 200 || !strings.Contains(text, "paynotify_") || !strings.Contains(text, "process_") {
		t.Errorf("on its own: got %d %.100s", status, text)
	}
	if status, _ := fetch(t, own.URL+"/metrics"); status == 200 {
		t.Error("beside the API as well")
	}
	profiles := strings.TrimSuffix(own.MetricsURL, "/metrics") + "/debug/pprof/"
	if status, text := fetch(t, profiles); status != 200 || !strings.Contains(text, "heap") {
		t.Errorf("profiles: got %d %.100s", status, text)
	}
	if status, _ := fetch(t, own.URL+"/debug/pprof/heap"); status != 404 {
		t.Errorf("profiles beside the API: got %d", status)
	}
}

// TestShutdownDrains: while a send is in flight /readyz says why no traffic should come, and the send ends.
func TestShutdownDrains(t *testing.T) {
	cfg := testConfig(t)
	cfg.Dispatcher.Timeout = 2 * time.Second
	e := testEngine(t, cfg)
	m := testMerchant(t, e, "slow")
	code, id, errs := runAgainst(t, e.URL, "send", "--mch", "m1")
	if code != exitOK {
		t.Fatal(errs)
	}
	eventually(t, "the merchant is not reached", func() bool { return m.Count() > 0 })
	ended := make(chan error)
	go func() { ended <- e.Shutdown() }()
	eventually(t, "/readyz does not say that it is draining", func() bool {
		status, text := fetch(t, e.URL+"/readyz")
		return status == http.StatusServiceUnavailable && strings.Contains(text, "draining")
	})
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	again := testEngine(t, cfg)
	defer again.Shutdown()
	_, out, _ := runAgainst(t, again.URL, "show", strings.TrimSpace(id))
	if !strings.Contains(out, "send 1/8") || !strings.Contains(out, "timeout") {
		t.Errorf("the send in flight was not recorded:\n%s", out)
	}
}

// eventually waits for something that happens in another goroutine.
func eventually(t *testing.T, failure string, done func() bool) {
	t.Helper()
	for began := time.Now(); time.Since(began) < pollMax; time.Sleep(time.Millisecond) {
		if done() {
			return
		}
	}
	t.Fatal(failure)
}

func TestEngineThatFailsExitsWith74(t *testing.T) {
	e := testEngine(t, testConfig(t))
	defer e.Shutdown()
	e.fail(errors.New("fsync: input/output error"))
	err := e.wait(t.Context())
	if code := exitCode(t.Context(), err); code != exitIO || !strings.Contains(err.Error(), "fsync") {
		t.Errorf("got %d, %v", code, err)
	}
}

func TestNothingStaysWhenTheAddressIsTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	cfg := testConfig(t)
	cfg.Metrics.Listen = ln.Addr().String()
	_, err = startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if code := exitCode(t.Context(), err); code != exitUnavailable {
		t.Errorf("got %d, %v", code, err)
	}
	cfg.Metrics.Listen = ""
	e := testEngine(t, cfg) // the store was given back
	if err := e.Shutdown(); err != nil {
		t.Error(err)
	}
}

// lockedBuffer is a buffer that a command writes while the test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// TestTailFollowsOverARestart: whoever watches keeps watching.
func TestTailFollowsOverARestart(t *testing.T) {
	cfg := testConfig(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen = ln.Addr().String() // the same before and after
	ln.Close()
	e := testEngine(t, cfg)
	testMerchant(t, e, "success")
	url := e.URL
	_, _, cursor := runAgainst(t, url, "tail", "--wait", "0s", "--json")
	ctx, cancel := context.WithCancelCause(t.Context())
	var out, errs lockedBuffer
	root := newRootCommand()
	root.SetArgs([]string{"--server", url, "tail", "-f", "--after", strings.TrimSpace(cursor), "--json"})
	root.SetOut(&out)
	root.SetErr(&errs)
	ended := make(chan error)
	go func() { ended <- root.ExecuteContext(ctx) }()
	follow := func() {
		t.Helper()
		code, id, errs := runAgainst(t, url, "send", "--mch", "m1")
		if code != exitOK {
			t.Fatal(errs)
		}
		eventually(t, "the tail does not print it", func() bool {
			return strings.Contains(out.String(), strings.TrimSpace(id))
		})
	}
	follow()
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the tail does not notice", func() bool {
		return strings.Contains(errs.String(), "trying again")
	})
	e = testEngine(t, cfg)
	defer e.Shutdown()
	follow()
	cancel(errInterrupted)
	if code := exitCode(ctx, <-ended); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
	for line := range strings.Lines(out.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("%q is no JSON", line)
		}
	}
	said := strings.Fields(errs.String())
	code, again, _ := runAgainst(t, url, "tail", "--after", said[len(said)-1], "--wait", "0s")
	if code != exitOK || again != "" {
		t.Errorf("the cursor %q at the end: exit %d, %q", said[len(said)-1], code, again)
	}
}
