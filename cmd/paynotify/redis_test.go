package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/signer/keyring"
	"paynotify/test/redis"
)

// redisConfig is a configuration for a store on a Redis of the test's own.
func redisConfig(t *testing.T, url string) Config {
	t.Helper()
	cfg := testConfig(t)
	cfg.Store, cfg.MasterKey = url, secret(keyring.Generate())
	return cfg
}

// told is what a person reads when an engine did not start, or ended.
func told(t *testing.T, err error, code int) string {
	t.Helper()
	if got := exitCode(t.Context(), err); got != code {
		t.Fatalf("exit code %d, want %d: %v", got, code, err)
	}
	var out bytes.Buffer
	report(&out, code, err)
	return out.String()
}

// hasLines checks that each line stands there, alone and whole.
func hasLines(t *testing.T, text string, lines ...string) {
	t.Helper()
	for _, line := range lines {
		if !slices.Contains(strings.Split(text, "\n"), line) {
			t.Errorf("no line %q in\n%s", line, text)
		}
	}
}

func isReady(t *testing.T, e *engine) bool {
	t.Helper()
	status, _ := fetch(t, e.URL+"/readyz")
	return status == http.StatusOK
}

// sent accepts a notification for m1 and waits until it is spent.
func sent(t *testing.T, e *engine) string {
	t.Helper()
	code, id, errs := runAgainst(t, e.URL, "send", "--mch", "m1")
	if code != exitOK {
		t.Fatal(errs)
	}
	id = strings.TrimSpace(id)
	eventually(t, "it is not spent", func() bool {
		_, out, _ := runAgainst(t, e.URL, "list", "--state", "spent")
		return strings.Contains(out, id)
	})
	return id
}

// TestServeWaitsForRedis: it listens at once, says what it waits for, and starts by itself.
func TestServeWaitsForRedis(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	r.Stop()
	e := testEngine(t, redisConfig(t, r.URL()))
	defer e.Shutdown()
	status, text := fetch(t, e.URL+"/readyz")
	if status != http.StatusServiceUnavailable || !strings.Contains(text, errNotYet.Error()) {
		t.Errorf("/readyz: %d %s", status, text)
	}
	began := time.Now()
	resp, err := http.Get(e.URL + "/v1/merchants") //nolint:noctx // loopback
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" ||
		resp.Header.Get("Content-Type") != "application/problem+json" || time.Since(began) > 2*time.Second {
		t.Errorf("/v1/merchants: %d %v after %s", resp.StatusCode, resp.Header, time.Since(began))
	}
	if status, _ := fetch(t, e.URL+"/metrics"); status != http.StatusOK {
		t.Errorf("/metrics: %d", status)
	}
	r.Restart()
	eventually(t, "it does not start", func() bool { return isReady(t, e) })
	testMerchant(t, e, "success")
	sent(t, e)
}

// TestShutdownWhileRedisIsMissing: nothing has begun, so nothing is waited for.
func TestShutdownWhileRedisIsMissing(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	r.Stop()
	e := testEngine(t, redisConfig(t, r.URL()))
	began := time.Now()
	if err := e.Shutdown(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > drainSends {
		t.Errorf("it took %s", took)
	}
}

func TestVolatileRedisIsRefused(t *testing.T) {
	t.Parallel()
	r := redis.Start(t, "appendonly no", "maxmemory-policy allkeys-lru")
	cfg := redisConfig(t, r.URL())
	_, err := startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	cures := []string{"CONFIG SET appendonly yes", "CONFIG SET maxmemory-policy noeviction"}
	hasLines(t, told(t, err, exitConfig), cures...)

	cfg.AllowVolatile = true
	e := testEngine(t, cfg)
	defer e.Shutdown()
	status, text := fetch(t, e.URL+"/readyz")
	for _, want := range []string{"appendonly no", "allkeys-lru", "--" + volatileFlag} {
		if status != http.StatusOK || strings.Count(text, want) != 1 {
			t.Errorf("/readyz: %d, want 200 and one %q: %s", status, want, text)
		}
	}
	gauge := func(name, want string) bool {
		_, text := fetch(t, e.URL+"/metrics")
		return strings.Contains(text, "\n"+name+" "+want+"\n")
	}
	if !gauge("paynotify_store_durable", "0") || !gauge("paynotify_store_fsync_always", "0") {
		t.Error("the metrics call it durable")
	}
	// The cures cure.
	r.MustDo("CONFIG", "SET", "appendonly", "yes")
	r.MustDo("CONFIG", "SET", "maxmemory-policy", "noeviction")
	durable := func() bool { return gauge("paynotify_store_durable", "1") }
	eventually(t, "it is not durable after the cures", durable)
	r.MustDo("CONFIG", "SET", "appendfsync", "always")
	eventually(t, "always is not seen", func() bool { return gauge("paynotify_store_fsync_always", "1") })
}

// TestVolatileRedisFoundLater: what would have refused the start ends the process.
func TestVolatileRedisFoundLater(t *testing.T) {
	t.Parallel()
	r := redis.Start(t, "appendonly no")
	r.Stop()
	e := testEngine(t, redisConfig(t, r.URL()))
	defer e.Shutdown()
	r.Restart()
	hasLines(t, told(t, e.wait(t.Context()), exitConfig), "CONFIG SET appendonly yes")
}

// TestRedisThatIsNotOurs: what no waiting would cure ends the start, with what to do.
func TestRedisThatIsNotOurs(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	cfg := redisConfig(t, r.URL())
	if err := testEngine(t, cfg).Shutdown(); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, set, want string
	}{
		{"moved", "HSET MARKER app.moved_to redis://:hunter2@h:1/0", "moved to redis://h:1/0"},
		{"migrating", "HSET MARKER app.migrating sqlite:a.db", "has not ended"},
		{"newer", "HSET MARKER format 99", "newer paynotify"},
		{"foreign", "SET MARKER x", "holds something else"},
	} {
		var command []any
		for word := range strings.FieldsSeq(tt.set) {
			command = append(command, strings.Replace(word, "MARKER", "pn:{s0}:meta", 1))
		}
		r.MustDo(command...)
		_, err := startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if text := told(t, err, exitConfig); !strings.Contains(text, tt.want) || strings.Contains(text, "hunter2") {
			t.Errorf("%s: want %q in\n%s", tt.name, tt.want, text)
		}
	}
}

