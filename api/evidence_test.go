package api_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/signer"
	"paynotify/signer/keyring"
	"paynotify/store"
)

const evidenceSecret = "testonly0123456789abcdefghijklmn"

// sender settles attempts as the dispatcher does: it signs with the merchant's own key and records the
// digest.
type sender struct {
	w     *world
	given profile.Material
	sent  []byte // the last body
}

// outcome is an attempt that a page came back for, whose request was signed at its start, or earlier.
func (s *sender) outcome(c store.Claim, started, signed time.Time) store.Outcome {
	s.w.t.Helper()
	p, known := profile.ByName(c.Profile)
	m, err := s.w.store.Merchant(context.Background(), c.MchID)
	if err != nil || !known {
		s.w.t.Fatal(err)
	}
	keys, err := profile.LoadKeys(p, &store.Merchant{}, []profile.Material{s.given})
	if err != nil {
		s.w.t.Fatal(err)
	}
	msg, err := p.Encode(profile.Input{Notification: &c.Notification, Merchant: &m, Keys: keys, Now: signed})
	if err != nil {
		s.w.t.Fatal(err)
	}
	s.sent = msg.Body
	sum := sha256.Sum256(msg.Body)
	o := refused(c)
	o.Attempt.StartedAt, o.Attempt.RequestSHA256 = started, hex.EncodeToString(sum[:])
	return o
}

func (s *sender) attempt(mchID string) {
	s.w.t.Helper()
	s.w.settle(mchID, func(c store.Claim) store.Outcome {
		return s.outcome(c, c.ClaimedAt.Add(123456), c.ClaimedAt.Add(123456))
	})
}

// evidence asks for it and checks that no secret stands in it.
func (s *sender) evidence(id, query string) api.EvidenceView {
	s.w.t.Helper()
	r := s.w.call("GET", "/v1/notifications/"+id+"/evidence"+query, "")
	r.want(200)
	for _, secret := range []string{s.given.Secret, keyBody(s.given.PrivateKey), "PRIVATE KEY"} {
		if secret != "" && strings.Contains(r.body, secret) {
			s.w.t.Error("the answer holds a key")
		}
	}
	var v api.EvidenceView
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		s.w.t.Fatal(err)
	}
	return v
}

// keyBody is a line out of the middle of a PEM.
func keyBody(pem string) string {
	if lines := strings.Split(pem, "\n"); len(lines) > 10 {
		return lines[10]
	}
	return ""
}

// request checks that an attempt has one, with the body that was sent.
func (s *sender) request(a *api.EvidenceAttempt) *api.RequestView {
	s.w.t.Helper()
	r := a.Request
	if r == nil || a.RequestMissing != nil {
		s.w.t.Fatalf("attempt %d has no request: %s", a.N, *a.RequestMissing)
	}
	if r.Body == nil || *r.Body != string(s.sent) || string(r.BodyBase64) != string(s.sent) {
		s.w.t.Errorf("attempt %d has another body:\n%s\nsent was\n%s", a.N, r.BodyBase64, s.sent)
	}
	return r
}

