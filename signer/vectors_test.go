package signer

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
)

// vectorKeys are the test-only keys of testdata/keys.json by name.
var vectorKeys = sync.OnceValues(func() (map[string]string, error) {
	raw, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		return nil, err
	}
	var keys map[string]string
	return keys, json.Unmarshal(raw, &keys)
})

func testKey(t testing.TB, name string) string {
	t.Helper()
	keys, err := vectorKeys()
	if err != nil {
		t.Fatal(err)
	}
	text, ok := keys[name]
	if !ok {
		t.Fatalf("testdata/keys.json has no %s", name)
	}
	return text
}

type vectorCase struct {
	Case, Canonical, Hash, Sign string
	SignInput                   string `json:"sign_input"`
	V1, V1a, Whsk, Whpk, Secret string
	V1Old                       string `json:"v1_old"`
	SecretOld                   string `json:"secret_old"`
}

func vectorCases(t testing.TB, file string) []vectorCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ Cases []vectorCase }
	if err := json.Unmarshal(raw, &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Cases) == 0 {
		t.Fatalf("%s has no cases", file)
	}
	return all.Cases
}

// bytesOf reads the vectors' notation for bytes that are no UTF-8.
func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	digits, isHex := strings.CutPrefix(text, "hex:")
	if !isHex {
		return []byte(text)
	}
	raw, err := hex.DecodeString(digits)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// checkTampered changes data and signature in ways that must never verify.
func checkTampered(t *testing.T, data []byte, signature string, verify func([]byte, string) error) {
	t.Helper()
	for i := 0; i < len(data); i += 1 + len(data)/16 {
		bad := append([]byte{}, data...)
		bad[i] ^= 1
		if verify(bad, signature) == nil {
			t.Errorf("verifies with bit 0 of byte %d flipped", i)
		}
	}
	for title, bad := range map[string]string{
		"empty":    "",
		"cut":      signature[:len(signature)-4],
		"blank":    signature + " ",
		"flipped":  flip(signature),
		"not text": "\x00" + signature[1:],
		"twice":    signature + signature,
		"upper":    strings.ToUpper(signature),
	} {
		if verify(data, bad) == nil {
			t.Errorf("verifies with signature %s", title)
		}
	}
	if verify(append(data, 0), signature) == nil || verify(data[:len(data)-1], signature) == nil {
		t.Error("verifies with a byte more or less")
	}
}

func flip(signature string) string {
	c := byte('A')
	if signature[3] == c {
		c = 'B'
	}
	return signature[:3] + string(c) + signature[4:]
}

func TestAlipayVectors(t *testing.T) {
	key, err := ParsePrivateKey(testKey(t, "alipay_priv_pem"))
	if err != nil {
		t.Fatal(err)
	}
	public, err := ParsePublicKey(testKey(t, "alipay_pub_b64"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range vectorCases(t, "alipay.json") {
		t.Run(c.Case, func(t *testing.T) {
			sign, verify, other := SignRSA2, VerifyRSA2, VerifyRSA1
			if c.Hash == "SHA1" {
				sign, verify, other = SignRSA1, VerifyRSA1, VerifyRSA2
			}
			data := bytesOf(t, c.Canonical)
			got, err := sign(key, data)
			if err != nil {
				t.Fatal(err)
			}
			if got != c.Sign {
				t.Errorf("sign %s, want %s", got, c.Sign)
			}
			if err := verify(public, data, c.Sign); err != nil {
				t.Error(err)
			}
			if other(public, data, c.Sign) == nil {
				t.Error("verifies with the other hash")
			}
			checkTampered(t, data, c.Sign, func(d []byte, s string) error { return verify(public, d, s) })
		})
	}
}

func TestAlipayMD5Vectors(t *testing.T) {
	key := []byte(testKey(t, "md5key"))
	for _, c := range vectorCases(t, "alipay_legacy_md5.json") {
		t.Run(c.Case, func(t *testing.T) {
			data := strings.TrimSuffix(c.SignInput, string(key))
			if got := MD5Key([]byte(data), key); got != c.Sign {
				t.Errorf("sign %s, want %s", got, c.Sign)
			}
			if err := VerifyMD5Key([]byte(data), key, c.Sign); err != nil {
				t.Error(err)
			}
			checkTampered(t, []byte(data), c.Sign, func(d []byte, s string) error { return VerifyMD5Key(d, key, s) })
			if VerifyMD5Key([]byte(data), append(key, 'x'), c.Sign) == nil {
				t.Error("verifies with another key")
			}
		})
	}
}

func TestStandardWebhooksVectors(t *testing.T) {
	for _, c := range vectorCases(t, "standard_webhooks.json") {
		t.Run(c.Case, func(t *testing.T) {
			data := []byte(c.Canonical)
			private, err := ParseWhsk(c.Whsk)
			if err != nil {
				t.Fatal(err)
			}
			public, err := ParseWhpk(c.Whpk)
			if err != nil {
				t.Fatal(err)
			}
			if got := "v1a," + SignEd25519(private, data); got != c.V1a {
				t.Errorf("v1a %s, want %s", got, c.V1a)
			}
			sign := strings.TrimPrefix(c.V1a, "v1a,")
			if err := VerifyEd25519(public, data, sign); err != nil {
				t.Error(err)
			}
			checkTampered(t, data, sign, func(d []byte, s string) error { return VerifyEd25519(public, d, s) })
			for secret, want := range map[string]string{c.Secret: c.V1, c.SecretOld: c.V1Old} {
				checkWhsec(t, secret, data, want)
			}
		})
	}
}

func checkWhsec(t *testing.T, secret string, data []byte, want string) {
	t.Helper()
	key, err := ParseWhsec(secret)
	if err != nil {
		t.Fatal(err)
	}
	mac := HMACSHA256(key, data)
	if got := "v1," + base64.StdEncoding.EncodeToString(mac); got != want {
		t.Errorf("v1 %s, want %s", got, want)
	}
	if err := VerifyHMACSHA256(key, data, mac); err != nil {
		t.Error(err)
	}
	mac[0] ^= 1
	if VerifyHMACSHA256(key, data, mac) == nil || VerifyHMACSHA256(key, data, mac[:31]) == nil {
		t.Error("a changed HMAC verifies")
	}
}

// One key, many goroutines: under -race this also shows that nothing in it is written while signing.
func TestSignConcurrently(t *testing.T) {
	key, err := ParsePrivateKey(testKey(t, "alipay_priv_b64"))
	if err != nil {
		t.Fatal(err)
	}
	ed, err := ParseWhsk(testKey(t, "whsk"))
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 5 {
				data := fmt.Appendf(nil, "%d-%d", g, i)
				rsa2, err := SignRSA2(key, data)
				if err != nil {
					t.Error(err)
					return
				}
				if err := VerifyRSA2(&key.PublicKey, data, rsa2); err != nil {
					t.Error(err)
				}
				SignEd25519(ed, data)
			}
		})
	}
	wg.Wait()
}

func BenchmarkSignRSA2(b *testing.B) {
	key, err := ParsePrivateKey(testKey(b, "alipay_priv_b64"))
	if err != nil {
		b.Fatal(err)
	}
	data := make([]byte, 600)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := SignRSA2(key, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMD5Key(b *testing.B) {
	data, key := make([]byte, 600), make([]byte, 32)
	b.ReportAllocs()
	for b.Loop() {
		MD5Key(data, key)
	}
}
