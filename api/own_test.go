package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// clientPair is a client certificate and its key, as PEM.
func clientPair(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "paynotify"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}))
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// sealedIn is a merchant as the store has it; nothing of the secrets may be in it.
func (w *world) sealedIn(mchID string, secrets ...string) store.Merchant {
	w.t.Helper()
	m, err := w.store.Merchant(context.Background(), mchID)
	if err != nil {
		w.t.Fatal(err)
	}
	text := marshal(w.t, m)
	for _, secret := range secrets {
		encoded, said := base64.StdEncoding.EncodeToString([]byte(secret)), text+w.log.String()
		if strings.Contains(said, secret) || strings.Contains(said, encoded) {
			w.t.Errorf("a secret is stored in the clear, or logged: %s", text)
		}
	}
	return m
}

func TestMerchantTLS(t *testing.T) {
	w := newWorld(t)
	cert, key := clientPair(t)
	other, _ := clientPair(t)
	pin := strings.Repeat("ab", 32)
	create := `{"mch_id":"m1","profile":"form","notify_url":"https://shop.example.com/n","tls":` +
		marshal(t, map[string]string{"ca": other, "client_cert": cert, "client_key": key, "pin_sha256": pin}) + `}`
	r := w.call("POST", "/v1/merchants", create)
	shown := map[string]any{"ca": other, "client_cert": cert, "pin_sha256": pin}
	wantMembers(t, r.want(201), map[string]any{"tls": shown})
	if body := r.body + w.call("GET", "/v1/merchants/m1", "").body; strings.Contains(body, "PRIVATE") {
		t.Errorf("the client key is shown: %s", body)
	}
	m := w.sealedIn("m1", key, key[30:90])
	own, err := m.OwnTLS()
	if err != nil {
		t.Fatal(err)
	}
	plain, err := w.options.Ring.Open("m1", store.OwnTLSKeyID, own.ClientKey)
	if err != nil || string(plain) != key {
		t.Errorf("the sealed client key opens as %q, %v", plain, err)
	}
	patch := func(body string) reply { return w.call("PATCH", "/v1/merchants/m1", body) }

	// What says nothing of a member keeps it.
	wantMembers(t, patch(`{"name":"Shop","tls":{}}`).want(200), map[string]any{"tls": shown})
	shown["ca"] = nil
	wantMembers(t, patch(`{"tls":{"ca":null}}`).want(200), map[string]any{"tls": shown})
	m = w.sealedIn("m1", key)
	if now, _ := m.OwnTLS(); !bytes.Equal(now.ClientKey, own.ClientKey) {
		t.Error("the client key is another one after a change of ca")
	}

	wrongTLS(t, patch, key, other)
	wantMembers(t, w.call("GET", "/v1/merchants/m1", "").want(200), map[string]any{"tls": shown})

	// What is no certificate is not kept: it could be a key that was meant for another place.
	junk := "-----BEGIN PRIVATE KEY-----\nc3dvcmRmaXNo\n" + other
	wantMembers(t, patch(`{"tls":{"ca":` + marshal(t, junk) + `}}`).want(200)["tls"].(map[string]any),
		map[string]any{"ca": other})
	wantMembers(t, patch(`{"tls":{"ca":null}}`).want(200), map[string]any{"tls": shown})

	// The pair goes together, then everything.
	shown["client_cert"] = nil
	v := patch(`{"tls":{"client_cert":null,"client_key":null}}`).want(200)
	wantMembers(t, v, map[string]any{"tls": shown})
	wantMembers(t, patch(`{"tls":null}`).want(200), map[string]any{"tls": nil})
	if m := w.sealedIn("m1", key); m.TLS != nil {
		t.Errorf("stored %s", m.TLS)
	}
}

// wrongTLS checks what is refused of a merchant that has a client certificate.
func wrongTLS(t *testing.T, patch func(body string) reply, key, other string) {
	t.Helper()
	for _, c := range []struct{ body, location string }{
		// A certificate whose key is another one.
		{`{"tls":{"client_cert":` + marshal(t, other) + `}}`, "body.tls.client_key"},
		{`{"tls":{"client_key":null}}`, "body.tls.client_key"},
		{`{"tls":{"client_key":` + marshal(t, key[:100]) + `}}`, "body.tls.client_key"},
		{`{"tls":{"client_cert":null}}`, "body.tls.client_cert"},
		{`{"tls":{"client_cert":"x"}}`, "body.tls.client_cert"},
		{`{"tls":{"ca":"-----BEGIN CERTIFICATE-----"}}`, "body.tls.ca"},
		{`{"tls":{"ca":` + marshal(t, key) + `}}`, "body.tls.ca"},
		{`{"tls":{"pin_sha256":"abc"}}`, "body.tls.pin_sha256"},
		{`{"tls":{"pin":"abc"}}`, "body.tls.pin"},
		{`{"tls":{"ca":1}}`, "body.tls.ca"},
		{`{"tls":"x"}`, "body.tls"},
	} {
		r := patch(c.body)
		if f := at(t, r.problem(422, "validation-failed"), c.location); f.Cure == "" {
			t.Errorf("%s: no cure", c.body)
		}
		if strings.Contains(r.body, key[30:60]) {
			t.Errorf("key material is shown: %s", r.body)
		}
	}
}

