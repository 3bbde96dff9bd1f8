package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/dispatcher/egress"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// world is the API over a real store. Nothing is sent by itself; tests settle attempts by hand.
type world struct {
	t       *testing.T
	store   store.Store
	intake  *intake
	options api.Options
	api     *api.API
	log     *bytes.Buffer
}

// intake is the dispatcher's front door without a dispatcher behind it.
type intake struct {
	store  store.Store
	fail   atomic.Pointer[error] // what Accept answers instead
	stuck  atomic.Bool           // Accept waits until its caller gives up
	panics atomic.Bool
	nudges atomic.Int32
}

func (i *intake) Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
	switch {
	case i.panics.Load():
		panic("intake panics")
	case i.stuck.Load():
		<-ctx.Done()
		return nil, ctx.Err()
	case i.fail.Load() != nil:
		return nil, *i.fail.Load()
	}
	items := make([]store.Incoming, len(ns))
	for k := range ns {
		items[k].Notification = ns[k]
	}
	return i.store.Accept(ctx, items, time.Minute)
}

func (i *intake) Nudge() { i.nudges.Add(1) }

const adminKey = "test-admin-key"

// newWorld starts one; change may alter its options.
func newWorld(t *testing.T, change ...func(o *api.Options)) *world {
	t.Helper()
	ring, err := keyring.Load(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	s := openStore(t)
	w := &world{t: t, store: s, intake: &intake{store: s}, log: &bytes.Buffer{}}
	w.options = api.Options{
		Store: s, Intake: w.intake, Ring: ring, Rules: &egress.Rules{}, AdminKey: adminKey, MaxInflightDefault: 16,
		Log: slog.New(slog.NewTextHandler(&locked{w: w.log}, nil)), Version: "test",
	}
	for _, c := range change {
		c(&w.options)
	}
	w.api = api.New(w.options)
	return w
}

type locked struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *locked) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(b)
}

// reply is an answer of the API.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// call sends a request with the admin key; head lines are "Name: value", "Name:" takes one away.
func (w *world) call(method, target, body string, head ...string) reply {
	w.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, line := range head {
		name, value, _ := strings.Cut(line, ":")
		if value = strings.TrimSpace(value); value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Add(name, value)
		}
	}
	return w.do(r)
}

func (w *world) do(r *http.Request) reply {
	w.t.Helper()
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r)
	return reply{t: w.t, status: rec.Code, header: rec.Header(), body: rec.Body.String()}
}

// want checks the status and returns the body, decoded.
func (r reply) want(status int) map[string]any {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	var v map[string]any
	if r.body == "" {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(r.body))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		r.t.Fatalf("body is no JSON object: %v: %s", err, r.body)
	}
	return v
}

// problem checks that the answer is a well-formed problem of the given kind.
func (r reply) problem(status int, slug string) api.Problem {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d %s: %s", r.status, status, slug, r.body)
	}
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		r.t.Errorf("content type %q", got)
	}
	var p api.Problem
	if err := json.Unmarshal([]byte(r.body), &p); err != nil {
		r.t.Fatalf("%v: %s", err, r.body)
	}
	if p.Type != "/problems/"+slug || p.Status != status || p.Title == "" || p.Detail == "" {
		r.t.Errorf("problem is %+v, want /problems/%s", p, slug)
	}
	if (len(p.Errors) > 0) != (status == 422) {
		r.t.Errorf("status %d with errors %+v", status, p.Errors)
	}
	for _, e := range p.Errors {
		if e.Location == "" || e.Message == "" || e.Cure == "" {
			r.t.Errorf("error without location, message or cure: %+v", e)
		}
	}
	return p
}

// at finds what is wrong at a location.
func at(t *testing.T, p api.Problem, location string) api.FieldError {
	t.Helper()
	for _, e := range p.Errors {
		if e.Location == location {
			return e
		}
	}
	t.Fatalf("no error at %s: %+v", location, p.Errors)
	return api.FieldError{}
}

// wantMembers checks members of a decoded answer; all of them must be there.
func wantMembers(t *testing.T, v, want map[string]any) {
	t.Helper()
	for member, w := range want {
		if got, there := v[member]; !there || !reflect.DeepEqual(got, w) {
			t.Errorf("%s is %v, want %v", member, got, w)
		}
	}
}

// mapi creates a merchant that needs no RSA key, which is slow to make.
func (w *world) mapi(mchID string, more ...string) map[string]any {
	w.t.Helper()
	return w.call("POST", "/v1/merchants", `{"mch_id":"`+mchID+`","profile":"alipay_mapi",`+
		`"notify_url":"https://shop.example.com/n"`+strings.Join(append([]string{""}, more...), ",")+`}`).want(201)
}

// send accepts one notification and returns its notify_id.
func (w *world) send(mchID, outTradeNo string) string {
	w.t.Helper()
	v := w.call("POST", "/v1/notifications",
		`{"mch_id":"`+mchID+`","out_trade_no":"`+outTradeNo+`","params":{"total_fee":"1.00"}}`).want(202)
	return v["notify_id"].(string)
}

// settle makes the attempt that is due and settles it as told.
func (w *world) settle(mchID string, outcome func(c store.Claim) store.Outcome) store.Claim {
	w.t.Helper()
	ctx := context.Background()
	claims, err := w.store.Claim(ctx, mchID, 1, time.Minute)
	if err != nil || len(claims.Items) != 1 {
		w.t.Fatalf("claims %+v, error %v", claims, err)
	}
	c := claims.Items[0]
	_, err = w.store.Settle(ctx, []store.Settlement{{
		NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: outcome(c),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// acked is the outcome of an acknowledged attempt.
func acked(c store.Claim) store.Outcome {
	return store.Outcome{Attempt: store.Attempt{
		Send: c.Send, Charged: !c.Trigger.Manual(), Trigger: c.Trigger, ScheduledAt: c.ScheduledAt,
		StartedAt: c.ClaimedAt, Duration: 12345 * time.Microsecond, Verdict: store.Acked, Reason: store.AckExact,
		Status: 200, Reply: []byte("success"), RemoteAddr: "192.0.2.1:443", RequestSHA256: strings.Repeat("ab", 32),
	}}
}

// refused is the outcome of an attempt that met a page.
func refused(c store.Claim) store.Outcome {
	o := acked(c)
	o.Attempt.Verdict, o.Attempt.Reason = store.Refused, store.AckHTML
	o.Attempt.Reply = []byte("<b>success</b>\\\r\n\xff中")
	o.State, o.NextAt = store.Pending, c.ClaimedAt.Add(4*time.Minute)
	o.PlannedAt = o.NextAt
	o.Attempt.TLS = &store.TLSInfo{
		Version: "TLS 1.3", Subject: "CN=shop", NotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC),
	}
	return o
}
