package profile

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/signer"
	"paynotify/store"
)

// standardVector is the recorded case: every library took its v1 signatures, PHP's sodium its v1a one.
type standardVector struct {
	Body, Canonical, ID, Secret, V1, V1a, Whpk, Whsk string

	SecretOld string `json:"secret_old"`
	Timestamp int64
	V1Old     string `json:"v1_old"`
}

func readStandardVector(t testing.TB) standardVector {
	t.Helper()
	var file struct{ Cases []standardVector }
	readTestdata(t, "standard_webhooks.json", &file)
	if len(file.Cases) != 1 {
		t.Fatalf("%d vectors, want 1", len(file.Cases))
	}
	return file.Cases[0]
}

// input makes the merchant, the notification and the keys whose send is the vector's request.
func (v standardVector) input(t testing.TB, signType string, keys ...Material) Input {
	t.Helper()
	_, data, _ := strings.Cut(strings.TrimSuffix(v.Body, "}"), `"data":`)
	m := &store.Merchant{MchID: "m1", Profile: "standard", SignType: signType}
	n := &store.Notification{
		MchID: "m1", Profile: "standard", NotifyID: v.ID, OutTradeNo: "1", CreatedAt: vectorTime,
		Params: json.RawMessage(strings.Replace(data, `"out_trade_no":"1",`, " ", 1)),
	}
	if faults := append(CheckMerchant(&standard, m), Check(&standard, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	m.Keys = make([]store.Key, len(keys))
	at := time.Unix(v.Timestamp, 999_999_999)
	return Input{Merchant: m, Notification: n, Now: at, Keys: loadKeys(t, &standard, m, keys...)}
}

func (v standardVector) whpk(t testing.TB) ed25519.PublicKey {
	t.Helper()
	key, err := signer.ParseWhpk(v.Whpk)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func breaks(t *testing.T, err error, rule Rule, about string) {
	t.Helper()
	if broken := (*VerifyError)(nil); !errors.As(err, &broken) || broken.Rule != rule || broken.Detail == "" {
		t.Errorf("%s: got %v, want rule %s", about, err, rule)
	}
}

// TestStandardVectors sends the recorded request byte for byte: with one key and with two, v1 and v1a.
func TestStandardVectors(t *testing.T) {
	v := readStandardVector(t)
	current, old := Material{Secret: v.Secret, Whsk: v.Whsk}, Material{Secret: v.SecretOld}
	for _, c := range []struct {
		name, signType string
		keys           []Material
		want           string
	}{
		{"v1", "", []Material{current}, v.V1},
		{"v1 by name", "v1", []Material{{Secret: v.Secret}}, v.V1},
		{"rotation", "v1", []Material{current, old}, v.V1 + " " + v.V1Old},
		{"rotation back", "v1", []Material{old, current}, v.V1Old + " " + v.V1},
		{"v1a", "v1a", []Material{current}, v.V1 + " " + v.V1a},
		{"v1a, and an old key without", "v1a", []Material{current, old}, v.V1 + " " + v.V1Old + " " + v.V1a},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := v.input(t, c.signType, c.keys...)
			msg, err := Encode(&standard, in)
			if err != nil {
				t.Fatal(err)
			}
			if string(msg.Body) != v.Body || string(msg.StringToSign) != v.Canonical || msg.Method != "POST" {
				t.Errorf("%s %s\nsigned %s\nwant %s", msg.Method, msg.Body, msg.StringToSign, v.Canonical)
			}
			want := []Header{
				{"Content-Type", "application/json"},
				{"webhook-id", v.ID},
				{"webhook-timestamp", strconv.FormatInt(v.Timestamp, 10)},
				{"webhook-signature", c.want},
			}
			if d := cmp.Diff(want, msg.Header); d != "" {
				t.Error(d)
			}
			for _, keys := range []VerifyKeys{
				{Secret: v.Secret}, {Secret: v.SecretOld}, {Ed25519: v.whpk(t)}, {Ed25519: v.whpk(t), SignType: "v1a"},
			} {
				got, err := Verify(&standard, captured(msg), keys)
				switch {
				case keys.Secret == v.SecretOld && len(c.keys) == 1:
					breaks(t, err, RuleSignature, "the old secret")
				case keys.Ed25519 != nil && c.signType != "v1a":
					breaks(t, err, RuleSignType, "v1a")
				case err != nil || got.NotifyID != v.ID || got.OutTradeNo != "1" || len(got.Fields) != 3:
					t.Errorf("%+v, %v", got, err)
				}
			}
		})
	}
}

// TestStandardResend: a later send has the same body and id; timestamp and signature are its own.
func TestStandardResend(t *testing.T) {
	v := readStandardVector(t)
	in := v.input(t, "v1a", Material{Secret: v.Secret, Whsk: v.Whsk})
	in.Merchant.Options = map[string]any{"svix_headers": true}
	first, err := Encode(&standard, in)
	if err != nil {
		t.Fatal(err)
	}
	in.Now = in.Now.Add(5 * time.Second)
	later, err := Encode(&standard, in)
	if err != nil {
		t.Fatal(err)
	}
	if string(first.Body) != string(later.Body) {
		t.Errorf("the body became %s", later.Body)
	}
	var names []string
	for i, h := range later.Header {
		renewed := strings.HasSuffix(h.Name, "-timestamp") || strings.HasSuffix(h.Name, "-signature")
		if (h != first.Header[i]) != renewed {
			t.Errorf("%v became %v", first.Header[i], h)
		}
		names = append(names, h.Name)
	}
	const want = "Content-Type webhook-id webhook-timestamp webhook-signature" +
		" svix-id svix-timestamp svix-signature"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("headers %s", got)
	}
	req := captured(later)
	for _, drop := range [][]int{{4, 5, 6}, {1, 2, 3}, {1}, {3, 4}} {
		req.Header = nil
		for i, h := range later.Header {
			if !slices.Contains(drop, i) {
				req.Header = append(req.Header, Header{strings.ToUpper(h.Name), h.Value})
			}
		}
		_, err := Verify(&standard, req, VerifyKeys{Secret: v.Secret})
		if complete := len(drop) != 2; complete && err != nil {
			t.Errorf("without %v: %v", drop, err)
		} else if !complete {
			breaks(t, err, RuleMissing, "one of each is missing")
		}
	}
}

