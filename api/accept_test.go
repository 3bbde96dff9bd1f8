package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"paynotify/api"
	"paynotify/store"
)

func TestAccept(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	r := w.call("POST", "/v1/notifications", payment)
	v := r.want(202)
	id, _ := v["notify_id"].(string)
	if _, _, err := store.ParseID(id); err != nil {
		t.Errorf("notify_id %q: %v", id, err)
	}
	if len(v) != 4 || v["notify_state"] != "pending" || v["notify_count"] != json.Number("0") {
		t.Errorf("answer %v", v)
	}
	n, _, err := w.store.Get(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	next, err := time.Parse(time.RFC3339Nano, v["next_notify_time"].(string))
	if err != nil || !next.Equal(n.CreatedAt) || !strings.HasSuffix(v["next_notify_time"].(string), "Z") {
		t.Errorf("next_notify_time %v, created_at %v, error %v", v["next_notify_time"], n.CreatedAt, err)
	}
	if n.Profile != "alipay_mapi" || n.Schedule != "alipay" || n.NotifyType != "trade_status_sync" ||
		n.OutTradeNo != "20261121-000001" || n.NotifyURL != "" || n.IdempotencyKey != "" || n.ContentDigest != nil {
		t.Errorf("accepted %+v", n)
	}
	// What the merchant sets is frozen; what the request sets wins.
	w.call("PATCH", "/v1/merchants/m1", `{"schedule":"15s,1m"}`).want(200)
	second := w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`,
		"traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01").want(202)["notify_id"].(string)
	third := w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{},"schedule":"wechat_v2",`+
		`"notify_url":"https://other.example.com/n"}`, "traceparent: 00-XX").want(202)["notify_id"].(string)
	n2, _, _ := w.store.Get(context.Background(), second)
	n3, _, _ := w.store.Get(context.Background(), third)
	if n2.Schedule != "15s,1m" || n2.TraceParent == "" || n2.NotifyType != "trade_status_sync" {
		t.Errorf("second %+v", n2)
	}
	if n3.Schedule != "wechat_v2" || n3.NotifyURL != "https://other.example.com/n" || n3.TraceParent != "" {
		t.Errorf("third %+v", n3)
	}
	if again, _, _ := w.store.Get(context.Background(), id); again.Schedule != "alipay" {
		t.Errorf("schedule of the first is not frozen: %s", again.Schedule)
	}
}

func TestAcceptErrors(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	const fine = `{"mch_id":"m1","params":{}}`
	w.call("POST", "/v1/notifications", `{"mch_id":"nobody","params":{}}`).problem(404, "merchant-not-found")
	w.call("POST", "/v1/notifications", `{"mch_id":"m\u0000","params":{}}`).problem(404, "merchant-not-found")
	w.call("POST", "/v1/notifications?dry_run=1", fine).problem(422, "validation-failed")
	for _, key := range []string{strings.Repeat("k", 256), "two words", "schlüssel", "tab\tkey"} {
		w.call("POST", "/v1/notifications", fine, "Idempotency-Key: "+key).problem(400, "bad-idempotency-key")
	}
	w.call("POST", "/v1/notifications", fine, "Idempotency-Key: a", "Idempotency-Key: b").
		problem(400, "bad-idempotency-key")
	r := httptest.NewRequest("POST", "http://127.0.0.1/v1/notifications", strings.NewReader(fine))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header["Idempotency-Key"] = []string{""}
	w.do(r).problem(400, "bad-idempotency-key")
	w.call("POST", "/v1/notifications", fine, "Idempotency-Key: "+strings.Repeat("k", 255)).want(202)
}

