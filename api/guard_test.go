package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paynotify/api"
)

func TestRatePerKey(t *testing.T) {
	c := &clock{time.Now()}
	w := newWorld(t, func(o *api.Options) { o.Now, o.RatePerSecond = c.read, 2 })
	_, key := w.key(api.RoleRead, "")
	for range 2 {
		w.call("GET", "/v1/stats", "").want(200)
	}
	for _, target := range []string{"/v1/stats", "/v1/nothing", "/v1/notifications"} {
		r := w.call("GET", target, "")
		r.problem(429, "rate-limited")
		if got := r.header.Get("Retry-After"); got != "1" {
			t.Errorf("%s: Retry-After %q", target, got)
		}
	}
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`).problem(429, "rate-limited")
	w.call("GET", "/v1/stats", "", as(key)...).want(200) // each has a rate of its own
	for range 10 {
		for _, target := range []string{"/healthz", "/readyz", "/openapi.json"} {
			w.call("GET", target, "").want(200)
		}
		w.call("GET", "/v1/stats", "", "Authorization:").problem(401, "unauthorized")
	}
	c.now = c.now.Add(500 * time.Millisecond)
	w.call("GET", "/v1/stats", "").want(200)
	w.call("GET", "/v1/stats", "").problem(429, "rate-limited")

	// Slower than one a second: one at a time, and the wait in whole seconds.
	w = newWorld(t, func(o *api.Options) { o.Now, o.RatePerSecond = c.read, 0.1 })
	w.call("GET", "/v1/stats", "").want(200)
	if got := w.call("GET", "/v1/stats", "").header.Get("Retry-After"); got != "10" {
		t.Errorf("Retry-After %q", got)
	}
	c.now = c.now.Add(10 * time.Second)
	w.call("GET", "/v1/stats", "").want(200)
}

func TestRequestID(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	for range 10 {
		id := w.call("GET", "/v1/stats", "").header.Get("X-Request-Id")
		if id == "" || seen[id] {
			t.Errorf("id %q", id)
		}
		seen[id] = true
	}
	for given, kept := range map[string]bool{
		"5f0c7a52-3a7b": true, strings.Repeat("a", 128): true, `<"';--`: true,
		strings.Repeat("a", 129): false, "a b": false, "é": false, "a\x01b": false,
	} {
		r := httptest.NewRequest("GET", "/healthz", nil)
		r.Header["X-Request-Id"] = []string{given}
		got := w.do(r).header.Get("X-Request-Id")
		if (got == given) != kept || got == "" {
			t.Errorf("given %.40q, answered %.40q", given, got)
		}
	}
	r := httptest.NewRequest("GET", "/healthz", nil)
	r.Header["X-Request-Id"] = []string{"a", "b"}
	if got := w.do(r).header.Get("X-Request-Id"); got == "a" || got == "b" {
		t.Errorf("two given, answered %q", got)
	}
}

// TestHeadersOfEveryAnswer asks for answers of every kind, over a real connection.
func TestHeadersOfEveryAnswer(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Metrics = someMetrics })
	w.mapi("m1")
	server := httptest.NewServer(w.api)
	defer server.Close()
	for _, c := range []struct{ method, target, body, key string }{
		{"GET", "/v1/stats", "", adminKey},
		{"GET", "/v1/stats", "", ""},
		{"POST", "/v1/notifications", `{"mch_id":"m1","params":{"total_fee":"1"}}`, adminKey},
		{"POST", "/v1/notifications", `{"mch`, adminKey},
		{"POST", "/v1/merchants/m1/pause", "", adminKey},
		{"DELETE", "/v1/keys/zzzzzzzz", "", adminKey},
		{"GET", "/v1/backup", "", adminKey},
		{"GET", "/v1//stats", "", adminKey},
		{"OPTIONS", "/v1/stats", "", adminKey},
		{"GET", "/nothing", "", ""},
		{"GET", "/healthz", "", ""},
		{"GET", "/metrics", "", ""},
		{"GET", "/openapi.json", "", ""},
		{"GET", "/gateway.do", "", ""},
	} {
		r, err := newRequest(server.URL+c.target, c.method, c.body, c.key)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", "https://evil.example")
		resp, err := server.Client().Transport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		for name, want := range map[string]string{
			"X-Content-Type-Options":  "nosniff",
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-store",
		} {
			if got := resp.Header.Values(name); len(got) != 1 || got[0] != want {
				t.Errorf("%s %s: %s %q", c.method, c.target, name, got)
			}
		}
		if resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: no X-Request-Id", c.method, c.target)
		}
		for name := range resp.Header {
			if name == "Server" || strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s %s: answers %s", c.method, c.target, name)
			}
		}
	}
}

func TestDiagnostics(t *testing.T) {
	w := newWorld(t)
	_, scraper := w.key(api.RoleMetrics, "")
	h := w.api.Diagnostics(someMetrics)
	ask := func(target, peer, key string) reply {
		r := httptest.NewRequest("GET", "http://pay.example.com"+target, nil)
		r.RemoteAddr = peer
		if key != "" {
			r.Header.Set("Authorization", "Bearer "+key)
		}
		rec := httptest.NewRecorder()
		h.ServeHTTP(rec, r)
		return reply{t: t, status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	}
	const here, there = "127.0.0.1:5000", "203.0.113.9:5000"
	for _, c := range []struct {
		target, peer, key string
		want              int
	}{
		{"/metrics", here, "", 200},
		{"/metrics", there, "", 200},
		{"/metrics", there, scraper, 200},
		{"/metrics", there, adminKey, 200},
		{"/debug/pprof/", here, "", 200},
		{"/debug/pprof/", there, "", 401},
		{"/debug/pprof/heap", there, scraper, 403},
		{"/debug/pprof/heap", there, adminKey, 200},
		{"/debug/pprof/goroutine?debug=1", there, adminKey, 200},
		{"/debug/pprof/nothing", here, "", 404},
		{"/debug/pprof/cmdline", here, "", 404},
		{"/debug/pprof/profile?seconds=0", here, "", 422},
		{"/debug/pprof/profile?seconds=301", here, "", 422},
		{"/v1/stats", here, adminKey, 404},
		{"/", here, "", 404},
	} {
		if r := ask(c.target, c.peer, c.key); r.status != c.want {
			t.Errorf("%s from %s: status %d, want %d: %s", c.target, c.peer, r.status, c.want, r.body)
		}
	}
	text := ask("/debug/pprof/goroutine?debug=1", here, "").body
	if !strings.Contains(text, "goroutine profile:") {
		t.Errorf("goroutines: %.100s", text)
	}
	w.api.Drain() // profiles end with the server
	for _, name := range []string{"profile", "trace"} {
		if r := ask("/debug/pprof/"+name, here, ""); r.status != 200 || r.body == "" {
			t.Errorf("%s: status %d, %d bytes", name, r.status, len(r.body))
		}
	}
	// Beside the API there are none.
	w.ask("GET", "http://127.0.0.1/debug/pprof/heap", here).problem(404, "not-found")
}

func newRequest(url, method, body, key string) (*http.Request, error) {
	r, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	return r, nil
}
