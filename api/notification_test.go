package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/store"
)

func TestNotificationView(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "order-1")
	target := "/v1/notifications/" + id
	v := w.call("GET", target, "").want(200)
	for member, want := range map[string]any{
		"notify_id": id, "mch_id": "m1", "profile": "alipay_mapi", "notify_url": "https://shop.example.com/n",
		"notify_type": "trade_status_sync", "out_trade_no": "order-1", "schedule": "alipay",
		"notify_state": "pending", "notify_count": json.Number("0"), "notify_count_limit": json.Number("8"),
		"in_flight":   false,
		"held_reason": nil, "last_notify_time": nil, "spent_at": nil, "last_verdict": nil, "last_reason": nil,
		"shrunk": false, "next_notify_time": v["created_at"],
	} {
		if got, there := v[member]; !there || got != want {
			t.Errorf("%s is %v, want %v", member, got, want)
		}
	}
	if fmt.Sprint(v["params"], v["attempts"]) != "map[total_fee:1.00] []" {
		t.Errorf("params %v, attempts %v", v["params"], v["attempts"])
	}
	c := w.settle("m1", refused)
	v = w.call("GET", target, "").want(200)
	wantMembers(t, v, map[string]any{
		"notify_count": json.Number("1"), "last_verdict": "refused", "last_reason": "ack_html",
		"last_notify_time": stamp(c.ClaimedAt),
	})
	if v["next_notify_time"] == v["created_at"] {
		t.Errorf("%v", v)
	}
	explained := profile.Explain(store.AckHTML)
	want := map[string]any{
		"n": json.Number("1"), "send": json.Number("1"), "charged": true, "trigger": "first",
		"duration_ms": json.Number("12.345"), "verdict": "refused", "reason": "ack_html",
		"hint": explained.Cause + " " + explained.Cure, "detail": nil, "status": json.Number("200"),
		"reply":        `<b>success</b>\\\x0d\x0a\xff中`,
		"reply_bytes":  base64.StdEncoding.EncodeToString([]byte("<b>success</b>\\\r\n\xff中")),
		"remote_addr":  "192.0.2.1:443",
		"scheduled_at": stamp(c.ScheduledAt), "started_at": stamp(c.ClaimedAt),
		"request_sha256": strings.Repeat("ab", 32),
		"phases_ms": map[string]any{
			"dns": json.Number("0"), "connect": json.Number("0"), "tls": json.Number("0"),
			"first_byte": json.Number("0"), "body": json.Number("0"),
		},
		"tls": map[string]any{
			"version": "TLS 1.3", "subject": "CN=shop", "not_after": "9999-12-31T23:59:59.000000Z",
		},
	}
	if diff := cmp.Diff(want, v["attempts"].([]any)[0]); diff != "" {
		t.Error(diff)
	}
	for _, no := range []string{"0", store.NewID(time.Now(), 0), strings.Repeat("Z", 26), "%00", "..%2f"} {
		w.call("GET", "/v1/notifications/"+no, "").problem(404, "notification-not-found")
	}
}

