package api_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/queue/localqueue"
	"paynotify/sandbox"
	"paynotify/store"
)

const probeSecret = "0123456789abcdef0123456789abcdef"

// newProbingWorld has the real dispatcher behind the API, for probes alone.
func newProbingWorld(t *testing.T, rules egress.Rules) *world {
	t.Helper()
	return newWorld(t, func(o *api.Options) {
		client := egress.New(egress.Options{Rules: rules})
		t.Cleanup(client.Close)
		o.Rules = &rules
		o.Prober = dispatcher.New(dispatcher.Options{
			Store: o.Store, Queue: localqueue.New(), Ring: o.Ring, Rules: &rules, Client: client,
		})
	})
}

// shop starts a sandbox merchant and registers it.
func (w *world) shop(mchID string, m *sandbox.Merchant, more ...string) *sandbox.Merchant {
	w.t.Helper()
	if err := m.Start(nil); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		if err := m.Close(); err != nil {
			w.t.Error(err)
		}
	})
	more = append([]string{
		"", `"mch_id":"` + mchID + `","notify_url":"` + m.URL() + `/notify","options":{"probe":true}`,
	}, more...)
	w.call("POST", "/v1/merchants", `{"profile":"alipay_mapi","key":{"secret":"`+probeSecret+`"}`+
		strings.Join(more, ",")+`}`).want(201)
	return m
}

func (w *world) get(target string) map[string]any {
	w.t.Helper()
	return w.call("GET", target, "").want(200)
}

func TestProbeTellsWhoVerifies(t *testing.T) {
	w := newProbingWorld(t, egress.Rules{Dev: true})
	blind := w.shop("blind", &sandbox.Merchant{})
	careful := w.shop("careful", &sandbox.Merchant{Profile: "alipay_mapi", Secret: probeSecret})
	w.shop("gone", &sandbox.Merchant{Reply: "500"})
	w.shop("vague", &sandbox.Merchant{Reply: "upper"})
	if v := w.get("/v1/merchants/blind"); v["probe"] != nil {
		t.Errorf("probe before there was one: %v", v["probe"])
	}
	for mchID, want := range map[string]map[string]any{
		"blind": {
			"verifies_signatures": false, "verdict": "acked", "reason": "ack_exact", "status": "200",
			"reply": "success",
		},
		"careful": {
			"verifies_signatures": true, "verdict": "refused", "reason": "ack_mismatch", "status": "200",
			"reply": "fail",
		},
		"gone":  {"verifies_signatures": true, "verdict": "http_5xx", "reason": "http_status", "status": "500"},
		"vague": {"verifies_signatures": nil, "verdict": "refused", "reason": "ack_case", "reply": "SUCCESS"},
	} {
		v := w.call("POST", "/v1/merchants/"+mchID+"/probe", "").want(200)
		for member, wanted := range want {
			got, there := v[member]
			if member == "status" {
				got = fmt.Sprint(got)
			}
			if !there || got != wanted {
				t.Errorf("%s: %s is %v, want %v", mchID, member, got, wanted)
			}
		}
		m := w.get("/v1/merchants/" + mchID)
		if diff := cmp.Diff(v, m["probe"]); diff != "" {
			t.Errorf("%s: the merchant shows another result:\n%s", mchID, diff)
		}
		warns := strings.Contains(fmt.Sprint(m["warnings"]), "does not verify signatures")
		if warns != (mchID == "blind") {
			t.Errorf("%s: warnings %v", mchID, m["warnings"])
		}
	}
	const line = `level=WARN msg="merchant probed with a wrong signature" mch_id=blind verifies_signatures=false`
	if !strings.Contains(w.log.String(), line) {
		t.Errorf("log: %s", w.log)
	}
	if blind.Count() != 1 || careful.Count() != 1 {
		t.Errorf("%d and %d requests, want one each", blind.Count(), careful.Count())
	}
	if hit := careful.Hits()[0]; hit.Signature != sandbox.Rejected {
		t.Errorf("the probe's signature is %s", hit.Signature)
	}
	listed := w.get("/v1/merchants")["merchants"].([]any)[0].(map[string]any)
	if listed["mch_id"] != "blind" || listed["probe"] == nil {
		t.Errorf("the list shows %v", listed)
	}
	if n := w.get("/v1/notifications")["notifications"].([]any); len(n) > 0 {
		t.Errorf("a probe made notifications: %v", n)
	}
}

