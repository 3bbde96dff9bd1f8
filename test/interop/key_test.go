package interop

import (
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"testing"
)

// TestGivenKeys registers merchants with keys that they bring, as when a platform moves to us.
func TestGivenKeys(t *testing.T) {
	private, err := appKey()
	if err != nil {
		t.Fatal(err)
	}
	for name, key := range map[string]object{
		"alipay":         {"private_key": private},
		"wechat_v2-md5":  {"secret": "0123456789abcdefghijklmnopqrstuv"},
		"wechat_v2-hmac": {"secret": "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"},
		"wechat_v3-certificate": {
			"private_key": private, "secret": "testonlyapiv3key0123456789abcdef",
		},
		"wechat_v3-key": {
			"private_key": private, "secret": "testonlyapiv3key0123456789abcdef", "serial": "PUB_KEY_ID_01",
		},
		"standard": {"secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY="},
		"stripe":   {"secret": "whsec_test_secret+of/another=kind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dialectOf(t, name)
			d.settings = maps.Clone(d.settings)
			d.settings["key"] = key
			m := register(t, d.settings)
			if want, given := key["secret"]; given && m.Secret != want {
				t.Errorf("the answer shows secret %q, given %q", m.Secret, want)
			}
			j := newJury(t, d, m)
			shop.serve(m, j)
			id := send(t, m, d.notification)
			defer func() {
				for _, refusal := range j.refusals(randomShown) {
					t.Error(refusal)
				}
			}()
			spent(t, id)
		})
	}
}

// TestRotationOverlap rotates the keys of the dialects that can carry several signatures: until the overlap
// ends, merchants verify with the old secret or the new one.
func TestRotationOverlap(t *testing.T) {
	for _, name := range []string{"standard", "standard-v1a", "standard-svix", "stripe"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := dialectOf(t, name)
			before := register(t, d.settings)
			var after known
			status := call(t, http.MethodPost, "/v1/merchants/"+before.MchID+"/rotate-key",
				object{"overlap": "24h"}, &after)
			if status != http.StatusOK || after.Secret == "" || after.Secret == before.Secret {
				t.Fatalf("rotate-key answers %d, another secret: %v", status, after.Secret != before.Secret)
			}
			other := register(t, d.settings) // whose secret is neither
			juries := []*jury{newJury(t, d, before), newJury(t, d, after)}
			shop.serve(before, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				request := receive(r)
				for i, j := range juries {
					if status, _ := request.replay(j); !d.acked(status, "") {
						t.Errorf("key %d: %v", i, j.refusals(randomShown))
					}
				}
			}))
			spent(t, send(t, before, d.notification))
			request := shop.of(before)[0]
			for _, s := range d.sdks {
				if s.node && nodeAbsent() != nil {
					continue
				}
				if status, reply := request.replay(s.handler(t, other)); d.acked(status, reply) {
					t.Errorf("%s accepts with a third secret", s.name)
				}
			}
		})
	}
}

// TestV1a verifies the Ed25519 tokens of Standard Webhooks, which no library does, with the key that the API
// answers, also during an overlap.
func TestV1a(t *testing.T) {
	m := register(t, object{"profile": "standard", "sign_type": "v1a"})
	var after known
	call(t, http.MethodPost, "/v1/merchants/"+m.MchID+"/rotate-key", object{"overlap": "1h"}, &after)
	if after.Whpk == m.Whpk {
		t.Fatal("rotate-key left the Ed25519 key")
	}
	shop.serve(m, webhookHandler(func(payload []byte, headers http.Header) error {
		return errors.Join(verifyV1a(m.Whpk, payload, headers), verifyV1a(after.Whpk, payload, headers))
	}))
	spent(t, send(t, m, eventNotification))
	bad := shop.of(m)[0]
	bad.body[len(bad.body)/2] ^= 1
	if err := verifyV1a(after.Whpk, bad.body, bad.header); err == nil {
		t.Error("a changed body verifies")
	}
}

func verifyV1a(whpk string, payload []byte, headers http.Header) error {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(whpk, "whpk_"))
	if err != nil || len(key) != ed25519.PublicKeySize {
		return fmt.Errorf("whpk %q: %w", whpk, err)
	}
	text := headers.Get("Webhook-Id") + "." + headers.Get("Webhook-Timestamp") + "." + string(payload)
	for token := range strings.SplitSeq(headers.Get("Webhook-Signature"), " ") {
		signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(token, "v1a,"))
		if err == nil && ed25519.Verify(key, []byte(text), signature) {
			return nil
		}
	}
	return errors.New("no v1a token verifies")
}

// TestHeaderSignature verifies the signature in the headers, which any profile can add, with nothing but a
// crypto library: RSA-SHA256 over timestamp, nonce and body, a line each.
func TestHeaderSignature(t *testing.T) {
	for _, profile := range []string{"form", "alipay_mapi", "standard"} {
		t.Run(profile, func(t *testing.T) {
			t.Parallel()
			m := register(t, object{"profile": profile, "options": object{"header_signature": true}})
			key := publicKey(t, m)
			shop.serve(m, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if err := verifyHeaders(key, receive(r)); err != nil {
					refuse(w, err)
					return
				}
				fmt.Fprint(w, "success")
			}))
			spent(t, send(t, m, object{"out_trade_no": "1", "params": object{"status": "支付成功 & 1"}}))
			good := shop.of(m)[0]
			for i := range good.body {
				bad := good
				bad.body = append([]byte(nil), good.body...)
				bad.body[i] ^= 1
				if verifyHeaders(key, bad) == nil {
					t.Errorf("byte %d may be changed", i)
				}
			}
			for _, name := range []string{"X-Notify-Timestamp", "X-Notify-Nonce"} {
				bad := good
				bad.header = good.header.Clone()
				bad.header.Set(name, good.header.Get(name)+"0")
				if verifyHeaders(key, bad) == nil {
					t.Errorf("header %s may be changed", name)
				}
			}
		})
	}
}

func verifyHeaders(key *rsa.PublicKey, r received) error {
	timestamp, nonce := r.header.Get("X-Notify-Timestamp"), r.header.Get("X-Notify-Nonce")
	if timestamp == "" || nonce == "" {
		return errors.New("x-notify-timestamp or x-notify-nonce is missing")
	}
	signature, err := base64.StdEncoding.DecodeString(r.header.Get("X-Notify-Signature"))
	if err != nil {
		return err
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\n%s\n%s\n", timestamp, nonce, r.body))
	return rsa.VerifyPKCS1v15(key, crypto.SHA256, sum[:], signature)
}
