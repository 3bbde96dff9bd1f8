package profile

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"paynotify/store"
)

// headerSigned is a merchant of the profile with header signatures, its notification, and both halves of its
// key: the RSA key is the dialect's own where it has one.
func headerSigned(t testing.TB, p *Profile) (Input, VerifyKeys) {
	t.Helper()
	m, n := sample(p)
	m.Options = maps.Clone(m.Options)
	if m.Options == nil {
		m.Options = map[string]any{}
	}
	m.Options[optionHeaderSignature] = true
	mat, verify := material(t, p)
	if mat.PrivateKey == "" {
		keys := testKeys(t)
		mat.PrivateKey, verify.PublicKey = keys["generic_priv_pem"], publicKey(t, keys["generic_pub_pem"])
	}
	verify.Options = map[string]string{optionHeaderSignature: "true"}
	return Input{Notification: n, Merchant: m, Keys: loadKeys(t, p, m, mat), Now: vectorTime}, verify
}

// received is a message as it reaches a merchant whose notify_url has no query.
func received(t testing.TB, p *Profile, in Input) (Message, CapturedRequest) {
	t.Helper()
	msg, err := Encode(p, in)
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	req := captured(msg)
	req.Header = slices.Clone(req.Header)
	return msg, req
}

func setHeader(req *CapturedRequest, name, value string) {
	for i := range req.Header {
		if req.Header[i].Name == name {
			req.Header[i].Value = value
		}
	}
}

// TestHeaderSignature: any profile can carry it; its own message stays as it is, and plain RSA over what was
// received finds it right.
func TestHeaderSignature(t *testing.T) {
	for _, p := range All() {
		t.Run(p.Name, func(t *testing.T) {
			in, verify := headerSigned(t, p)
			faults := append(CheckMerchant(p, in.Merchant), Check(p, in.Merchant, in.Notification)...)
			if len(faults) > 0 {
				t.Fatalf("refused: %+v", faults)
			}
			own, err := p.Encode(in)
			if err != nil {
				t.Fatal(err)
			}
			msg, req := received(t, p, in)
			if msg.Method != own.Method || msg.Query != own.Query || !bytes.Equal(msg.Body, own.Body) {
				t.Errorf("sends\n%+v\nwithout header signature\n%+v", msg, own)
			}
			added := msg.Header[len(own.Header):]
			if !slices.Equal(msg.Header[:len(own.Header)], own.Header) || len(added) != 3 ||
				added[0].Name != "x-notify-timestamp" || added[1].Name != "x-notify-nonce" ||
				added[2].Name != "x-notify-signature" {
				t.Fatalf("headers %v, without header signature %v", msg.Header, own.Header)
			}
			if added[0].Value != strconv.FormatInt(vectorTime.Unix(), 10) {
				t.Errorf("timestamp %s", added[0].Value)
			}
			if !regexp.MustCompile(`^[0-9A-Za-z]{32}$`).MatchString(added[1].Value) {
				t.Errorf("nonce %s", added[1].Value)
			}
			signed := string(msg.Body)
			if msg.Method == "GET" {
				signed = msg.Query
			}
			text := added[0].Value + "\n" + added[1].Value + "\n" + signed + "\n"
			checkRSA(t, verify.PublicKey, text, added[2].Value)
			if want := own.StringToSign; want != nil && !bytes.Equal(msg.StringToSign, want) ||
				want == nil && string(msg.StringToSign) != text {
				t.Errorf("string to sign %q", msg.StringToSign)
			}
			v, err := Verify(p, req, verify)
			if err != nil || p.Unsigned && string(v.StringToSign) != text {
				t.Errorf("verified %q, %v", v.StringToSign, err)
			}
		})
	}
}

func checkRSA(t *testing.T, key *rsa.PublicKey, text, signature string) {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(signature)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(text))
	if err := rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], raw); err != nil {
		t.Errorf("%v: %s over %q", err, signature, text)
	}
}

// TestHeaderSignatureTampered: it covers the bytes as they were sent, and both of the other headers; nobody
// gets round it by leaving it out.
func TestHeaderSignatureTampered(t *testing.T) {
	for _, p := range All() {
		in, verify := headerSigned(t, p)
		_, good := received(t, p, in)
		for _, c := range []struct {
			name   string
			tamper func(*CapturedRequest)
			rule   Rule
		}{
			{"bytes", func(r *CapturedRequest) {
				if r.Method == "GET" {
					r.Query += "&"
					return
				}
				r.Body = append(slices.Clone(r.Body), ' ')
			}, RuleSignature},
			{"timestamp", func(r *CapturedRequest) {
				setHeader(r, headerTimestamp, strconv.FormatInt(vectorTime.Unix()+1, 10))
			}, RuleSignature},
			{"nonce", func(r *CapturedRequest) {
				setHeader(r, headerNonce, "A"+r.Get(headerNonce)[1:]+"A")
			}, RuleSignature},
			{"signature", func(r *CapturedRequest) {
				setHeader(r, headerSignature, strings.Repeat("A", 342)+"==")
			}, RuleSignature},
			{"no timestamp", func(r *CapturedRequest) { setHeader(r, headerTimestamp, "") }, RuleMissing},
			{"no nonce", func(r *CapturedRequest) { setHeader(r, headerNonce, "") }, RuleMissing},
			{"no signature", func(r *CapturedRequest) { setHeader(r, headerSignature, "") }, RuleMissing},
		} {
			req := good
			req.Header = slices.Clone(good.Header)
			c.tamper(&req)
			_, err := verifyHeaderSignature(req, verify)
			if broken := (*VerifyError)(nil); !errors.As(err, &broken) || broken.Rule != c.rule {
				t.Errorf("%s, %s: %v, want rule %s", p.Name, c.name, err, c.rule)
			}
			if _, err := Verify(p, req, verify); err == nil {
				t.Errorf("%s, %s: verified", p.Name, c.name)
			}
		}
	}
}