// TestStandardBody: what the caller gives lives under data, in the caller's order, where no name clashes.
func TestStandardBody(t *testing.T) {
	const head = `{"type":"payment.succeeded","timestamp":"2026-11-21T05:05:06.000000Z","data":`
	for _, c := range []struct{ notifyType, outTradeNo, params, want string }{
		{"", "", `{}`, head + `{}}`},
		{"", "7", `{}`, head + `{"out_trade_no":"7"}}`},
		{"", "7", `{"a":"","out_trade_no":"7","b":null}`, head + `{"a":"","out_trade_no":"7","b":null}}`},
		{"", "7", `{"out_trade_no":7}`, head + `{"out_trade_no":7}}`},
		{"", "", `{"type":"x","data":[ {"z":-1} ,[] ],"timestamp":true,"id":{}}`, head +
			`{"type":"x","data":[{"z":-1},[]],"timestamp":true,"id":{}}}`},
		{
			"refund \"é\"\u2028", "", `{"notify_type":"refund \"é\"\u2028"}`,
			`{"type":"refund \"é\"` + "\u2028" + `","timestamp":"2026-11-21T05:05:06.000000Z",` +
				`"data":{"notify_type":"refund \"é\"` + "\u2028" + `"}}`,
		},
	} {
		m, n := sample(&standard)
		n.NotifyType, n.OutTradeNo, n.Params = c.notifyType, c.outTradeNo, json.RawMessage(c.params)
		if faults := Check(&standard, m, n); len(faults) > 0 {
			t.Errorf("%s: %+v", c.params, faults)
		}
		if got := string(encode(t, &standard, m, n, vectorTime).Body); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.params, got, c.want)
		}
	}
}

