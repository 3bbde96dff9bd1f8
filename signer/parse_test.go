package signer

import (
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"os"
	"strings"
	"testing"
)

func odd(t testing.TB, name string) string {
	t.Helper()
	raw, err := os.ReadFile("testdata/odd/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// Every spelling in which the same key arrives.
func spellings(pemText string) map[string]string {
	lines := strings.Split(strings.TrimSpace(pemText), "\n")
	body := lines[1 : len(lines)-1]
	bare := strings.Join(body, "")
	return map[string]string{
		"pem":                   pemText,
		"no final newline":      strings.TrimSpace(pemText),
		"CRLF":                  strings.ReplaceAll(pemText, "\n", "\r\n"),
		"CR alone":              strings.ReplaceAll(pemText, "\n", "\r"),
		`literal \n`:            strings.ReplaceAll(pemText, "\n", `\n`),
		`literal \r\n`:          strings.ReplaceAll(pemText, "\n", `\r\n`),
		"leading blanks":        "\n \t" + strings.ReplaceAll(pemText, "\n", "\n    "),
		"line breaks lost":      strings.ReplaceAll(pemText, "\n", " "),
		"no breaks at all":      strings.ReplaceAll(pemText, "\n", ""),
		"byte order mark":       "\ufeff" + pemText,
		"comment before":        "Bag Attributes\n    friendlyName: shop\n" + pemText,
		"bare":                  bare,
		"bare in lines":         strings.Join(body, "\n") + "\n",
		"bare with CRLF":        "  " + strings.Join(body, "\r\n  "),
		`bare with literal \n`:  strings.Join(body, `\n`),
		"bare, padding lost":    strings.TrimRight(bare, "="),
		"bare, byte order mark": "\ufeff" + bare,
	}
}

func TestParsePrivateKeySpellings(t *testing.T) {
	want, err := ParsePrivateKey(testKey(t, "alipay_priv_pem"))
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 := "-----BEGIN RSA PRIVATE KEY-----\n" + wrap(testKey(t, "alipay_priv_pkcs1_b64")) +
		"-----END RSA PRIVATE KEY-----\n"
	for form, text := range map[string]string{
		"pkcs8": testKey(t, "alipay_priv_pem"), "pkcs1": pkcs1,
		"pkcs1 mislabelled": strings.ReplaceAll(pkcs1, "RSA PRIVATE", "PRIVATE"),
	} {
		for title, spelling := range spellings(text) {
			got, err := ParsePrivateKey(spelling)
			if err != nil {
				t.Errorf("%s, %s: %v", form, title, err)
			} else if !got.Equal(want) {
				t.Errorf("%s, %s: another key", form, title)
			}
		}
	}
	if err := CheckRSA(&want.PublicKey); err != nil {
		t.Error(err)
	}
}

func TestParsePublicKeySpellings(t *testing.T) {
	private, err := ParsePrivateKey(testKey(t, "wxv3_priv_b64"))
	if err != nil {
		t.Fatal(err)
	}
	for form, text := range map[string]string{
		"spki": testKey(t, "wxv3_pub_pem"), "certificate": testKey(t, "wxv3_cert_pem"),
	} {
		for title, spelling := range spellings(text) {
			got, err := ParsePublicKey(spelling)
			if err != nil {
				t.Errorf("%s, %s: %v", form, title, err)
			} else if !got.Equal(&private.PublicKey) {
				t.Errorf("%s, %s: another key", form, title)
			}
		}
	}
}

func wrap(body string) string {
	var b strings.Builder
	for len(body) > 64 {
		b.WriteString(body[:64] + "\n")
		body = body[64:]
	}
	return b.String() + body + "\n"
}

// damage changes one number in the middle of a DER key: the frame stays whole.
func damage(t *testing.T, text string) string {
	t.Helper()
	der, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	der[len(der)/2] ^= 0xff
	return base64.StdEncoding.EncodeToString(der)
}

func TestParsePrivateKeyRefusals(t *testing.T) {
	pem, bare := testKey(t, "alipay_priv_pem"), testKey(t, "alipay_priv_b64")
	for _, c := range []struct {
		title, text string
		kind        error
		want        string
	}{
		{"empty", "", ErrEmptyKey, "there is no key"},
		{"blanks", " \r\n\\n", ErrEmptyKey, "there is no key"},
		{"public PEM", testKey(t, "alipay_pub_pem"), ErrPublicKey, "public key; give an RSA private key"},
		{"public base64", testKey(t, "alipay_pub_b64"), ErrPublicKey, "public key"},
		{"certificate", testKey(t, "wxv3_cert_pem"), ErrCertificate, "this is a certificate"},
		{"encrypted PKCS #8", odd(t, "encrypted_pkcs8.pem"), ErrEncryptedKey, "passphrase"},
		{"encrypted, bare", bareOf(odd(t, "encrypted_pkcs8.pem")), ErrEncryptedKey, "passphrase"},
		{"encrypted PKCS #1", odd(t, "encrypted_traditional.pem"), ErrEncryptedKey, "openssl rsa"},
		{"EC with parameters", odd(t, "ec_with_parameters.pem"), ErrKeyType, "not an RSA key"},
		{"EC PKCS #8", odd(t, "ec_pkcs8.pem"), ErrKeyType, "not an RSA key"},
		{"Ed25519", odd(t, "ed25519.pem"), ErrKeyType, "not an RSA key"},
		{"DSA", odd(t, "dsa.pem"), ErrKeyType, "not an RSA key"},
		{"OpenSSH", odd(t, "openssh.pem"), ErrNotKey, "ssh-keygen"},
		{"three primes", odd(t, "rsa_three_primes.pem"), ErrKeyType, "3 primes"},
		{"two blocks", pem + pem, ErrManyBlocks, "more than one PEM block"},
		{"key and certificate", pem + testKey(t, "wxv3_cert_pem"), ErrManyBlocks, "more than one"},
		{"block in a block", strings.Replace(pem, "-----END", "-----BEGIN X-----\n-----END", 1), ErrManyBlocks, ""},
		{"truncated PEM", pem[:len(pem)/2], ErrTruncated, "no -----END line"},
		{"truncated body", strings.Replace(pem, bare[64:128]+"\n", "", 1), ErrTruncated, "1170 of 1218 bytes"},
		{"truncated base64", bare[:800], ErrTruncated, "cut off: 600 of 1218 bytes"},
		{"truncated base64, odd", bare[:801], ErrTruncated, "cut off: 600 of 1218 bytes"},
		{"garbage behind PEM", pem + "x", ErrTrailing, "something stands behind the key"},
		{"wrong END", strings.Replace(pem, "END PRIVATE", "END PUBLIC", 1), ErrTrailing, "END line does not fit"},
		{"bytes behind base64", bare[:len(bare)-1] + "AAAAA", ErrTrailing, "bytes stand behind the key"},
		{"text behind base64", bare + " # shop", ErrBase64, "not standard base64"},
		{"URL base64", strings.NewReplacer("+", "-", "/", "_").Replace(bare), ErrBase64, "not standard base64"},
		{"broken BEGIN", "-----BEGIN PRIVATE KEY\n" + bare, ErrNotKey, "BEGIN"},
		{"not a key", "swordfish", ErrNotKey, "no key that can be read"},
		{"base64 of text", "c3dvcmRmaXNoIHN3b3JkZmlzaA==", ErrNotKey, "no key that can be read"},
		{"damaged PKCS #8", damage(t, bare), ErrDamaged, "do not fit together"},
		{"damaged PKCS #1", damage(t, testKey(t, "alipay_priv_pkcs1_b64")), ErrDamaged, "do not fit together"},
		{"far too long", strings.Repeat(bare, 30), ErrNotKey, "bytes, more than any key"},
	} {
		t.Run(c.title, func(t *testing.T) {
			_, err := ParsePrivateKey(c.text)
			checkRefusal(t, err, c.kind, c.want, c.text)
		})
	}
}

func TestParsePublicKeyRefusals(t *testing.T) {
	for _, c := range []struct {
		title, text string
		kind        error
		want        string
	}{
		{"private key", testKey(t, "alipay_priv_pem"), ErrPrivateKey, "private key; give an RSA public key"},
		{"private PKCS #1", testKey(t, "alipay_priv_pkcs1_b64"), ErrPrivateKey, "private key"},
		{"EC certificate", odd(t, "ec_certificate.pem"), ErrKeyType, "not an RSA key"},
		{"Ed25519", odd(t, "ed25519_public.pem"), ErrKeyType, "not an RSA key"},
		{"truncated", testKey(t, "alipay_pub_b64")[:200], ErrTruncated, "150 of 294 bytes"},
		{"empty", "", ErrEmptyKey, "no key"},
	} {
		t.Run(c.title, func(t *testing.T) {
			_, err := ParsePublicKey(c.text)
			checkRefusal(t, err, c.kind, c.want, c.text)
		})
	}
}

func bareOf(pemText string) string { return spellings(pemText)["bare"] }

func checkRefusal(t *testing.T, err, kind error, want, text string) {
	t.Helper()
	var fault *KeyError
	if !errors.As(err, &fault) {
		t.Fatalf("error %v, want a *KeyError", err)
	}
	if !errors.Is(err, kind) {
		t.Errorf("kind %q, want %q", fault.Kind, kind)
	}
	if !strings.Contains(err.Error(), want) || fault.Cure == "" {
		t.Errorf("error %q, cure %q; want … %s …", err, fault.Cure, want)
	}
	checkNoLeak(t, err.Error(), text)
}

// checkNoLeak fails when ten characters in a row of the key's text stand in an error; its own armour and the
// words of the cures do not count.
func checkNoLeak(t *testing.T, message, text string) {
	t.Helper()
	const window = 10
	for _, line := range strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == ' ' }) {
		for i := 0; i+window <= len(line); i++ {
			part := line[i : i+window]
			if strings.Contains(message, part) && !strings.Contains(part, "-----") {
				t.Fatalf("error %q shows %q of the key", message, part)
			}
		}
	}
}

