package profile

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"paynotify/signer"
	"paynotify/store"
)

// TestWechatV2Order: the defaults first, then the params as given, sign_type for HMAC alone, the signature
// last.
func TestWechatV2Order(t *testing.T) {
	m, n := sample(&wechatV2)
	n.Params = []byte(`{"total_fee":1,"cash_fee":"2","coupon_fee":3,"attach":true,"mch_id":"190","openid":"",` +
		`"err_code":null}`)
	const fields = "appid nonce_str return_code result_code out_trade_no" +
		" total_fee cash_fee coupon_fee attach mch_id"
	for signType, want := range map[string]string{
		"":            fields + " sign",
		"MD5":         fields + " sign",
		"HMAC-SHA256": fields + " sign_type sign",
	} {
		m.SignType = signType
		msg := encode(t, &wechatV2, m, n, vectorTime)
		v, err := Verify(&wechatV2, captured(msg), VerifyKeys{Secret: testKeys(t)["md5key"], SignType: signType})
		if got := fieldNames(v.Fields); err != nil || got != want {
			t.Errorf("%s: %v\n got %s\nwant %s", signType, err, got, want)
		}
		const numbers = "<total_fee>1</total_fee><cash_fee>2</cash_fee><coupon_fee><![CDATA[3]]></coupon_fee>"
		body := string(msg.Body)
		if !strings.HasPrefix(body, "<xml><appid><![CDATA[") || !strings.Contains(body, numbers) {
			t.Errorf("%s: body %s", signType, body)
		}
		if len(msg.Header) != 1 || msg.Header[0] != (Header{"Content-Type", "text/xml"}) || msg.Method != "POST" {
			t.Errorf("%s: %s, headers %v", signType, msg.Method, msg.Header)
		}
	}
}

// TestWechatV2Resend: all sends are the same bytes, and the nonce outlives the key; another notification has
// another one.
func TestWechatV2Resend(t *testing.T) {
	m, n := sample(&wechatV2)
	first := encode(t, &wechatV2, m, n, vectorTime)
	later := encode(t, &wechatV2, m, n, vectorTime.Add(3*time.Hour))
	if string(first.Body) != string(later.Body) {
		t.Errorf("first %s\nlater %s", first.Body, later.Body)
	}
	nonce := nonceStrOf(n)
	keys := loadKeys(t, &wechatV2, m, Material{Secret: "another secret"})
	rotated, err := wechatV2.Encode(Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys})
	if err != nil || len(nonce) != 32 || !strings.Contains(string(rotated.Body), "["+nonce+"]") {
		t.Errorf("nonce %s, then %s, %v", nonce, rotated.Body, err)
	}
	if other := nonceStrOf(&store.Notification{NotifyID: store.NewID(vectorTime, 1)}); other == nonce {
		t.Errorf("two notifications have nonce %s", other)
	}
}