func TestMediaTypesAndSizes(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	const fine = `{"mch_id":"m1","params":{}}`
	for head, status := range map[string]int{
		"Content-Type: application/json; charset=utf-8":   202,
		"Content-Type: Application/JSON":                  202,
		"Content-Type:":                                   202,
		"Content-Encoding: identity":                      202,
		"Content-Type: application/json; charset=gbk":     415,
		"Content-Type: application/x-www-form-urlencoded": 415,
		"Content-Type: text/plain":                        415,
		"Content-Type: nonsense/":                         415,
		"Content-Type: application/merge-patch+json":      415,
		"Content-Encoding: gzip":                          415,
		"Content-Encoding: br":                            415,
	} {
		first, _, _ := strings.Cut(head, ":")
		r := w.call("POST", "/v1/notifications", fine, first+":", head)
		if status == 415 {
			r.problem(415, "unsupported-media-type")
		} else {
			r.want(status)
		}
	}
	w.call("PATCH", "/v1/merchants/m1", `{"name":"x"}`,
		"Content-Type:", "Content-Type: application/merge-patch+json").want(200)
	w.call("PATCH", "/v1/merchants/m1", `name=x`, "Content-Type:", "Content-Type: text/plain").
		problem(415, "unsupported-media-type")

	large := func(n int) string { return `{"mch_id":"m1","params":{"a":"` + strings.Repeat("x", n-33) + `"}}` }
	w.call("POST", "/v1/notifications", large(store.BodyBytesMax+1)).problem(413, "too-large")
	chunked := httptest.NewRequest("POST", "http://127.0.0.1/v1/notifications",
		strings.NewReader(large(store.BodyBytesMax+1)))
	chunked.Header.Set("Authorization", "Bearer "+adminKey)
	chunked.ContentLength = -1
	w.do(chunked).problem(413, "too-large")
	w.call("POST", "/v1/merchants", large(store.BodyBytesMax+1)).problem(413, "too-large")
	broken := httptest.NewRequest("POST", "http://127.0.0.1/v1/notifications",
		iotest.ErrReader(io.ErrUnexpectedEOF))
	broken.Header.Set("Authorization", "Bearer "+adminKey)
	w.do(broken).problem(408, "request-timeout")
	w.call("POST", "/v1/notifications/batch", `{"notifications":["`+strings.Repeat("x", 16<<20)+`"]}`).
		problem(413, "too-large")
}

func TestIdempotency(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	const (
		key   = "Idempotency-Key: order-1"
		first = `{"mch_id":"m1","out_trade_no":"1","params":{"a":"x","n":1.50,"o":"中"}}`
	)
	// A refused request binds no key.
	w.call("POST", "/v1/notifications", `{"mch_id":"m1"}`, key).problem(422, "validation-failed")
	a := w.call("POST", "/v1/notifications", first, key)
	a.want(202)
	if a.header.Get("Idempotency-Replayed") != "" {
		t.Error("the first is no replay")
	}
	w.settle("m1", acked) // the answer stays the first one, whatever has happened since
	for _, same := range []string{
		first,
		`{ "params" : { "o":"\u4e2d", "n":1.50, "a":"\u0078" }, "out_trade_no":"1", "mch_id":"m1" }`,
		`{"mch_id":"m1","out_trade_no":"1","notify_url":null,"params":{"a":"x","n":1.50,"o":"中"}}`,
	} {
		b := w.call("POST", "/v1/notifications", same, key)
		b.want(200)
		if b.body != a.body || b.header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("replay answers %s, want %s; %v", b.body, a.body, b.header)
		}
	}
	for _, other := range []string{
		`{"mch_id":"m1","out_trade_no":"1","params":{"a":"x","n":1.5,"o":"中"}}`,
		`{"mch_id":"m1","out_trade_no":"1","params":{"a":"x","n":"1.50","o":"中"}}`,
		`{"mch_id":"m1","out_trade_no":"2","params":{"a":"x","n":1.50,"o":"中"}}`,
		`{"mch_id":"m1","out_trade_no":"1","schedule":"15s","params":{"a":"x","n":1.50,"o":"中"}}`,
		`{"mch_id":"m1","out_trade_no":"1","notify_type":"refund","params":{"a":"x","n":1.50,"o":"中"}}`,
	} {
		w.call("POST", "/v1/notifications", other, key).problem(409, "idempotency-mismatch")
	}
	// Scoped to the merchant; and without a key every POST is new.
	if c := w.call("POST", "/v1/notifications", strings.Replace(first, "m1", "m2", 1), key); c.status != 202 {
		t.Errorf("another merchant's key: %d", c.status)
	}
	w.call("POST", "/v1/notifications", first).want(202)
	w.call("POST", "/v1/notifications", first).want(202)
}