// Canaries: whatever single character of a key is lost or changed, the error shows none of the rest.
func TestErrorsShowNoKey(t *testing.T) {
	bare, whsk, whsec := testKey(t, "alipay_priv_b64"), testKey(t, "whsk"), testKey(t, "whsec")
	for i := 0; i < len(bare); i += 41 {
		for _, text := range []string{bare[:i] + bare[i+1:], bare[:i] + "!" + bare[i+1:], flipAt(bare, i)} {
			if _, err := ParsePrivateKey(text); err != nil {
				checkNoLeak(t, err.Error(), text)
			}
			if _, err := ParsePublicKey(text); err != nil {
				checkNoLeak(t, err.Error(), text)
			}
		}
	}
	for _, text := range []string{
		whsk, whsec, whsk[:40], whsec[:20], whsk + "=", whsec + "!", whsk[5:], whsec[6:],
	} {
		if _, err := ParseWhsk(text); err != nil {
			checkNoLeak(t, err.Error(), text)
		}
		if _, err := ParseWhsec(text); err != nil {
			checkNoLeak(t, err.Error(), text)
		}
		if _, err := ParseWhpk(text); err != nil {
			checkNoLeak(t, err.Error(), text)
		}
	}
}

func flipAt(text string, i int) string {
	c := byte('A')
	if text[i] == c {
		c = 'B'
	}
	return text[:i] + string(c) + text[i+1:]
}