func TestMerchantHeaders(t *testing.T) {
	w := newWorld(t)
	const secret = "Basic b3BlbnNlc2FtZQ=="
	create := `{"mch_id":"m1","profile":"form","notify_url":"https://shop.example.com/n",` +
		`"headers":{"authorization":"old","X-Shop":"seven  of nine"}}`
	r := w.call("POST", "/v1/merchants", create)
	wantMembers(t, r.want(201), map[string]any{
		"headers": map[string]any{"authorization": api.Masked, "X-Shop": api.Masked},
	})
	patch := func(body string) reply { return w.call("PATCH", "/v1/merchants/m1", body) }
	wantMembers(t, patch(`{"headers":{"Authorization":"`+secret+`"}}`).want(200), map[string]any{
		// The letter case is the last one's.
		"headers": map[string]any{"Authorization": api.Masked, "X-Shop": api.Masked},
	})
	wantMembers(t, patch(`{"name":"Shop","headers":{}}`).want(200), map[string]any{
		"headers": map[string]any{"Authorization": api.Masked, "X-Shop": api.Masked},
	})
	m := w.sealedIn("m1", secret)
	opened, err := profile.OpenHeaders(&m, w.options.Ring.Open)
	want := []profile.Header{{Name: "Authorization", Value: secret}, {Name: "X-Shop", Value: "seven  of nine"}}
	if err != nil || cmp.Diff(want, opened) != "" {
		t.Errorf("opened %v, %v", opened, err)
	}
	// The seal of one header is no good for another, nor for another merchant's.
	for name, at := range map[string]store.Merchant{
		"header":   {MchID: "m1", Headers: map[string]string{"X-Shop": m.Headers["Authorization"]}},
		"merchant": {MchID: "m2", Headers: map[string]string{"X-Shop": m.Headers["X-Shop"]}},
	} {
		if got, err := profile.OpenHeaders(&at, w.options.Ring.Open); err == nil {
			t.Errorf("the value opens for another %s: %v", name, got)
		}
	}
	wantMembers(t, patch(`{"headers":{"x-shop":null}}`).want(200), map[string]any{
		"headers": map[string]any{"Authorization": api.Masked},
	})
	wantMembers(t, patch(`{"headers":null}`).want(200), map[string]any{"headers": map[string]any{}})
	if m := w.sealedIn("m1", secret); m.Headers != nil {
		t.Errorf("stored %v", m.Headers)
	}
}

