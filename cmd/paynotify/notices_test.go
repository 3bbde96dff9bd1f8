package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paynotify/sandbox"
	"paynotify/signer"
	"paynotify/test/product"
	"paynotify/test/redis"
)

// listener is a sandbox merchant of the profile standard, as the platform or its operators have one.
func listener(t *testing.T, secret, reply string) *sandbox.Merchant {
	t.Helper()
	m := &sandbox.Merchant{Profile: "standard", Secret: secret, Reply: reply}
	if err := m.Start(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

// addShop starts a sandbox merchant of the profile form and registers it under a name.
func addShop(t *testing.T, e *engine, name, reply string, flags ...string) *sandbox.Merchant {
	t.Helper()
	m := &sandbox.Merchant{Profile: "form", Reply: reply}
	if err := m.Start(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	add := []string{"merchant", "add", name, "--profile", "form", "--notify-url", m.URL()}
	must(t, e, append(add, flags...)...)
	return m
}

func must(t *testing.T, e *engine, args ...string) string {
	t.Helper()
	code, out, errs := runAgainst(t, e.URL, args...)
	if code != exitOK {
		t.Fatalf("%s: exit %d: %s", args, code, errs)
	}
	return strings.TrimSpace(out)
}

// hooked is a message as the platform got it.
type hooked struct {
	Type      string         `json:"type"`
	Timestamp string         `json:"timestamp"`
	Data      map[string]any `json:"data"`
}

// about is whom a message tells of.
func (h *hooked) about() string { return fmt.Sprint(h.Data["mch_id"], h.Data["notify_id"]) }

// messages are those that a listener got, by type, all signed.
func messages(t *testing.T, m *sandbox.Merchant) map[string][]hooked {
	t.Helper()
	byType, seen := map[string][]hooked{}, map[string]bool{}
	for _, h := range m.Hits() {
		if h.Signature != sandbox.Verified {
			t.Fatalf("signature %s: %s %s\n%s", h.Signature, h.Rule, h.Detail, h.Body)
		}
		id := h.Header.Get("Webhook-Id")
		if seen[id] {
			continue // a second send of it
		}
		seen[id] = true
		var one hooked
		if err := json.Unmarshal(h.Body, &one); err != nil {
			t.Fatal(err)
		}
		byType[one.Type] = append(byType[one.Type], one)
	}
	for _, list := range byType {
		slices.SortFunc(list, func(a, b hooked) int { return cmp.Compare(a.about(), b.about()) })
	}
	return byType
}

// TestPlatformAndOperatorsAreTold is the whole flow: what becomes of notifications and merchants reaches the
// platform once each, signed, and operators what needs them.
func TestPlatformAndOperatorsAreTold(t *testing.T) {
	cfg := testConfig(t)
	e := testEngine(t, cfg)
	inside := addShop(t, e, "inside", "success")
	forbidden := strings.Replace(inside.URL(), "127.0.0.1", "127.0.0.2", 1)
	must(t, e, "merchant", "set", "inside", "--notify-url", forbidden)
	addShop(t, e, "away", "success")
	must(t, e, "merchant", "pause", "away", "--reason", "holidays")
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	cfg.Callback.Secret, cfg.Notices.Secret = secret(signer.GenerateWhsec()), secret(signer.GenerateWhsec())
	platform := listener(t, string(cfg.Callback.Secret), "success")
	operators := listener(t, string(cfg.Notices.Secret), "204")
	cfg.Callback.URL, cfg.Notices.URL = platform.URL()+"events?token=hunter2", operators.URL()
	cfg.Egress.DenyCIDRs = []string{"127.0.0.2/32"}
	var log lockedBuffer
	e, err := startEngine(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown()

	addShop(t, e, "good", "success")
	addShop(t, e, "bad", "fail", "--schedule", "0")

	spent := must(t, e, "send", "--mch", "good", "--out-trade-no", "T-1", "--notify-type", "refund")
	exhausted := must(t, e, "send", "--mch", "bad", "--out-trade-no", "T-2")
	must(t, e, "send", "--mch", "inside")
	eventually(t, "not everything was told", func() bool {
		p, o := messages(t, platform), messages(t, operators)
		return len(p["notification.spent"]) == 1 && len(p["notification.exhausted"]) == 1 &&
			len(p["merchant.held"]) == 2 && len(o["merchant.held"]) == 2
	})

	got := messages(t, platform)
	data := got["notification.spent"][0].Data
	if data["spent_at"] == nil {
		t.Error("no spent_at")
	}
	delete(data, "spent_at")
	want := map[string]any{
		"notify_id": spent, "mch_id": "good", "out_trade_no": "T-1", "notify_type": "refund",
		"notify_count": 1.0, "verdict": "acked", "reason": "ack_exact", "status": 200.0,
	}
	if diff := gocmp.Diff(want, data); diff != "" {
		t.Errorf("notification.spent (-want +got):\n%s", diff)
	}
	want = map[string]any{
		"notify_id": exhausted, "mch_id": "bad", "out_trade_no": "T-2",
		"notify_count": 2.0, "verdict": "refused", "reason": "ack_mismatch", "status": 200.0,
	}
	if diff := gocmp.Diff(want, got["notification.exhausted"][0].Data); diff != "" {
		t.Errorf("notification.exhausted (-want +got):\n%s", diff)
	}
	for i, name := range []string{"away", "inside"} {
		if d := got["merchant.held"][i].Data; d["mch_id"] != name || d["since"] == nil ||
			d["held_reason"] != []string{"merchant_paused", "address_blocked"}[i] {
			t.Errorf("merchant.held: %v", d)
		}
	}
	if !strings.Contains(log.String(), "Merchant inside is held (address_blocked)") {
		t.Error("the log does not say that a merchant is held")
	}

	showsNoSecret(t, e, platform, cfg, log.String())
}

// showsNoSecret looks at GET /v1/callback, and at the log.
func showsNoSecret(t *testing.T, e *engine, platform *sandbox.Merchant, cfg Config, log string) {
	t.Helper()
	status, text := fetch(t, e.URL+"/v1/callback")
	for _, s := range []string{"hunter2", string(cfg.Callback.Secret), "whsec_"} {
		if strings.Contains(text, s) || strings.Contains(log, s) {
			t.Errorf("%s is shown", s)
		}
	}
	if status != 200 || !strings.Contains(text, `"url":"`+platform.URL()+`events","state":"active"`) ||
		!strings.Contains(text, `"pending":0`) || !strings.Contains(text, `"last_verdict":"acked"`) {
		t.Errorf("/v1/callback: %d %s", status, text)
	}
}

// TestLogTellsWithoutConfiguration: operators read of a merchant that is held, and of one that fails, though
// there is nobody to POST it to.
func TestLogTellsWithoutConfiguration(t *testing.T) {
	cfg := testConfig(t)
	e := testEngine(t, cfg)
	inside := addShop(t, e, "inside", "success")
	forbidden := strings.Replace(inside.URL(), "127.0.0.1", "127.0.0.2", 1)
	must(t, e, "merchant", "set", "inside", "--notify-url", forbidden)
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	cfg.Egress.DenyCIDRs = []string{"127.0.0.2/32"}
	var log lockedBuffer
	e, err := startEngine(t.Context(), cfg, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer e.Shutdown()
	addShop(t, e, "bad", "fail", "--schedule", "0,0,0,0,0,0,0,0,0,0")
	must(t, e, "send", "--mch", "inside")
	must(t, e, "send", "--mch", "bad")
	for _, line := range []string{
		"Merchant inside is held (address_blocked)", "Merchant bad fails: 10 of its last 10 sends",
	} {
		eventually(t, "the log does not say: "+line, func() bool { return strings.Contains(log.String(), line) })
	}
}

// eventsOf counts the messages of one type that a listener got, by the notify_id that they tell of; repeated
// sends of one message count once.
func eventsOf(t *testing.T, m *sandbox.Merchant, kind string) map[string]int {
	t.Helper()
	counts := map[string]int{}
	for _, one := range messages(t, m)[kind] {
		counts[fmt.Sprint(one.Data["notify_id"])]++
	}
	return counts
}

// onceEach waits until there is an event for each notification, and checks that there is no second one.
func onceEach(t *testing.T, m *sandbox.Merchant, kind string, ids []string) {
	t.Helper()
	eventually(t, "not everything was told", func() bool {
		have := eventsOf(t, m, kind)
		return !slices.ContainsFunc(ids, func(id string) bool { return have[id] == 0 })
	})
	for id, n := range eventsOf(t, m, kind) {
		if n != 1 || !slices.Contains(ids, id) {
			t.Errorf("%s of %s was told %d times", kind, id, n)
		}
	}
}

// TestEventsSurviveKills: whenever the process dies, each event is told, and none as two.
func TestEventsSurviveKills(t *testing.T) {
	if testing.Short() {
		t.Skip("starts and kills 7 processes")
	}
	key := signer.GenerateWhsec()
	platform := listener(t, key, "success")
	dir := t.TempDir()
	start := func() *product.Server {
		cmd := exec.Command("paynotify", "serve", "--dev", "--listen", "127.0.0.1:0",
			"--store", "sqlite:"+filepath.Join(dir, "kill.db"))
		cmd.Env = append(os.Environ(), "PAYNOTIFY_CALLBACK_URL="+platform.URL(), "PAYNOTIFY_CALLBACK_SECRET="+key)
		return product.Serve(t, cmd)
	}
	server := start()
	good := &sandbox.Merchant{Profile: "form"}
	if err := good.Start(nil); err != nil {
		t.Fatal(err)
	}
	defer good.Close()
	do := func(args ...string) string {
		code, out, errs := runAgainst(t, server.URL, args...)
		if code != exitOK {
			t.Fatal(errs)
		}
		return strings.TrimSpace(out)
	}
	do("merchant", "add", "good", "--profile", "form", "--notify-url", good.URL())
	follows(t, server.URL) // what is settled before the first time is not told
	var ids []string
	for range 6 {
		for range 20 {
			ids = append(ids, do("send", "--mch", "good"))
		}
		time.Sleep(time.Duration(rand.IntN(int(300 * time.Millisecond)))) // anywhere on the way
		server.Kill()
		server = start()
	}
	onceEach(t, platform, "notification.spent", ids)
}

// TestCallbackThatIsDown: what it missed waits for it, and is seen to wait.
func TestCallbackThatIsDown(t *testing.T) {
	cfg := testConfig(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	ln.Close()
	cfg.Callback.URL, cfg.Callback.Secret = "http://"+address+"/", secret(signer.GenerateWhsec())
	e := testEngine(t, cfg)
	defer e.Shutdown()
	follows(t, e.URL)
	addShop(t, e, "good", "success")
	var ids []string
	for range 3 {
		ids = append(ids, must(t, e, "send", "--mch", "good"))
	}
	eventually(t, "GET /v1/callback does not show what waits", func() bool {
		_, text := fetch(t, e.URL+"/v1/callback")
		return strings.Contains(text, `"pending":3,"pending_more":false,"oldest_pending_at":"2`) &&
			strings.Contains(text, `"last_reason":"conn_refused"`)
	})
	if ln, err = net.Listen("tcp", address); err != nil {
		t.Skipf("somebody else has taken %s meanwhile", address)
	}
	platform := &sandbox.Merchant{Profile: "standard", Secret: string(cfg.Callback.Secret)}
	if err := platform.Start(ln); err != nil {
		t.Fatal(err)
	}
	defer platform.Close()
	onceEach(t, platform, "notification.spent", ids)
}

// follows waits until the engine tells what is settled from now on.
func follows(t *testing.T, url string) {
	t.Helper()
	eventually(t, "nobody follows", func() bool {
		_, text := fetch(t, url+"/v1/callback")
		return strings.Contains(text, `"following":true`)
	})
}

// TestNodesTellOnce: of two processes on one Redis one follows; when it goes, the other does.
func TestNodesTellOnce(t *testing.T) {
	t.Parallel()
	cfg := redisConfig(t, redis.Start(t).URL())
	cfg.Callback.Secret = secret(signer.GenerateWhsec())
	platform := listener(t, string(cfg.Callback.Secret), "success")
	cfg.Callback.URL = platform.URL()
	nodes := []*engine{testEngine(t, cfg), testEngine(t, cfg)}
	defer nodes[1].Shutdown()
	follows(t, nodes[0].URL)
	addShop(t, nodes[0], "good", "success")
	var ids []string
	for i := range 40 {
		ids = append(ids, must(t, nodes[i%2], "send", "--mch", "good"))
	}
	if err := nodes[0].Shutdown(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		ids = append(ids, must(t, nodes[1], "send", "--mch", "good"))
	}
	onceEach(t, platform, "notification.spent", ids)
}

// TestHooksFollowTheConfiguration: another URL, another secret, none at all.
func TestHooksFollowTheConfiguration(t *testing.T) {
	cfg := testConfig(t)
	old, fresh := signer.GenerateWhsec(), signer.GenerateWhsec()
	before, after := listener(t, old, "success"), listener(t, old, "success")
	newer := listener(t, fresh, "success")
	for _, step := range []struct {
		to     *sandbox.Merchant
		secret string
	}{{before, old}, {after, old}, {after, fresh}, {newer, fresh}} {
		// Where the secret is new, the old one signs beside it: `after` knows that one alone.
		cfg.Callback = HookConfig{URL: step.to.URL(), Secret: secret(step.secret)}
		e := testEngine(t, cfg)
		follows(t, e.URL)
		if step.to == before {
			addShop(t, e, "good", "success")
		}
		id := must(t, e, "send", "--mch", "good")
		eventually(t, "it is not told", func() bool { return eventsOf(t, step.to, "notification.spent")[id] == 1 })
		if err := e.Shutdown(); err != nil {
			t.Fatal(err)
		}
	}
	cfg.Callback = HookConfig{}
	e := testEngine(t, cfg)
	defer e.Shutdown()
	eventually(t, "it is not paused", func() bool {
		_, text := fetch(t, e.URL+"/v1/callback")
		return strings.Contains(text, `"state":"paused"`) && strings.Contains(text, `"following":false`)
	})
	_, err := startEngine(t.Context(), Config{
		Listen: "127.0.0.1:0", Store: "sqlite:" + filepath.Join(t.TempDir(), "x.db"),
		Callback: HookConfig{URL: "http://10.0.0.1/?k=hunter2", Secret: secret(fresh)},
	}, slog.New(slog.DiscardHandler))
	text := told(t, err, exitConfig)
	if !strings.Contains(text, "callback.url") || strings.Contains(text, "hunter2") {
		t.Errorf("an inside address: %s", text)
	}
}