// TestWechatV2Check: what would not be verified or understood is refused, and the parameter named.
func TestWechatV2Check(t *testing.T) {
	for _, c := range []struct{ notifyType, params, location, words string }{
		{"", `{"attach":"a\rb"}`, "body.params.attach", "carriage return"},
		{"", `{"attach":"a\r\nb"}`, "body.params.attach", "carriage return"},
		{"", `{"attach":"a\u0000b"}`, "body.params.attach", "U+0000"},
		{"", `{"attach":"a\u000bb"}`, "body.params.attach", "U+000B"},
		{"", `{"attach":"a\ufffeb"}`, "body.params.attach", "U+FFFE"},
		{"", `{"attach":"a\uffff"}`, "body.params.attach", "U+FFFF"},
		{"", `{"attach":"a]]>b"}`, "body.params.attach", "]]>"},
		{"", `{"attach":"@a"}`, "body.params.attach", "@"},
		{"", `{"attach":" a"}`, "body.params.attach", "white space"},
		{"", `{"attach":"a\u3000"}`, "body.params.attach", "white space"},
		{"", `{"attach":"a\ufeff"}`, "body.params.attach", "white space"},
		{"", `{"attach":{"a":1}}`, "body.params.attach", "JSON string"},
		{"", `{"attach":["a"]}`, "body.params.attach", "JSON string"},
		{"", `{"attach":"1","attach":"2"}`, "body.params.attach", "twice"},
		{"", `{"transaction_id":"1&"}`, "body.params.transaction_id", "last one"},
		{"", `{"out_trade_no":"other"}`, "body.params.out_trade_no", "differs"},
		{"", `{"return_msg":"OK"}`, "body.params.return_msg", "no element"},
		{"", `{"trade_state":""}`, "body.params.trade_state", "attach"},
		{"", `{"sub_mch_id":null}`, "body.params.sub_mch_id", "no element"},
		{"", `{"coupon_fee_3":1}`, "body.params.coupon_fee_3", "0 to 2"},
		{"", `{"coupon_id":"1"}`, "body.params.coupon_id", "0 to 2"},
		{"", `{"refund_fee":1}`, "body.params.refund_fee", "notify_type to refund"},
		{"", `{"req_info":"x"}`, "body.params.req_info", "notify_type to refund"},
		{"", `{"Attach":"x"}`, "body.params.Attach", "no element"},
		{"", `{"total_fee":88.80}`, "body.params.total_fee", "fen"},
		{"", `{"total_fee":"1e3"}`, "body.params.total_fee", "fen"},
		{"", `{"settlement_total_fee":"01"}`, "body.params.settlement_total_fee", "fen"},
		{"", `{"cash_fee":-1}`, "body.params.cash_fee", "fen"},
		{"", `{"coupon_count":"1234567890123456789"}`, "body.params.coupon_count", "whole number"},
		{"", `{"coupon_fee_0":true}`, "body.params.coupon_fee_0", "fen"},
		{"", `{"nonce_str":"x"}`, "body.params.nonce_str", "own"},
		{"", `{"sign":"x"}`, "body.params.sign", "own"},
		{"", `{"sign_type":"MD5"}`, "body.params.sign_type", "own"},
		{"", `{"notify_id":"x"}`, "body.params.notify_id", "own"},
		{"payment", `{}`, "body.notify_type", "refund"},
		{"REFUND", `{}`, "body.notify_type", "refund"},
		{"refund", `{"attach":"x"}`, "body.params.attach", "refund notification"},
		{"refund", `{"result_code":"FAIL"}`, "body.params.result_code", "refund notification"},
		{"refund", `{"nonce_str":"x"}`, "body.params.nonce_str", "own"},
		{"refund", `{"refund_fee":"1.00"}`, "body.params.refund_fee", "fen"},
		{"refund", `{"refund_recv_accout":"a]]>"}`, "body.params.refund_recv_accout", "]]>"},
		{"refund", `{"notify_type":"refund"}`, "body.params.notify_type", "no element"},
	} {
		m, n := sample(&wechatV2)
		n.NotifyType, n.Params = c.notifyType, json.RawMessage(c.params)
		faults := Check(&wechatV2, m, n)
		if len(faults) != 1 {
			t.Errorf("%s %s: got %+v", c.notifyType, c.params, faults)
			continue
		}
		f := faults[0]
		if f.Location != c.location || !strings.Contains(f.Message+"; "+f.Cure, c.words) || f.Cure == "" {
			t.Errorf("%s %s: got %+v", c.notifyType, c.params, f)
		}
		if reserved := c.words == "own"; (f.Slug == "reserved-parameter") != reserved {
			t.Errorf("%s %s: slug %q", c.notifyType, c.params, f.Slug)
		}
	}
}

