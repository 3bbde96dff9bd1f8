package hostile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/product"
)

const (
	bombs       = 500
	bombsRSSMax = 256 << 20
)

// explosives are what the merchants answer in TestBombs, all at once, and what comes of it.
var explosives = []struct {
	verdict store.Verdict
	reason  store.Reason
	talk    func(conn)
}{
	{
		store.BadReply, store.TooLarge,
		func(c conn) { c.say(says("200 OK", "Content-Encoding: gzip\r\n", bomb())) },
	},
	{store.BadReply, store.TooLarge, endless(head(""), "success")},
	{store.BadReply, store.TooLarge, endless(head(chunked), "7\r\nsuccess\r\n")},
	{store.BadReply, store.Malformed, endless("HTTP/1.1 200 OK\r\nX: ", "x")},
	{store.BadReply, store.Malformed, endless("", "HTTP/1.1 100 C\r\n\r\n")},
	{store.Timeout, store.TimeoutHeaders, drip("HTTP/1.1 200 OK\r\n", "X: y\r\n", -1)},
	{store.Timeout, store.TimeoutBody, drip(head(""), "success", -1)},
}

// TestBombs: the binary with 500 workers and 500 merchants whose servers answer at the same moment with
// bombs, bodies and heads without end, and slow drips. All are judged, none is acked, and the memory stays
// small.
func TestBombs(t *testing.T) {
	serve := exec.Command(product.Build(t), "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "bombs.db"))
	serve.Env = append(os.Environ(), "PAYNOTIFY_DISPATCHER_WORKERS="+itoa(bombs),
		"PAYNOTIFY_DISPATCHER_TIMEOUT=8s")
	s := product.Serve(t, serve)
	var arrived atomic.Int32
	all := make(chan struct{})
	m := newMerchant(t, nil, func(c conn) {
		req := c.request()
		if req == nil {
			return
		}
		kind, err := strconv.Atoi(req.URL.RawQuery)
		if err != nil {
			t.Errorf("asked for %s", req.URL)
			return
		}
		if arrived.Add(1) == bombs {
			close(all)
		}
		select {
		case <-all:
			explosives[kind].talk(c)
		case <-time.After(patience):
			t.Errorf("only %d of %d sends are in flight", arrived.Load(), bombs)
		}
	})
	for i := range bombs {
		call(t, s.URL+"/v1/merchants", map[string]any{
			"mch_id": mchID(i), "profile": "form", "notify_url": fmt.Sprintf("%s?%d", m.url, i%len(explosives)),
		})
	}
	sockets := descriptors(t, serve.Process.Pid)
	items := make([]map[string]any, bombs)
	for i := range items {
		items[i] = map[string]any{"mch_id": mchID(i), "params": map[string]any{"n": itoa(i)}}
	}
	call(t, s.URL+"/v1/notifications/batch", map[string]any{"notifications": items})
	checkJudged(t, s.URL)
	if peak := status(t, serve.Process.Pid, "VmHWM"); peak > bombsRSSMax || peak == 0 {
		t.Errorf("the process took %d MiB, more than %d", peak>>20, bombsRSSMax>>20)
	} else {
		t.Logf("the process took %d MiB at most", peak>>20)
	}
	if !until(func() bool { return m.open.Load() == 0 && descriptors(t, serve.Process.Pid) <= sockets+10 }) {
		t.Errorf("%d connections and %d descriptors are open in the end; before there were %d",
			m.open.Load(), descriptors(t, serve.Process.Pid), sockets)
	}
}

func mchID(i int) string { return "m" + itoa(i) }

// checkJudged waits until every notification has been judged, each as its merchant's answer deserves.
func checkJudged(t *testing.T, server string) {
	t.Helper()
	want := map[string]int{}
	for i := range bombs {
		e := explosives[i%len(explosives)]
		want["verdict="+string(e.verdict)+"&reason="+string(e.reason)]++
	}
	have := func(query string) int {
		var page struct {
			Notifications []any `json:"notifications"`
		}
		fetch(t, server+"/v1/notifications?limit=500&"+query, &page)
		return len(page.Notifications)
	}
	for query, n := range want {
		again := time.NewTicker(100 * time.Millisecond) // a page of 500 is work for the process that is measured
		for end := time.Now().Add(patience); have(query) < n && time.Now().Before(end); {
			<-again.C
		}
		again.Stop()
		if got := have(query); got != n {
			t.Errorf("%s: %d notifications, want %d", query, got, n)
		}
	}
	if n := have("notify_state=spent"); n != 0 {
		t.Errorf("%d are acknowledged", n)
	}
	if n := have("notify_state=pending"); n != bombs {
		t.Errorf("%d are pending, want all %d: each has sends left", n, bombs)
	}
}

func call(t *testing.T, address string, in any) {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(address, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if said, err := io.ReadAll(resp.Body); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("POST %s: %s %.500s %v", address, resp.Status, said, err)
	}
}

func fetch(t *testing.T, address string, out any) {
	t.Helper()
	if err := json.Unmarshal([]byte(get(t, address)), out); err != nil {
		t.Fatalf("GET %s: %v", address, err)
	}
}

// status is a line of /proc/PID/status, in bytes; 0 where the system has none.
func status(t *testing.T, pid int, name string) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return n << 10
		}
	}
	return 0
}

// descriptors counts what a process has open.
func descriptors(t *testing.T, pid int) int {
	t.Helper()
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Skip(err)
	}
	return len(open)
}