// TestResendView checks that a person's send has no place in the schedule, and an attempt without a
// connection no status.
func TestResendView(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "order-1")
	target := "/v1/notifications/" + id
	w.settle("m1", refused)
	r := w.call("POST", target+"/resend", `{"reason":"they asked"}`).want(202)
	if r["notify_id"] != id || r["notify_state"] != "pending" || r["notify_count"] != json.Number("1") {
		t.Errorf("%v", r)
	}
	w.call("POST", target+"/resend", "").want(202) // adds none
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := refused(c)
		o.Attempt.Verdict, o.Attempt.Reason, o.Attempt.Status = store.ConnectError, store.ConnRefused, 0
		o.Attempt.Reply, o.Attempt.RemoteAddr = nil, ""
		return o
	})
	a := w.call("GET", target, "").want(200)["attempts"].([]any)[1].(map[string]any)
	for _, member := range []string{"send", "status", "reply", "reply_bytes", "remote_addr"} {
		if got, there := a[member]; !there || got != nil {
			t.Errorf("%s is %v, want null", member, got)
		}
	}
	if a["trigger"] != "resend" || a["charged"] != false {
		t.Errorf("%v", a)
	}
	if !strings.Contains(w.log.String(), "they asked") {
		t.Error("the reason of a resend is not logged")
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000000Z") }

func TestSpentAndCanceled(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	spent := w.send("m1", "1")
	w.settle("m1", acked)
	v := w.call("GET", "/v1/notifications/"+spent, "").want(200)
	if v["notify_state"] != "spent" || v["spent_at"] == nil || v["next_notify_time"] != nil {
		t.Errorf("%v", v)
	}
	w.call("POST", "/v1/notifications/"+spent+"/cancel", "").problem(409, "not-pending")
	w.call("POST", "/v1/notifications/"+spent+"/resend", "").problem(409, "already-spent")
	w.call("POST", "/v1/notifications/"+spent+"/resend", `{"force":1}`).problem(422, "validation-failed")
	r := w.call("POST", "/v1/notifications/"+spent+"/resend", `{"force":true,"reason":"audit"}`).want(202)
	if r["notify_state"] != "spent" || r["next_notify_time"] != nil {
		t.Errorf("%v", r)
	}
	canceled := w.send("m1", "2")
	for range 2 {
		r = w.call("POST", "/v1/notifications/"+canceled+"/cancel", `{"reason":"test"}`).want(200)
		if r["notify_state"] != "canceled" || r["next_notify_time"] != nil {
			t.Errorf("%v", r)
		}
	}
	nobody := store.NewID(time.Now(), 0)
	w.call("POST", "/v1/notifications/"+nobody+"/cancel", "").problem(404, "notification-not-found")
	w.call("POST", "/v1/notifications/"+nobody+"/resend", "").problem(404, "notification-not-found")
	w.call("POST", "/v1/notifications/short/resend", "").problem(404, "notification-not-found")
	w.call("POST", "/v1/notifications/short/cancel", "").problem(404, "notification-not-found")
}

func TestHeldReason(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "1")
	blocked := w.call("POST", "/v1/notifications",
		`{"mch_id":"m1","params":{},"notify_url":"https://o.example.com/n"}`).want(202)["notify_id"].(string)
	w.call("POST", "/v1/notifications/"+blocked+"/resend", "").want(202) // first in its lane
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := refused(c)
		o.Attempt.Charged, o.Hold = false, true
		o.Attempt.Verdict, o.Attempt.Reason = store.Blocked, store.AddressBlocked
		return o
	})
	held := func(id string) any { return w.call("GET", "/v1/notifications/"+id, "").want(200)["held_reason"] }
	if held(id) != nil || held(blocked) != "address_blocked" {
		t.Errorf("%v %v", held(id), held(blocked))
	}
	w.call("POST", "/v1/merchants/m1/pause", "").want(200)
	if held(id) != "merchant_paused" || held(blocked) != "merchant_paused" {
		t.Errorf("%v %v", held(id), held(blocked))
	}
	w.call("PUT", "/v1/sending", `{"paused":true}`).want(200)
	if held(id) != "sending_paused" {
		t.Errorf("%v", held(id))
	}
	w.call("POST", "/v1/notifications/"+id+"/cancel", "").want(200)
	if held(id) != nil {
		t.Errorf("a final one is held: %v", held(id))
	}
}

