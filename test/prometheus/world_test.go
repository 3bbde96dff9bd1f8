package prometheus

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/sandbox"
	"paynotify/test/product"
	"paynotify/test/redis"
)

// masterKey is for tests alone.
const masterKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// world is one service on Redis, one process beside it that sends through a proxy, their merchants, and who
// watches them.
type world struct {
	t       *testing.T
	began   time.Time
	client  http.Client
	binary  string
	store   string
	address string          // of the service, the same in every life
	server  *product.Server // the service
	pages   *inbox

	prometheus   *prometheus
	alertmanager *alertmanager
}

func newWorld(t *testing.T) *world {
	t.Helper()
	if _, err := exec.LookPath("prometheus"); err != nil {
		t.Skip("prometheus is not installed: apt-get install prometheus")
	}
	if alertmanagerName() == "" {
		t.Skip("Alertmanager is not installed: apt-get install prometheus-alertmanager")
	}
	w := &world{
		t: t, began: time.Now(), client: http.Client{Timeout: 10 * time.Second},
		binary: product.Build(t), store: redis.Start(t).URL(), address: "127.0.0.1:" + redis.FreePort(t),
	}
	w.serve()
	beside := w.beside()
	w.merchants()
	w.pages = newInbox(t)
	w.alertmanager = startAlertmanager(t, w.pages.url)
	w.prometheus = startPrometheus(t, w.alertmanager.address, map[string]string{
		"paynotify": w.address, "paynotify-proxy": strings.TrimPrefix(beside.URL, "http://"),
	})
	return w
}

// serve starts the service, again after Kill.
func (w *world) serve() {
	w.t.Helper()
	cmd := exec.Command(w.binary, "serve", "--dev", "--listen", w.address, "--store", w.store)
	cmd.Dir, cmd.SysProcAttr = w.t.TempDir(), dieWithUs()
	cmd.Env = append(os.Environ(), "PAYNOTIFY_MASTER_KEY="+masterKey, "PAYNOTIFY_METRICS_MERCHANTS=8",
		"PAYNOTIFY_DISPATCHER_TIMEOUT=1s")
	w.server = product.Serve(w.t, cmd)
}

// beside starts a process with what the service cannot have as well: a file, and a proxy (that nobody needs).
func (w *world) beside() *product.Server {
	w.t.Helper()
	dir := w.t.TempDir()
	cmd := exec.Command(w.binary, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(dir, "beside.db"))
	cmd.Dir, cmd.SysProcAttr = dir, dieWithUs()
	cmd.Env = append(os.Environ(), "PAYNOTIFY_EGRESS_PROXY=http://127.0.0.1:9")
	return product.Serve(w.t, cmd)
}

// shops are the merchants: what each answers, by mch_id. There are more than may have series of their own.
var shops = map[string]string{
	"shop-fast": "success", "shop-third": "flaky:3", "shop-no": "fail", "shop-html": "html", "shop-500": "500",
	"shop-login": "redirect", "shop-reset": "reset", "shop-hang": "slow", "shop-drip": "drip",
	"shop-tls": "success",
}

// merchants registers the shops. Their schedules are over in two seconds.
func (w *world) merchants() {
	w.t.Helper()
	for id, reply := range shops {
		shop := &sandbox.Merchant{Reply: reply}
		m := map[string]any{"mch_id": id, "profile": "form", "schedule": "1s,1s"}
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			w.t.Fatal(err)
		}
		scheme := "http://"
		switch id {
		case "shop-tls":
			certificate, ca := authority(w.t)
			l = tls.NewListener(l, &tls.Config{Certificates: []tls.Certificate{certificate}})
			scheme, m["tls"] = "https://", map[string]string{"ca": ca}
		case "shop-fast":
			m["profile"] = "alipay" // its messages are signed
		}
		if err := shop.Start(l); err != nil {
			w.t.Fatal(err)
		}
		w.t.Cleanup(func() { _ = shop.Close() })
		m["notify_url"] = scheme + l.Addr().String() + "/notify"
		if err := w.post("/v1/merchants", m, http.StatusCreated); err != nil {
			w.t.Fatal(err)
		}
	}
}

// authority is a certificate for 127.0.0.1, and who signed it.
func authority(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	s := httptest.NewTLSServer(http.NotFoundHandler())
	defer s.Close()
	return s.TLS.Certificates[0], string(pem.EncodeToMemory(&pem.Block{
		Type: "CERTIFICATE", Bytes: s.Certificate().Raw,
	}))
}

// post calls the service's API.
func (w *world) post(path string, in any, want int) error {
	text, err := json.Marshal(in)
	if err != nil {
		return err
	}
	resp, err := w.client.Post("http://"+w.address+path, "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != want {
		err = fmt.Errorf("POST %s: %s, want %d\n%s", path, resp.Status, want, body)
	}
	return err
}

// traffic hands in a notification for each merchant, again and again until it is told to stop. A rate needs
// more than one.
func (w *world) traffic() (stop func()) {
	end := make(chan struct{})
	var running sync.WaitGroup
	running.Go(func() {
		tick := time.NewTicker(poll)
		defer tick.Stop()
		for i := 0; ; i++ {
			var batch []map[string]any
			for id := range shops {
				batch = append(batch, map[string]any{"mch_id": id, "params": map[string]string{"n": strconv.Itoa(i)}})
			}
			all := map[string]any{"notifications": batch}
			if err := w.post("/v1/notifications/batch", all, http.StatusOK); err != nil {
				w.t.Error(err)
			}
			select {
			case <-end:
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		close(end)
		running.Wait()
	}
}

// await looks again and again until look has nothing to say.
func (w *world) await(what string, atMost time.Duration, look func() string) {
	w.t.Helper()
	for deadline := time.Now().Add(atMost); ; time.Sleep(poll) {
		rest := look()
		if rest == "" {
			w.t.Logf("%6.1f s: %s", time.Since(w.began).Seconds(), what)
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("not after %v: %s\n%s", atMost, what, rest)
		}
	}
}

// fires waits until an alert fires.
func (w *world) fires(alert string) {
	w.t.Helper()
	w.await(alert+" fires", alertMax, func() string {
		firing := w.prometheus.firing(w.t)
		if slices.Contains(firing, alert) {
			return ""
		}
		return "firing: " + strings.Join(firing, " ")
	})
}

// told waits until whoever listens at that path of the inbox has been told of an alert.
func (w *world) told(path, alert string) {
	w.t.Helper()
	w.await(path+" is told of "+alert, alertMax, func() string {
		got := w.pages.got(path)
		if strings.Contains(got, `"`+alert+`"`) {
			return ""
		}
		return got
	})
}

// inbox is who is woken, and who reads tickets.
type inbox struct {
	url string

	mu    sync.Mutex
	mails map[string]string // what was posted, by path
}

func newInbox(t *testing.T) *inbox {
	in := &inbox{mails: map[string]string{}}
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body) // half a mail names no alert
		in.mu.Lock()
		defer in.mu.Unlock()
		in.mails[r.URL.Path] += string(body) + "\n"
	}))
	t.Cleanup(s.Close)
	in.url = s.URL
	return in
}

func (in *inbox) got(path string) string {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.mails[path]
}