// TestWechatV2Accepts: everything that the SDKs know may be sent, and what breaks none of them.
func TestWechatV2Accepts(t *testing.T) {
	m, n := sample(&wechatV2)
	all := func(names map[string]bool) (pairs [][2]string) {
		for _, name := range slices.Sorted(maps.Keys(names)) {
			value := "x%20<&>\"'\t\n\\😀=+"
			if names[name] {
				value = "0"
			} else if name == "out_trade_no" {
				value = n.OutTradeNo
			}
			pairs = append(pairs, [2]string{name, value})
		}
		return pairs
	}
	n.Params = jsonObject(t, all(wechatPaid))
	if faults := Check(&wechatV2, m, n); len(faults) > 0 {
		t.Errorf("payment: %+v", faults)
	}
	n.NotifyType = "refund"
	n.Params = jsonObject(t, append(all(wechatRefundInner), [2]string{"return_code", "FAIL"}))
	if faults := Check(&wechatV2, m, n); len(faults) > 0 {
		t.Errorf("refund: %+v", faults)
	}
	for _, c := range []struct {
		m        *store.Merchant
		n        *store.Notification
		location string
	}{
		{&store.Merchant{AppID: "a]]>"}, &store.Notification{Params: []byte(`{}`)}, "body.mch_id"},
		{
			&store.Merchant{Options: map[string]any{"partner": "a\uffff"}}, &store.Notification{Params: []byte(`{}`)},
			"body.mch_id",
		},
		{&store.Merchant{}, &store.Notification{OutTradeNo: "]]>", Params: []byte(`{}`)}, "body.out_trade_no"},
	} {
		if faults := Check(&wechatV2, c.m, c.n); len(faults) != 1 || faults[0].Location != c.location {
			t.Errorf("got %+v, want one at %s", faults, c.location)
		}
		c.n.NotifyID = "0"
		keys := loadKeys(t, &wechatV2, c.m, Material{Secret: "s"})
		msg, err := wechatV2.Encode(Input{Notification: c.n, Merchant: c.m, Keys: keys})
		if err == nil || msg.Body != nil { // accepted before the setting was changed
			t.Errorf("encoded %s", msg.Body)
		}
	}
}