// TestDataRefused: what JavaScript would not write back as it was is refused by both dialects, by name.
func TestDataRefused(t *testing.T) {
	for _, p := range []*Profile{&standard, &stripe} {
		for params, location := range map[string]string{
			`{"amount":20.00}`:            "body.params.amount",
			`{"amount":2e3}`:              "body.params.amount",
			`{"n":9007199254740992}`:      "body.params.n",
			`{"a":{"b":[{"10":1}]}}`:      "body.params.a",
			`{"10":"x"}`:                  "body.params.10",
			`{"notify_id":"x"}`:           "body.params.notify_id (reserved-parameter)",
			`{"sign":"x"}`:                "body.params.sign (reserved-parameter)",
			`{"out_trade_no":"2"}`:        "body.params.out_trade_no",
			`{"a":{"b":1.5}}`:             "body.params.a",
			`{"a":"x","a":"y"}`:           "body.params.a",
			"{\"a\":\"\xff\"}":            "body.params",
			`{"a":"\ud800"}`:              "body.params",
			`{"a":{"b":"\ud800 alone"}}`:  "body.params",
			`{"a":{"b":1,"b":2}}`:         "body.params",
			`{"notify_type":"a","b":"c"}`: "body.params.notify_type",
		} {
			m, n := sample(p)
			n.Params = json.RawMessage(params)
			faults := Check(p, m, n)
			if got := located(faults); got != location {
				t.Errorf("%s, %s: got %q, want %q", p.Name, params, got, location)
			}
			wantComplete(t, faults)
		}
	}
}

func TestStandardVerify(t *testing.T) {
	verifiesAndRefuses(t, &standard, nil)
	verifiesAndRefuses(t, &standard, map[string]any{"svix_headers": true})
}

// jsonValues draws any JSON value, as Check may or may not let in.
func jsonValues() *rapid.Generator[any] {
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09 &=+%'\"<>\\/\b\t\n\x00\x1f\x7f\u2028é订😀")), 0, 12, -1)
	name := rapid.StringMatching(`[A-Za-z0-9_. -]{1,4}`)
	leaf := rapid.OneOf(
		rapid.Map(text, func(s string) any { return s }),
		rapid.Map(rapid.Int64Range(-1<<53, 1<<53), func(i int64) any { return i }),
		rapid.Map(rapid.SampledFrom([]float64{1.5, 0, -3, 1e21}), func(f float64) any { return f }),
		rapid.Map(rapid.Bool(), func(b bool) any { return b }),
		rapid.Just[any](nil),
	)
	value := leaf
	for range 2 {
		inner := value
		value = rapid.OneOf(
			leaf,
			rapid.Map(rapid.SliceOfN(inner, 0, 3), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(name, inner, 0, 3), func(m map[string]any) any { return m }),
		)
	}
	return value
}

