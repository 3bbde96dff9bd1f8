package signer

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// FuzzParsePublicKey: what is taken is a key that comes back the same in every form that merchants are given,
// and a refusal is whole.
func FuzzParsePublicKey(f *testing.F) {
	for _, name := range []string{"alipay_pub_pem", "alipay_pub_b64", "wxv3_cert_pem", "alipay_priv_pkcs1_b64"} {
		f.Add(testKey(f, name))
	}
	for _, text := range spellings(testKey(f, "wxv3_cert_pem")) {
		f.Add(text)
	}
	for _, name := range []string{"ec_certificate.pem", "ed25519_public.pem"} {
		f.Add(odd(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePublicKey(text)
		if err != nil {
			wantWhole(t, err)
			return
		}
		pem, err := PublicPEM(key)
		if err != nil {
			t.Fatal(err)
		}
		bare, err := PublicBase64(key)
		if err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{pem, bare} {
			if back, err := ParsePublicKey(form); err != nil || !back.Equal(key) {
				t.Errorf("a key written as %q reads back otherwise: %v", form, err)
			}
		}
		if _, err := ParsePrivateKey(text); err == nil {
			t.Error("a public key is taken for a private one")
		}
	})
}

// FuzzParseWebhookKeys: the three kinds of Standard Webhooks' keys are told apart by their beginnings, have
// the lengths that they must, and come back as they were.
func FuzzParseWebhookKeys(f *testing.F) {
	for _, name := range []string{"whsec", "whsk", "whpk"} {
		text := testKey(f, name)
		for _, spelling := range []string{text, " " + text + "\r\n", text + "=", text[:len(text)-1], text[1:]} {
			f.Add(spelling)
		}
	}
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	f.Add(whskPrefix + base64.StdEncoding.EncodeToString(seed))
	f.Add(whsecPrefix + base64.RawStdEncoding.EncodeToString(seed))
	f.Fuzz(func(t *testing.T, text string) {
		secret, errSecret := ParseWhsec(text)
		private, errPrivate := ParseWhsk(text)
		public, errPublic := ParseWhpk(text)
		taken := 0
		for _, err := range []error{errSecret, errPrivate, errPublic} {
			if err == nil {
				taken++
			} else {
				wantWhole(t, err)
			}
		}
		if taken > 1 {
			t.Fatalf("%q is taken for %d kinds of key", text, taken)
		}
		switch {
		case errSecret == nil:
			again := whsecPrefix + base64.StdEncoding.EncodeToString(secret)
			given := strings.Join(strings.Fields(text), "")
			if len(secret) < whsecBytesMin || len(secret) > whsecBytesMax || given != again {
				t.Errorf("%q became %d bytes, %q", text, len(secret), again)
			}
		case errPrivate == nil:
			back, err := ParseWhsk(FormatWhsk(private))
			if err != nil || !back.Equal(private) {
				t.Errorf("%q reads back otherwise: %v", text, err)
			}
			sign := SignEd25519(private, []byte("text"))
			half, ok := private.Public().(ed25519.PublicKey)
			if !ok || VerifyEd25519(half, []byte("text"), sign) != nil {
				t.Errorf("what %q signs does not verify", text)
			}
		case errPublic == nil:
			if back, err := ParseWhpk(FormatWhpk(public)); err != nil || !back.Equal(public) {
				t.Errorf("%q reads back otherwise: %v", text, err)
			}
		}
	})
}

// wantWhole checks that a refusal says what is wrong and what to do.
func wantWhole(t *testing.T, err error) {
	t.Helper()
	var fault *KeyError
	if !errors.As(err, &fault) || fault.Kind == nil || fault.Message == "" || fault.Cure == "" {
		t.Fatalf("error %#v is no whole KeyError", err)
	}
}
