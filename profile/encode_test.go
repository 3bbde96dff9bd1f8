package profile

import (
	"encoding/json"
	"errors"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paynotify/signer"
	"paynotify/store"
)

func sample(p *Profile) (*store.Merchant, *store.Notification) {
	m := &store.Merchant{MchID: "m1", Profile: p.Name, AppID: "2021000000000001"}
	n := &store.Notification{
		NotifyID: "0f1eyn4kzb0abcdefghijklmno", MchID: "m1", Profile: p.Name, OutTradeNo: "20261121-1",
		Params: paymentParams(), CreatedAt: vectorTime,
	}
	switch p.Name {
	case "wechat_v2":
		n.Params = json.RawMessage(`{"transaction_id":"1004400740201409030005092168","total_fee":1,` +
			`"fee_type":"CNY","bank_type":"CFT","openid":"oUpF8uMEb4qRXf22hE3X68TekukE","attach":"支付 <b>&\"q\" 😀"}`)
	case "wechat_v3", "standard", "stripe":
		n.Params = json.RawMessage(`{"trade_no":"2026112122001004330000121536","subject":"订单 <b>&\"q\"/ 😀",` +
			`"amount":{"total":2000,"currency":"CNY"},"paid":true,"note":"a+b=c%20"}`)
	}
	return m, n
}

func material(t testing.TB, p *Profile) (Material, VerifyKeys) {
	t.Helper()
	keys := testKeys(t)
	switch p.Key {
	case KeyRSA:
		public := publicKey(t, keys["alipay_pub_pem"])
		return Material{PrivateKey: keys["alipay_priv_b64"]}, VerifyKeys{PublicKey: public}
	case KeySecret:
		return Material{Secret: keys["md5key"]}, VerifyKeys{Secret: keys["md5key"]}
	case KeyRSAAndSecret:
		return Material{PrivateKey: keys["wxv3_priv_pem"], Secret: keys["apiv3key"]},
			VerifyKeys{PublicKey: publicKey(t, keys["wxv3_pub_pem"]), Secret: keys["apiv3key"]}
	case KeyWebhook:
		whpk, err := signer.ParseWhpk(keys["whpk"])
		if err != nil {
			t.Fatal(err)
		}
		return Material{Secret: keys["whsec"], Whsk: keys["whsk"]}, VerifyKeys{Secret: keys["whsec"], Ed25519: whpk}
	case KeyNone:
	}
	return Material{}, VerifyKeys{}
}

func encode(t testing.TB, p *Profile, m *store.Merchant, n *store.Notification, now time.Time) Message {
	t.Helper()
	mat, _ := material(t, p)
	msg, err := p.Encode(Input{Notification: n, Merchant: m, Now: now, Keys: loadKeys(t, p, m, mat)})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

func captured(msg Message) CapturedRequest {
	return CapturedRequest{Method: msg.Method, Query: msg.Query, Header: msg.Header, Body: msg.Body}
}

// names lists the names of a body's fields in order.
func names(t testing.TB, body []byte) string {
	t.Helper()
	fields, err := parseForm(body)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, f := range fields {
		list = append(list, f.Name)
	}
	return strings.Join(list, " ")
}

// TestWireOrder: the dialect's own fields first, then the caller's in the caller's order, the signature last.
// A parameter takes a default's place, and its own stands where the caller put it.
func TestWireOrder(t *testing.T) {
	params := `{"zz":"1","version":"1.1","empty":"","out_trade_no":"20261121-1","aa":2,"auth_app_id":null}`
	for _, c := range []struct {
		p    *Profile
		want string
	}{
		{
			&alipay, "notify_time notify_type notify_id app_id auth_app_id charset sign_type" +
				" zz version out_trade_no aa sign",
		},
		{&alipayMapi, "notify_time notify_type notify_id zz version out_trade_no aa sign_type sign"},
		{&form, "notify_id zz version out_trade_no aa"},
	} {
		m, n := sample(c.p)
		n.Params = json.RawMessage(params)
		msg := encode(t, c.p, m, n, vectorTime)
		if got := names(t, msg.Body); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.p.Name, got, c.want)
		}
		if len(msg.Header) != 1 || msg.Header[0].Name != "Content-Type" {
			t.Errorf("%s: headers %v", c.p.Name, msg.Header)
		}
		if (msg.StringToSign == nil) != c.p.Unsigned {
			t.Errorf("%s: string to sign %q", c.p.Name, msg.StringToSign)
		}
	}
}

