package profile

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/signer"
)

// set changes a header of a captured request; an empty value takes it away.
func set(req CapturedRequest, name, value string) CapturedRequest {
	req.Header = slices.Clone(req.Header)
	at := slices.IndexFunc(req.Header, func(h Header) bool { return h.Name == name })
	if value == "" {
		req.Header = slices.Delete(req.Header, at, at+1)
	} else {
		req.Header[at].Value = value
	}
	return req
}

func wantBroken(t testing.TB, name string, err error, rule Rule) {
	t.Helper()
	if wrong := (*VerifyError)(nil); !errors.As(err, &wrong) || wrong.Rule != rule {
		t.Errorf("%s: got %v, want rule %s", name, err, rule)
	}
}

// TestWechatV3Tampered: each broken request breaks the rule that it should.
func TestWechatV3Tampered(t *testing.T) {
	m, n := sample(&wechatV3)
	good := captured(encode(t, &wechatV3, m, n, vectorTime))
	_, keys := material(t, &wechatV3)
	body := func(from, to string) CapturedRequest {
		req := good
		req.Body = []byte(strings.Replace(string(good.Body), from, to, 1))
		if string(req.Body) == string(good.Body) {
			t.Fatal("nothing changed: " + from)
		}
		return req
	}
	get := good
	get.Method = "GET"
	signature := good.Get(wechatSignature)
	probe := wechatProbe + signature[len(wechatProbe):]
	for name, c := range map[string]struct {
		req  CapturedRequest
		rule Rule
	}{
		"method":              {get, RuleRequest},
		"content type":        {set(good, "Content-Type", "application/x-www-form-urlencoded"), RuleRequest},
		"no content type":     {set(good, "Content-Type", ""), RuleRequest},
		"cut":                 {body("}}", "}"), RuleEncoding},
		"byte order mark":     {body("{", "\ufeff{"), RuleEncoding},
		"bytes":               {body("支付成功", "支付成\xff"), RuleEncoding},
		"twice":               {body(`"summary"`, `"id"`), RuleParameter},
		"no timestamp":        {set(good, wechatTimestamp, ""), RuleMissing},
		"no nonce":            {set(good, wechatNonce, ""), RuleMissing},
		"no signature":        {set(good, wechatSignature, ""), RuleMissing},
		"no serial":           {set(good, wechatSerial, ""), RuleMissing},
		"SM2":                 {set(good, wechatSignatureType, "WECHATPAY2-SM2-WITH-SM3"), RuleSignType},
		"another timestamp":   {set(good, wechatTimestamp, "1795239001"), RuleSignature},
		"another nonce":       {set(good, wechatNonce, "x"+good.Get(wechatNonce)[1:]), RuleSignature},
		"another signature":   {set(good, wechatSignature, "A"+signature[1:]), RuleSignature},
		"no base64":           {set(good, wechatSignature, signature+"="), RuleSignature},
		"probe":               {set(good, wechatSignature, probe), RuleSignature},
		"event":               {body("TRANSACTION", "TRANSACTIOM"), RuleSignature},
		"white space":         {body(`","`, `", "`), RuleSignature},
		"escaped differently": {body("支", `\u652f`), RuleSignature},
	} {
		_, err := Verify(&wechatV3, c.req, keys)
		wantBroken(t, name, err, c.rule)
	}
	for _, req := range []CapturedRequest{
		good, set(good, wechatSignatureType, ""), set(good, "Content-Type", "Application/JSON; charset=UTF-8"),
	} {
		if _, err := Verify(&wechatV3, req, keys); err != nil {
			t.Error(err)
		}
	}
	other := keys
	other.SignType = "RSA2"
	_, err := Verify(&wechatV3, good, other)
	wantBroken(t, "another sign_type", err, RuleSignType)
	_, err = Verify(&wechatV3, good, VerifyKeys{Secret: keys.Secret})
	wantBroken(t, "no public key", err, RuleSignature)
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Verify(&wechatV3, good, VerifyKeys{PublicKey: &stranger.PublicKey})
	wantBroken(t, "another public key", err, RuleSignature)
	v, err := Verify(&wechatV3, good, VerifyKeys{PublicKey: keys.PublicKey, SignType: wechatV3SignType})
	if err != nil || v.NotifyID != n.NotifyID || fieldOf(v.Fields, "event_type") != wechatV3Paid {
		t.Errorf("without the APIv3 key: %+v, %v", v, err)
	}
}

