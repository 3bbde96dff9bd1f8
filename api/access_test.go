package api_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/store"
)

// The table of who may do what, written out once more and by hand: what stands here is what people are
// promised. Columns: nobody, then keys with the roles ingest, read, operator, admin, auditor, metrics and
// portal.
//
//   - refused: 401 without a key, 403 with one
//   - may; a key that is bound to a merchant may where it is about that merchant, others' things are 404
//     w  may, with a key that is bound to none; one that is bound is refused: 403
//   - everybody, without a key
const authorized = `
POST /v1/notifications                      - + - + + - - -
POST /v1/notifications/batch                - + - + + - - -
GET /v1/notifications                       - - + + + - - +
GET /v1/notifications/{notify_id}           - + + + + - - +
GET /v1/notifications/{notify_id}/evidence  - - - + + - - +
POST /v1/notifications/{notify_id}/resend   - - - + + - - -
POST /v1/notifications/{notify_id}/cancel   - - - + + - - -
POST /v1/notifications/replay               - - - + + - - -
GET /v1/replays                             - - + + + - - -
GET /v1/replays/{replay_id}                 - - + + + - - -
POST /v1/replays/{replay_id}/cancel         - - - + + - - -
GET /v1/attempts                            - - + + + - - +
GET /v1/merchants                           - - + + + - - +
GET /v1/merchants/{mch_id}                  - - + + + - - +
GET /v1/merchants/{mch_id}/public-key       - - + + + - - +
POST /v1/merchants                          - - - - w - - -
PATCH /v1/merchants/{mch_id}                - - - - + - - -
DELETE /v1/merchants/{mch_id}               - - - - + - - -
POST /v1/merchants/{mch_id}/rotate-key      - - - - + - - -
POST /v1/merchants/{mch_id}/pause           - - - + + - - -
POST /v1/merchants/{mch_id}/resume          - - - + + - - -
POST /v1/merchants/{mch_id}/probe           - - - + + - - -
GET /v1/merchants/{mch_id}/sla              - - + + + - - +
GET /v1/merchants/{mch_id}/statement        - - + + + - - +
POST /v1/merchants/{mch_id}/gaps            - - + + + - - +
POST /v1/merchants/{mch_id}/portal-link     - - - + + - - -
GET /v1/stats                               - - w w w - - -
GET /v1/callback                            - - w w w - - -
GET /v1/sending                             - - w w w - - -
PUT /v1/sending                             - - - w w - - -
GET /v1/backup                              - - - - w - - -
GET /v1/keys                                - - - - w - - -
POST /v1/keys                               - - - - w - - -
DELETE /v1/keys/{id}                        - - - - w - - -
GET /v1/audit                               - - - - w w - -
POST /v1/login-links                        - + + + + + + -
GET /metrics                                - - - w w - w -
GET /debug/pprof/                           - - - - w - - -
GET /healthz                                * * * * * * * *
GET /readyz                                 * * * * * * * *
GET /openapi.json                           * * * * * * * *
GET /gateway.do                             * * * * * * * *
GET /trade/notify_query.do                  * * * * * * * *
/                                           * * * * * * * *
`

var authorizedRoles = []api.Role{
	"", api.RoleIngest, api.RoleRead, api.RoleOperator, api.RoleAdmin, api.RoleAuditor, api.RoleMetrics,
	api.RolePortal,
}

// sample is a request for a route about something of a merchant, and what it answers to who may.
type sample struct {
	target, body string
	want         int
	absent       bool // it answers what is there: nothing of other merchants may be in it
}