// TestWechatV2VerifyRules: whatever is wrong with a request, its rule is named.
func TestWechatV2VerifyRules(t *testing.T) {
	secret := testKeys(t)["md5key"]
	for _, c := range []struct {
		name, from, to string
		keys           VerifyKeys
		rule           Rule
	}{
		{"value", "[20261121-1]", "[20261121-2]", VerifyKeys{Secret: secret}, RuleSignature},
		{"number", "<total_fee>1<", "<total_fee>2<", VerifyKeys{Secret: secret}, RuleSignature},
		{"name", "attach", "err_code", VerifyKeys{Secret: secret}, RuleSignature},
		{"left out", "<fee_type><![CDATA[CNY]]></fee_type>", "", VerifyKeys{Secret: secret}, RuleSignature},
		{"added", "</sign>", "</sign><device_info>1</device_info>", VerifyKeys{Secret: secret}, RuleSignature},
		{"blank", "CDATA[CNY]", "CDATA[CNY ]", VerifyKeys{Secret: secret}, RuleSignature},
		{"lower case", "<sign><![CDATA[", "<sign><![CDATA[a", VerifyKeys{Secret: secret}, RuleSignature},
		{"signature", "<sign><![CDATA[", "<sign><![CDATA[A", VerifyKeys{Secret: secret}, RuleSignature},
		{"signature and more", "]]></sign>", "]]> </sign>", VerifyKeys{Secret: secret}, RuleSignature},
		{"no signature", "sign>", "sing>", VerifyKeys{Secret: secret}, RuleMissing},
		{"twice", "<attach>", "<openid/><attach>", VerifyKeys{Secret: secret}, RuleParameter},
		{"nested", "<attach>", "<attach><b/>", VerifyKeys{Secret: secret}, RuleParameter},
		{"root", "xml>", "root>", VerifyKeys{Secret: secret}, RuleEncoding},
		{"broken", "</attach>", "</atach>", VerifyKeys{Secret: secret}, RuleEncoding},
		{"entity", "CNY]]>", "CNY]]>&nbsp;", VerifyKeys{Secret: secret}, RuleEncoding},
		{"DTD", "<xml>", "<!DOCTYPE xml><xml>", VerifyKeys{Secret: secret}, RuleEncoding},
		{"bytes", "CNY", "\xff", VerifyKeys{Secret: secret}, RuleEncoding},
		{"sign_type", "</sign>", "</sign><sign_type>SM3</sign_type>", VerifyKeys{Secret: secret}, RuleSignType},
		{"another sign_type", "", "", VerifyKeys{Secret: secret, SignType: "RSA2"}, RuleSignType},
		{
			"sign_type against the merchant's", "</sign>", "</sign><sign_type>MD5</sign_type>",
			VerifyKeys{Secret: secret, SignType: "HMAC-SHA256"},
			RuleSignType,
		},
		{"no secret", "", "", VerifyKeys{}, RuleSignature},
		{"another secret", "", "", VerifyKeys{Secret: "another"}, RuleSignature},
	} {
		m, n := sample(&wechatV2)
		body := string(encode(t, &wechatV2, m, n, vectorTime).Body)
		changed := strings.ReplaceAll(body, c.from, c.to)
		if c.from != "" && changed == body {
			t.Fatalf("%s: nothing changed in %s", c.name, body)
		}
		if c.from == "" {
			changed = body
		}
		wantRule(t, c.name, &wechatV2, xmlRequest([]byte(changed)), c.keys, c.rule)
	}
	m, n := sample(&wechatV2)
	body := encode(t, &wechatV2, m, n, vectorTime).Body
	for name, req := range map[string]CapturedRequest{
		"method":       {Method: "GET", Header: xmlHeader, Body: body},
		"content type": {Method: "POST", Header: formHeader, Body: body},
	} {
		wantRule(t, name, &wechatV2, req, VerifyKeys{Secret: secret}, RuleRequest)
	}
	for _, kind := range []string{"application/xml", "Text/XML; charset=utf-8"} {
		req := CapturedRequest{Method: "POST", Header: []Header{{"content-type", kind}}, Body: body}
		if _, err := Verify(&wechatV2, req, VerifyKeys{Secret: secret}); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestWechatV2RefundRefused(t *testing.T) {
	m, n := sample(&wechatV2)
	n.NotifyType, n.Params = "refund", []byte(`{"refund_fee":1}`)
	body := string(encode(t, &wechatV2, m, n, vectorTime).Body)
	secret := testKeys(t)["md5key"]
	sealed, err := signer.EncryptECB([]byte(signer.MD5Key(nil, []byte(secret))), []byte("<xml></xml>"))
	if err != nil {
		t.Fatal(err)
	}
	other := base64.StdEncoding.EncodeToString(sealed)
	_, info, _ := strings.Cut(body, "<req_info><![CDATA[")
	info, _, _ = strings.Cut(info, "]")
	for name, c := range map[string]struct{ body, secret string }{
		"no secret":      {body, ""},
		"another secret": {body, "another"},
		"no base64":      {strings.Replace(body, info, info[1:], 1), secret},
		"cut":            {strings.Replace(body, info, info[4:], 1), secret},
		"no block":       {strings.Replace(body, info, "AAAA", 1), secret},
		"another root":   {strings.Replace(body, info, other, 1), secret},
	} {
		wantRule(t, name, &wechatV2, xmlRequest([]byte(c.body)), VerifyKeys{Secret: c.secret}, RuleDecrypt)
	}
}

// TestWechatV2Probe: a probe is refused, of a refund as well, whose key is wrong instead of its signature.
func TestWechatV2Probe(t *testing.T) {
	for _, c := range []struct {
		signType, notifyType string
		rule                 Rule
	}{{"MD5", "", RuleSignature}, {"HMAC-SHA256", "", RuleSignature}, {"MD5", "refund", RuleDecrypt}} {
		m, n := sample(&wechatV2)
		m.SignType, n.NotifyType = c.signType, c.notifyType
		mat, verify := material(t, &wechatV2)
		keys := loadKeys(t, &wechatV2, m, mat)
		msg, err := wechatV2.Encode(Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys.Probe()})
		if err != nil {
			t.Fatal(err)
		}
		wantRule(t, c.signType+" "+c.notifyType, &wechatV2, captured(msg), verify, c.rule)
		n.NotifyType = "refund"
		_, err = wechatV2.Encode(Input{Notification: n, Merchant: m, Now: vectorTime})
		if !errors.Is(err, errNoKey) {
			t.Errorf("a refund without a key: %v", err)
		}
	}
}

func TestWechatV2KeyWarnings(t *testing.T) {
	for secret, want := range map[string]int{
		"": 0, strings.Repeat("k", 32): 0, strings.Repeat("k", 31): 1, "short": 2,
	} {
		if got := wechatV2.KeyWarnings(Material{Secret: secret}); len(got) != want {
			t.Errorf("%d characters: %q, want %d", len(secret), got, want)
		}
	}
	if got := epay.KeyWarnings(Material{Secret: strings.Repeat("k", 20)}); len(got) != 0 {
		t.Errorf("epay: %q", got)
	}
}

func TestWechatV2Verify(t *testing.T) {
	var texts []string
	for name, number := range wechatPaid {
		if !number && name != "out_trade_no" {
			texts = append(texts, name)
		}
	}
	slices.Sort(texts)
	verifiesAndRefuses(t, &wechatV2, nil, texts...)
}

// TestWechatV2RoundTrip: what Check lets in arrives as it was given, in both documents, whatever the values.
func TestWechatV2RoundTrip(t *testing.T) {
	mat, verify := material(t, &wechatV2)
	sent := 0
	rapid.Check(t, func(t *rapid.T) {
		m, n := sample(&wechatV2)
		m.SignType = rapid.SampledFrom(wechatV2SignTypes).Draw(t, "sign type")
		known := wechatPaid
		if rapid.Bool().Draw(t, "refund") {
			n.NotifyType, known = "refund", wechatRefundInner
		}
		given := map[string]string{}
		list := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(name string) bool {
			return name == "out_trade_no"
		})
		names := rapid.SliceOfNDistinct(rapid.SampledFrom(list), 0, 12, rapid.ID[string])
		for _, name := range names.Draw(t, "names") {
			value := rapid.String()
			if known[name] {
				value = rapid.StringMatching(`0|[1-9][0-9]{0,17}`)
			}
			given[name] = value.Draw(t, name)
		}
		raw, err := json.Marshal(given)
		if err != nil {
			t.Fatal(err)
		}
		n.Params = raw
		if len(Check(&wechatV2, m, n)) > 0 {
			return
		}
		sent++
		keys := loadKeysQuietly(&wechatV2, m, mat)
		msg, err := wechatV2.Encode(Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys})
		if err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		v, err := Verify(&wechatV2, captured(msg), verify)
		if err != nil || v.OutTradeNo != n.OutTradeNo {
			t.Fatalf("accepted, but out_trade_no is %s, %v", v.OutTradeNo, err)
		}
		for name, value := range given {
			if got := fieldOf(v.Fields, name); got != value && value != "" {
				t.Fatalf("%s arrived as %q, want %q", name, got, value)
			}
		}
	})
	if sent < 20 {
		t.Errorf("Check let %d in: too little was tested", sent)
	}
}