func TestIdempotencyConcurrently(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	bodies := make([]reply, 100)
	var all sync.WaitGroup
	for i := range bodies {
		all.Go(func() { bodies[i] = w.call("POST", "/v1/notifications", payment, "Idempotency-Key: once") })
	}
	all.Wait()
	accepted := 0
	for _, b := range bodies {
		if b.status == 202 {
			accepted++
		} else if b.status != 200 {
			t.Errorf("status %d: %s", b.status, b.body)
		}
		if b.body != bodies[0].body {
			t.Errorf("answers differ: %s and %s", b.body, bodies[0].body)
		}
	}
	if accepted != 1 {
		t.Errorf("%d were accepted, want 1", accepted)
	}
	stats := w.call("GET", "/v1/stats", "").want(200)
	if n := stats["states"].(map[string]any)["pending"]; n != json.Number("1") {
		t.Errorf("%v are pending, want 1", n)
	}
}

func TestBatch(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	results := func(r reply) []map[string]any {
		t.Helper()
		var v struct{ Results []map[string]any }
		r.want(200)
		if err := json.Unmarshal([]byte(r.body), &v); err != nil {
			t.Fatal(err)
		}
		return v.Results
	}
	items := []string{
		`{"mch_id":"m1","params":{"n":1},"idempotency_key":"k1"}`,
		`{"mch_id":"nobody","params":{}}`,
		`{"mch_id":"m1","params":{"sign":"x"}}`,
		`{"mch_id":"m1","params":{"n":1},"idempotency_key":"k1"}`,
		`{"mch_id":"m1","params":{"n":2},"idempotency_key":"k1"}`,
		`"no object"`,
		`{"mch_id":"m1","params":{},"nonsense":1}`,
		`{"mch_id":"m1","params":{},"idempotency_key":"two words"}`,
		`{"mch_id":"m1","params":{},"idempotency_key":""}`,
		`{"mch_id":"m1","params":{},"idempotency_key":null}`,
		`{"mch_id":"m1","params":{"a":"` + strings.Repeat("x", store.BodyBytesMax) + `"}}`,
		`{"mch_id":"m1","params":{}}`,
	}
	want := []string{
		"202", "404 merchant-not-found", "422 reserved-parameter", "200", "409 idempotency-mismatch",
		"422 validation-failed", "422 validation-failed", "400 bad-idempotency-key", "400 bad-idempotency-key",
		"202", "413 too-large", "202",
	}
	got := results(w.call("POST", "/v1/notifications/batch", `{"notifications":[`+strings.Join(items, ",")+`]}`))
	if len(got) != len(want) {
		t.Fatalf("%d results, want %d", len(got), len(want))
	}
	for i, r := range got {
		text := fmt.Sprint(r["status"])
		if p, ok := r["problem"].(map[string]any); ok {
			text += " " + strings.TrimPrefix(p["type"].(string), "/problems/")
			if p["status"] != r["status"] || r["notify_id"] != nil {
				t.Errorf("item %d: %v", i, r)
			}
		}
		if text != want[i] {
			t.Errorf("item %d: %s, want %s", i, text, want[i])
		}
	}
	if got[0]["notify_id"] != got[3]["notify_id"] || got[0]["notify_id"] == got[11]["notify_id"] {
		t.Errorf("notify_ids %v %v %v", got[0], got[3], got[11])
	}
	// A key means the same in a batch and alone.
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{"n":1}}`, "Idempotency-Key: k1").want(200)

	batch := func(n int) string {
		items := strings.Repeat(`,{"mch_id":"m1","params":{}}`, n)
		return `{"notifications":[` + strings.TrimPrefix(items, ",") + `]}`
	}
	if n := len(results(w.call("POST", "/v1/notifications/batch", batch(1000)))); n != 1000 {
		t.Errorf("%d results", n)
	}
	w.call("POST", "/v1/notifications/batch", batch(1001)).problem(413, "too-many-items")
	for _, bad := range []string{`{}`, batch(0), `{"notifications":{}}`, `{"notifications":[],"x":1}`, `[]`} {
		w.call("POST", "/v1/notifications/batch", bad).problem(422, "validation-failed")
	}
	w.call("POST", "/v1/notifications/batch", batch(1), "Idempotency-Key: k").problem(400, "bad-idempotency-key")
	w.call("POST", "/v1/notifications/batch?x=1", batch(1)).problem(422, "validation-failed")
}

func TestStoreOutOfOrder(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for err, wait := range map[error]string{
		store.ErrUnavailable: "1", store.ErrFull: "10", errors.New("no idea"): "1",
	} {
		w.intake.fail.Store(&err)
		for _, target := range []string{"/v1/notifications", "/v1/notifications/batch"} {
			body := `{"mch_id":"m1","params":{}}`
			if strings.HasSuffix(target, "batch") {
				body = `{"notifications":[` + body + `]}`
			}
			r := w.call("POST", target, body)
			r.problem(503, "storage-unavailable")
			if got := r.header.Get("Retry-After"); got != wait {
				t.Errorf("%v: Retry-After %q, want %q", err, got, wait)
			}
			if strings.Contains(r.body, "no idea") {
				t.Errorf("the cause is shown: %s", r.body)
			}
		}
	}
	if !strings.Contains(w.log.String(), "no idea") {
		t.Errorf("the cause is not logged: %s", w.log)
	}
	w.intake.fail.Store(nil)
	w.intake.panics.Store(true)
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`).problem(500, "internal")
	if !strings.Contains(w.log.String(), "intake panics") {
		t.Errorf("the panic is not logged: %s", w.log)
	}
	w.intake.panics.Store(false)
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`).want(202)
}

// TestStuckStore checks that a 503 comes within the two seconds that callers are promised.
func TestStuckStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mapi("m1")
	w.intake.stuck.Store(true)
	began := time.Now()
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`).problem(503, "storage-unavailable")
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the 503 took %v", took)
	}
}