func missing(t *testing.T, a *api.EvidenceAttempt, part string) {
	t.Helper()
	if a.Request != nil || a.RequestMissing == nil || a.RequestNote != nil ||
		!strings.Contains(*a.RequestMissing, part) {
		t.Errorf("attempt %d: request %v, missing %q, want one about %q",
			a.N, a.Request, orEmpty(a.RequestMissing), part)
	}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// verified checks a shown request as the provider's merchants do.
func verified(t *testing.T, name string, r *api.RequestView, keys profile.VerifyKeys) {
	t.Helper()
	p, _ := profile.ByName(name)
	_, query, _ := strings.Cut(r.URL, "?")
	captured := profile.CapturedRequest{Method: r.Method, Query: query, Body: r.BodyBase64}
	for _, h := range r.Headers {
		captured.Header = append(captured.Header, profile.Header(h))
	}
	v, err := p.Verify(captured, keys)
	if err != nil {
		t.Errorf("%s: the shown request does not verify: %v", name, err)
	}
	if string(v.StringToSign) != string(r.SignBase64) {
		t.Errorf("%s: signed was %q, shown is %q", name, v.StringToSign, r.SignBase64)
	}
}

// merchant creates one with a key that the test knows.
func (w *world) merchant(mchID, profileName string, given profile.Material, more ...string) *sender {
	w.t.Helper()
	body := map[string]any{"mch_id": mchID, "profile": profileName, "notify_url": "https://shop.example.com/n"}
	if given != (profile.Material{}) {
		body["key"] = given
	}
	for i := 0; i < len(more); i += 2 {
		body[more[i]] = json.RawMessage(more[i+1])
	}
	text, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	w.call("POST", "/v1/merchants", string(text)).want(201)
	return &sender{w: w, given: given}
}

func rsaMaterial(t *testing.T) (profile.Material, profile.VerifyKeys) {
	t.Helper()
	key, err := signer.GenerateRSA()
	if err != nil {
		t.Fatal(err)
	}
	pem, err := signer.PrivatePEM(key)
	if err != nil {
		t.Fatal(err)
	}
	return profile.Material{PrivateKey: pem}, profile.VerifyKeys{PublicKey: &key.PublicKey}
}

func TestEvidenceAlipay(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.UserAgent = "paynotify/test" })
	given, keys := rsaMaterial(t)
	s := w.merchant("m1", "alipay", given, "app_id", `"2021000000000001"`, "charset", `"gbk"`,
		"options", `{"sign_type_in":"query"}`)
	id := w.call("POST", "/v1/notifications", `{"mch_id":"m1","out_trade_no":"o'1",`+
		`"params":{"subject":"中文 & <b>","total_amount":"88.88"}}`).want(202)["notify_id"].(string)
	if v := s.evidence(id, ""); len(v.Attempts) != 0 || v.NotifyID != id || v.OutTradeNo != "o'1" {
		t.Errorf("before the first attempt: %+v", v)
	}
	w.call("GET", "/v1/notifications/"+id+"/evidence?attempt=1", "").problem(422, "validation-failed")
	s.attempt("m1")
	v := s.evidence(id, "")
	a := &v.Attempts[0]
	r := s.request(a)
	verified(t, "alipay", r, keys)
	if r.Method != "POST" || r.URL != "https://shop.example.com/n?sign_type=RSA2" {
		t.Errorf("%s %s", r.Method, r.URL)
	}
	want := []api.HeaderLine{
		{Name: "User-Agent", Value: "paynotify/test"},
		{Name: "Accept", Value: "*/*"},
		{Name: "Accept-Encoding", Value: "identity"},
		{Name: "Content-Type", Value: "application/x-www-form-urlencoded; charset=GBK"},
	}
	for i, h := range want {
		if len(r.Headers) != len(want) || r.Headers[i] != h {
			t.Fatalf("headers %+v", r.Headers)
		}
	}
	// GBK bytes are no JSON text.
	if r.StringToSign != nil || !strings.Contains(string(r.SignBase64), "\xd6\xd0\xce\xc4") {
		t.Errorf("string to sign %v, %q", r.StringToSign, r.SignBase64)
	}
	if a.RequestNote != nil {
		t.Errorf("nothing was changed, but: %s", *a.RequestNote)
	}
	if a.Verdict != store.Refused || a.N != 1 || a.RequestSHA256 == nil {
		t.Errorf("the attempt's own fields: %+v", a.AttemptView)
	}
}

func TestEvidenceMapi(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret})
	id := w.send("m1", "order-1")
	s.attempt("m1")
	r := s.request(&s.evidence(id, "").Attempts[0])
	verified(t, "alipay_mapi", r, profile.VerifyKeys{Secret: evidenceSecret})
	if r.StringToSign == nil || !strings.Contains(*r.StringToSign, "total_fee=1.00") {
		t.Errorf("string to sign %v", orEmpty(r.StringToSign))
	}
}

func TestEvidenceForm(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "form", profile.Material{})
	id := w.send("m1", "order-1")
	s.attempt("m1")
	r := s.request(&s.evidence(id, "").Attempts[0])
	if r.StringToSign != nil || r.SignBase64 != nil {
		t.Errorf("an unsigned request with a signed text: %+v", r)
	}
	if f, err := url.ParseQuery(*r.Body); err != nil || f.Get("notify_id") != id {
		t.Errorf("%v, %v", f, err)
	}
	w.call("GET", "/v1/notifications/"+store.NewID(time.Now(), 0)+"/evidence", "").
		problem(404, "notification-not-found")
	w.call("GET", "/v1/notifications/"+id+"/evidence?attempt=0", "").problem(422, "validation-failed")
	w.call("GET", "/v1/notifications/"+id+"/evidence?n=1", "").problem(422, "validation-failed")
	w.call("GET", "/v1/notifications/"+id+"/evidence", "", "Authorization:").problem(401, "unauthorized")
}

// TestEvidenceAfterRotation checks that an old key serves as long as the merchant has it, and that nothing is
// shown that was not sent.
func TestEvidenceAfterRotation(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret})
	id := w.send("m1", "order-1")
	s.attempt("m1")
	rotate := func(at time.Time) {
		w.call("POST", "/v1/merchants/m1/rotate-key", `{"at":"`+at.Format(time.RFC3339Nano)+`"}`).want(200)
	}
	rotate(time.Now().Add(time.Hour))
	s.request(&s.evidence(id, "").Attempts[0])
	w.call("POST", "/v1/merchants/m1/rotate-key", "").want(200)
	missing(t, &s.evidence(id, "").Attempts[0], "key")
}