func TestMerchantHeadersRefused(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"stripe","profile":"stripe",`+
		`"notify_url":"https://s.example.com/n",`+
		`"options":{"signature_header":"Acme-Signature"},"headers":{"X-Kept":"1"}}`).want(201)
	header := func(name, value string) string {
		return marshal(t, map[string]any{"headers": map[string]string{name: value}})
	}
	many := map[string]string{}
	for i := range profile.OwnHeadersMax { // and the one that is there
		many[fmt.Sprintf("X-%d", i)] = "v"
	}
	half := strings.Repeat("v", profile.OwnHeaderBytesMax)
	cases := []struct{ body, location string }{
		{header("", "v"), "body.headers."},
		{header("X Shop", "v"), "body.headers.X Shop"},
		{header("X:Shop", "v"), "body.headers.X:Shop"},
		{header("X-Ä", "v"), "body.headers.X-Ä"},
		{header(strings.Repeat("x", 129), "v"), "body.headers." + strings.Repeat("x", 100) + "…"},
		{header("X-Shop", ""), "body.headers.X-Shop"},
		{header("X-Shop", " v"), "body.headers.X-Shop"},
		{header("X-Shop", "v\t"), "body.headers.X-Shop"},
		{header("X-Shop", "a\r\nX-Evil: b"), "body.headers.X-Shop"},
		{header("X-Shop", "a\nb"), "body.headers.X-Shop"},
		{header("X-Shop", "a\x00b"), "body.headers.X-Shop"},
		{header("X-Shop", "a\x7fb"), "body.headers.X-Shop"},
		{header("X-Shop", "é"), "body.headers.X-Shop"},
		{header("X-Shop", half+"v"), "body.headers.X-Shop"},
		{header("X-Shop", api.Masked), "body.headers.X-Shop"},
		{`{"headers":{"X-Shop":1}}`, "body.headers.X-Shop"},
		{`{"headers":{"X-Shop":"a","x-shop":"b"}}`, "body.headers.x-shop"},
		{`{"headers":["X-Shop: a"]}`, "body.headers"},
		{marshal(t, map[string]any{"headers": many}), "body.headers"},
		{marshal(t, map[string]any{"headers": map[string]string{"A": half, "B": half}}), "body.headers"},
		// A header that is there already, and then becomes the one of the signature.
		{`{"options":{"signature_header":"X-Kept"}}`, "body.headers.X-Kept"},
	}
	for _, name := range []string{
		"Host", "content-length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Connection",
		"Keep-Alive", "TE", "Trailer", "Upgrade", "Expect", "Proxy-Authorization", "Cookie", "Idempotency-Key",
		"X-Idempotency-Key", "Accept", "Accept-Encoding", "User-Agent", "Date", "Via", "Forwarded",
		"X-Notify-Signature", "x-notify-else", "Webhook-Id", "SVIX-Signature", "Wechatpay-Serial",
		"Stripe-Signature", "acme-signature",
	} {
		cases = append(cases, struct{ body, location string }{header(name, "v"), "body.headers." + name})
		if profile.HeaderAt(name) != "body.headers."+name {
			t.Errorf("location of %s", name)
		}
	}
	for _, c := range cases {
		r := w.call("PATCH", "/v1/merchants/stripe", c.body)
		f := at(t, r.problem(422, "validation-failed"), c.location)
		if f.Message == "" || f.Cure == "" || strings.Contains(r.body, "X-Evil") {
			t.Errorf("%.60s: %+v", c.body, f)
		}
	}
	wantMembers(t, w.call("GET", "/v1/merchants/stripe", "").want(200),
		map[string]any{"headers": map[string]any{"X-Kept": api.Masked}})
	for name := range many { // and what is taken, the client takes too
		if err := egress.CheckHeader(name, half); err != nil {
			t.Error(err)
		}
	}
}

// TestEvidenceOfOwnHeaders checks that a rebuilt request shows which headers the merchant has, and no more.
func TestEvidenceOfOwnHeaders(t *testing.T) {
	w := newWorld(t)
	s := w.merchant("m1", "form", profile.Material{},
		"headers", `{"X-Shop":"seven","Authorization":"Bearer sesame"}`)
	id := w.send("m1", "order-1")
	s.attempt("m1")
	r := s.request(&s.evidence(id, "").Attempts[0])
	n := len(r.Headers)
	want := []api.HeaderLine{{Name: "Authorization", Value: api.Masked}, {Name: "X-Shop", Value: api.Masked}}
	if n < 2 || cmp.Diff(want, r.Headers[n-2:]) != "" {
		t.Errorf("headers %v", r.Headers)
	}
	id = w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{"a":"1"},`+
		`"notify_url":"https://own.example.com/x"}`).want(202)["notify_id"].(string)
	s.attempt("m1")
	if r := s.request(&s.evidence(id, "").Attempts[0]); len(r.Headers) != n-2 {
		t.Errorf("headers to a host that is not the merchant's: %v", r.Headers)
	}
}

func TestWarningsOfOwnSettings(t *testing.T) {
	w := newWorld(t)
	v := w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form",`+
		`"notify_url":"http://shop.example.com/n","headers":{"X-Shop":"7"},`+
		`"tls":{"pin_sha256":"`+strings.Repeat("ab", 32)+`"}}`).want(201)
	if text := fmt.Sprint(v["warnings"]); !strings.Contains(text, "headers") || !strings.Contains(text, "tls") {
		t.Errorf("warnings %s", text)
	}
	cert, key := clientPair(t) // good for an hour
	v = w.call("PATCH", "/v1/merchants/m1", `{"tls":`+
		marshal(t, map[string]string{"client_cert": cert, "client_key": key})+`}`).want(200)
	if text := fmt.Sprint(v["warnings"]); !strings.Contains(text, "tls.client_cert ends at ") {
		t.Errorf("warnings %s", text)
	}
}