// TestWechatV3Decrypt: a rightly signed request whose resource cannot be read says so.
func TestWechatV3Decrypt(t *testing.T) {
	_, keys := material(t, &wechatV3)
	private, err := signer.ParsePrivateKey(testKeys(t)["wxv3_priv_pem"])
	if err != nil {
		t.Fatal(err)
	}
	seal := func(plain string) string {
		key, nonce := []byte(keys.Secret), []byte("fdasflkja484")
		sealed, err := signer.EncryptGCM(key, nonce, []byte("refund"), []byte(plain))
		if err != nil {
			t.Fatal(err)
		}
		return base64.StdEncoding.EncodeToString(sealed)
	}
	verify := func(resource map[string]any, secret string) error {
		body, err := json.Marshal(map[string]any{"id": "1", "resource": resource})
		if err != nil {
			t.Fatal(err)
		}
		req := wechatV3Vectors(t)[0].request()
		req.Body = body
		signature, err := signer.SignRSA2(private, headerText(req.Get(wechatTimestamp), req.Get(wechatNonce), body))
		if err != nil {
			t.Fatal(err)
		}
		req = set(req, wechatSignature, signature)
		_, err = Verify(&wechatV3, req, VerifyKeys{PublicKey: keys.PublicKey, Secret: secret})
		return err
	}
	good := map[string]any{
		"algorithm": wechatV3Cipher, "ciphertext": seal(`{}`), "associated_data": "refund", "nonce": "fdasflkja484",
	}
	if err := verify(good, keys.Secret); err != nil {
		t.Fatal(err)
	}
	wantBroken(t, "another key", verify(good, strings.Repeat("x", 32)), RuleDecrypt)
	wantBroken(t, "a short key", verify(good, "x"), RuleDecrypt)
	wantBroken(t, "no resource", verify(nil, keys.Secret), RuleDecrypt)
	for name, value := range map[string]any{
		"algorithm": "AEAD_SM4_GCM", "ciphertext": "*", "associated_data": "transaction", "nonce": "fdasflkja48",
	} {
		bad := maps.Clone(good)
		bad[name] = value
		wantBroken(t, name, verify(bad, keys.Secret), RuleDecrypt)
		delete(bad, name)
		wantBroken(t, "no "+name, verify(bad, keys.Secret), RuleDecrypt)
	}
	for _, plain := range []string{``, `a=b`, `[]`, `{"a":1,"a":2}`} {
		bad := maps.Clone(good)
		bad["ciphertext"] = seal(plain)
		wantBroken(t, plain, verify(bad, keys.Secret), RuleDecrypt)
	}
}

// TestWechatV3Probe: a probe has the form of WeChat's own, and the rest of the message is as ever.
func TestWechatV3Probe(t *testing.T) {
	m, n := sample(&wechatV3)
	mat, verify := material(t, &wechatV3)
	in := Input{Notification: n, Merchant: m, Now: vectorTime, Keys: loadKeys(t, &wechatV3, m, mat).Probe()}
	probe, err := Encode(&wechatV3, in)
	if err != nil {
		t.Fatal(err)
	}
	good := captured(encode(t, &wechatV3, m, n, vectorTime))
	req := captured(probe)
	signature, right := req.Get(wechatSignature), good.Get(wechatSignature)
	if !strings.HasPrefix(signature, "WECHATPAY/SIGNTEST/") || signature == right {
		t.Errorf("signature %s", signature)
	}
	if raw, err := base64.StdEncoding.Strict().DecodeString(signature); err != nil || len(raw) != 256 {
		t.Errorf("the signature of the probe is not of RSA-2048: %v", err)
	}
	if diff := cmp.Diff(good, set(req, wechatSignature, right)); diff != "" {
		t.Error(diff)
	}
	_, err = Verify(&wechatV3, req, verify)
	wantBroken(t, "probe", err, RuleSignature)
	_, err = Verify(&wechatV3, set(req, wechatSignature, "x"+signature[1:]), verify)
	wantBroken(t, "probe in disguise", err, RuleSignature)
}