// samples makes such a request for every route.
var samples = map[string]func(w *world, mchID string) sample{
	"POST /v1/notifications": func(_ *world, m string) sample {
		return sample{"/v1/notifications", `{"mch_id":"` + m + `","params":{"total_fee":"1.00"}}`, 202, false}
	},
	"POST /v1/notifications/batch": func(_ *world, m string) sample {
		body := `{"notifications":[{"mch_id":"` + m + `","params":{"total_fee":"1.00"}}]}`
		return sample{"/v1/notifications/batch", body, 200, false}
	},
	"GET /v1/notifications": func(w *world, m string) sample {
		w.send(m, "")
		return sample{"/v1/notifications", "", 200, true}
	},
	"GET /v1/notifications/{notify_id}": func(w *world, m string) sample {
		return sample{"/v1/notifications/" + w.send(m, ""), "", 200, false}
	},
	"GET /v1/notifications/{notify_id}/evidence": func(w *world, m string) sample {
		return sample{"/v1/notifications/" + w.send(m, "") + "/evidence", "", 200, false}
	},
	"POST /v1/notifications/{notify_id}/resend": func(w *world, m string) sample {
		return sample{"/v1/notifications/" + w.send(m, "") + "/resend", `{"reason":"asked"}`, 202, false}
	},
	"POST /v1/notifications/{notify_id}/cancel": func(w *world, m string) sample {
		return sample{"/v1/notifications/" + w.send(m, "") + "/cancel", "", 200, false}
	},
	"POST /v1/notifications/replay": func(_ *world, m string) sample {
		return sample{"/v1/notifications/replay", `{"mch_id":"` + m + `","dry_run":true}`, 200, false}
	},
	"GET /v1/replays": func(w *world, m string) sample {
		w.canceledReplay("m1")
		w.canceledReplay("m2")
		return sample{"/v1/replays", "", 200, true}
	},
	"GET /v1/replays/{replay_id}": func(w *world, m string) sample {
		return sample{"/v1/replays/" + w.canceledReplay(m), "", 200, false}
	},
	"POST /v1/replays/{replay_id}/cancel": func(w *world, m string) sample {
		return sample{"/v1/replays/" + w.canceledReplay(m) + "/cancel", "", 200, false}
	},
	"GET /v1/attempts":  constant("/v1/attempts", "", 200),
	"GET /v1/merchants": func(*world, string) sample { return sample{"/v1/merchants", "", 200, true} },
	"GET /v1/merchants/{mch_id}": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m, "", 200, false}
	},
	"GET /v1/merchants/{mch_id}/public-key": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/public-key", "", 200, false}
	},
	"POST /v1/merchants": func(w *world, _ string) sample {
		body := `{"mch_id":"` + w.fresh("new") + `","profile":"form","notify_url":"https://shop.example.com/n"}`
		return sample{"/v1/merchants", body, 201, false}
	},
	"PATCH /v1/merchants/{mch_id}": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m, `{"name":"x"}`, 200, false}
	},
	"DELETE /v1/merchants/{mch_id}": func(w *world, _ string) sample {
		id := w.fresh("gone")
		w.mapi(id)
		return sample{"/v1/merchants/" + id, "", 204, false}
	},
	"POST /v1/merchants/{mch_id}/rotate-key": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/rotate-key", "", 200, false}
	},
	"POST /v1/merchants/{mch_id}/pause": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/pause", "", 200, false}
	},
	"POST /v1/merchants/{mch_id}/resume": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/resume", "", 200, false}
	},
	"POST /v1/merchants/{mch_id}/probe": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/probe", "", 409, false} // options.probe is not set
	},
	"GET /v1/merchants/{mch_id}/sla": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/sla", "", 200, false}
	},
	"GET /v1/merchants/{mch_id}/statement": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/statement?date=2026-11-21", "", 200, false}
	},
	"POST /v1/merchants/{mch_id}/gaps": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/gaps", `{"out_trade_nos":["1"]}`, 200, false}
	},
	"POST /v1/merchants/{mch_id}/portal-link": func(_ *world, m string) sample {
		return sample{"/v1/merchants/" + m + "/portal-link", "", 200, false}
	},
	"GET /v1/stats":    constant("/v1/stats", "", 200),
	"GET /v1/callback": constant("/v1/callback", "", 200),
	"GET /v1/sending":  constant("/v1/sending", "", 200),
	"PUT /v1/sending":  constant("/v1/sending", `{"paused":false,"reason":"r"}`, 200),
	"GET /v1/backup":   constant("/v1/backup", "", 200),
	"GET /v1/keys":     constant("/v1/keys", "", 200),
	"POST /v1/keys":    constant("/v1/keys", `{"role":"read"}`, 201),
	"DELETE /v1/keys/{id}": func(w *world, _ string) sample {
		id, _ := w.key(api.RoleRead, "")
		return sample{"/v1/keys/" + id, "", 204, false}
	},
	"GET /v1/audit":              constant("/v1/audit", "", 200),
	"POST /v1/login-links":       constant("/v1/login-links", "", 200),
	"GET /metrics":               constant("/metrics", "", 200),
	"GET /debug/pprof/":          constant("/debug/pprof/", "", 200),
	"GET /healthz":               constant("/healthz", "", 200),
	"GET /readyz":                constant("/readyz", "", 200),
	"GET /openapi.json":          constant("/openapi.json", "", 200),
	"GET /gateway.do":            constant("/gateway.do", "", 200),
	"GET /trade/notify_query.do": constant("/trade/notify_query.do", "", 200),
	"/":                          constant("/nothing", "", 404),
}