func TestListNotifications(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	var ids []string
	for i := range 5 {
		ids = append([]string{w.send([]string{"m1", "m2"}[i%2], fmt.Sprint("order-", i))}, ids...) // newest first
	}
	w.settle("m2", refused)
	list := func(query string) (got []string, next any) {
		t.Helper()
		v := w.call("GET", "/v1/notifications"+query, "").want(200)
		for _, n := range v["notifications"].([]any) {
			n := n.(map[string]any)
			got = append(got, n["notify_id"].(string))
			if _, there := n["attempts"]; there {
				t.Error("a list has no attempts")
			}
		}
		return got, v["next_cursor"]
	}
	var all []string
	query := "?limit=2"
	for range 3 {
		got, next := list(query)
		all = append(all, got...)
		if next == nil {
			break
		}
		query = "?limit=2&cursor=" + next.(string)
	}
	if diff := cmp.Diff(ids, all); diff != "" {
		t.Error(diff)
	}
	created := w.call("GET", "/v1/notifications/"+ids[2], "").want(200)["created_at"].(string)
	for query, want := range map[string][]string{
		"?mch_id=m2":                       {ids[1], ids[3]},
		"?out_trade_no=order-4":            {ids[0]},
		"?notify_state=spent":              nil,
		"?notify_state=pending&mch_id=m1":  {ids[0], ids[2], ids[4]},
		"?verdict=refused&reason=ack_html": {ids[3]},
		"?held=false":                      ids,
		"?held=true":                       nil,
		"?held=merchant_paused":            nil,
		"?created_from=" + created:         ids[:3],
		"?created_to=" + created:           ids[3:],
		"?mch_id=nobody":                   nil,
	} {
		if got, _ := list(query); !cmp.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	body := w.call("GET", "/v1/notifications?mch_id=nobody", "").body
	if strings.TrimSpace(body) != `{"notifications":[],"next_cursor":null}` {
		t.Errorf("an empty list is %s", body)
	}
}

func TestListRefusals(t *testing.T) {
	w := newWorld(t)
	for query, location := range map[string]string{
		"limit=0": "query.limit", "limit=501": "query.limit", "limit=abc": "query.limit",
		"limit=-1": "query.limit", "limit=1000000000": "query.limit", "limit=99999999999999999999": "query.limit",
		"limit=1.5":          "query.limit",
		"notify_state=acked": "query.notify_state", "held=maybe": "query.held",
		"verdict=acknowledged": "query.verdict",
		"reason=ack_htm":       "query.reason", "created_from=2026-11-21": "query.created_from",
		"created_from=2026-11-21T10:00:00":                                         "query.created_from",
		"created_from=0001-06-01T00:00:00Z":                                        "query.created_from",
		"created_to=9999-01-01T00:00:00Z":                                          "query.created_to",
		"created_from=2026-11-22T00:00:00Z&created_to=2026-11-21T00:00:00%2B08:00": "query.created_to",
	} {
		at(t, w.call("GET", "/v1/notifications?"+query, "").problem(422, "validation-failed"), location)
	}
	w.mapi("m1")
	w.send("m1", "order-1")
	w.send("m1", "order-2")
	good := w.call("GET", "/v1/notifications?limit=1", "").want(200)["next_cursor"].(string)
	for _, cursor := range []string{
		"nonsense", "%00", strings.Repeat("x", 1000), good[:len(good)-1], good + "A", "0" + good[1:],
	} {
		w.call("GET", "/v1/notifications?cursor="+cursor, "").problem(400, "bad-cursor")
	}
}

func TestFollowAttempts(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	follow := func(query string) map[string]any {
		t.Helper()
		return w.call("GET", "/v1/attempts"+query, "").want(200)
	}
	v := follow("")
	if fmt.Sprint(v["attempts"]) != "[]" || v["next_cursor"] == "" {
		t.Errorf("%v", v)
	}
	id := w.send("m1", "order-1")
	w.settle("m1", refused)
	v = follow("?after=" + v["next_cursor"].(string) + "&wait=10s") // answers at once
	a := v["attempts"].([]any)[0].(map[string]any)
	wantMembers(t, a, map[string]any{
		"notify_id": id, "mch_id": "m1", "out_trade_no": "order-1", "notify_state": "pending",
		"notify_count_limit": json.Number("8"), "reason": "ack_html", "n": json.Number("1"),
	})
	if a["next_notify_time"] == nil {
		t.Errorf("%v", a)
	}
	// A waiting follower sees what is settled after it began to wait.
	waiting := make(chan map[string]any)
	cursor := v["next_cursor"].(string)
	go func() { waiting <- follow("?after=" + cursor + "&wait=20s") }()
	second := w.send("m1", "order-2")
	w.settle("m1", acked)
	if got := (<-waiting)["attempts"].([]any); len(got) != 1 || got[0].(map[string]any)["notify_id"] != second {
		t.Errorf("%v", got)
	}
	for query, location := range map[string]string{
		"wait=61s": "query.wait", "wait=-1s": "query.wait", "wait=20": "query.wait", "limit=0": "query.limit",
	} {
		at(t, w.call("GET", "/v1/attempts?"+query, "").problem(422, "validation-failed"), location)
	}
	w.call("GET", "/v1/attempts?after=nonsense", "").problem(400, "bad-cursor")
	// A stopping server keeps nobody waiting, nor does a caller who has gone.
	ctx, gone := context.WithCancel(context.Background())
	go func() {
		r := httptest.NewRequest("GET", "http://127.0.0.1/v1/attempts?wait=60s", nil).WithContext(ctx)
		r.Header.Set("Authorization", "Bearer "+adminKey)
		w.do(r)
		waiting <- nil
	}()
	gone()
	<-waiting
	go func() { waiting <- follow("?wait=60s") }()
	w.api.Drain()
	w.api.Drain()
	if v := <-waiting; fmt.Sprint(v["attempts"]) != "[]" {
		t.Errorf("%v", v)
	}
}

func TestStatsAndSending(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	got := strings.TrimSpace(w.call("GET", "/v1/stats", "").body)
	if got != `{"states":{"canceled":0,"exhausted":0,"pending":0,"quarantined":0,"spent":0},`+
		`"held":0,"due":0,"oldest_overdue_seconds":0,"in_flight":0,`+
		`"merchants":{"active":1,"failing":0,"paused":0,"breaker_open":0}}` {
		t.Errorf("stats %s", got)
	}
	w.send("m1", "1")
	v := w.call("GET", "/v1/stats", "").want(200)
	if v["due"] != json.Number("1") || v["oldest_overdue_seconds"] == json.Number("0") {
		t.Errorf("%v", v)
	}
	if s := w.call("GET", "/v1/sending", "").want(200); s["paused"] != false || s["reason"] != nil {
		t.Errorf("%v", s)
	}
	s := w.call("PUT", "/v1/sending", `{"paused":true,"reason":"drill"}`).want(200)
	if s["paused"] != true || s["reason"] != "drill" || s["since"] == nil {
		t.Errorf("%v", s)
	}
	v = w.call("GET", "/v1/stats", "").want(200)
	wantMembers(t, v, map[string]any{"held": json.Number("1"), "due": json.Number("0")})
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`).want(202) // accepting goes on
	s = w.call("PUT", "/v1/sending", `{"paused":false}`).want(200)
	wantMembers(t, s, map[string]any{"paused": false, "reason": nil})
	for _, bad := range []string{`{}`, `{"paused":"yes"}`, `{"paused":null}`, `{"paused":true,"why":"x"}`} {
		w.call("PUT", "/v1/sending", bad).problem(422, "validation-failed")
	}
	w.call("PUT", "/v1/sending", "").problem(400, "malformed-json")
}

func TestBackup(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	r := w.call("GET", "/v1/backup", "")
	media, whole := r.header.Get("Content-Type"), strings.HasPrefix(r.body, "SQLite format 3\x00")
	if r.status != 200 || !whole || media != "application/vnd.sqlite3" {
		t.Errorf("%d %v %.20q", r.status, r.header, r.body)
	}
	// A store without a backup of its own says so.
	w = newWorld(t, func(o *api.Options) { o.Store = struct{ store.Store }{o.Store} })
	w.call("GET", "/v1/backup", "").problem(409, "backup-unsupported")
}

// TestNotYet: while the store may not be used nothing under /v1 reaches it; without a key nobody learns so.
func TestNotYet(t *testing.T) {
	why := errors.New("waits for Redis")
	w := newWorld(t, func(o *api.Options) { o.NotYet = func() error { return why } })
	for _, request := range []string{
		"GET /v1/merchants", "POST /v1/notifications", "POST /v1/notifications/batch", "GET /v1/backup",
		"PUT /v1/sending",
	} {
		method, path, _ := strings.Cut(request, " ")
		r := w.call(method, path, "")
		r.problem(503, "storage-unavailable")
		if r.header.Get("Retry-After") != "1" || strings.Contains(r.body, "unknown") {
			t.Errorf("%s: %v %s", request, r.header, r.body)
		}
	}
	w.call("GET", "/v1/merchants", "", "Authorization:").problem(401, "unauthorized")
	if status := w.call("GET", "/healthz", "").status; status != 200 {
		t.Errorf("/healthz: %d", status)
	}
	why = nil
	w.call("GET", "/v1/merchants", "").want(200)
}

// sick is a store that cannot commit.
type sick struct {
	store.Store

	err error
}

func (s sick) Health(context.Context) store.Health { return store.Health{Err: s.err} }

func TestReadinessSaysWhatTheStoreSays(t *testing.T) {
	for err, want := range map[error]string{
		fmt.Errorf("%w: connection refused", store.ErrUnavailable): "connection refused",
		store.ErrFull: "the store is full",
	} {
		w := newWorld(t, func(o *api.Options) { o.Store = sick{o.Store, err} })
		v := w.call("GET", "/readyz", "").want(503)
		if reasons, _ := v["reasons"].([]any); len(reasons) != 1 || !strings.Contains(fmt.Sprint(reasons), want) {
			t.Errorf("%v: got %v, want one with %q", err, v["reasons"], want)
		}
	}
}

func TestHealthAndReadiness(t *testing.T) {
	var reasons, warnings []string
	w := newWorld(t, func(o *api.Options) {
		o.Ready = func() ([]string, []string) { return reasons, warnings }
	})
	if r := w.call("GET", "/healthz", "", "Authorization:"); r.status != 200 {
		t.Errorf("%d", r.status)
	}
	ready := w.call("GET", "/readyz", "", "Authorization:")
	if ready.status != 200 || strings.TrimSpace(ready.body) != `{"ready":true,"reasons":[],"warnings":[]}` {
		t.Errorf("%d %s", ready.status, ready.body)
	}
	w.call("PUT", "/v1/sending", `{"paused":true,"reason":"drill"}`).want(200)
	warnings = []string{"dev"}
	v := w.call("GET", "/readyz", "").want(200)
	if fmt.Sprint(v["warnings"]) != "[sending is paused: drill dev]" {
		t.Errorf("%v", v)
	}
	reasons = []string{"draining"}
	r := w.call("GET", "/readyz", "")
	v = r.want(503)
	if v["ready"] != false || fmt.Sprint(v["reasons"]) != "[draining]" || r.header.Get("Retry-After") == "" {
		t.Errorf("%v", v)
	}
}
