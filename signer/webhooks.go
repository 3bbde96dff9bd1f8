package signer

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
)

// The prefixes of Standard Webhooks keys. Stripe's secrets begin with whsec_ too, but are used as they are.
const (
	whsecPrefix = "whsec_"
	whskPrefix  = "whsk_"
	whpkPrefix  = "whpk_"
)

// Standard Webhooks: "between 24 bytes and 64 bytes". What we generate is a multiple of 3, so that the base64
// has no padding: some libraries refuse it padded, others unpadded.
const (
	whsecBytesMin = 24
	whsecBytesMax = 64
	whsecBytesNew = 36
)

// SignEd25519 is the standard base64 of the Ed25519 signature: what stands behind "v1a,".
func SignEd25519(key ed25519.PrivateKey, data []byte) string {
	return base64.StdEncoding.EncodeToString(ed25519.Sign(key, data))
}

// VerifyEd25519 checks a signature of SignEd25519; it returns nil or ErrSignature, wrapped.
func VerifyEd25519(key ed25519.PublicKey, data []byte, signature string) error {
	raw, err := decodeSignature(signature)
	if err != nil {
		return err
	}
	if !ed25519.Verify(key, data, raw) {
		return ErrSignature
	}
	return nil
}

// GenerateEd25519 makes a new key.
func GenerateEd25519() (ed25519.PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("generate an Ed25519 key: %w", err)
	}
	return key, nil
}

// ParseWhsec reads a Standard Webhooks secret: "whsec_" and the base64 of 24–64 bytes. Errors are
// *KeyError.
func ParseWhsec(text string) ([]byte, error) {
	const cure = "give whsec_ and the standard base64 of 24 to 64 random bytes, or none to have one generated"
	raw, err := prefixed(whsecPrefix, text, cure)
	if err == nil && (len(raw) < whsecBytesMin || len(raw) > whsecBytesMax) {
		return nil, &KeyError{ErrKeySize, fmt.Sprintf("the secret has %d bytes", len(raw)), cure}
	}
	return raw, err
}

// GenerateWhsec makes a new secret of 36 bytes, in the form that ParseWhsec reads.
func GenerateWhsec() string {
	var raw [whsecBytesNew]byte
	rand.Read(raw[:]) // never fails
	return whsecPrefix + base64.StdEncoding.EncodeToString(raw[:])
}

// ParseWhsk reads a Standard Webhooks private key: "whsk_" and the base64 of the 64-byte Ed25519 private key,
// or of its 32-byte seed (the specification fixes neither). Errors are *KeyError.
func ParseWhsk(text string) (ed25519.PrivateKey, error) {
	const cure = "give whsk_ and the standard base64 of an Ed25519 private key of 64 or 32 bytes"
	if strings.HasPrefix(text, whpkPrefix) {
		return nil, &KeyError{ErrPublicKey, "this is a public key", cure}
	}
	raw, err := prefixed(whskPrefix, text, cure)
	if err != nil {
		return nil, err
	}
	switch len(raw) {
	case ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(raw), nil
	case ed25519.PrivateKeySize:
		key := ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize])
		if !key.Equal(ed25519.PrivateKey(raw)) {
			return nil, &KeyError{ErrDamaged, "its two halves do not belong together", cure}
		}
		return key, nil
	}
	return nil, &KeyError{ErrKeySize, fmt.Sprintf("the key has %d bytes", len(raw)), cure}
}

// ParseWhpk reads a Standard Webhooks public key: "whpk_" and the base64 of 32 bytes. Errors are *KeyError.
func ParseWhpk(text string) (ed25519.PublicKey, error) {
	const cure = "give whpk_ and the standard base64 of an Ed25519 public key of 32 bytes"
	raw, err := prefixed(whpkPrefix, text, cure)
	if err == nil && len(raw) != ed25519.PublicKeySize {
		return nil, &KeyError{ErrKeySize, fmt.Sprintf("the key has %d bytes", len(raw)), cure}
	}
	return raw, err
}

// FormatWhsk writes the 64-byte form that ParseWhsk reads. It is a secret.
func FormatWhsk(key ed25519.PrivateKey) string {
	return whskPrefix + base64.StdEncoding.EncodeToString(key)
}

// FormatWhpk writes the form that ParseWhpk reads.
func FormatWhpk(key ed25519.PublicKey) string {
	return whpkPrefix + base64.StdEncoding.EncodeToString(key)
}

func prefixed(prefix, text, cure string) ([]byte, error) {
	rest, found := strings.CutPrefix(strings.TrimSpace(text), prefix)
	if !found {
		return nil, &KeyError{ErrNotKey, "it does not begin with " + prefix, cure}
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(rest)
	if err != nil {
		return nil, &KeyError{ErrBase64, "what follows " + prefix + " is not standard base64", cure}
	}
	return raw, nil
}
