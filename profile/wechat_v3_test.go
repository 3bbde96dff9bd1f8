package profile

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/signer"
	"paynotify/store"
)

// wechatV3Vector is one case of testdata/wechat_v3.json: a request that the SDKs named there judged.
type wechatV3Vector struct {
	Case, Body, Canonical, Ciphertext, Nonce, Plaintext, Serial, Signature string

	APIv3Key      string `json:"apiv3key"`
	Associated    string `json:"associated_data"`
	ResourceNonce string `json:"resource_nonce"`
	Timestamp     int64
}

func wechatV3Vectors(t testing.TB) []wechatV3Vector {
	t.Helper()
	var file struct{ Cases []wechatV3Vector }
	readTestdata(t, "wechat_v3.json", &file)
	if len(file.Cases) != 5 {
		t.Fatalf("%d vectors, want 5", len(file.Cases))
	}
	return file.Cases
}

// request is the vector's request, in the letter case and order of our own.
func (v wechatV3Vector) request() CapturedRequest {
	return CapturedRequest{Method: "POST", Body: []byte(v.Body), Header: []Header{
		{wechatTimestamp, strconv.FormatInt(v.Timestamp, 10)},
		{wechatNonce, v.Nonce},
		{wechatSignature, v.Signature},
		{wechatSerial, v.Serial},
		{wechatSignatureType, wechatV3SignType},
		{"Content-Type", "application/json"},
	}}
}

// TestWechatV3Vectors makes the recorded plaintext, ciphertext, body, text and signature byte for byte.
func TestWechatV3Vectors(t *testing.T) {
	keys := testKeys(t)
	for _, v := range wechatV3Vectors(t) {
		t.Run(v.Case, func(t *testing.T) {
			m := &store.Merchant{MchID: "m1", Profile: "wechat_v3", AppID: "wx1"}
			n := &store.Notification{
				NotifyID: "EV-2018022511223320873", OutTradeNo: "1217752501201407033233368018",
				Params: json.RawMessage(v.Plaintext), CreatedAt: time.Date(2026, 11, 21, 5, 29, 35, 9e6, time.UTC),
			}
			if faults := append(CheckMerchant(&wechatV3, m), Check(&wechatV3, m, n)...); len(faults) > 0 {
				t.Fatalf("refused: %+v", faults)
			}
			ps, err := ParseParams(n.Params)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := wechatV3Plaintext(m, n, ps)
			if err != nil || string(plain) != v.Plaintext {
				t.Errorf("plaintext\n got %s, %v\nwant %s", plain, err, v.Plaintext)
			}
			sealed, err := signer.EncryptGCM([]byte(v.APIv3Key), []byte(v.ResourceNonce), []byte(v.Associated), plain)
			if got := base64.StdEncoding.EncodeToString(sealed); err != nil || got != v.Ciphertext {
				t.Errorf("ciphertext\n got %s, %v\nwant %s", got, err, v.Ciphertext)
			}
			body := wechatV3Envelope(n, wechatV3Paid, "transaction", v.ResourceNonce, sealed)
			if v.Associated == "" { // which we never leave empty
				body = []byte(strings.Replace(string(body), `_data":"transaction"`, `_data":""`, 1))
			}
			if string(body) != v.Body {
				t.Errorf("body\n got %s\nwant %s", body, v.Body)
			}
			text := headerText(strconv.FormatInt(v.Timestamp, 10), v.Nonce, body)
			if string(text) != v.Canonical {
				t.Errorf("string to sign\n got %q\nwant %q", text, v.Canonical)
			}
			mat := Material{PrivateKey: keys["wxv3_priv_b64"], Secret: v.APIv3Key}
			signature, err := loadKeys(t, &wechatV3, m, mat).sign(Input{Now: vectorTime}, signRSA2, text)
			if err != nil || signature != v.Signature {
				t.Errorf("signature\n got %s, %v\nwant %s", signature, err, v.Signature)
			}
		})
	}
}