// TestServerLimits checks over a real connection that a huge head is refused by the recommended server.
func TestServerLimits(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = api.NewServer(w.api)
	server.Start()
	defer server.Close()
	r, err := http.NewRequest("GET", server.URL+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	for bytes, want := range map[int]int{1 << 10: 200, 64 << 10: 431} {
		r.Header.Set("X-Large", strings.Repeat("x", bytes))
		answer, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("a head of %d bytes: %d, want %d", bytes, answer.StatusCode, want)
		}
	}
}

// TestHeadsOverTheWire checks what only bytes on a connection can say: a great many headers, two requests at
// once, a head that contradicts itself.
func TestHeadsOverTheWire(t *testing.T) {
	w := newWorld(t)
	server := httptest.NewUnstartedServer(nil)
	server.Config = api.NewServer(w.api)
	if wait := server.Config.ReadHeaderTimeout; wait <= 0 || wait > 5*time.Second {
		t.Errorf("a head may take %v", wait)
	}
	server.Start()
	defer server.Close()
	const ask = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n"
	for name, c := range map[string]struct {
		sent string
		want []int
	}{
		"10,000 headers": {ask + strings.Repeat("a: b\r\n", 10000) + "\r\n", []int{431}},
		"pipelined":      {ask + "\r\n" + "GET /v1/stats HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", []int{200, 401}},
		"two lengths": {
			"POST /v1/notifications HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
			[]int{400},
		},
		"no host": {"GET /healthz HTTP/1.1\r\n\r\n", []int{400}},
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			go io.WriteString(conn, c.sent) // the server may hang up in the middle
			in := bufio.NewReader(conn)
			for i, want := range c.want {
				answer, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatalf("answer %d: %v", i, err)
				}
				_, _ = io.Copy(io.Discard, answer.Body)
				if answer.StatusCode != want {
					t.Errorf("answer %d: status %d, want %d", i, answer.StatusCode, want)
				}
			}
		})
	}
}

