package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/store/redisstore"
	"paynotify/store/sqlitestore"
	"paynotify/store/storetest"
	"paynotify/test/redis"
)

// migrated runs migrate and returns what it says at the end.
func migrated(t *testing.T, code int, from, to string, args ...string) (out, errs string) {
	t.Helper()
	args = append([]string{"migrate", "--from", from, "--to", to}, args...)
	got, out, errs := runAgainst(t, "http://127.0.0.1:1", args...)
	if got != code {
		t.Fatalf("%v: exit code %d, want %d\n%s%s", args, got, code, out, errs)
	}
	return out, errs
}

var movedLine = regexp.MustCompile(`^merchants=(\d+) notifications=(\d+) checksum=([0-9a-f]{32}) ok\n$`)

// refusesToServe wants serve to exit with 78 and to name the other store.
func refusesToServe(t *testing.T, cfg Config, other string) {
	t.Helper()
	e, err := startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		e.Shutdown()
		t.Fatalf("%s is served", cfg.Store)
	}
	if text := told(t, err, exitConfig); !strings.Contains(text, other) {
		t.Errorf("serving %s does not name %s:\n%s", cfg.Store, other, text)
	}
}

// answers is what the API says of a merchant's notifications, attempts included.
func answers(t *testing.T, e *engine, ids ...string) string {
	t.Helper()
	var all strings.Builder
	for _, id := range ids {
		_, text := fetch(t, e.URL+"/v1/notifications/"+id)
		all.WriteString(text)
	}
	_, text := fetch(t, e.URL+"/v1/notifications?limit=500")
	all.WriteString(text)
	_, text = fetch(t, e.URL+"/v1/merchants")
	all.WriteString(text)
	return all.String()
}

// TestMigrateServedStores moves what was served to Redis and back again.
func TestMigrateServedStores(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	here := testConfig(t)
	path := strings.TrimPrefix(here.Store, "sqlite:")
	e := testEngine(t, here)
	testMerchant(t, e, "success")
	spent := sent(t, e)
	if code, _, errs := runAgainst(t, e.URL, "merchant", "pause", "m1"); code != exitOK {
		t.Fatal(errs)
	}
	const body = `{"mch_id":"m1","notify_type":"x","params":{"a":"1"}}`
	pending, replayed := postKeyed(t, e, body)
	if replayed {
		t.Fatal("the first is a replay")
	}
	before := answers(t, e, spent, pending)
	if _, errs := migrated(t, exitTemporary, here.Store, r.URL()); !strings.Contains(errs, "process") {
		t.Errorf("a served source: %s", errs)
	}
	e.Shutdown()
	out, errs := migrated(t, exitOK, here.Store, r.URL())
	if m := movedLine.FindStringSubmatch(out); m == nil || m[1] != "1" || m[2] != "2" {
		t.Fatalf("it says %q", out)
	}
	if !strings.Contains(errs, path+".master_key") {
		t.Errorf("it does not say where the master key is: %s", errs)
	}
	refusesToServe(t, here, r.URL())

	key, err := os.ReadFile(path + ".master_key")
	if err != nil {
		t.Fatal(err)
	}
	there := testConfig(t)
	there.Store, there.MasterKey = r.URL(), secret(strings.TrimSpace(string(key)))
	e = testEngine(t, there)
	if after := answers(t, e, spent, pending); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if id, replayed := postKeyed(t, e, body); id != pending || !replayed {
		t.Errorf("the idempotency key answers %s, replayed %v; want %s", id, replayed, pending)
	}
	if _, errs := migrated(t, exitTemporary, r.URL(), here.Store); !strings.Contains(errs, "process") {
		t.Errorf("a served source on Redis: %s", errs)
	}
	if code, _, errs := runAgainst(t, e.URL, "merchant", "resume", "m1"); code != exitOK {
		t.Fatal(errs)
	}
	eventually(t, "what was moved is not sent", func() bool {
		_, out, _ := runAgainst(t, e.URL, "list", "--state", "spent")
		return strings.Contains(out, pending)
	})
	before = answers(t, e, spent, pending)
	e.Shutdown()
	movedBack(t, there, here)
	e = testEngine(t, here)
	defer e.Shutdown()
	if after := answers(t, e, spent, pending); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
	if id, replayed := postKeyed(t, e, body); id != pending || !replayed {
		t.Errorf("the idempotency key answers %s, replayed %v; want %s", id, replayed, pending)
	}
}

// movedBack migrates two notifications back to where they came from.
func movedBack(t *testing.T, there, here Config) {
	t.Helper()
	out, _ := migrated(t, exitOK, there.Store, here.Store, "--json")
	var said struct {
		Merchants, Notifications int
		Checksum                 string
		OK                       bool
	}
	if err := json.Unmarshal([]byte(out), &said); err != nil || said.Notifications != 2 || !said.OK {
		t.Fatalf("it says %q, %v", out, err)
	}
	refusesToServe(t, there, here.Store)
}

