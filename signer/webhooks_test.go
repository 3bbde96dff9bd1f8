package signer

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestParseWebhookKeys(t *testing.T) {
	whsk, whpk := testKey(t, "whsk"), testKey(t, "whpk")
	private, err := ParseWhsk(whsk)
	if err != nil {
		t.Fatal(err)
	}
	if got := FormatWhsk(private); got != whsk {
		t.Error("the private key is written otherwise than in the vector")
	}
	if got := FormatWhpk(private.Public().(ed25519.PublicKey)); got != whpk {
		t.Errorf("public key %s, want %s", got, whpk)
	}
	seed, err := ParseWhsk("whsk_" + base64.StdEncoding.EncodeToString(private.Seed()))
	if err != nil || !seed.Equal(private) {
		t.Errorf("the 32-byte form is another key (%v)", err)
	}
	if trimmed, err := ParseWhsk(" " + whsk + "\r\n"); err != nil || !trimmed.Equal(private) {
		t.Errorf("with blanks round it: %v", err)
	}
}

func TestWebhookKeyRefusals(t *testing.T) {
	whsk := testKey(t, "whsk")
	private, err := ParseWhsk(whsk)
	if err != nil {
		t.Fatal(err)
	}
	crossed := append([]byte{}, private...)
	crossed[63] ^= 1
	b64 := base64.StdEncoding.EncodeToString
	parseWhsk := func(text string) error { _, err := ParseWhsk(text); return err }
	parseWhpk := func(text string) error { _, err := ParseWhpk(text); return err }
	parseWhsec := func(text string) error { _, err := ParseWhsec(text); return err }
	for _, c := range []struct {
		title string
		parse func(string) error
		text  string
		kind  error
		want  string
	}{
		{"public for private", parseWhsk, testKey(t, "whpk"), ErrPublicKey, "this is a public key"},
		{"no prefix", parseWhsk, b64(private), ErrNotKey, "does not begin with whsk_"},
		{"secret for private", parseWhsk, testKey(t, "whsec"), ErrNotKey, "does not begin with whsk_"},
		{"halves of two keys", parseWhsk, "whsk_" + b64(crossed), ErrDamaged, "do not belong together"},
		{"48 bytes", parseWhsk, "whsk_" + b64(private[:48]), ErrKeySize, "the key has 48 bytes"},
		{"no base64", parseWhsk, "whsk_!" + whsk[6:], ErrBase64, "what follows whsk_ is not standard base64"},
		{"private for public", parseWhpk, whsk, ErrNotKey, "does not begin with whpk_"},
		{"31 bytes", parseWhpk, "whpk_" + b64(private[:31]), ErrKeySize, "the key has 31 bytes"},
		{"secret of 23 bytes", parseWhsec, "whsec_" + b64(private[:23]), ErrKeySize, "the secret has 23 bytes"},
		{"secret of 65 bytes", parseWhsec, "whsec_" + b64(make([]byte, 65)), ErrKeySize, "the secret has 65 bytes"},
		{"plain secret", parseWhsec, "swordfish", ErrNotKey, "does not begin with whsec_"},
		{"unpadded secret", parseWhsec, "whsec_" + b64(private[:25])[:34], ErrBase64, "not standard base64"},
		{"empty", parseWhsec, "", ErrNotKey, "does not begin with whsec_"},
	} {
		t.Run(c.title, func(t *testing.T) { checkRefusal(t, c.parse(c.text), c.kind, c.want, c.text) })
	}
	for _, n := range []int{24, 25, 64} {
		if err := parseWhsec("whsec_" + b64(make([]byte, n))); err != nil {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

func TestGenerated(t *testing.T) {
	secrets := map[string]bool{}
	for range 50 {
		whsec, plain := GenerateWhsec(), GenerateSecret()
		if raw, err := ParseWhsec(whsec); err != nil || len(raw) != 36 || strings.Contains(whsec, "=") {
			t.Fatalf("whsec of %d bytes, padded %v (%v)", len(raw), strings.Contains(whsec, "="), err)
		}
		if !regexp.MustCompile(`^[0-9a-z]{32}$`).MatchString(plain) {
			t.Fatal("a generated secret is not 32 characters of [0-9a-z]")
		}
		if secrets[whsec] || secrets[plain] {
			t.Fatal("the same secret twice")
		}
		secrets[whsec], secrets[plain] = true, true
	}
	key, err := GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParseWhsk(FormatWhsk(key))
	if err != nil || !back.Equal(key) {
		t.Errorf("a generated key reads back otherwise (%v)", err)
	}
	sign := SignEd25519(key, []byte("data"))
	public := key.Public().(ed25519.PublicKey)
	if err := VerifyEd25519(public, []byte("data"), sign); err != nil {
		t.Error(err)
	}
	if err := VerifyEd25519(public, []byte("date"), sign); !errors.Is(err, ErrSignature) {
		t.Errorf("other data: %v, want ErrSignature", err)
	}
}
