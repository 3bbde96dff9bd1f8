package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// adminKey is the key that people log in with.
const adminKey = "the-key-of-the-house"

// world is the product, serving for one test, and the merchants that it sends to.
type world struct {
	t   *testing.T
	url string
	key string // that it asks the API with
}

func newWorld(t *testing.T) *world {
	t.Helper()
	cmd := exec.Command(binary, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "console.db"))
	cmd.Env = append(cmd.Environ(), "PAYNOTIFY_AUTH_ADMIN_KEY="+adminKey)
	p, err := start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Errorf("the product ended with %v\n%s", err, p.text())
		}
	})
	return &world{t: t, url: p.url, key: adminKey}
}

// answer is what the API said.
type answer map[string]any

func (a answer) text(name string) string { s, _ := a[name].(string); return s }

func (a answer) number(name string) int { n, _ := a[name].(float64); return int(n) }

// call asks the API; body is JSON, of a map or as it is. A status outside 2xx fails the test.
func (w *world) call(method, path string, body any) answer {
	w.t.Helper()
	var sent bytes.Buffer
	if body != nil {
		if err := json.NewEncoder(&sent).Encode(body); err != nil {
			w.t.Fatal(err)
		}
	}
	r, err := http.NewRequestWithContext(w.t.Context(), method, w.url+path, &sent)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+w.key)
	r.Header.Set("Content-Type", "application/json")
	reply, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer reply.Body.Close()
	text, err := io.ReadAll(reply.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if reply.StatusCode/100 != 2 {
		w.t.Fatalf("%s %s: %s %s", method, path, reply.Status, text)
	}
	said := answer{}
	if err := json.Unmarshal(text, &said); err != nil && len(text) > 0 {
		w.t.Fatalf("%s %s: %v: %s", method, path, err, text)
	}
	return said
}

// merchant registers a merchant that is sent to a shop, with further fields.
func (w *world) merchant(mchID string, to *shop, fields answer) {
	w.t.Helper()
	body := answer{"mch_id": mchID, "profile": "form", "notify_url": to.url}
	maps.Copy(body, fields)
	w.call("POST", "/v1/merchants", body)
}

// send has the product accept a notification about an order, and returns its notify_id.
func (w *world) send(mchID, order string, fields answer) string {
	w.t.Helper()
	body := answer{"mch_id": mchID, "out_trade_no": order, "params": answer{"total_amount": "88.88"}}
	maps.Copy(body, fields)
	return w.call("POST", "/v1/notifications", body).text("notify_id")
}

// until asks the API again and again until it says what is waited for.
func (w *world) until(path string, enough func(answer) bool) {
	w.t.Helper()
	var last answer
	for deadline := time.Now().Add(stepMax); time.Now().Before(deadline); time.Sleep(pollEvery) {
		if last = w.call("GET", path, nil); enough(last) {
			return
		}
	}
	w.t.Fatalf("%s goes on saying %v", path, last)
}

// untilSent waits for so many attempts of a notification.
func (w *world) untilSent(notifyID string, attempts int) {
	w.t.Helper()
	w.until("/v1/notifications/"+notifyID, func(a answer) bool {
		made, _ := a["attempts"].([]any)
		return len(made) >= attempts
	})
}

// untilState waits until a notification is in a state.
func (w *world) untilState(notifyID, state string) {
	w.t.Helper()
	w.until("/v1/notifications/"+notifyID, func(a answer) bool { return a.text("notify_state") == state })
}

// untilCount waits until so many notifications are in a state.
func (w *world) untilCount(state string, n int) {
	w.t.Helper()
	w.until("/v1/stats", func(a answer) bool {
		states, _ := a["states"].(map[string]any)
		return answer(states).number(state) == n
	})
}

// shop is a merchant's receiver, which answers as it is told.
type shop struct {
	url    string
	answer atomic.Pointer[http.HandlerFunc]
}

// newShop opens a shop that answers with status 200 and a text.
func newShop(t *testing.T, text string) *shop {
	s := &shop{}
	s.says(text)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		(*s.answer.Load())(w, r)
	}))
	t.Cleanup(server.Close)
	s.url = server.URL + "/notify"
	return s
}

// says makes the shop answer with status 200 and a text from now on.
func (s *shop) says(text string) { s.status(http.StatusOK, text) }

// status makes the shop answer with a status and a text from now on.
func (s *shop) status(status int, text string) {
	s.does(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		w.WriteHeader(status)
		io.WriteString(w, text)
	})
}

// hangs makes the shop take what comes and not answer before it is released, and then with a text.
func (s *shop) hangs(text string) (release func()) {
	wait := make(chan struct{})
	s.does(func(w http.ResponseWriter, r *http.Request) {
		select {
		case <-wait:
			io.WriteString(w, text)
		case <-r.Context().Done():
		}
	})
	return func() { close(wait) }
}

func (s *shop) does(f http.HandlerFunc) { s.answer.Store(&f) }

// orders names n orders.
func orders(n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("20261121-%03d", i+1)
	}
	return names
}