// postKeyed accepts a notification under an idempotency key.
func postKeyed(t *testing.T, e *engine, body string) (id string, replayed bool) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+"/v1/notifications",
		strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", "k-1")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		ID string `json:"notify_id"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.ID == "" {
		t.Fatalf("%d %s", resp.StatusCode, text)
	}
	return answer.ID, resp.Header.Get("Idempotency-Replayed") == "true"
}

// crowd fills a store that nobody serves.
func crowd(t *testing.T, path string, chunks int) (total int) {
	t.Helper()
	ctx := context.Background()
	s, err := sqlitestore.Open(ctx, sqlitestore.Options{Path: path, ForMigration: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var names []string
	for i := range 8 {
		var m store.MovedMerchant
		m.MchID, m.Profile, m.NotifyURL = fmt.Sprintf("m%d", i), "form", "https://shop.example/notify"
		m.Revision, m.Paused, m.CreatedAt = 1, true, time.UnixMicro(1).UTC()
		names = append(names, m.MchID)
		if err := s.ImportMerchants(ctx, []store.MovedMerchant{m}); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	for chunk := range chunks {
		items := storetest.Foreign(1, names, 50, now.Add(time.Duration(chunk-chunks)*time.Second))
		for i := range items {
			if items[i].IdempotencyKey != "" {
				items[i].IdempotencyKey += fmt.Sprintf("-%d", chunk)
			}
		}
		if err := s.Import(ctx, items); err != nil {
			t.Fatal(err)
		}
		total += len(items)
	}
	return total
}

// TestMigrateKilled kills the migration while it moves, in both directions, and runs it again.
func TestMigrateKilled(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	path := filepath.Join(t.TempDir(), "a.db")
	total := crowd(t, path, 50)
	here, there := testConfig(t), redisConfig(t, r.URL())
	here.Store = "sqlite:" + path

	killedWhen(t, here.Store, r.URL(), func() bool {
		n, ok := r.MustDo("DBSIZE").(int64)
		return ok && n > int64(total/4)
	})
	refusesToServe(t, there, here.Store)
	out, _ := migrated(t, exitOK, here.Store, r.URL())
	first := movedLine.FindStringSubmatch(out)
	if first == nil || first[2] != fmt.Sprint(total) {
		t.Fatalf("it says %q, want %d notifications", out, total)
	}
	refusesToServe(t, here, r.URL())

	back := filepath.Join(t.TempDir(), "b.db")
	killedWhen(t, r.URL(), "sqlite:"+back, func() bool {
		info, err := os.Stat(back + "-wal")
		return err == nil && info.Size() > 1<<20
	})
	here.Store = "sqlite:" + back
	refusesToServe(t, here, r.URL())
	out, _ = migrated(t, exitOK, r.URL(), "sqlite:"+back)
	second := movedLine.FindStringSubmatch(out)
	if second == nil || second[2] != first[2] || second[3] != first[3] {
		t.Fatalf("it says %q, and the first time %q", out, first)
	}
	refusesToServe(t, there, back)
	report, err := sqlitestore.Fsck(back)
	if err != nil || !report.Sound() || report.Notifications != total {
		t.Errorf("fsck: %+v, %v", report, err)
	}
}

// killedWhen runs migrate as a process of its own and kills it when something is so.
func killedWhen(t *testing.T, from, to string, when func() bool) {
	t.Helper()
	cmd := exec.Command("paynotify", "migrate", "--from", from, "--to", to)
	cmd.Dir = t.TempDir()
	var said strings.Builder
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Kill()
	}()
	eventually(t, "it does not begin", func() bool {
		select {
		case err := <-ended:
			t.Fatalf("it ended before it was killed: %v\n%s", err, said.String())
		default:
		}
		return when()
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-ended
}

// TestMigrateRefusesAStoreThatIsServedElsewhere: another machine's process shows by its sign of life alone.
func TestMigrateRefusesAStoreThatIsServedElsewhere(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	path := filepath.Join(t.TempDir(), "a.db")
	crowd(t, path, 1)
	s, err := redisstore.Open(t.Context(), redisstore.Options{URL: r.URL()})
	if err != nil {
		t.Fatal(err)
	}
	<-s.Ready()
	_, errs := migrated(t, exitTemporary, "sqlite:"+path, r.URL())
	if !strings.Contains(errs, fmt.Sprintf("process %d on ", os.Getpid())) {
		t.Errorf("it does not say by whom: %s", errs)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now := time.Now().UnixMicro()
	r.MustDo("ZADD", "pn:{s0}:nodes", now, "77@elsewhere#1-ab")
	migrated(t, exitTemporary, "sqlite:"+path, r.URL())
	r.MustDo("ZADD", "pn:{s0}:nodes", now-16e6, "77@elsewhere#1-ab")
	migrated(t, exitOK, "sqlite:"+path, r.URL())
}