// TestHeaderSignatureOfForm: a profile that signs nothing itself is protected by it alone.
func TestHeaderSignatureOfForm(t *testing.T) {
	in, verify := headerSigned(t, &form)
	_, req := received(t, &form, in)
	req.Body = bytes.Replace(req.Body, []byte("total_amount=20.00"), []byte("total_amount=20.01"), 1)
	wantRule(t, "amount", &form, req, verify, RuleSignature)
	verify.Options = nil // whoever has the public key checks what is there
	wantRule(t, "amount, without the option", &form, req, verify, RuleSignature)
	req.Header = req.Header[:1]
	if _, err := Verify(&form, req, verify); err != nil {
		t.Error("a form without header signature, which nobody asks for:", err)
	}
	verify.Options = map[string]string{optionHeaderSignature: "true"}
	wantRule(t, "left out", &form, req, verify, RuleMissing)
	_, req = received(t, &form, in)
	verify.PublicKey = nil
	wantRule(t, "no key", &form, req, verify, RuleSignature)
}

// TestHeaderSignatureRenewed: the evidence of a send can be made again to the byte, and no two sends have the
// same nonce, in the same second neither.
func TestHeaderSignatureRenewed(t *testing.T) {
	for _, p := range All() {
		in, _ := headerSigned(t, p)
		first, _ := received(t, p, in)
		again, _ := received(t, p, in)
		if !slices.Equal(first.Header, again.Header) || !bytes.Equal(first.Body, again.Body) ||
			first.Query != again.Query {
			t.Errorf("%s: the same send twice:\n%+v\n%+v", p.Name, first, again)
		}
		nonces := map[string]bool{}
		soon, later, other := in, in, in
		soon.Now, later.Now = vectorTime.Add(time.Microsecond), vectorTime.Add(time.Hour)
		n := *in.Notification
		n.NotifyID = "0f1eyn4kzb0abcdefghijklmnp"
		other.Notification = &n
		for _, in := range []Input{in, soon, later, other} {
			_, req := received(t, p, in)
			nonces[req.Get(headerNonce)] = true
		}
		if len(nonces) != 4 {
			t.Errorf("%s: %d nonces in 4 sends", p.Name, len(nonces))
		}
	}
}

// TestHeaderSignatureOfQuery: a GET signs all that stands behind the ?, which a notify_url with a query of
// its own begins.
func TestHeaderSignatureOfQuery(t *testing.T) {
	for _, c := range []struct{ merchantURL, ownURL, before string }{
		{"https://shop.example/notify", "", ""},
		{"https://shop.example/notify?", "", ""},
		{"https://shop.example/notify?shop=7&x=%20", "", "shop=7&x=%20&"},
		{"https://shop.example/notify?shop=7&", "", "shop=7&"},
		{"https://shop.example/notify?shop=7", "https://shop.example/other?shop=8", "shop=8&"},
		{"https://shop.example/notify?shop=7", "https://shop.example/other", ""},
	} {
		in, verify := headerSigned(t, &epay)
		in.Merchant.NotifyURL, in.Notification.NotifyURL = c.merchantURL, c.ownURL
		_, req := received(t, &epay, in)
		req.Query = c.before + req.Query
		if _, err := verifyHeaderSignature(req, verify); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		req.Query = strings.Replace(req.Query, "pid=m1", "pid=m2", 1)
		if _, err := verifyHeaderSignature(req, verify); err == nil {
			t.Errorf("%+v: tampered and verified", c)
		}
	}
}

// TestHeaderSignatureKeys: it is the option that asks for it, the RSA key that makes it, and a probe's is
// wrong like the rest.
func TestHeaderSignatureKeys(t *testing.T) {
	in, verify := headerSigned(t, &form)
	probe := in
	probe.Keys = in.Keys.Probe()
	_, req := received(t, &form, probe)
	wantRule(t, "probe", &form, req, verify, RuleSignature)

	for _, keys := range []*Keys{nil, {}, {keys: []parsedKey{{secret: []byte("secret")}}}} {
		lacking := in
		lacking.Keys = keys
		if msg, err := Encode(&form, lacking); !errors.Is(err, errNoKey) {
			t.Errorf("without a key: %+v, %v", msg, err)
		}
	}
	in.Merchant.Options[optionHeaderSignature] = false
	if msg, err := Encode(&form, in); err != nil || len(msg.Header) != 1 || msg.StringToSign != nil {
		t.Errorf("not asked for: %+v, %v", msg, err)
	}
	in.Notification = &store.Notification{Params: json.RawMessage(`[`)}
	in.Merchant.Options[optionHeaderSignature] = true
	if msg, err := Encode(&form, in); err == nil {
		t.Errorf("broken params: %+v", msg)
	}
}