// TestDataArrives: whatever JSON Check lets in verifies, and arrives with the value that was given.
func TestDataArrives(t *testing.T) {
	for _, p := range []*Profile{&standard, &stripe} {
		sent := 0
		m, n := sample(p)
		key, verify := material(t, p)
		keys := loadKeys(t, p, m, key)
		rapid.Check(t, func(t *rapid.T) {
			given := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,5}|[0-9]`), jsonValues(), 0, 6).Draw(t, "params")
			raw, err := json.Marshal(given)
			if err != nil {
				t.Fatal(err)
			}
			n := *n
			n.Params = raw
			if len(Check(p, m, &n)) > 0 {
				return
			}
			sent++
			msg, err := Encode(p, Input{Notification: &n, Merchant: m, Keys: keys, Now: vectorTime})
			if err != nil {
				t.Fatal(err)
			}
			v, err := Verify(p, captured(msg), verify)
			if err != nil || v.OutTradeNo != n.OutTradeNo || v.NotifyID != n.NotifyID {
				t.Fatalf("%+v, %v", v, err)
			}
			for name, value := range given {
				got := fieldOf(v.Fields, name)
				if text, ok := value.(string); ok {
					if got != text {
						t.Fatalf("%s arrived as %q, want %q", name, got, text)
					}
					continue
				}
				var back, want any
				wantText, _ := json.Marshal(value) //nolint:errchkjson // it came out of JSON text above
				if json.Unmarshal([]byte(got), &back) != nil || json.Unmarshal(wantText, &want) != nil ||
					!cmp.Equal(back, want) {
					t.Fatalf("%s arrived as %s, want %s", name, got, wantText)
				}
			}
		})
		if sent == 0 {
			t.Errorf("%s: Check let nothing in", p.Name)
		}
	}
}

// TestStandardTampered changes every byte of what is signed, and each header.
func TestStandardTampered(t *testing.T) {
	v := readStandardVector(t)
	msg, err := Encode(&standard, v.input(t, "v1a", Material{Secret: v.Secret, Whsk: v.Whsk}))
	if err != nil {
		t.Fatal(err)
	}
	for name, keys := range map[string]VerifyKeys{
		"v1": {Secret: v.Secret, SignType: "v1"}, "v1a": {Ed25519: v.whpk(t), SignType: "v1a"},
	} {
		everyByteCounts(t, &standard, msg, keys, name, []string{"webhook-id", "webhook-timestamp"})
	}
	for _, c := range []struct {
		name, header, value string
		rule                Rule
	}{
		{"no id", "webhook-id", "", RuleMissing},
		{"no timestamp", "webhook-timestamp", "", RuleMissing},
		{"no signature", "webhook-signature", "", RuleMissing},
		{"other scheme", "webhook-signature", "v2," + v.V1[3:], RuleSignType},
		{"no scheme", "webhook-signature", v.V1[3:], RuleSignType},
		{"cut", "webhook-signature", v.V1[:len(v.V1)-1], RuleSignature},
		{"of another text", "webhook-signature", v.V1Old, RuleSignature},
		{"joined by a comma", "webhook-signature", v.V1Old + "," + v.V1, RuleSignature},
		{"v1a is no v1", "webhook-signature", "v1," + v.V1a[4:], RuleSignature},
		{"timestamp in words", "webhook-timestamp", "now", RuleRequest},
		{"timestamp with a fraction", "webhook-timestamp", "1795239000.0", RuleRequest},
		{"content type", "Content-Type", "text/plain", RuleRequest},
	} {
		_, err := Verify(&standard, withHeader(msg, c.header, c.value), VerifyKeys{Secret: v.Secret})
		breaks(t, err, c.rule, c.name)
	}
	for _, good := range []string{
		v.V1Old + " " + v.V1, "v2,x " + v.V1, "junk  " + v.V1 + " v1,", "v1a,!! " + v.V1,
	} {
		req := withHeader(msg, "webhook-signature", good)
		if _, err := Verify(&standard, req, VerifyKeys{Secret: v.Secret}); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
}

func withHeader(msg Message, name, value string) CapturedRequest {
	req := captured(msg)
	req.Header = slices.Clone(req.Header)
	for i := range req.Header {
		if req.Header[i].Name == name {
			req.Header[i].Value = value
		}
	}
	return req
}

// everyByteCounts changes each byte of the body and of the named headers: none verifies any more.
func everyByteCounts(t *testing.T, p *Profile, msg Message, keys VerifyKeys, about string, headers []string) {
	t.Helper()
	if _, err := Verify(p, captured(msg), keys); err != nil {
		t.Fatalf("%s, %s: untouched: %v", p.Name, about, err)
	}
	for i := range msg.Body {
		for _, flip := range []byte{1, 0x20, 0x80} {
			req := captured(msg)
			req.Body = slices.Clone(req.Body)
			req.Body[i] ^= flip
			if _, err := Verify(p, req, keys); err == nil {
				t.Fatalf("%s, %s: byte %d of the body may be %q", p.Name, about, i, req.Body[i])
			}
		}
	}
	for _, h := range msg.Header {
		if !slices.Contains(headers, h.Name) {
			continue
		}
		for i := range h.Value {
			changed := []byte(h.Value)
			changed[i] ^= 1
			for _, value := range []string{string(changed), h.Value[:i] + h.Value[i+1:]} {
				if _, err := Verify(p, withHeader(msg, h.Name, value), keys); err == nil {
					t.Fatalf("%s, %s: %s may be %q", p.Name, about, h.Name, value)
				}
			}
		}
	}
}

// TestStandardVerifyKeys: which keys may verify what, and what is said when they cannot.
func TestStandardVerifyKeys(t *testing.T) {
	v := readStandardVector(t)
	v1, err := Encode(&standard, v.input(t, "v1", Material{Secret: v.Secret}))
	if err != nil {
		t.Fatal(err)
	}
	both, err := Encode(&standard, v.input(t, "v1a", Material{Secret: v.Secret, Whsk: v.Whsk}))
	if err != nil {
		t.Fatal(err)
	}
	whpk, wrong := v.whpk(t), v.SecretOld
	for _, c := range []struct {
		name  string
		msg   Message
		keys  VerifyKeys
		rule  Rule // empty = verifies
		words string
	}{
		{"secret alone", both, VerifyKeys{Secret: v.Secret}, "", ""},
		{"public key alone", both, VerifyKeys{Ed25519: whpk}, "", ""},
		{"either", v1, VerifyKeys{Secret: v.Secret, Ed25519: whpk}, "", ""},
		{"other secret, right public key", both, VerifyKeys{Secret: wrong, Ed25519: whpk}, "", ""},
		{"v1 alone counts", both, VerifyKeys{Secret: wrong, Ed25519: whpk, SignType: "v1"}, RuleSignature, ""},
		{"v1a alone counts", v1, VerifyKeys{Secret: v.Secret, Ed25519: whpk, SignType: "v1a"}, RuleSignType, "v1a"},
		{"nothing", both, VerifyKeys{}, RuleSignature, "there is no secret"},
		{"no secret for v1", both, VerifyKeys{Ed25519: whpk, SignType: "v1"}, RuleSignature, "there is no secret"},
		{"no key for v1a", both, VerifyKeys{Secret: v.Secret, SignType: "v1a"}, RuleSignature, "whpk_"},
		{"other scheme", both, VerifyKeys{Secret: v.Secret, SignType: "MD5"}, RuleSignType, "MD5"},
		{"plain secret", v1, VerifyKeys{Secret: "topsecret"}, RuleSignature, "does not begin with whsec_"},
		{"no base64", v1, VerifyKeys{Secret: "whsec_topsecret!"}, RuleSignature, "not standard base64"},
	} {
		_, err := Verify(&standard, captured(c.msg), c.keys)
		if c.rule == "" {
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		breaks(t, err, c.rule, c.name)
		if err != nil && (!strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), "topsecret")) {
			t.Errorf("%s: %v, want … %s …", c.name, err, c.words)
		}
	}
}

// TestEnvelopeRefused: a body that is no event of the dialect is refused before its signature is looked at.
func TestEnvelopeRefused(t *testing.T) {
	for _, p := range []*Profile{&standard, &stripe} {
		m, n := sample(p)
		msg := encode(t, p, m, n, vectorTime)
		_, keys := material(t, p)
		for body, rule := range map[string]Rule{
			"":                                      RuleEncoding,
			"a=b":                                   RuleEncoding,
			"[]":                                    RuleEncoding,
			"{} ":                                   RuleParameter,
			`{"data":1}`:                            RuleParameter,
			"{\"data\":{\"object\":{}},\"\xff\":1}": RuleEncoding,
			`{"data":{},"data":{}}`:                 RuleParameter,
			`{"data":{"object":{}}}`:                RuleSignature,
		} {
			req := captured(msg)
			req.Body = []byte(body)
			_, err := Verify(p, req, keys)
			breaks(t, err, rule, p.Name+" "+body)
		}
		req := captured(msg)
		req.Body = []byte(`{"data":{"object":[]}}`)
		if _, err := Verify(p, req, keys); p == &stripe {
			breaks(t, err, RuleParameter, "a list for object")
		}
		req = captured(msg)
		req.Method = "PUT"
		_, err := Verify(p, req, keys)
		breaks(t, err, RuleRequest, p.Name+" PUT")
	}
}

// TestStandardWithoutV1aKey: a merchant whose keys lack what v1a needs gets an error, never half a signature.
func TestStandardWithoutV1aKey(t *testing.T) {
	v := readStandardVector(t)
	in := v.input(t, "v1a", Material{Secret: v.Secret})
	if _, err := Encode(&standard, in); err == nil || !strings.Contains(err.Error(), "v1a") {
		t.Errorf("got %v", err)
	}
	in.Merchant.SignType = "v1"
	if _, err := Encode(&standard, in); err != nil {
		t.Error(err)
	}
	if _, err := LoadKeys(&standard, in.Merchant, []Material{{Secret: "topsecret"}}); err == nil ||
		strings.Contains(err.Error(), "topsecret") {
		t.Errorf("a secret without whsec_: %v", err)
	}
}