// TestExpectContinue checks over a real connection that bodies are asked for, or refused unread.
func TestExpectContinue(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	server := httptest.NewServer(w.api)
	defer server.Close()
	ask := func(body string) *http.Response {
		t.Helper()
		r, err := http.NewRequest("POST", server.URL+"/v1/notifications", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+adminKey)
		r.Header.Set("Expect", "100-continue")
		client := &http.Client{Transport: &http.Transport{ExpectContinueTimeout: time.Minute}}
		defer client.CloseIdleConnections()
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		return answer
	}
	if got := ask(`{"mch_id":"m1","params":{}}`).StatusCode; got != 202 {
		t.Errorf("status %d, want 202", got)
	}
	// Refused unread: the client never sends it.
	if got := ask(string(bytes.Repeat([]byte("x"), store.BodyBytesMax+1))).StatusCode; got != 413 {
		t.Errorf("status %d, want 413", got)
	}
}

// TestARepeatOutlivesItsMerchant: the first answer is given again, whatever became of the merchant since.
func TestARepeatOutlivesItsMerchant(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	const body = `{"mch_id":"m1","out_trade_no":"1","params":{"subject":"A"}}`
	first := w.call("POST", "/v1/notifications", body, "Idempotency-Key: k1")
	id, _ := first.want(202)["notify_id"].(string)
	w.call("POST", "/v1/notifications/"+id+"/cancel", "").want(200)
	w.call("DELETE", "/v1/merchants/m1", "").want(204)

	again := w.call("POST", "/v1/notifications", body, "Idempotency-Key: k1")
	again.want(200)
	if again.body != first.body {
		t.Errorf("the repeat says %s, the first answer was %s", again.body, first.body)
	}
	w.call("POST", "/v1/notifications", strings.Replace(body, `"A"`, `"B"`, 1), "Idempotency-Key: k1").
		problem(409, "idempotency-mismatch")
	w.call("POST", "/v1/notifications", body, "Idempotency-Key: k2").problem(404, "merchant-not-found")
	batch := `{"notifications":[{"idempotency_key":"k1",` + body[1:] + `]}`
	results := w.call("POST", "/v1/notifications/batch", batch)
	results.want(200)
	if !strings.Contains(results.body, `{"status":200,"notify_id":"`+id+`"}`) {
		t.Errorf("in a batch: %s", results.body)
	}
}

// TestBatchIsOfOneTrace: the header of a batch is every item's; tracestate is nobody's.
func TestBatchIsOfOneTrace(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tt := range []struct{ given, want string }{
		{parent, parent}, {"ff" + parent[2:], ""},
	} {
		answers := w.call("POST", "/v1/notifications/batch",
			`{"notifications":[{"mch_id":"m1","params":{}},{"mch_id":"m1","params":{}}]}`,
			"traceparent: "+tt.given, "tracestate: vendor=1").want(200)["results"].([]any)
		for _, answer := range answers {
			n, _, err := w.store.Get(context.Background(), answer.(map[string]any)["notify_id"].(string))
			if err != nil || n.TraceParent != tt.want {
				t.Errorf("%s: kept %q, %v", tt.given, n.TraceParent, err)
			}
		}
	}
}
