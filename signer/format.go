package signer

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"
)

// certificateYears is how long a self-signed certificate says that it is valid. Merchants pin it; it must
// outlive every key, and no SDK checks its age against anything shorter.
const certificateYears = 20

// PrivatePEM writes a private key as PKCS #8 PEM, which ParsePrivateKey reads. It is a secret.
func PrivatePEM(key *rsa.PrivateKey) (string, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return "", fmt.Errorf("write an RSA private key: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), nil
}

// PublicPEM writes a public key as SubjectPublicKeyInfo PEM: what PHP's openssl_verify, Python and
// wechatpay-go take.
func PublicPEM(key *rsa.PublicKey) (string, error) {
	der, err := publicDER(key)
	if err != nil {
		return "", err
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})), nil
}

// PublicBase64 writes the same in one line without armour: what Alipay's own SDKs take as alipayPublicKey.
func PublicBase64(key *rsa.PublicKey) (string, error) {
	der, err := publicDER(key)
	if err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(der), nil
}

func publicDER(key *rsa.PublicKey) ([]byte, error) {
	der, err := x509.MarshalPKIXPublicKey(key)
	if err != nil {
		return nil, fmt.Errorf("write an RSA public key: %w", err)
	}
	return der, nil
}

// SelfSigned writes a self-signed X.509 certificate as PEM, for the SDKs that want the public key in that
// form (yansongda/pay, AopCertClient, WeChat's platform certificate), and its serial number in upper-case
// hex. The subject is CN=name (at most 64 characters), valid from the given instant, in whole seconds, for 20
// years. The same key, name and instant always give the same bytes; the serial depends on the key alone.
func SelfSigned(key *rsa.PrivateKey, name string, from time.Time) (certificate, serial string, err error) {
	public, err := publicDER(&key.PublicKey)
	if err != nil {
		return "", "", err
	}
	from = from.UTC().Truncate(time.Second)
	number := serialOf(public)
	template := &x509.Certificate{
		SerialNumber:       number,
		Subject:            pkix.Name{CommonName: name},
		NotBefore:          from,
		NotAfter:           from.AddDate(certificateYears, 0, 0),
		SignatureAlgorithm: x509.SHA256WithRSA,
		KeyUsage:           x509.KeyUsageDigitalSignature,
	}
	// The source of randomness is not used: the serial is ours and the signature deterministic.
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return "", "", fmt.Errorf("write a certificate: %w", err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), upperHex(number), nil
}

// SerialOf is the serial number, in upper-case hex, of the certificate that SelfSigned writes for a key.
func SerialOf(key *rsa.PublicKey) (string, error) {
	public, err := publicDER(key)
	if err != nil {
		return "", err
	}
	return upperHex(serialOf(public)), nil
}

// serialOf makes 20 bytes (RFC 5280's most) out of a public key. The first digit is 4–7: never negative,
// and never a zero, which some SDKs drop when they write the number and others do not.
func serialOf(public []byte) *big.Int {
	sum := sha256.Sum256(public)
	raw := sum[:20]
	raw[0] = raw[0]&0x3f | 0x40
	return new(big.Int).SetBytes(raw)
}

func upperHex(n *big.Int) string { return fmt.Sprintf("%X", n.Bytes()) }

// Serial is the serial number of a certificate (PEM or bare base64) in upper-case hex, as the header
// Wechatpay-Serial carries it. Errors are *KeyError.
func Serial(certificate string) (string, error) {
	const cure = "give an X.509 certificate: PEM (BEGIN CERTIFICATE) or its bare base64"
	der, err := decodeKey(certificate, cure)
	if err != nil {
		return "", err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return "", &KeyError{ErrNotKey, "this is no certificate that can be read", cure}
	}
	return upperHex(parsed.SerialNumber), nil
}