// TestPlainForm is the request of the tutorials' curl example, besides the identity.
func TestPlainForm(t *testing.T) {
	n := &store.Notification{
		NotifyID: "id1", NotifyType: "paid", Params: json.RawMessage(`{"order_id":1,"amount":100,"status":"1 €"}`),
	}
	msg := encode(t, &form, &store.Merchant{}, n, vectorTime)
	const want = "notify_id=id1&notify_type=paid&order_id=1&amount=100&status=1+%E2%82%AC"
	if string(msg.Body) != want {
		t.Errorf("got %s, want %s", msg.Body, want)
	}
	if got := msg.Header[0].Value; got != "application/x-www-form-urlencoded" {
		t.Errorf("content type %s", got)
	}
}

// TestResend: a later send differs in notify_time and sign only, and with freeze in nothing.
func TestResend(t *testing.T) {
	for _, freeze := range []bool{false, true} {
		m, n := sample(&alipay)
		if freeze {
			m.Options = map[string]any{"notify_time": "freeze"}
		}
		first := encode(t, &alipay, m, n, vectorTime)
		later := encode(t, &alipay, m, n, vectorTime.Add(14*time.Minute))
		if (string(first.Body) == string(later.Body)) != freeze {
			t.Errorf("freeze %t: bodies equal: %t", freeze, !freeze)
		}
		a, _ := parseForm(first.Body)
		b, _ := parseForm(later.Body)
		for i := range a {
			changed := a[i] != b[i]
			if renewed := a[i].Name == "notify_time" || a[i].Name == "sign"; changed != (renewed && !freeze) {
				t.Errorf("freeze %t: %v became %v", freeze, a[i], b[i])
			}
		}
		if got := fieldOf(b, "notify_time"); !freeze && got != "2026-11-21 13:19:06" {
			t.Errorf("notify_time %s", got)
		}
	}
}

// TestVerifyTampered: whatever is changed after signing, the receiving side refuses and names the rule.
func TestVerifyTampered(t *testing.T) {
	change := func(from, to string) func(*CapturedRequest) {
		return func(r *CapturedRequest) {
			changed := strings.Replace(string(r.Body), from, to, 1)
			if changed == string(r.Body) {
				panic("nothing changed: " + from)
			}
			r.Body = []byte(changed)
		}
	}
	for _, p := range []*Profile{&alipay, &alipayMapi} {
		signType := p.SignTypes[0]
		for _, c := range []struct {
			name   string
			tamper func(*CapturedRequest)
			rule   Rule
		}{
			{"amount", change("total_amount=20.00", "total_amount=20.01"), RuleSignature},
			{"name", change("buyer_id", "buyer_ie"), RuleSignature},
			{"left out", change("&point_amount=12.00", ""), RuleSignature},
			{"added", change("&buyer_id", "&extra=1&buyer_id"), RuleSignature},
			{"signature", change("&sign=", "&sign=A"), RuleSignature},
			{"no signature", change("&sign=", "&sing="), RuleMissing},
			{"empty signature", func(r *CapturedRequest) {
				body, _, _ := strings.Cut(string(r.Body), "&sign=")
				r.Body = []byte(body + "&sign=")
			}, RuleMissing},
			{"sign_type", change("sign_type="+signType, "sign_type=SM3"), RuleSignType},
			{"twice", change("&buyer_id", "&trade_no=1&buyer_id"), RuleParameter},
			{"escape", change("subject=", "subject=%zz"), RuleEncoding},
			{"escape cut", func(r *CapturedRequest) { r.Body = append(r.Body, "%4"...) }, RuleEncoding},
			{"bytes", change("subject=", "subject=%ff"), RuleEncoding},
			{"method", func(r *CapturedRequest) { r.Method = "GET" }, RuleRequest},
			{"content type", func(r *CapturedRequest) {
				r.Header = []Header{{"content-type", "text/plain"}}
			}, RuleRequest},
		} {
			m, n := sample(p)
			req := captured(encode(t, p, m, n, vectorTime))
			_, keys := material(t, p)
			if _, err := Verify(p, req, keys); err != nil {
				t.Fatalf("%s: untouched: %v", p.Name, err)
			}
			c.tamper(&req)
			_, err := Verify(p, req, keys)
			if broken := (*VerifyError)(nil); !errors.As(err, &broken) || broken.Rule != c.rule {
				t.Errorf("%s, %s: got %v, want rule %s", p.Name, c.name, err, c.rule)
			}
		}
		m, n := sample(p)
		req := captured(encode(t, p, m, n, vectorTime))
		if _, err := Verify(p, req, VerifyKeys{}); err == nil {
			t.Errorf("%s: verified without a key", p.Name)
		}
		other := VerifyKeys{Secret: "another", PublicKey: publicKey(t, testKeys(t)["generic_pub_pem"])}
		if _, err := Verify(p, req, other); err == nil {
			t.Errorf("%s: verified with another key", p.Name)
		}
		_, keys := material(t, p)
		keys.SignType = "RSA"
		_, err := Verify(p, req, keys)
		if broken := (*VerifyError)(nil); !errors.As(err, &broken) || broken.Rule != RuleSignType {
			t.Errorf("%s: verified under another sign_type", p.Name)
		}
	}
}

