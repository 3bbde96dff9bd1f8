package profile

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// stripeVector is the recorded case, which stripe-go and stripe-node took.
type stripeVector struct {
	Body, Canonical, Header, Secret string

	Timestamp int64
}

func readStripeVector(t testing.TB) stripeVector {
	t.Helper()
	var file struct{ Cases []stripeVector }
	readTestdata(t, "stripe.json", &file)
	if len(file.Cases) != 1 {
		t.Fatalf("%d vectors, want 1", len(file.Cases))
	}
	return file.Cases[0]
}

func (v stripeVector) input(t testing.TB, secrets ...string) Input {
	t.Helper()
	at := time.Unix(v.Timestamp, 0)
	m := &store.Merchant{MchID: "m1", Profile: "stripe"}
	n := &store.Notification{
		MchID: "m1", Profile: "stripe", NotifyID: "evt_1", CreatedAt: at, Params: json.RawMessage(`{"id":"x"}`),
	}
	if faults := append(CheckMerchant(&stripe, m), Check(&stripe, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	var keys []Material
	for _, secret := range secrets {
		keys = append(keys, Material{Secret: secret})
	}
	m.Keys = make([]store.Key, len(keys))
	return Input{Merchant: m, Notification: n, Now: at, Keys: loadKeys(t, &stripe, m, keys...)}
}

func TestStripeVectors(t *testing.T) {
	v := readStripeVector(t)
	in := v.input(t, v.Secret)
	msg, err := Encode(&stripe, in)
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Body) != v.Body || string(msg.StringToSign) != v.Canonical || msg.Method != "POST" {
		t.Errorf("%s %s\nsigned %s\nwant %s", msg.Method, msg.Body, msg.StringToSign, v.Canonical)
	}
	want := []Header{{"Content-Type", "application/json"}, {"Stripe-Signature", v.Header}}
	if !slices.Equal(msg.Header, want) {
		t.Errorf("headers %v", msg.Header)
	}
	got, err := Verify(&stripe, captured(msg), VerifyKeys{Secret: v.Secret})
	if err != nil || got.NotifyID != "evt_1" || !slices.Equal(got.Fields, []Field{{"id", "x"}}) {
		t.Errorf("%+v, %v", got, err)
	}
	everyByteCounts(t, &stripe, msg, VerifyKeys{Secret: v.Secret}, "v1", []string{"Stripe-Signature"})
}

// TestStripeRotation: the new key's v1 stands first, and either secret verifies.
func TestStripeRotation(t *testing.T) {
	v := readStripeVector(t)
	in := v.input(t, "the new one", v.Secret)
	msg, err := Encode(&stripe, in)
	if err != nil {
		t.Fatal(err)
	}
	items := strings.Split(msg.Header[1].Value, ",")
	if len(items) != 3 || items[0]+","+items[2] != v.Header {
		t.Errorf("%s: the old key's v1 is not last", msg.Header[1].Value)
	}
	for _, secret := range []string{"the new one", v.Secret} {
		if _, err := Verify(&stripe, captured(msg), VerifyKeys{Secret: secret}); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
	}
}

// TestStripeResend: a later send has the same body, and a header of its own.
func TestStripeResend(t *testing.T) {
	v := readStripeVector(t)
	in := v.input(t, v.Secret)
	first, err := Encode(&stripe, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Now = in.Now.Add(5 * time.Second)
	later, err := Encode(&stripe, in)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Body) != string(later.Body) || first.Header[1] == later.Header[1] {
		t.Errorf("%s %v", later.Body, later.Header)
	}
}

func TestStripeVerify(t *testing.T) {
	verifiesAndRefuses(t, &stripe, nil)
	v := readStripeVector(t)
	msg, err := Encode(&stripe, v.input(t, v.Secret))
	if err != nil {
		t.Fatal(err)
	}
	at, sign, _ := strings.Cut(v.Header, ",")
	for value, rule := range map[string]Rule{
		"":                                      RuleMissing,
		at:                                      RuleMissing,
		sign:                                    RuleMissing,
		at + ",v0=" + sign[3:]:                  RuleMissing,
		at + "," + sign + "=":                   RuleSignature,
		at + "," + sign + ",":                   RuleSignature,
		at + ",v1=" + sign[4:]:                  RuleSignature,
		at + "," + strings.ToUpper(sign):        RuleMissing,
		"t=," + sign:                            RuleMissing,
		"t=now," + sign:                         RuleRequest,
		"t=1795239001," + sign:                  RuleSignature,
		at + ", " + sign:                        RuleMissing, // stripe-go: an item of the scheme " v1"
		at + ",v1=" + strings.ToUpper(sign[3:]): RuleSignature,
	} {
		_, err := Verify(&stripe, withHeader(msg, "Stripe-Signature", value), VerifyKeys{Secret: v.Secret})
		breaks(t, err, rule, value)
	}
	for _, good := range []string{
		at + ",v0=x," + sign, sign + "," + at, at + ",v1=x," + sign + ",v1=", "scheme=," + v.Header,
	} {
		req := withHeader(msg, "Stripe-Signature", good)
		if _, err := Verify(&stripe, req, VerifyKeys{Secret: v.Secret, SignType: "v1"}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	_, err = Verify(&stripe, captured(msg), VerifyKeys{})
	breaks(t, err, RuleSignature, "no secret")
	_, err = Verify(&stripe, captured(msg), VerifyKeys{Secret: "another"})
	breaks(t, err, RuleSignature, "another secret")
	_, err = Verify(&stripe, captured(msg), VerifyKeys{Secret: v.Secret, SignType: "v1a"})
	breaks(t, err, RuleSignType, "v1a")
	_, err = Verify(&stripe, captured(msg), VerifyKeys{
		Secret: v.Secret, Options: map[string]string{"signature_header": "Acme-Signature"},
	})
	breaks(t, err, RuleMissing, "another header")
}

// TestStripeOptions: the header's name and the version are the merchant's.
func TestStripeOptions(t *testing.T) {
	v := readStripeVector(t)
	in := v.input(t, v.Secret)
	in.Merchant.Options = map[string]any{"signature_header": "acme-Signature", "api_version": `2020 "x"/é`}
	if faults := CheckMerchant(&stripe, in.Merchant); len(faults) > 0 {
		t.Fatalf("%+v", faults)
	}
	in.Notification.NotifyType, in.Notification.OutTradeNo = "refund", "7"
	msg, err := Encode(&stripe, in)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":"evt_1","object":"event","api_version":"2020 \"x\"/é","created":1795239000,` +
		`"type":"refund","data":{"object":{"out_trade_no":"7","id":"x"}}}`
	if string(msg.Body) != want || msg.Header[1].Name != "acme-Signature" {
		t.Errorf("%v %s", msg.Header, msg.Body)
	}
	keys := VerifyKeys{Secret: v.Secret, Options: map[string]string{"signature_header": "Acme-Signature"}}
	if got, err := Verify(&stripe, captured(msg), keys); err != nil || got.OutTradeNo != "7" {
		t.Errorf("%+v, %v", got, err)
	}
	full := Defaults(&stripe, &store.Merchant{MchID: "m1"})
	if full.Options["signature_header"] != "Stripe-Signature" ||
		full.Options["api_version"] != "2026-03-25.dahlia" {
		t.Errorf("defaults %v", full.Options)
	}
}

// TestSignatureHeader: whatever name is taken arrives as it was sent, beside the headers of every request and
// in our own client.
func TestSignatureHeader(t *testing.T) {
	check := func(name any) []Fault {
		options := map[string]any{"signature_header": name}
		return CheckMerchant(&stripe, &store.Merchant{MchID: "m1", Options: options})
	}
	for _, name := range []string{"Stripe-Signature", "X-Acme-Signature", "acme-signature2", "a"} {
		if faults := check(name); len(faults) > 0 {
			t.Errorf("%s: %+v", name, faults)
		}
		if err := egress.CheckHeader(name, "t=1,v1=2"); err != nil {
			t.Errorf("%s: taken, but our client says %v", name, err)
		}
	}
	clients := egress.Request{}
	taken := []string{
		"host", "HOST", "Content-Length", "content-type", "Content-Encoding", "Connection",
		"Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect", "Cookie", "Keep-Alive", "Proxy-Authorization",
		"Idempotency-Key", "X-Idempotency-Key", "x-notify-signature", "X-Notify-Nonce", "x-notify-timestamp",
	}
	for _, line := range clients.HeaderLines("agent") { // those that the client sends by itself
		taken = append(taken, line.Name)
	}
	for _, name := range taken {
		faults := check(name)
		if located(faults) != "body.options.signature_header" {
			t.Errorf("%s: %+v", name, faults)
		}
		wantComplete(t, faults)
	}
	for _, name := range []any{
		"", " ", "a b", "a:b", "Stripe_Signature", "é", "a\r\nb", "a\x00", "-a", "1a", "a.b",
		strings.Repeat("a", 257), 1, true, nil,
		[]any{"a"},
	} {
		faults := check(name)
		if located(faults) != "body.options.signature_header" {
			t.Errorf("%v: %+v", name, faults)
		}
		wantComplete(t, faults)
	}
}
