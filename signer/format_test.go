package signer

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func testRSA(t testing.TB) *rsa.PrivateKey {
	t.Helper()
	key, err := ParsePrivateKey(testKey(t, "alipay_priv_b64"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestWritesWhatTheVectorsHave(t *testing.T) {
	key := testRSA(t)
	private, err := PrivatePEM(key)
	if err != nil || private != testKey(t, "alipay_priv_pem") {
		t.Errorf("private PEM differs from the vector (%v)", err)
	}
	public, err := PublicPEM(&key.PublicKey)
	if err != nil || public != testKey(t, "alipay_pub_pem") {
		t.Errorf("public PEM differs from the vector (%v):\n%s", err, public)
	}
	line, err := PublicBase64(&key.PublicKey)
	if err != nil || line != testKey(t, "alipay_pub_b64") {
		t.Errorf("public base64 differs from the vector (%v):\n%s", err, line)
	}
}

func TestSelfSigned(t *testing.T) {
	key, from := testRSA(t), time.Date(2026, 11, 21, 12, 0, 0, 987654321, time.FixedZone("", 8*3600))
	text, serial, err := SelfSigned(key, "m1", from)
	if err != nil {
		t.Fatal(err)
	}
	again, _, err := SelfSigned(key, "m1", from.Add(time.Millisecond).UTC())
	if err != nil || again != text {
		t.Errorf("the same key, name and second give another certificate (%v)", err)
	}
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" || len(rest) != 0 {
		t.Fatalf("not one certificate:\n%s", text)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if err := cert.CheckSignature(cert.SignatureAlgorithm, cert.RawTBSCertificate, cert.Signature); err != nil {
		t.Error(err)
	}
	if cert.Subject.CommonName != "m1" || !cert.NotBefore.Equal(from.Truncate(time.Second)) {
		t.Errorf("subject %s, valid from %v", cert.Subject, cert.NotBefore)
	}
	if got := cert.NotAfter.Sub(cert.NotBefore); got < 19*365*24*time.Hour {
		t.Errorf("valid for %v only", got)
	}
	public, err := ParsePublicKey(text)
	if err != nil || !public.Equal(&key.PublicKey) {
		t.Errorf("the certificate has another key (%v)", err)
	}
	if read, err := Serial(text); err != nil || read != serial {
		t.Errorf("Serial reads %s, SelfSigned said %s (%v)", read, serial, err)
	}
	_, other, err := SelfSigned(key, "m2", from.Add(time.Hour))
	if err != nil || other != serial {
		t.Errorf("serial %s for another name, want %s: it depends on the key alone (%v)", other, serial, err)
	}
}

// No leading zero and no sign bit: every SDK writes such a number with the same 40 digits.
func TestSerialForm(t *testing.T) {
	form := regexp.MustCompile(`^[4-7][0-9A-F]{39}$`)
	for i := range 256 {
		if serial := upperHex(serialOf([]byte{byte(i)})); !form.MatchString(serial) {
			t.Fatalf("serial %s", serial)
		}
	}
}

func TestSerialOfVectors(t *testing.T) {
	got, err := Serial(testKey(t, "wxv3_cert_pem"))
	if err != nil || got != testKey(t, "wxv3_serial") {
		t.Errorf("serial %s, want %s (%v)", got, testKey(t, "wxv3_serial"), err)
	}
	for _, text := range []string{"", "x", testKey(t, "alipay_pub_pem"), testKey(t, "alipay_priv_pem")} {
		_, err := Serial(text)
		var fault *KeyError
		if !errors.As(err, &fault) || !strings.Contains(fault.Cure, "X.509 certificate") {
			t.Errorf("Serial(%.20q): %v", text, err)
		}
	}
}

func TestGenerateRSA(t *testing.T) {
	key, err := GenerateRSA()
	if err != nil {
		t.Fatal(err)
	}
	if err := CheckRSA(&key.PublicKey); err != nil {
		t.Error(err)
	}
	text, err := PrivatePEM(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ParsePrivateKey(text)
	if err != nil || !back.Equal(key) {
		t.Errorf("a generated key reads back otherwise (%v)", err)
	}
	line, err := PublicBase64(&key.PublicKey)
	if err != nil || len(line) != 392 || strings.ContainsAny(line, "\r\n ") {
		t.Errorf("public base64 has %d characters, want 392 in one line (%v)", len(line), err)
	}
}