func TestCheckRSA(t *testing.T) {
	for name, want := range map[string]string{
		"rsa_512.pem":  "the RSA key has 512 bits; give an RSA key of exactly 2048 bits",
		"rsa_1024.pem": "the RSA key has 1024 bits",
		"rsa_e3.pem":   "the RSA key has the exponent 3",
	} {
		key, err := ParsePrivateKey(odd(t, name))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		err = CheckRSA(&key.PublicKey)
		if !errors.Is(err, ErrKeySize) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	if _, err := SignRSA2(&rsa.PrivateKey{}, nil); err == nil {
		t.Error("an empty key signs")
	}
}

func FuzzParsePrivateKey(f *testing.F) {
	for _, text := range spellings(testKey(f, "alipay_priv_pem")) {
		f.Add(text)
	}
	for _, name := range []string{"encrypted_pkcs8.pem", "ec_with_parameters.pem", "dsa.pem", "openssh.pem"} {
		f.Add(odd(f, name))
	}
	f.Fuzz(func(t *testing.T, text string) {
		key, err := ParsePrivateKey(text)
		if err != nil {
			var fault *KeyError
			if !errors.As(err, &fault) || fault.Kind == nil || fault.Cure == "" {
				t.Fatalf("error %#v is no whole KeyError", err)
			}
			return
		}
		out, err := PrivatePEM(key)
		if err != nil {
			t.Fatal(err)
		}
		if back, err := ParsePrivateKey(out); err != nil || !back.Equal(key) {
			t.Errorf("a key written as PEM reads back otherwise: %v", err)
		}
	})
}