// TestWechatV3VerifiesVectors: the recorded requests are judged as the SDKs judged them, the clock aside.
func TestWechatV3VerifiesVectors(t *testing.T) {
	keys := testKeys(t)
	private, err := signer.ParsePrivateKey(keys["wxv3_priv_pem"])
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range wechatV3Vectors(t) {
		t.Run(v.Case, func(t *testing.T) {
			public := keys["wxv3_pub_pem"]
			req := v.request()
			switch v.Case[:3] {
			case "X02":
				public = keys["wxv3_cert_pem"]
			case "X03":
				req = set(req, wechatSignatureType, "")
			case "X04": // too old for the SDKs; to us, who look at no clock, rightly signed
				old := strconv.FormatInt(v.Timestamp-301, 10)
				signature, err := signer.SignRSA2(private, headerText(old, v.Nonce, req.Body))
				if err != nil {
					t.Fatal(err)
				}
				req = set(set(req, wechatTimestamp, old), wechatSignature, signature)
			}
			verify, err := ParseVerifyKeys(public, v.APIv3Key+"\n", "")
			if err != nil {
				t.Fatal(err)
			}
			if v.Case[:3] == "X05" {
				req = set(req, wechatSignature, wechatProbe+v.Signature[len(wechatProbe):])
				_, err := Verify(&wechatV3, req, verify)
				wantBroken(t, v.Case, err, RuleSignature)
				if !strings.Contains(err.Error(), "probe") {
					t.Errorf("got %v", err)
				}
				return
			}
			got, err := Verify(&wechatV3, req, verify)
			if err != nil {
				t.Fatal(err)
			}
			want, err := jsonMembers([]byte(v.Plaintext))
			if diff := cmp.Diff(want, got.Fields); diff != "" || err != nil {
				t.Error(err, diff)
			}
			if got.NotifyID != "EV-2018022511223320873" || got.OutTradeNo != "1217752501201407033233368018" {
				t.Errorf("notify_id %s, out_trade_no %s", got.NotifyID, got.OutTradeNo)
			}
			if v.Case[:3] != "X04" && string(got.StringToSign) != v.Canonical {
				t.Errorf("string to sign %q", got.StringToSign)
			}
			tampered := req
			tampered.Body = []byte(strings.Replace(v.Body, "支付成功", "支付失败", 1))
			_, err = Verify(&wechatV3, tampered, verify)
			wantBroken(t, "one byte of the body", err, RuleSignature)
		})
	}
}

func TestWechatV3Verify(t *testing.T) {
	verifiesAndRefuses(t, &wechatV3, nil)
	verifiesAndRefuses(t, &wechatV3, map[string]any{"header_signature": true, "partner": "1230000109"})
}