func TestProbeRefusals(t *testing.T) {
	w := newProbingWorld(t, egress.Rules{Dev: true})
	shop := w.shop("m1", &sandbox.Merchant{})
	patch := func(mchID, body string) {
		t.Helper()
		w.call("PATCH", "/v1/merchants/"+mchID, body).want(200)
	}
	refused := func(mchID, slug, cure string) {
		t.Helper()
		p := w.call("POST", "/v1/merchants/"+mchID+"/probe", "").problem(409, slug)
		if !strings.Contains(p.Detail, cure) {
			t.Errorf("detail %q does not name %s", p.Detail, cure)
		}
	}
	patch("m1", `{"options":{"probe":null}}`)
	refused("m1", "probe-not-allowed", "options.probe")
	patch("m1", `{"options":{"probe":true}}`)
	w.call("POST", "/v1/merchants/m1/pause", "").want(200)
	refused("m1", "merchant-held", "/resume")
	w.call("PUT", "/v1/sending", `{"paused":true,"reason":"drill"}`).want(200)
	refused("m1", "merchant-held", "/v1/sending")
	w.call("POST", "/v1/merchants/m1/resume", "").want(200)
	refused("m1", "merchant-held", "/v1/sending")
	w.call("PUT", "/v1/sending", `{"paused":false}`).want(200)
	w.call("POST", "/v1/merchants", `{"mch_id":"f","profile":"form","notify_url":"`+shop.URL()+
		`/f","options":{"probe":true}}`).want(201)
	refused("f", "probe-not-allowed", "header_signature")
	w.call("POST", "/v1/merchants/nobody/probe", "").problem(404, "merchant-not-found")
	w.call("POST", "/v1/merchants/m1/probe", "", "Authorization:").problem(401, "unauthorized")
	p := w.call("POST", "/v1/merchants/m1/probe?force=true", "").problem(422, "validation-failed")
	at(t, p, "query.force")
	p = w.call("PATCH", "/v1/merchants/m1", `{"probe":null}`).problem(422, "validation-failed")
	e := at(t, p, "body.probe")
	if !strings.Contains(e.Cure, "/probe") {
		t.Errorf("cure %q", e.Cure)
	}
	if n := shop.Count(); n > 0 {
		t.Errorf("%d requests left all the same", n)
	}
	// With a signature in headers there is something to verify.
	patch("f", `{"options":{"header_signature":true}}`)
	if v := w.call("POST", "/v1/merchants/f/probe", "").want(200); v["verifies_signatures"] != false {
		t.Errorf("%v", v)
	}
}

