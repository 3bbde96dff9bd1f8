package hostile

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/test/product"
)

// TestEgressProxy: the binary sends through the configured proxy, which is asked for the vetted address; the
// proxies of the environment are not touched; when the proxy dies, nobody is charged and it is said once.
func TestEgressProxy(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	proxy := newMerchant(t, nil, func(c conn) {
		req := c.request()
		if req == nil {
			return
		}
		mu.Lock()
		asked = append(asked, req.Method+" "+req.RequestURI+" "+req.Header.Get("Proxy-Authorization"))
		mu.Unlock()
		tunnel(c, req)
	})
	trap := newMerchant(t, nil, func(conn) { t.Error("a proxy of the environment was used") })
	shop := newMerchant(t, nil, func(c conn) {
		for c.request() != nil {
			c.say(body("success"))
		}
	})
	serve := exec.Command(product.Build(t), "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "proxy.db"))
	serve.Env = append(os.Environ(), "PAYNOTIFY_EGRESS_PROXY=http://user:hunter2@"+proxy.l.Addr().String())
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"} {
		serve.Env = append(serve.Env, name+"=http://"+trap.l.Addr().String())
	}
	s := product.Serve(t, serve)
	for _, id := range []string{"m1", "m2", "m3"} {
		call(t, s.URL+"/v1/merchants", map[string]any{"mch_id": id, "profile": "form", "notify_url": shop.url})
	}
	notify := func(mch string) {
		call(t, s.URL+"/v1/notifications", map[string]any{"mch_id": mch, "params": map[string]any{"a": "1"}})
	}
	notify("m1")
	waitFor(t, s.URL+"/v1/notifications?mch_id=m1&notify_state=spent", 1)
	mu.Lock()
	want := "CONNECT " + shop.l.Addr().String() + " Basic dXNlcjpodW50ZXIy"
	if len(asked) != 1 || asked[0] != want {
		t.Errorf("the proxy was asked %q, want %q", asked, want)
	}
	mu.Unlock()

	proxy.close()
	notify("m2")
	notify("m3")
	waitFor(t, s.URL+"/v1/notifications?reason=conn_refused&notify_state=pending", 2)
	checkUncharged(t, s.URL)
	out := s.Output()
	if strings.Count(out, "the egress proxy does not work") != 1 || strings.Contains(out, "hunter2") {
		t.Errorf("the log does not say once that the proxy is gone, or says its password:\n%s", out)
	}
	if text := get(t, s.URL+"/metrics"); !strings.Contains(text, "\npaynotify_egress_proxy_up 0\n") {
		t.Error("the metrics do not say that the proxy is down")
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != 200 {
		t.Fatalf("GET %s: %s %v", address, resp.Status, err)
	}
	return string(text)
}

// checkUncharged looks at the first attempt of everything that is pending.
func checkUncharged(t *testing.T, server string) {
	t.Helper()
	var page struct {
		Notifications []struct {
			ID    string `json:"notify_id"`
			Count int    `json:"notify_count"`
		} `json:"notifications"`
	}
	fetch(t, server+"/v1/notifications?notify_state=pending", &page)
	for _, n := range page.Notifications {
		var whole struct {
			Attempts []struct {
				Charged bool   `json:"charged"`
				Detail  string `json:"detail"`
			} `json:"attempts"`
		}
		fetch(t, server+"/v1/notifications/"+n.ID, &whole)
		if a := whole.Attempts[0]; n.Count != 0 || a.Charged || !strings.HasPrefix(a.Detail, "egress proxy: ") {
			t.Errorf("%s: %d charged, %+v", n.ID, n.Count, a)
		}
	}
}

// tunnel does what CONNECT asks for.
func tunnel(c conn, req *http.Request) {
	far, err := net.Dial("tcp", req.RequestURI)
	if err != nil {
		c.say(says("502 Bad Gateway", "", ""))
		return
	}
	defer far.Close()
	c.say("HTTP/1.1 200 Connection established\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, c.br); far.Close() })
	both.Go(func() { _, _ = io.Copy(c, far); c.Close() })
	both.Wait()
}

// waitFor waits until a list has n notifications.
func waitFor(t *testing.T, address string, n int) {
	t.Helper()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for end := time.Now().Add(patience); ; <-again.C {
		var page struct {
			Notifications []any `json:"notifications"`
		}
		if fetch(t, address, &page); len(page.Notifications) >= n {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s lists %d, want %d", address, len(page.Notifications), n)
		}
	}
}