// TestRoundTrip: what Check accepts arrives as it was given, and verifies, whatever the values.
func TestRoundTrip(t *testing.T) {
	mapiKey, mapiVerify := material(t, &alipayMapi)
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.SampledFrom([]*Profile{&alipayMapi, &form}).Draw(t, "profile")
		m, n := sample(p)
		m.Charset = rapid.SampledFrom(p.Charsets).Draw(t, "charset")
		name := rapid.StringMatching(`[a-zA-Z][a-z0-9_]{0,9}`)
		given := rapid.MapOfN(name, rapid.String(), 0, 12).Draw(t, "params")
		raw, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		n.Params = raw
		faults := Check(p, m, n)
		msg, err := p.Encode(Input{
			Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeysQuietly(p, m, mapiKey),
		})
		if len(faults) > 0 {
			return // refused: whatever Encode makes of it is never sent
		}
		if err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		v, err := p.Verify(captured(msg), mapiVerify)
		if err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		for name, value := range given {
			want := value
			if m.Charset == charsetGBK {
				fields := []Field{{name, value}}
				if err := toGBK(fields); err != nil {
					t.Fatal(err)
				}
				want = fields[0].Value
			}
			if got := fieldOf(v.Fields, name); got != want {
				t.Fatalf("%s arrived as %q, want %q", name, got, want)
			}
		}
	})
}

func loadKeysQuietly(p *Profile, m *store.Merchant, mat Material) *Keys {
	keys, err := LoadKeys(p, m, []Material{mat})
	if err != nil {
		panic(err)
	}
	return keys
}

// TestConcurrent shares one merchant, notification and set of keys between goroutines: the dispatcher does.
func TestConcurrent(t *testing.T) {
	for _, p := range All() {
		m, n := sample(p)
		mat, _ := material(t, p)
		in := Input{Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeys(t, p, m, mat)}
		want := encode(t, p, m, n, vectorTime)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 5 {
					msg, err := p.Encode(in)
					if err != nil || string(msg.Body) != string(want.Body) {
						t.Errorf("%s: %s, %v", p.Name, msg.Body, err)
					}
					if faults := Check(p, m, n); len(faults) > 0 {
						t.Errorf("%s: %+v", p.Name, faults)
					}
				}
			})
		}
		wg.Wait()
	}
}

// TestEncodeErrors: what cannot be encoded is an error and never a half-made message.
func TestEncodeErrors(t *testing.T) {
	for _, p := range All() {
		m, n := sample(p)
		n.Params = json.RawMessage(`[`)
		if _, err := p.Encode(Input{Notification: n, Merchant: m, Now: vectorTime}); err == nil {
			t.Errorf("%s: no error for broken params", p.Name)
		}
		if p.Unsigned {
			continue
		}
		m, n = sample(p)
		if _, err := p.Encode(Input{Notification: n, Merchant: m, Now: vectorTime}); !errors.Is(err, errNoKey) {
			t.Errorf("%s without a key: %v", p.Name, err)
		}
		if !slices.Contains(p.Charsets, charsetGBK) {
			continue
		}
		m.Charset, n.Params = "gbk", json.RawMessage(`{"a":"€"}`) // accepted before the charset was changed
		mat, _ := material(t, p)
		_, err := p.Encode(Input{Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeys(t, p, m, mat)})
		if err == nil || !strings.Contains(err.Error(), "parameter a") {
			t.Errorf("%s: %v", p.Name, err)
		}
	}
}

// TestPHPReadsForm: PHP itself finds the values in $_POST that we put into the body.
func TestPHPReadsForm(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("php is not installed")
	}
	values := map[string]string{
		"a": "x y+z%41&=;#~*'()!", "b": "当面付 😀\r\n\x00\x7f", "c_D2": `\"<b>/`, "d": "0",
	}
	raw, err := json.Marshal(values)
	if err != nil {
		t.Fatal(err)
	}
	n := &store.Notification{NotifyID: "id1", Params: raw}
	if faults := Check(&form, &store.Merchant{}, n); len(faults) > 0 {
		t.Fatal(faults)
	}
	msg := encode(t, &form, &store.Merchant{}, n, vectorTime)
	cmd := exec.Command(php, "-r", `parse_str(stream_get_contents(STDIN), $p); echo json_encode($p);`)
	cmd.Stdin = strings.NewReader(string(msg.Body))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	for name, want := range values {
		if got[name] != want {
			t.Errorf("%s: PHP has %q, want %q", name, got[name], want)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	for _, p := range All() {
		b.Run(p.Name, func(b *testing.B) {
			m, n := sample(p)
			mat, _ := material(b, p)
			in := Input{Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeys(b, p, m, mat)}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := p.Encode(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