func TestProbeOfABlockedAddress(t *testing.T) {
	w := newProbingWorld(t, egress.Rules{})
	w.mapi("m1", `"options":{"probe":true}`)
	if _, err := w.store.UpdateMerchant(context.Background(), "m1", func(m *store.Merchant) error {
		m.NotifyURL, m.Blocked = "http://10.0.0.1/n", true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	v := w.call("POST", "/v1/merchants/m1/probe", "").want(200)
	wantMembers(t, v, map[string]any{
		"verifies_signatures": nil, "verdict": "blocked", "reason": "address_blocked", "status": nil, "reply": nil,
	})
}

// TestProbesDoNotPileUp checks that a merchant gets one probe at a time, that one whose caller leaves ends,
// and that it is then forgotten.
func TestProbesDoNotPileUp(t *testing.T) {
	w := newProbingWorld(t, egress.Rules{Dev: true})
	arrived := make(chan string, 2)
	shop := w.shop("m1", &sandbox.Merchant{Reply: "slow", Log: func(h sandbox.Hit) { arrived <- h.NotifyID }})
	ctx, leave := context.WithCancel(context.Background())
	answered := make(chan *httptest.ResponseRecorder, 1)
	go func() {
		rec := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/v1/merchants/m1/probe", nil)
		r.Header.Set("Authorization", "Bearer "+adminKey)
		w.api.ServeHTTP(rec, r)
		answered <- rec
	}()
	notifyID := <-arrived
	r := w.call("POST", "/v1/merchants/m1/probe", "")
	r.problem(429, "too-many-probes")
	if r.header.Get("Retry-After") == "" {
		t.Error("429 without Retry-After")
	}
	asked := w.call("GET", "/gateway.do?service=notify_verify&partner=m1&notify_id="+notifyID, "")
	if asked.body != "false" {
		t.Errorf("notify_verify of a probe answers %q", asked.body)
	}
	leave()
	if rec := <-answered; rec.Code != 503 || rec.Header().Get("Retry-After") == "" {
		t.Errorf("%d %s", rec.Code, rec.Body)
	}
	if v := w.get("/v1/merchants/m1"); v["probe"] != nil {
		t.Errorf("a probe that was cut short is noted: %v", v["probe"])
	}
	if n := shop.Count(); n != 1 {
		t.Errorf("%d requests, want 1", n)
	}
	// The place is free again.
	w.call("PATCH", "/v1/merchants/m1", `{"options":{"probe":false}}`).want(200)
	w.call("POST", "/v1/merchants/m1/probe", "").problem(409, "probe-not-allowed")
}

// TestProbeIsOfOneAddress checks that a result goes with the address that it is about, also when the address
// changes while the probe is under way.
func TestProbeIsOfOneAddress(t *testing.T) {
	w := newProbingWorld(t, egress.Rules{Dev: true})
	change := make(chan string, 1)
	shop := w.shop("m1", &sandbox.Merchant{Log: func(sandbox.Hit) {
		select {
		case body := <-change:
			w.call("PATCH", "/v1/merchants/m1", body)
		default:
		}
	}})
	probe := func() {
		t.Helper()
		if v := w.call("POST", "/v1/merchants/m1/probe", "").want(200); v["verifies_signatures"] != false {
			t.Errorf("%v", v)
		}
	}
	noted := func() bool { return w.get("/v1/merchants/m1")["probe"] != nil }
	change <- `{"name":"Shop"}`
	probe()
	if !noted() {
		t.Error("a change of the name loses the result")
	}
	w.call("PATCH", "/v1/merchants/m1", `{"notify_url":"`+shop.URL()+`/other"}`).want(200)
	if noted() {
		t.Error("the result of the old address stands beside the new one")
	}
	change <- `{"notify_url":"` + shop.URL() + `/third"}`
	probe()
	if noted() {
		t.Error("a result of the address before is noted")
	}
	probe()
	v := w.get("/v1/merchants/m1")
	at, err := time.Parse(time.RFC3339, v["probe"].(map[string]any)["at"].(string))
	if err != nil || time.Since(at) > time.Minute {
		t.Errorf("%v %v", at, err)
	}
	// A later result that is there already is not replaced by an earlier one.
	later := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	if _, err := w.store.UpdateMerchant(context.Background(), "m1", func(m *store.Merchant) error {
		m.Probe = &store.Probe{At: later, Verdict: store.Timeout, Reason: store.TimeoutHeaders}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	probe()
	if got := w.get("/v1/merchants/m1")["probe"].(map[string]any)["verdict"]; got != "timeout" {
		t.Errorf("verdict %v, want the later one's", got)
	}
}

// deafStore cannot write merchants while it is told so.
type deafStore struct {
	store.Store

	deaf atomic.Bool
}

func (s *deafStore) UpdateMerchant(
	ctx context.Context, mchID string, change func(*store.Merchant) error,
) (store.Merchant, error) {
	if s.deaf.Load() {
		return store.Merchant{}, store.ErrUnavailable
	}
	return s.Store.UpdateMerchant(ctx, mchID, change)
}

// TestProbeWhoseResultCannotBeKept checks that nobody is told a result that is noted nowhere.
func TestProbeWhoseResultCannotBeKept(t *testing.T) {
	w := newProbingWorld(t, egress.Rules{Dev: true})
	shop := w.shop("m1", &sandbox.Merchant{})
	s := &deafStore{Store: w.store}
	w.options.Store = s
	w.api = api.New(w.options)
	s.deaf.Store(true)
	r := w.call("POST", "/v1/merchants/m1/probe", "")
	r.problem(503, "storage-unavailable")
	if r.header.Get("Retry-After") == "" || shop.Count() != 1 {
		t.Errorf("Retry-After %q, %d requests", r.header.Get("Retry-After"), shop.Count())
	}
	s.deaf.Store(false)
	w.call("POST", "/v1/merchants/m1/probe", "").want(200)
	if w.get("/v1/merchants/m1")["probe"] == nil {
		t.Error("the result is not noted")
	}
}
