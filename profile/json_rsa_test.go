package profile

import (
	"crypto/rsa"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/signer"
	"paynotify/store"
)

func jsonRSAMerchant(body, signType string) *store.Merchant {
	return &store.Merchant{
		MchID: "m1", Profile: "json_rsa", SignType: signType, Options: map[string]any{"body": body},
	}
}

func jsonRSAKeys(t testing.TB) (*Keys, *rsa.PublicKey) {
	t.Helper()
	keys := testKeys(t)
	mat := Material{PrivateKey: keys["generic_priv_b64"]}
	return loadKeys(t, &jsonRSA, jsonRSAMerchant(bodyForm, ""), mat), publicKey(t, keys["generic_pub_b64"])
}

func jsonRSASend(t testing.TB, m *store.Merchant, n *store.Notification) Message {
	t.Helper()
	if faults := append(CheckMerchant(&jsonRSA, m), Check(&jsonRSA, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	keys, _ := jsonRSAKeys(t)
	msg, err := Encode(&jsonRSA, Input{Notification: n, Merchant: m, Keys: keys, Now: vectorTime})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// TestJSONRSAVectors sends what the mended PHP tutorial accepted, byte for byte. The vectors have none of our
// own members, so neither has the notification.
func TestJSONRSAVectors(t *testing.T) {
	var file struct {
		Cases []struct {
			Case, Body, Canonical, Signature string
			ContentType                      string `json:"content_type"`
		}
	}
	readTestdata(t, "generic_rsa.json", &file)
	if len(file.Cases) != 4 {
		t.Fatalf("%d vectors, want 4", len(file.Cases))
	}
	_, public := jsonRSAKeys(t)
	for _, v := range file.Cases {
		t.Run(v.Case[:3], func(t *testing.T) {
			n := &store.Notification{MchID: "m1", Profile: "json_rsa", CreatedAt: vectorTime}
			body, signType := bodyForm, signRSA2
			if strings.Contains(v.Case, "SHA1") {
				signType = signRSA
			}
			if strings.HasPrefix(v.Case, "G03") || strings.HasPrefix(v.Case, "G04") {
				body = bodyJSON
				object, _, _ := strings.Cut(v.Body, `,"signature":`)
				n.Params = json.RawMessage(object + "}")
			} else {
				fields, err := parseForm([]byte(v.Body))
				if err != nil {
					t.Fatal(err)
				}
				var pairs [][2]string
				for _, f := range fields[:len(fields)-1] {
					pairs = append(pairs, [2]string{f.Name, f.Value})
				}
				n.Params = jsonObject(t, pairs)
			}
			msg := jsonRSASend(t, jsonRSAMerchant(body, signType), n)
			if got := string(msg.StringToSign); got != v.Canonical {
				t.Errorf("string to sign\n got %s\nwant %s", got, v.Canonical)
			}
			if got := string(msg.Body); got != v.Body {
				t.Errorf("body\n got %s\nwant %s", got, v.Body)
			}
			if want := []Header{{"Content-Type", v.ContentType}}; !slices.Equal(msg.Header, want) {
				t.Errorf("headers %v, want %v", msg.Header, want)
			}
			verify := VerifyKeys{PublicKey: public, SignType: signType, Options: map[string]string{"body": body}}
			got, err := Verify(&jsonRSA, captured(msg), verify)
			if err != nil || string(got.StringToSign) != v.Canonical {
				t.Errorf("verified %s, %v", got.StringToSign, err)
			}
			if got := fieldOf(got.Fields, "signature"); got != v.Signature {
				t.Errorf("signature\n got %s\nwant %s", got, v.Signature)
			}
			bad := captured(msg)
			bad.Body = []byte(strings.Replace(v.Body, "10.00", "10.01", 1))
			wantRule(t, "tampered", &jsonRSA, bad, verify, RuleSignature)
		})
	}
}

func wantRule(t *testing.T, what string, p *Profile, req CapturedRequest, keys VerifyKeys, rule Rule) {
	t.Helper()
	_, err := Verify(p, req, keys)
	if broken := (*VerifyError)(nil); !errors.As(err, &broken) || broken.Rule != rule {
		t.Errorf("%s: %v, want rule %s", what, err, rule)
	}
}

// TestJSONRSAWire: our own members first, the caller's in the caller's order, the signature last; what the
// caller gives stands where the caller put it. All sends are the same bytes.
func TestJSONRSAWire(t *testing.T) {
	n := &store.Notification{
		NotifyID: "id1", NotifyType: "paid", OutTradeNo: "no/1", MchID: "m1", Profile: "json_rsa",
		Params: json.RawMessage(`{ "z" : "a/b é" , "out_trade_no":"no/1","n":12,"ok":false,"none":""}`),
	}
	for body, want := range map[string]string{
		bodyForm: "notify_id=id1&notify_type=paid&z=a%2Fb+%C3%A9&out_trade_no=no%2F1&n=12&ok=false&signature=",
		bodyJSON: `{"notify_id":"id1","notify_type":"paid","z":"a/b é","out_trade_no":"no/1","n":12,"ok":false,` +
			`"none":"","signature":"`,
	} {
		signed := map[string]string{
			bodyForm: `{"notify_id":"id1","notify_type":"paid","z":"a\/b \u00e9","out_trade_no":"no\/1",` +
				`"n":"12","ok":"false"}`,
			bodyJSON: `{"notify_id":"id1","notify_type":"paid","z":"a\/b \u00e9","out_trade_no":"no\/1",` +
				`"n":12,"ok":false,"none":""}`,
		}[body]
		msg := jsonRSASend(t, jsonRSAMerchant(body, ""), n)
		if !strings.HasPrefix(string(msg.Body), want) {
			t.Errorf("%s\n got %s\nwant %s…", body, msg.Body, want)
		}
		if string(msg.StringToSign) != signed {
			t.Errorf("%s signs\n got %s\nwant %s", body, msg.StringToSign, signed)
		}
		_, public := jsonRSAKeys(t)
		v, err := Verify(&jsonRSA, captured(msg), VerifyKeys{PublicKey: public})
		if err != nil || v.NotifyID != "id1" || v.OutTradeNo != "no/1" {
			t.Errorf("%s: verified %+v, %v", body, v, err)
		}
		keys, _ := jsonRSAKeys(t)
		later, err := Encode(&jsonRSA, Input{
			Notification: n, Merchant: jsonRSAMerchant(body, ""), Keys: keys, Now: vectorTime.Add(24 * time.Hour),
		})
		if err != nil || string(later.Body) != string(msg.Body) {
			t.Errorf("%s: a later send is %s, %v", body, later.Body, err)
		}
	}
}

// TestJSONRSACheck: what does not come out of PHP as it went in is refused, naming the parameter.
func TestJSONRSACheck(t *testing.T) {
	for _, c := range []struct {
		body, params, location string // location empty = accepted
	}{
		{bodyForm, `{"a":"x","b":1,"c":true,"d":null,"e":"","f":1.50}`, ""},
		{bodyForm, `{"a":{"b":1}}`, "body.params.a"},
		{bodyForm, `{"a":[1]}`, "body.params.a"},
		{bodyForm, `{"a.b":"1"}`, "body.params.a.b"},
		{bodyForm, `{"a b":"1"}`, "body.params.a b"},
		{bodyForm, `{"a[]":"1"}`, "body.params.a[]"},
		{bodyForm, `{"1":"1"}`, "body.params.1"},
		{bodyForm, `{"_a":"1"}`, "body.params._a"},
		{bodyForm, `{"":"1"}`, "body.params."},
		{bodyForm, `{"coupon":"1","coupon1":"2"}`, "body.params.coupon1"},
		{bodyForm, `{"toString":"1"}`, "body.params.toString"},
		{bodyForm, `{"a":"@1"}`, "body.params.a"},
		{bodyForm, `{"a":" 1"}`, "body.params.a"},
		{bodyForm, `{"a":"1\u3000"}`, "body.params.a"},
		{bodyForm, `{"a":"1","a":"2"}`, "body.params.a"},
		{bodyForm, `{"zz":"1&"}`, "body.params.zz"},
		{bodyForm, `{"signature":"1"}`, "body.params.signature"},
		{bodyForm, `{"sign":"1"}`, "body.params.sign"},
		{bodyJSON, `{"":1,"a b":" @x ","_a":"","__proto__":"1","toString":{"":"x"},"c":-9007199254740991}`, ""},
		{bodyJSON, `{"coupon":"1","coupon1":"2","zz":"1&","a":{"signature":"mine","sign":"mine"}}`, ""},
		{bodyJSON, `{"a":null}`, "body.params.a"},
		{bodyJSON, `{"a":[1]}`, "body.params.a"},
		{bodyJSON, `{"a":[]}`, "body.params.a"},
		{bodyJSON, `{"a":{}}`, "body.params.a"},
		{bodyJSON, `{"a":{"b":{"c":{}}}}`, "body.params.a"},
		{bodyJSON, `{"a":{"b":[]}}`, "body.params.a"},
		{bodyJSON, `{"a":{"b":null}}`, "body.params.a"},
		{bodyJSON, `{"a":1.5}`, "body.params.a"},
		{bodyJSON, `{"a":1e2}`, "body.params.a"},
		{bodyJSON, `{"a":-0}`, "body.params.a"},
		{bodyJSON, `{"a":9007199254740992}`, "body.params.a"},
		{bodyJSON, `{"a":{"b":1.0}}`, "body.params.a"},
		{bodyJSON, `{"0":"a"}`, "body.params.0"},
		{bodyJSON, `{"a":{"0":"a"}}`, "body.params.a"},
		{bodyJSON, `{"a":{"-7":"a"}}`, "body.params.a"},
		{bodyJSON, `{"a":1,"a":2}`, "body.params.a"},
		{bodyJSON, `{"a":{"b\u0000":1}}`, "body.params.a"},
		{bodyJSON, `{"signature":"1"}`, "body.params.signature"},
		{bodyJSON, `{"notify_time":"1"}`, "body.params.notify_time"},
		{bodyJSON, `{"out_trade_no":"2"}`, "body.params.out_trade_no"},
	} {
		n := &store.Notification{NotifyID: "id1", OutTradeNo: "1", Params: json.RawMessage(c.params)}
		faults := Check(&jsonRSA, jsonRSAMerchant(c.body, ""), n)
		at := slices.IndexFunc(faults, func(f Fault) bool { return f.Location == c.location })
		if len(faults) > 0 && at < 0 || len(faults) == 0 && c.location != "" {
			t.Errorf("%s %s: %+v, want a fault at %q", c.body, c.params, faults, c.location)
		}
		if at >= 0 && (faults[at].Message == "" || faults[at].Cure == "") {
			t.Errorf("%s %s: no words: %+v", c.body, c.params, faults[at])
		}
	}
}

// TestJSONRSAChangedOption: what was accepted under one options.body and cannot be sent under the other is an
// error that names the parameter, not a notification with a parameter less or a signature that does not fit.
func TestJSONRSAChangedOption(t *testing.T) {
	keys, _ := jsonRSAKeys(t)
	for accepted, c := range map[string]struct{ params, sent string }{
		bodyJSON: {`{"detail":{"b":1}}`, bodyForm},
		bodyForm: {`{"detail":1.50}`, bodyJSON},
	} {
		n := &store.Notification{NotifyID: "id1", Params: json.RawMessage(c.params)}
		jsonRSASend(t, jsonRSAMerchant(accepted, ""), n)
		in := Input{Notification: n, Merchant: jsonRSAMerchant(c.sent, ""), Keys: keys, Now: vectorTime}
		if msg, err := Encode(&jsonRSA, in); err == nil || !strings.Contains(err.Error(), "params.detail") {
			t.Errorf("%s: %s, %v", c.sent, msg.Body, err)
		}
	}
}

// TestJSONRSAOnlyUTF8: one invalid byte makes PHP verify the empty text, so a signature of the empty text
// would fit whatever else stands beside the byte. Such bytes are never sent, and never verified.
func TestJSONRSAOnlyUTF8(t *testing.T) {
	keys, public := jsonRSAKeys(t)
	for _, body := range []string{bodyForm, bodyJSON} {
		for _, n := range []store.Notification{
			{NotifyID: "id1", OutTradeNo: "\xff", Params: json.RawMessage(`{}`)},
			{NotifyID: "id1", NotifyType: "a\xc3", Params: json.RawMessage(`{}`)},
			{NotifyID: "id1", Params: json.RawMessage("{\"a\":\"\xed\xa0\x80\"}")},
			{NotifyID: "id1", Params: json.RawMessage("{\"a\":{\"b\":\"\xff\"}}")},
			{NotifyID: "id1", Params: json.RawMessage(`{"a":"\ud800"}`)},
		} {
			in := Input{Notification: &n, Merchant: jsonRSAMerchant(body, ""), Keys: keys, Now: vectorTime}
			if msg, err := Encode(&jsonRSA, in); err == nil {
				t.Errorf("%s: sent %q", body, msg.Body)
			}
		}
	}
	mat := Material{PrivateKey: testKeys(t)["generic_priv_b64"]}
	parsed, err := mat.parse()
	if err != nil {
		t.Fatal(err)
	}
	ofNothing, err := signer.SignRSA2(parsed.private, nil)
	if err != nil {
		t.Fatal(err)
	}
	const form, gbk = "application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=GBK"
	for _, c := range []struct{ contentType, body string }{
		{form, string(formBody([]Field{{"amount", "1"}, {"x", "\xff"}, {"signature", ofNothing}}))},
		{gbk, string(formBody([]Field{{"amount", "1"}, {"x", "\xff"}, {"signature", ofNothing}}))},
		{form, string(formBody([]Field{{"charset", "gbk"}, {"x", "\xff"}, {"signature", ofNothing}}))},
		{"application/json", `{"amount":"1","x":"` + "\xff" + `","signature":"` + ofNothing + `"}`},
		{"application/json", `{"amount":"1","x":"\ud800","signature":"` + ofNothing + `"}`},
	} {
		req := CapturedRequest{
			Method: "POST", Header: []Header{{"Content-Type", c.contentType}}, Body: []byte(c.body),
		}
		wantRule(t, c.body, &jsonRSA, req, VerifyKeys{PublicKey: public}, RuleEncoding)
	}
}

// TestJSONRSAVerify: whatever is changed after signing is refused under the rule that it breaks.
func TestJSONRSAVerify(t *testing.T) {
	change := func(from, to string) func(*CapturedRequest, *VerifyKeys) {
		return func(r *CapturedRequest, _ *VerifyKeys) {
			changed := strings.Replace(string(r.Body), from, to, 1)
			if changed == string(r.Body) {
				panic("nothing changed: " + from)
			}
			r.Body = []byte(changed)
		}
	}
	keys := func(set func(*VerifyKeys)) func(*CapturedRequest, *VerifyKeys) {
		return func(_ *CapturedRequest, k *VerifyKeys) { set(k) }
	}
	other := func(body string) func(*CapturedRequest, *VerifyKeys) {
		return keys(func(k *VerifyKeys) { k.Options = map[string]string{"body": body} })
	}
	for _, c := range []struct {
		name, body string
		tamper     func(*CapturedRequest, *VerifyKeys)
		rule       Rule
	}{
		{"value", bodyForm, change("a=1", "a=2"), RuleSignature},
		{"added", bodyForm, change("&a=1", "&a=1&b="), RuleSignature},
		{"swapped", bodyForm, change("notify_id=id1&a=1", "a=1&notify_id=id1"), RuleSignature},
		{"twice", bodyForm, change("&a=1", "&a=1&a=1"), RuleParameter},
		{"name that PHP changes", bodyForm, change("&a=1", "&a=1&b.c=1"), RuleParameter},
		{"name that is a number", bodyForm, change("&a=1", "&a=1&7=1"), RuleParameter},
		{"escape", bodyForm, change("a=1", "a=%z"), RuleEncoding},
		{"no signature", bodyForm, change("&signature=", "&sig="), RuleMissing},
		{"value", bodyJSON, change(`"a":"1"`, `"a":"2"`), RuleSignature},
		{"kind", bodyJSON, change(`"a":"1"`, `"a":1`), RuleSignature},
		{"null", bodyJSON, change(`"a":"1"`, `"a":null`), RuleSignature},
		{"swapped", bodyJSON, change(`"notify_id":"id1","a":"1"`, `"a":"1","notify_id":"id1"`), RuleSignature},
		{"empty object", bodyJSON, change(`"a":"1"`, `"a":{}`), RuleParameter},
		{"fraction", bodyJSON, change(`"a":"1"`, `"a":1.5`), RuleParameter},
		{"twice", bodyJSON, change(`"a":"1"`, `"a":"1","a":"1"`), RuleParameter},
		{"twice below", bodyJSON, change(`"a":"1"`, `"a":{"b":1,"b":1}`), RuleEncoding},
		{"no object", bodyJSON, change("{", "["), RuleEncoding},
		{"a mark first", bodyJSON, change("{", "\ufeff{"), RuleEncoding},
		{"cut", bodyJSON, change(`"}`, ""), RuleEncoding},
		{"no signature", bodyJSON, change(`"signature"`, `"sig"`), RuleMissing},
		{"empty signature", bodyJSON, change(`"signature":"`, `"signature":"","s":"`), RuleMissing},
		{"signature is no text", bodyJSON, change(`"signature":"`, `"signature":12,"s":"`), RuleSignature},
		{"other sign_type", bodyForm, keys(func(k *VerifyKeys) { k.SignType = signRSA }), RuleSignature},
		{"unknown sign_type", bodyForm, keys(func(k *VerifyKeys) { k.SignType = signMD5 }), RuleSignType},
		{"no key", bodyForm, keys(func(k *VerifyKeys) { k.PublicKey = nil }), RuleSignature},
		{"JSON wanted", bodyForm, other(bodyJSON), RuleRequest},
		{"form wanted", bodyJSON, other(bodyForm), RuleRequest},
		{"GET", bodyForm, func(r *CapturedRequest, _ *VerifyKeys) { r.Method = "GET" }, RuleRequest},
		{"GET", bodyJSON, func(r *CapturedRequest, _ *VerifyKeys) { r.Method = "GET" }, RuleRequest},
		{"text", bodyJSON, func(r *CapturedRequest, _ *VerifyKeys) {
			r.Header = []Header{{"content-type", "text/plain"}}
		}, RuleRequest},
	} {
		n := &store.Notification{NotifyID: "id1", Params: json.RawMessage(`{"a":"1"}`)}
		req := captured(jsonRSASend(t, jsonRSAMerchant(c.body, ""), n))
		_, public := jsonRSAKeys(t)
		k := VerifyKeys{PublicKey: public, Options: map[string]string{"body": c.body}}
		if _, err := Verify(&jsonRSA, req, k); err != nil {
			t.Fatalf("%s: untouched: %v", c.body, err)
		}
		c.tamper(&req, &k)
		wantRule(t, c.body+" "+c.name, &jsonRSA, req, k, c.rule)
	}
}

func TestJSONRSARoundTrip(t *testing.T) {
	t.Run(bodyForm, func(t *testing.T) { verifiesAndRefuses(t, &jsonRSA, nil) })
	t.Run(bodyJSON, func(t *testing.T) { verifiesAndRefuses(t, &jsonRSA, map[string]any{"body": bodyJSON}) })
}
