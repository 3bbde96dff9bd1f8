package signer

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha1" //nolint:gosec // sign_type RSA is SHA-1 by the provider's definition
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// What every provider's SDK takes; some take nothing else.
const (
	rsaBits     = 2048
	rsaExponent = 65537
)

// ErrSignature says that a signature does not fit the data and the key.
var ErrSignature = errors.New("signature does not verify")

// SignRSA2 signs as Alipay's RSA2 and WeChat's WECHATPAY2-SHA256-RSA2048 do: RSASSA-PKCS1-v1_5 with SHA-256,
// in standard base64 of one line. The same data and key always give the same text. It fails only for a key
// that CheckRSA refuses.
func SignRSA2(key *rsa.PrivateKey, data []byte) (string, error) {
	sum := sha256.Sum256(data)
	return signRSA(key, crypto.SHA256, sum[:])
}

// SignRSA1 signs as Alipay's legacy RSA does: like SignRSA2, with SHA-1. For merchants who cannot verify
// anything newer.
func SignRSA1(key *rsa.PrivateKey, data []byte) (string, error) {
	sum := sha1.Sum(data) //nolint:gosec // see the import
	return signRSA(key, crypto.SHA1, sum[:])
}

// VerifyRSA2 checks a signature of SignRSA2; it returns nil or ErrSignature, wrapped.
func VerifyRSA2(key *rsa.PublicKey, data []byte, signature string) error {
	sum := sha256.Sum256(data)
	return verifyRSA(key, crypto.SHA256, sum[:], signature)
}

// VerifyRSA1 checks a signature of SignRSA1; it returns nil or ErrSignature, wrapped.
func VerifyRSA1(key *rsa.PublicKey, data []byte, signature string) error {
	sum := sha1.Sum(data) //nolint:gosec // see the import
	return verifyRSA(key, crypto.SHA1, sum[:], signature)
}

func signRSA(key *rsa.PrivateKey, hash crypto.Hash, sum []byte) (string, error) {
	// The source of randomness is not used: PKCS #1 v1.5 signatures are deterministic.
	signature, err := rsa.SignPKCS1v15(nil, key, hash, sum)
	if err != nil {
		return "", fmt.Errorf("sign with RSA: %w", err)
	}
	return base64.StdEncoding.EncodeToString(signature), nil
}

func verifyRSA(key *rsa.PublicKey, hash crypto.Hash, sum []byte, signature string) error {
	raw, err := decodeSignature(signature)
	if err != nil {
		return err
	}
	if rsa.VerifyPKCS1v15(key, hash, sum, raw) != nil {
		return ErrSignature
	}
	return nil
}

func decodeSignature(text string) ([]byte, error) {
	raw, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("%w: it is not standard base64", ErrSignature)
	}
	return raw, nil
}

// GenerateRSA makes a new key that CheckRSA accepts. It takes about 100 ms.
func GenerateRSA() (*rsa.PrivateKey, error) {
	key, err := rsa.GenerateKey(rand.Reader, rsaBits)
	if err != nil {
		return nil, fmt.Errorf("generate an RSA key: %w", err)
	}
	return key, nil
}

// CheckRSA accepts exactly what every SDK takes: 2048 bits and the exponent 65537. Others (C# EasySDK throws
// on any DER of another length) make a merchant fail where nobody looks. It returns nil or a *KeyError with
// the kind ErrKeySize.
func CheckRSA(key *rsa.PublicKey) error {
	const cure = "give an RSA key of exactly 2048 bits with the exponent 65537" +
		" (openssl genrsa 2048), or none to have one generated"
	switch bits := key.N.BitLen(); {
	case bits != rsaBits:
		return &KeyError{ErrKeySize, fmt.Sprintf("the RSA key has %d bits", bits), cure}
	case key.E != rsaExponent:
		return &KeyError{ErrKeySize, fmt.Sprintf("the RSA key has the exponent %d", key.E), cure}
	}
	return nil
}