// FuzzWechatV2Encode: a value is refused at accept, or arrives as it is; nothing else happens.
func FuzzWechatV2Encode(f *testing.F) {
	for _, value := range []string{
		"", "x", "支付 😀", "a&b<c>d\"e'f=g+h%20/", "]]>", "]]", "]]]]>", "a\rb", "a\nb", "\x00", "\uffff", " x",
		"@", "&amp;", "<![CDATA[", "\u2028x\u0085x\u007fx", "&",
	} {
		f.Add("attach", value, false)
		f.Add("refund_account", value, true)
	}
	f.Add("total_fee", "18446744073709551616", false)
	f.Fuzz(func(t *testing.T, name, value string, refund bool) {
		if !utf8.ValidString(name) || !utf8.ValidString(value) {
			return // no JSON says that
		}
		m, n := sample(&wechatV2)
		m.SignType = signHMACSHA256
		if refund {
			n.NotifyType = wechatRefund
		}
		raw, err := json.Marshal(map[string]string{name: value})
		if err != nil {
			t.Fatal(err)
		}
		n.Params = raw
		mat, verify := material(t, &wechatV2)
		keys := loadKeys(t, &wechatV2, m, mat)
		faults := Check(&wechatV2, m, n)
		msg, err := wechatV2.Encode(Input{Notification: n, Merchant: m, Now: vectorTime, Keys: keys})
		if len(faults) > 0 {
			return
		}
		if err != nil {
			t.Fatalf("accepted, but %v", err)
		}
		v, err := Verify(&wechatV2, captured(msg), verify)
		if err != nil || value != "" && fieldOf(v.Fields, name) != value { // empty: not sent, or the default is
			t.Fatalf("%q arrived as %q, %v", value, fieldOf(v.Fields, name), err)
		}
	})
}
