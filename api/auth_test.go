package api_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"paynotify/api"
)

func (w *world) ask(method, url, peer string, head ...string) reply {
	w.t.Helper()
	r := httptest.NewRequest(method, url, nil)
	r.RemoteAddr = peer
	for _, line := range head {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Add(name, value)
	}
	return w.do(r)
}

// TestWithoutKey checks the rule for a server without a key: this machine's own users only.
func TestWithoutKey(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.AdminKey = "" })
	for _, c := range []struct {
		url, peer, head string
		want            int
	}{
		{"http://127.0.0.1:8080", "127.0.0.1:5000", "", 200},
		{"http://127.0.0.1", "127.0.0.1:5000", "", 200},
		{"http://localhost:8080", "127.0.0.1:5000", "", 200},
		{"http://LOCALHOST", "127.9.9.9:5000", "", 200},
		{"http://[::1]:8080", "[::1]:5000", "", 200},
		{"http://[::1]", "[::ffff:127.0.0.1]:5000", "", 200},
		{"http://127.0.0.1", "127.0.0.1:5000", "Authorization: Bearer anything", 200},
		{"http://127.0.0.1", "127.0.0.1:5000", "Origin: http://127.0.0.1", 200},

		{"http://127.0.0.1", "192.168.1.7:5000", "", 401},
		{"http://127.0.0.1", "203.0.113.9:5000", "", 401},
		{"http://127.0.0.1", "[2001:db8::1]:5000", "", 401},
		{"http://127.0.0.1", "@", "", 401}, // a Unix socket: nobody knows who stands behind
		{"http://pay.example.com", "127.0.0.1:5000", "", 401},
		{"http://localhost.evil.example", "127.0.0.1:5000", "", 401},
		{"http://127.0.0.1.nip.io", "127.0.0.1:5000", "", 401},
		{"http://192.168.1.7:8080", "127.0.0.1:5000", "", 401},
		{"http://0.0.0.0:8080", "127.0.0.1:5000", "", 401},
		{"http://127.0.0.1", "127.0.0.1:5000", "X-Forwarded-For: 127.0.0.1", 401},
		{"http://127.0.0.1", "127.0.0.1:5000", "X-Forwarded-Proto: https", 401},
		{"http://127.0.0.1", "127.0.0.1:5000", "X-Forwarded: x", 401},
		{"http://127.0.0.1", "127.0.0.1:5000", "X-Real-IP: 127.0.0.1", 401},
		{"http://127.0.0.1", "127.0.0.1:5000", "Forwarded: for=127.0.0.1", 401},
		{"http://127.0.0.1", "127.0.0.1:5000", "Via: 1.1 proxy", 401},
	} {
		r := w.ask("GET", c.url+"/v1/stats", c.peer, nonEmpty(c.head)...)
		if r.status != c.want {
			t.Errorf("%+v: status %d: %s", c, r.status, r.body)
		}
		if c.want == 401 {
			checkRefusal(t, r)
		}
	}
	// A page that a user of this machine looks at must not act for him.
	for head, want := range map[string]int{
		"Sec-Fetch-Site: cross-site":   401,
		"Sec-Fetch-Site: same-site":    401,
		"Origin: https://evil.example": 401,
		"Sec-Fetch-Site: same-origin":  404,
		"Sec-Fetch-Site: none":         404,
		"Origin: http://127.0.0.1":     404,
	} {
		if r := w.ask("POST", "http://127.0.0.1/v1/merchants/m1/pause", "127.0.0.1:5000", head); r.status != want {
			t.Errorf("%s: status %d, want %d", head, r.status, want)
		}
	}
}

func nonEmpty(text string) []string {
	if text == "" {
		return nil
	}
	return []string{text}
}

func checkRefusal(t *testing.T, r reply) {
	t.Helper()
	r.problem(401, "unauthorized")
	if !strings.HasPrefix(r.header.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("WWW-Authenticate %q", r.header.Get("WWW-Authenticate"))
	}
}

func TestWithKey(t *testing.T) {
	w := newWorld(t)
	const good = "Authorization: Bearer " + adminKey
	for _, c := range []struct {
		peer string
		head []string
		want int
	}{
		{"203.0.113.9:5000", []string{good}, 200},
		{"203.0.113.9:5000", []string{good, "X-Forwarded-For: 198.51.100.1", "Via: 1.1 proxy"}, 200},
		{"203.0.113.9:5000", []string{"Authorization: bearer " + adminKey}, 200},
		{"203.0.113.9:5000", []string{"Authorization: Bearer  " + adminKey}, 200},
		{"127.0.0.1:5000", nil, 401},
		{"127.0.0.1:5000", []string{"Authorization: Bearer"}, 401},
		{"127.0.0.1:5000", []string{"Authorization: Bearer "}, 401},
		{"127.0.0.1:5000", []string{"Authorization: " + adminKey}, 401},
		{"127.0.0.1:5000", []string{"Authorization: Basic " + adminKey}, 401},
		{"127.0.0.1:5000", []string{"Authorization: Bearer " + adminKey + "x"}, 401},
		{"127.0.0.1:5000", []string{"Authorization: Bearer " + adminKey[1:]}, 401},
		{"127.0.0.1:5000", []string{good, good}, 401},
	} {
		r := w.ask("GET", "http://pay.example.com/v1/stats", c.peer, c.head...)
		if r.status != c.want {
			t.Errorf("%+v: status %d: %s", c, r.status, r.body)
		}
		if c.want == 401 {
			checkRefusal(t, r)
		}
	}
}

var someMetrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("metrics"))
})

// TestEveryRouteIsGuarded asks each documented route without a key, and checks that those under /v1 refuse
// and the others answer.
func TestEveryRouteIsGuarded(t *testing.T) {
	w := newWorld(t, func(o *api.Options) {
		o.Metrics = someMetrics
	})
	open := map[string]int{
		"/healthz": 200, "/readyz": 200, "/openapi.json": 200, "/gateway.do": 200, "/trade/notify_query.do": 200,
		"/metrics": 401,
	}
	paths := w.call("GET", "/openapi.json", "").want(200)["paths"].(map[string]any)
	for path, methods := range paths {
		target := strings.NewReplacer("{mch_id}", "m1", "{notify_id}", "0").Replace(path)
		for method := range methods.(map[string]any) {
			r := w.ask(strings.ToUpper(method), "http://pay.example.com"+target, "203.0.113.9:5000")
			want, isOpen := open[path]
			if !isOpen {
				want = 401
			}
			if r.status != want {
				t.Errorf("%s %s without a key: %d, want %d", method, path, r.status, want)
			}
		}
	}
	// What does not exist says so only to those who may ask.
	for target, want := range map[string]int{
		"/v1/nothing": 401, "/v1": 401, "/v1/": 401, "/v1/merchants/": 401, "/%761/merchants": 401,
		"/v1%2Fmerchants": 401, "/nothing": 404, "/v2/merchants": 404, "/": 404, "/console": 404,
	} {
		if r := w.ask("GET", "http://pay.example.com"+target, "203.0.113.9:5000"); r.status != want {
			t.Errorf("%s without a key: %d, want %d", target, r.status, want)
		}
	}
}

func TestMetricsAccess(t *testing.T) {
	w := newWorld(t, func(o *api.Options) {
		o.Metrics = someMetrics
	})
	const url = "http://pay.example.com/metrics"
	for _, c := range []struct {
		peer string
		head []string
		want int
	}{
		{"127.0.0.1:5000", nil, 200},
		{"[::1]:5000", nil, 200},
		{"127.0.0.1:5000", []string{"X-Forwarded-For: 203.0.113.9"}, 401},
		{"203.0.113.9:5000", nil, 401},
		{"203.0.113.9:5000", []string{"Authorization: Bearer " + adminKey}, 200},
	} {
		if r := w.ask("GET", url, c.peer, c.head...); r.status != c.want {
			t.Errorf("%+v: status %d", c, r.status)
		}
	}
	w = newWorld(t)
	w.ask("GET", url, "127.0.0.1:5000").problem(404, "not-found")
}

func TestPathsAndMethods(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		method, target string
		status         int
		allow          string
	}{
		{"GET", "/v1/nothing", 404, ""},
		{"GET", "/v1/merchants/", 404, ""},
		{"GET", "/v1/merchants/a/b", 404, ""},
		{"GET", "/v1/merchants/a%2Fb/pause", 405, "POST"},
		{"PUT", "/v1/merchants", 405, "GET, HEAD, POST"},
		{"POST", "/v1/merchants/m1", 405, "GET, HEAD, PATCH, DELETE"},
		{"DELETE", "/v1/notifications", 405, "GET, HEAD, POST"},
		{"DELETE", "/v1/notifications/batch", 405, "GET, HEAD, POST"},
		{"OPTIONS", "/v1/stats", 405, "GET, HEAD"},
		{"POST", "/healthz", 405, "GET, HEAD"},
		{"POST", "/gateway.do", 405, "GET, HEAD"},
		{"DELETE", "/v1/sending", 405, "GET, HEAD, PUT"},
	} {
		r := w.call(c.method, c.target, "")
		slug := "not-found"
		if c.status == 405 {
			slug = "method-not-allowed"
		}
		r.problem(c.status, slug)
		if got := r.header.Get("Allow"); got != c.allow {
			t.Errorf("%s %s: Allow %q, want %q", c.method, c.target, got, c.allow)
		}
	}
	// Other spellings of a path are never served a second time.
	for _, target := range []string{"//v1/stats", "/v1//stats", "/v1/../v1/stats", "/v1/./stats"} {
		r := w.call("GET", target, "")
		if r.status/100 != 3 || !strings.HasSuffix(r.header.Get("Location"), "/v1/stats") {
			t.Errorf("%s: status %d to %q", target, r.status, r.header.Get("Location"))
		}
	}
	for target, known := range map[string]string{
		"/v1/stats?x=1":                        "query.x",
		"/v1/merchants?limits=1":               "query.limits",
		"/v1/notifications?state=pending":      "query.state",
		"/v1/notifications/x?attempts=1":       "query.attempts",
		"/v1/attempts?since=1":                 "query.since",
		"/v1/sending?paused=true":              "query.paused",
		"/v1/merchants/m1?fields=name":         "query.fields",
		"/v1/merchants/m1/public-key?format=x": "query.format",
		"/v1/merchants?limit=1&limit=2":        "query.limit",
		"/v1/merchants?limit=%zz":              "query",
		"/v1/merchants?limit=1;cursor=x":       "query",
	} {
		at(t, w.call("GET", target, "").problem(422, "validation-failed"), known)
	}
	e := at(t, w.call("GET", "/v1/merchants?limits=1", "").problem(422, "validation-failed"), "query.limits")
	if e.Cure != "did you mean limit?" {
		t.Errorf("cure %q", e.Cure)
	}
}