func constant(target, body string, want int) func(*world, string) sample {
	return func(*world, string) sample { return sample{target, body, want, false} }
}

var freshCount int

// fresh is a name that nothing has yet.
func (w *world) fresh(prefix string) string {
	freshCount++
	return fmt.Sprintf("%s-%d", prefix, freshCount)
}

// key makes a key of any role, also of those that the API gives to no key.
func (w *world) key(role api.Role, mchID string) (id, text string) {
	w.t.Helper()
	id, secret, text := api.NewKeyText()
	digest := sha256.Sum256([]byte(secret))
	_, err := w.store.CreateKey(context.Background(), store.APIKey{
		ID: id, Role: string(role), MchID: mchID, Digest: digest[:],
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return id, text
}

// request asks from afar, with a key or without.
func (w *world) request(route, key string, s sample) reply {
	w.t.Helper()
	method, _, named := strings.Cut(route, " ")
	if !named {
		method = "GET"
	}
	r := httptest.NewRequest(method, "http://pay.example.com"+s.target, strings.NewReader(s.body))
	r.RemoteAddr = "203.0.113.9:5000"
	if s.body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if route == "GET /debug/pprof/" {
		rec := httptest.NewRecorder()
		w.api.Diagnostics(someMetrics).ServeHTTP(rec, r)
		return reply{t: w.t, status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	}
	return w.do(r)
}

// TestWhoMayDoWhat asks every route as everybody: a route that is not in the table fails, and so does a row
// without a route.
func TestWhoMayDoWhat(t *testing.T) {
	table := map[string][]string{}
	for line := range strings.SplitSeq(strings.TrimSpace(authorized), "\n") {
		fields := strings.Fields(line)
		n := len(fields) - len(authorizedRoles)
		table[strings.Join(fields[:n], " ")] = fields[n:]
	}
	for _, route := range api.RoutePatterns() {
		if table[route] == nil {
			t.Errorf("%s is not in the table: who may use it?", route)
		}
	}
	w := newWorld(t, func(o *api.Options) { o.Metrics = someMetrics })
	w.mapi("m1")
	w.mapi("m2")
	keys, bound := map[api.Role]string{}, map[api.Role]string{}
	for _, role := range authorizedRoles[1:] {
		if role != api.RolePortal {
			_, keys[role] = w.key(role, "")
		}
		if !slices.Contains([]api.Role{api.RoleAdmin, api.RoleAuditor, api.RoleMetrics}, role) {
			_, bound[role] = w.key(role, "m1") // the others cannot be bound
		}
	}
	for route, marks := range table {
		about, known := samples[route]
		if !known || !slices.Contains(api.RoutePatterns(), route) {
			t.Errorf("%s: there is no such route, or no sample of it", route)
			continue
		}
		for i, mark := range marks {
			role := authorizedRoles[i]
			t.Run(route+" as "+string(role), func(t *testing.T) {
				w.t = t
				checkMark(w, route, mark, role, keys[role], bound[role], about)
			})
		}
	}
}

// checkMark asks one route as one role: with a key for everything, and with keys for one merchant.
func checkMark(
	w *world, route, mark string, role api.Role, key, bound string, about func(*world, string) sample,
) {
	w.t.Helper()
	may := mark == "+" || mark == "w" || mark == "*"
	s := about(w, "m1")
	if key != "" || role == "" {
		wantMark(w, w.request(route, key, s), s, may, role)
	}
	if bound == "" {
		return
	}
	s = about(w, "m1")
	r := w.request(route, bound, s)
	wantMark(w, r, s, may && mark != "w", role)
	if mark != "+" {
		return
	}
	if s.absent {
		if !strings.Contains(r.body, `"m1"`) || strings.Contains(r.body, `"m2"`) {
			w.t.Errorf("bound to m1: shows %s", r.body)
		}
		return
	}
	other := about(w, "m2")
	if other.target == s.target && other.body == s.body {
		return // it is not about one merchant
	}
	got := w.request(route, bound, other)
	if got.status != http.StatusNotFound && !strings.Contains(got.body, `{"status":404,"problem"`) {
		w.t.Errorf("bound to m1, about m2: status %d, want 404: %s", got.status, got.body)
	}
}

func wantMark(w *world, r reply, s sample, may bool, role api.Role) {
	w.t.Helper()
	switch {
	case may:
		if r.status != s.want {
			w.t.Errorf("status %d, want %d: %s", r.status, s.want, r.body)
		}
	case role == "":
		checkRefusal(w.t, r)
	default:
		p := r.problem(http.StatusForbidden, "missing-scope")
		if !strings.Contains(p.Detail, string(role)) && !strings.Contains(p.Detail, "m1") {
			w.t.Errorf("the detail does not say what is missing: %s", p.Detail)
		}
	}
}

// TestBoundKeysSeeOnlyTheirOwn checks the ways to other merchants' things that lead through no path.
func TestBoundKeysSeeOnlyTheirOwn(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	_, key := w.key(api.RoleOperator, "m1")
	const body = `{"mch_id":"m2","params":{"total_fee":"1"}}`
	w.call("POST", "/v1/notifications", body, "Idempotency-Key: k").want(202)
	// The key of a request that was answered to somebody else.
	r := w.call("POST", "/v1/notifications", body, append(as(key), "Idempotency-Key: k")...)
	r.problem(404, "merchant-not-found")
	batch := w.call("POST", "/v1/notifications/batch", `{"notifications":[`+
		`{"mch_id":"m2","params":{"total_fee":"1"},"idempotency_key":"k"},`+
		`{"mch_id":"m1","params":{"total_fee":"1"}}]}`, as(key)...).want(200)["results"].([]any)
	for i, want := range []string{"404", "202"} {
		if got := fmt.Sprint(batch[i].(map[string]any)["status"]); got != want {
			t.Errorf("item %d: status %s, want %s", i, got, want)
		}
	}
	for filter, want := range map[string]int{
		"": 1, "?mch_id=m1": 1, "?mch_id=m2": 0, "?notify_state=pending": 1,
	} {
		list := w.call("GET", "/v1/notifications"+filter, "", as(key)...).want(200)["notifications"].([]any)
		if len(list) != want {
			t.Errorf("list%s: %d, want %d", filter, len(list), want)
		}
	}
	page := w.call("GET", "/v1/merchants?limit=1", "", as(key)...).want(200)
	if len(page["merchants"].([]any)) != 1 || page["next_cursor"] != nil {
		t.Errorf("merchants %v", page)
	}
	every := w.call("GET", "/v1/merchants?limit=1", "").want(200)["next_cursor"].(string)
	page = w.call("GET", "/v1/merchants?cursor="+every, "", as(key)...).want(200)
	if len(page["merchants"].([]any)) != 0 {
		t.Errorf("behind the only one: %v", page)
	}
	start := w.call("GET", "/v1/attempts", "", as(key)...).want(200)["next_cursor"].(string)
	w.settle("m2", acked)
	w.settle("m1", acked)
	followed := w.call("GET", "/v1/attempts?after="+start, "", as(key)...).want(200)["attempts"].([]any)
	if len(followed) != 1 || followed[0].(map[string]any)["mch_id"] != "m1" {
		t.Errorf("attempts %v", followed)
	}
	// A merchant that is gone is gone for its key too.
	w.call("DELETE", "/v1/merchants/m1", "").want(204)
	w.call("GET", "/v1/merchants/m1", "", as(key)...).problem(404, "merchant-not-found")
	if gone := w.call("GET", "/v1/merchants", "", as(key)...).want(200)["merchants"].([]any); len(gone) != 0 {
		t.Errorf("merchants %v", gone)
	}
}

// TestAccessDoc keeps the table of docs/access.md the same as the one that is tested here. Rewrite it with:
// go test ./api -run TestAccessDoc -update.
func TestAccessDoc(t *testing.T) {
	const path = "../docs/access.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, begun := strings.Cut(string(text), "-update -->\n")
	_, tail, ended := strings.Cut(rest, "<!-- end -->")
	if !begun || !ended {
		t.Fatal("the marks round the table are gone")
	}
	var b strings.Builder
	b.WriteString("\n| | no key | ingest | read | operator | admin | auditor | metrics | portal |\n" +
		"|---|---|---|---|---|---|---|---|---|\n")
	words := map[string]string{"-": "–", "+": "✓", "w": "✓ unbound", "*": "✓"}
	for line := range strings.SplitSeq(strings.TrimSpace(authorized), "\n") {
		fields := strings.Fields(line)
		n := len(fields) - len(authorizedRoles)
		if fields[0] == "/" {
			continue
		}
		b.WriteString("| `" + strings.Join(fields[:n], " ") + "` |")
		for _, mark := range fields[n:] {
			b.WriteString(" " + words[mark] + " |")
		}
		b.WriteString("\n")
	}
	want := head + "-update -->\n" + b.String() + "\n<!-- end -->" + tail
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(string(text), "\n")); diff != "" {
		t.Errorf("run with -update:\n%s", diff)
	}
}