// TestMasterKeyOnRedis: a wrong one ends the start, and the process that finds out later.
func TestMasterKeyOnRedis(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	cfg := redisConfig(t, r.URL())
	e := testEngine(t, cfg)
	testMerchant(t, e, "success")
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	mine := cfg.MasterKey
	cfg.MasterKey = secret(keyring.Generate())
	_, err := startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if text := told(t, err, exitConfig); !strings.Contains(text, "is not the one of this store") {
		t.Error(text)
	}
	r.Stop()
	e = testEngine(t, cfg)
	r.Restart()
	text := told(t, e.wait(t.Context()), exitConfig)
	if !strings.Contains(text, "is not the one of this store") {
		t.Error(text)
	}
	if e.notYet() == nil {
		t.Error("the store was used with a key that is not its own")
	}
	if err := e.Shutdown(); err != nil {
		t.Error(err)
	}

	// A new key that is rolled out node by node: the old node goes on, and says what it lacks.
	cfg.MasterKey = mine
	old := testEngine(t, cfg)
	defer old.Shutdown()
	cfg.MasterKey = secret(keyring.Generate()) + "\n" + mine
	renewed := testEngine(t, cfg)
	defer renewed.Shutdown()
	for e, want := range map[*engine]bool{old: true, renewed: false} {
		e.lookAtKeys(t.Context())
		if _, text := fetch(t, e.URL+"/readyz"); strings.Contains(text, "master_key") != want {
			t.Errorf("warning %v, want %v: %s", !want, want, text)
		}
	}
}

// TestTwoProcessesShareARedis: any accepts, any sends, and either may go.
func TestTwoProcessesShareARedis(t *testing.T) {
	t.Parallel()
	cfg := redisConfig(t, redis.Start(t).URL())
	cfg.Retention.Shrink = time.Nanosecond
	one, two := testEngine(t, cfg), testEngine(t, cfg)
	defer two.Shutdown()
	testMerchant(t, one, "success")
	first := sent(t, two)
	if code, _, errs := runAgainst(t, one.URL, "sending", "stop", "--reason", "drill"); code != exitOK {
		t.Error(errs)
	}
	if _, out, _ := runAgainst(t, two.URL, "sending", "status"); !strings.Contains(out, "stopped") {
		t.Errorf("the other process does not know: %s", out)
	}
	if code, _, errs := runAgainst(t, two.URL, "sending", "start", "--reason", "drill"); code != exitOK {
		t.Error(errs)
	}
	if err := one.Shutdown(); err != nil {
		t.Error(err)
	}
	sent(t, two)
	if code, _, errs := runAgainst(t, two.URL, "backup", t.TempDir()+"/copy.db"); code != exitConfig ||
		!strings.Contains(errs, "AOF") {
		t.Errorf("backup: exit code %d\n%s", code, errs)
	}
	// A process that starts shrinks at once what is old enough, by the second round the first one too.
	three := testEngine(t, cfg)
	defer three.Shutdown()
	eventually(t, "it is not shrunk", func() bool {
		_, text := fetch(t, three.URL+"/v1/notifications/"+first)
		return strings.Contains(text, `"shrunk":true`)
	})
}