// encodeV3 writes one send of a notification and opens what it holds.
func encodeV3(t *testing.T, m *store.Merchant, n *store.Notification, now time.Time) (Message, Verification) {
	t.Helper()
	if faults := append(CheckMerchant(&wechatV3, m), Check(&wechatV3, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	msg := encode(t, &wechatV3, m, n, now)
	_, keys := material(t, &wechatV3)
	v, err := Verify(&wechatV3, captured(msg), keys)
	if err != nil {
		t.Fatal(err)
	}
	return msg, v
}

// TestWechatV3Resend: a later send has the same body and new headers; evidence of a send makes its bytes.
func TestWechatV3Resend(t *testing.T) {
	m, n := sample(&wechatV3)
	first, _ := encodeV3(t, m, n, vectorTime)
	again, _ := encodeV3(t, m, n, vectorTime)
	later, _ := encodeV3(t, m, n, vectorTime.Add(14*time.Minute))
	soon, _ := encodeV3(t, m, n, vectorTime.Add(time.Nanosecond))
	if diff := cmp.Diff(first, again); diff != "" {
		t.Error("evidence differs from the send", diff)
	}
	if string(first.Body) != string(later.Body) {
		t.Errorf("the body changed\nfrom %s\nto   %s", first.Body, later.Body)
	}
	renewed := []string{wechatTimestamp, wechatNonce, wechatSignature}
	for i, h := range first.Header {
		if changed := later.Header[i] != h; changed != slices.Contains(renewed, h.Name) {
			t.Errorf("%v became %v", h, later.Header[i])
		}
	}
	req := captured(first)
	if got := req.Get(wechatTimestamp); got != strconv.FormatInt(vectorTime.Unix(), 10) {
		t.Errorf("timestamp %s", got)
	}
	nonce := req.Get(wechatNonce)
	if req := captured(soon); req.Get(wechatNonce) == nonce || len(nonce) != 32 {
		t.Errorf("nonce %s, and in the same second %s", nonce, req.Get(wechatNonce))
	}
}

// TestWechatV3Body: what stands where, for a payment and for a refund.
func TestWechatV3Body(t *testing.T) {
	for _, c := range []struct{ notifyType, event, summary, kind string }{
		{"", "TRANSACTION.SUCCESS", "支付成功", "transaction"},
		{"TRANSACTION.SUCCESS", "TRANSACTION.SUCCESS", "支付成功", "transaction"},
		{"REFUND.SUCCESS", "REFUND.SUCCESS", "退款成功", "refund"},
		{"REFUND.ABNORMAL", "REFUND.ABNORMAL", "退款异常", "refund"},
		{"REFUND.CLOSED", "REFUND.CLOSED", "退款关闭", "refund"},
		{"REFUNDS", "REFUNDS", "REFUNDS", "transaction"},
		{"PAYSCORE.USER_PAID", "PAYSCORE.USER_PAID", "PAYSCORE.USER_PAID", "transaction"},
	} {
		m, n := sample(&wechatV3)
		n.NotifyType = c.notifyType
		msg, _ := encodeV3(t, m, n, vectorTime)
		outer, err := jsonMembers(msg.Body)
		if err != nil || len(outer) != 6 {
			t.Fatal(outer, err)
		}
		want := []Field{
			{"id", n.NotifyID},
			{"create_time", "2026-11-21T13:05:06+08:00"},
			{"resource_type", "encrypt-resource"},
			{"event_type", c.event},
			{"summary", c.summary},
		}
		if diff := cmp.Diff(want, outer[:5]); diff != "" {
			t.Error(diff)
		}
		resource, err := jsonMembers([]byte(outer[5].Value))
		if err != nil || len(resource) != 5 {
			t.Fatal(resource, err)
		}
		ciphertext, nonce := resource[2].Value, resource[4].Value
		want = []Field{
			{"original_type", c.kind},
			{"algorithm", "AEAD_AES_256_GCM"},
			{"ciphertext", ciphertext},
			{"associated_data", c.kind},
			{"nonce", nonce},
		}
		if diff := cmp.Diff(want, resource); diff != "" || len(nonce) != 12 {
			t.Error(nonce, diff)
		}
	}
}

// TestWechatV3Plaintext: our members first; a parameter of the same name takes the place of a default,
// whatever it is, and stands where the caller put it.
func TestWechatV3Plaintext(t *testing.T) {
	for _, c := range []struct{ appID, partner, outTradeNo, params, want string }{
		{"wx1", "", "1", `{}`, `{"out_trade_no":"1","appid":"wx1","mchid":"m1"}`},
		{"", "123", "", `{}`, `{"mchid":"123"}`},
		{
			"wx1", "", "1", `{"a": {"b": [ 1, null ] }}`,
			`{"out_trade_no":"1","appid":"wx1","mchid":"m1","a":{"b":[1,null]}}`,
		},
		{
			"wx1", "", "1", `{"z":"","mchid":"9","a":null,"appid":"","id":"x"}`,
			`{"out_trade_no":"1","z":"","mchid":"9","a":null,"appid":"","id":"x"}`,
		},
		{"wx1", "", "1", `{"z":"y","out_trade_no":"1"}`, `{"appid":"wx1","mchid":"m1","z":"y","out_trade_no":"1"}`},
	} {
		m := &store.Merchant{MchID: "m1", Profile: "wechat_v3", AppID: c.appID, Options: map[string]any{}}
		if c.partner != "" {
			m.Options["partner"] = c.partner
		}
		_, n := sample(&wechatV3)
		n.OutTradeNo, n.Params = c.outTradeNo, json.RawMessage(c.params)
		_, v := encodeV3(t, m, n, vectorTime)
		want, err := jsonMembers([]byte(c.want))
		if diff := cmp.Diff(want, v.Fields); diff != "" || err != nil {
			t.Errorf("%s: %v %s", c.params, err, diff)
		}
	}
}

// TestWechatV3ResourceNonce: no two different texts share a nonce, whatever it is that differs.
func TestWechatV3ResourceNonce(t *testing.T) {
	seen := map[string]string{}
	for name, change := range map[string]func(*store.Merchant, *store.Notification){
		"nothing":      func(*store.Merchant, *store.Notification) {},
		"app_id":       func(m *store.Merchant, _ *store.Notification) { m.AppID = "wx2" },
		"partner":      func(m *store.Merchant, _ *store.Notification) { m.MchID = "m2" },
		"notify_id":    func(_ *store.Merchant, n *store.Notification) { n.NotifyID = "1" + n.NotifyID[1:] },
		"kind":         func(_ *store.Merchant, n *store.Notification) { n.NotifyType = "REFUND.SUCCESS" },
		"out_trade_no": func(_ *store.Merchant, n *store.Notification) { n.OutTradeNo = "20261121-2" },
		"params":       func(_ *store.Merchant, n *store.Notification) { n.Params = json.RawMessage(`{}`) },
	} {
		m, n := sample(&wechatV3)
		change(m, n)
		msg, _ := encodeV3(t, m, n, vectorTime)
		var body struct{ Resource struct{ Nonce string } }
		if err := json.Unmarshal(msg.Body, &body); err != nil {
			t.Fatal(err)
		}
		if other, twice := seen[body.Resource.Nonce]; twice {
			t.Errorf("%s and %s have the nonce %s", name, other, body.Resource.Nonce)
		}
		seen[body.Resource.Nonce] = name
	}
}

// TestWechatV3Key: the APIv3 key is 32 ASCII characters, given or generated, and the serial goes with it.
func TestWechatV3Key(t *testing.T) {
	m, private := &store.Merchant{MchID: "m1", Profile: "wechat_v3"}, testKeys(t)["wxv3_priv_pem"]
	for secret, kind := range map[string]error{
		strings.Repeat("s", 31): signer.ErrKeySize, strings.Repeat("s", 33): signer.ErrKeySize,
		strings.Repeat("s", 29) + "密": signer.ErrNotKey, strings.Repeat("密", 32): signer.ErrNotKey,
	} {
		if err := checkAPIv3Key(secret); !errors.Is(err, kind) {
			t.Errorf("%q: %v", secret, err)
		}
		made, faults := NewMaterial(&wechatV3, m, Material{PrivateKey: private, Secret: secret}, Material{})
		if len(faults) != 1 || faults[0].Location != atSecret || made != (Material{}) {
			t.Errorf("%q: %+v", secret, faults)
		}
		wantComplete(t, faults)
	}
	made, faults := NewMaterial(&wechatV3, m, Material{PrivateKey: private}, Material{})
	if len(faults) > 0 || checkAPIv3Key(made.Secret) != nil {
		t.Errorf("generated %d characters, %+v", len(made.Secret), faults)
	}
	made.Serial = "PUB_KEY_ID_0114232134912410000000000000"
	_, n := sample(&wechatV3)
	in := Input{Notification: n, Merchant: m, Now: vectorTime}
	if _, err := Encode(&wechatV3, in); !errors.Is(err, errNoKey) {
		t.Error(err)
	}
	in.Keys = loadKeys(t, &wechatV3, m, made)
	msg, err := Encode(&wechatV3, in)
	req := captured(msg)
	if err != nil || req.Get(wechatSerial) != made.Serial {
		t.Errorf("serial %s, %v", req.Get(wechatSerial), err)
	}
	for name, short := range map[string]Material{
		"no private key": {Secret: made.Secret}, "no secret": {PrivateKey: private},
	} {
		in.Keys = loadKeys(t, &wechatV3, m, short)
		if _, err := Encode(&wechatV3, in); err == nil {
			t.Errorf("%s: a message was made", name)
		}
	}
}

// TestWechatV3Refuses: what no SDK could read as it was given is refused at accept, naming the parameter.
func TestWechatV3Refuses(t *testing.T) {
	m, n := sample(&wechatV3)
	for params, location := range map[string]string{
		`{"amount":{"total":88.88}}`:       "body.params.amount",
		`{"n":9007199254740992}`:           "body.params.n",
		`{"list":[{"1":"a"}]}`:             "body.params.list",
		`{"7":"a"}`:                        "body.params.7",
		`{"a":"1","a":"2"}`:                "body.params.a",
		`{"a":"\ud800"}`:                   "body.params",
		`{"sign":"x"}`:                     "body.params.sign",
		`{"notify_id":"x"}`:                "body.params.notify_id",
		`{"out_trade_no":"20261121-2"}`:    "body.params.out_trade_no",
		`{"out_trade_no":["20261121-1"]}`:  "body.params.out_trade_no",
		`{"notify_type":"REFUND.SUCCESS"}`: "body.params.notify_type",
	} {
		n.Params = json.RawMessage(params)
		faults := Check(&wechatV3, m, n)
		if len(faults) != 1 || faults[0].Location != location {
			t.Errorf("%s: got %+v, want one at %s", params, faults, location)
		}
		wantComplete(t, faults)
	}
	m.NotifyURL = "https://shop.example/notify?a=b"
	if faults := CheckMerchant(&wechatV3, m); len(faults) != 1 || faults[0].Location != "body.notify_url" {
		t.Errorf("a notify_url with a query: %+v", faults)
	}
}