// TestEvidenceAfterChanges checks what the digest proves and what it does not.
func TestEvidenceAfterChanges(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret})
	id := w.send("m1", "order-1")
	s.attempt("m1")
	w.call("PATCH", "/v1/merchants/m1", `{"notify_url":"https://new.example.com/n2"}`).want(200)
	a := &s.evidence(id, "").Attempts[0]
	if r := s.request(a); r.URL != "https://new.example.com/n2" {
		t.Errorf("URL %s", r.URL)
	}
	if !strings.Contains(orEmpty(a.RequestNote), "notify_url may have been another") {
		t.Errorf("note %q", orEmpty(a.RequestNote))
	}
	w.call("PATCH", "/v1/merchants/m1", `{"charset":"gbk"}`).want(200)
	s.request(&s.evidence(id, "").Attempts[0]) // all ASCII: the same bytes

	w.call("POST", "/v1/notifications/"+id+"/cancel", "").want(200)
	w.call("DELETE", "/v1/merchants/m1", "").want(204)
	missing(t, &s.evidence(id, "").Attempts[0], "removed")
	s = w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret + "2"})
	missing(t, &s.evidence(id, "").Attempts[0], "key")
}

// TestEvidenceOfAnOverride checks that a notification's own address is certain, whatever the merchant's is.
func TestEvidenceOfAnOverride(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "form", profile.Material{})
	id := w.call("POST", "/v1/notifications",
		`{"mch_id":"m1","params":{"a":"1"},"notify_url":"https://own.example.com/x?y=1"}`).
		want(202)["notify_id"].(string)
	s.attempt("m1")
	w.call("PATCH", "/v1/merchants/m1", `{"notify_url":"https://new.example.com/n2"}`).want(200)
	a := &s.evidence(id, "").Attempts[0]
	if r := s.request(a); r.URL != "https://own.example.com/x?y=1" {
		t.Errorf("URL %s", r.URL)
	}
	if note := orEmpty(a.RequestNote); note == "" || strings.Contains(note, "notify_url") {
		t.Errorf("note %q", note)
	}
}

// TestEvidenceOfAStaleConnection checks that a re-send, which repeats bytes signed seconds before it starts,
// is shown as it left; and that what never was a request is none.
func TestEvidenceOfAStaleConnection(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret})
	id := w.send("m1", "order-1")
	w.settle("m1", func(c store.Claim) store.Outcome {
		signed := c.ClaimedAt
		o := s.outcome(c, signed.Add(3*time.Second), signed)
		stale := o.Attempt
		stale.StartedAt, stale.Charged, stale.Verdict, stale.Reason = signed, false, store.ConnectError,
			store.ConnStale
		stale.Status, stale.Reply = 0, nil
		o.Stale = &stale
		return o
	})
	first := s.sent
	w.call("POST", "/v1/notifications/"+id+"/resend", "").want(202)
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := refused(c)
		o.Attempt.Verdict, o.Attempt.Reason = store.Interrupted, store.Crash
		o.Attempt.Status, o.Attempt.Reply, o.Attempt.RequestSHA256 = 0, nil, ""
		return o
	})
	v := s.evidence(id, "")
	if len(v.Attempts) != 3 {
		t.Fatalf("%d attempts", len(v.Attempts))
	}
	s.sent = first
	s.request(&v.Attempts[0])
	s.request(&v.Attempts[1])
	missing(t, &v.Attempts[2], "interrupted")
	v = s.evidence(id, "?attempt=2")
	if len(v.Attempts) != 1 || v.Attempts[0].N != 2 {
		t.Fatalf("%d attempts", len(v.Attempts))
	}
	s.request(&v.Attempts[0])
	p := w.call("GET", "/v1/notifications/"+id+"/evidence?attempt=4", "").problem(422, "validation-failed")
	if cure := at(t, p, "query.attempt").Cure; !strings.Contains(cure, "from 1 to 3") {
		t.Errorf("cure %q", cure)
	}
}

// TestEvidenceUnderAnotherMasterKey checks that a key which cannot be opened costs the requests alone.
func TestEvidenceUnderAnotherMasterKey(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret})
	id := w.send("m1", "order-1")
	s.attempt("m1")
	ring, err := keyring.Load(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	w.options.Ring = ring
	w.api = api.New(w.options)
	missing(t, &s.evidence(id, "").Attempts[0], "master key")
}

// TestEvidenceIsBounded checks that an answer stays small, and that what it leaves out can be had alone.
func TestEvidenceIsBounded(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "alipay_mapi", profile.Material{Secret: evidenceSecret})
	id := w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{"subject":"`+
		strings.Repeat("<", 200<<10)+`"}}`).want(202)["notify_id"].(string)
	const attempts = 14
	for range attempts {
		s.attempt("m1")
		w.call("POST", "/v1/notifications/"+id+"/resend", "").want(202)
	}
	r := w.call("GET", "/v1/notifications/"+id+"/evidence", "")
	if r.want(200); len(r.body) > 24<<20 {
		t.Errorf("the answer has %d bytes", len(r.body))
	}
	v := s.evidence(id, "")
	s.request(&v.Attempts[attempts-1])
	missing(t, &v.Attempts[0], "?attempt=1")
	if a := s.evidence(id, "?attempt=1").Attempts[0]; a.Request == nil {
		t.Errorf("alone: %s", orEmpty(a.RequestMissing))
	}
}
