package signer

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/asn1"
	"encoding/base64"
	"fmt"
	"strings"
)

// keyBytesMax bounds the text of a key: a 4096-bit one needs 3.3 KiB, a certificate with every extension not
// ten times that.
const keyBytesMax = 32 << 10

const (
	privateCure = "give an RSA private key: PEM (BEGIN PRIVATE KEY or BEGIN RSA PRIVATE KEY) or its bare base64"
	publicCure  = "give an RSA public key: PEM (BEGIN PUBLIC KEY), its bare base64, or a certificate"
)

// ParsePrivateKey reads an RSA private key as merchants and consoles hand them out: PKCS #8 or PKCS #1, as
// PEM or as its bare base64, in one line or many, with CRLF, leading blanks, a byte order mark, or "\n"
// written as two characters (as it comes out of environment variables). Size and exponent are not checked,
// see CheckRSA. Errors are *KeyError.
func ParsePrivateKey(text string) (*rsa.PrivateKey, error) {
	der, err := decodeKey(text, privateCure)
	if err != nil {
		return nil, err
	}
	found, key := classify(der)
	switch found {
	case kindPrivate:
		private := key.(*rsa.PrivateKey)
		if n := len(private.Primes); n != 2 {
			return nil, &KeyError{ErrKeyType, fmt.Sprintf("this RSA key has %d primes, not 2", n), privateCure}
		}
		return private, nil
	case kindPublic:
		return nil, &KeyError{ErrPublicKey, "this is a public key", privateCure}
	case kindCertificate:
		return nil, &KeyError{ErrCertificate, "this is a certificate", privateCure}
	}
	return nil, found.fault(privateCure)
}

// ParsePublicKey reads an RSA public key in the same forms: SubjectPublicKeyInfo, PKCS #1 or an X.509
// certificate, whose key it takes. Errors are *KeyError.
func ParsePublicKey(text string) (*rsa.PublicKey, error) {
	der, err := decodeKey(text, publicCure)
	if err != nil {
		return nil, err
	}
	found, key := classify(der)
	switch found {
	case kindPublic:
		return key.(*rsa.PublicKey), nil
	case kindCertificate:
		if public, ok := key.(*x509.Certificate).PublicKey.(*rsa.PublicKey); ok {
			return public, nil
		}
		return nil, kindOther.fault(publicCure)
	case kindPrivate:
		return nil, &KeyError{ErrPrivateKey, "this is a private key", publicCure}
	}
	return nil, found.fault(publicCure)
}

// kind is what a DER turned out to hold.
type kind int

const (
	kindUnknown kind = iota
	kindDamaged
	kindEncrypted
	kindOther // an algorithm that is not RSA
	kindPrivate
	kindPublic
	kindCertificate
)

func (k kind) fault(cure string) *KeyError {
	switch k {
	case kindDamaged:
		return &KeyError{ErrDamaged, "this is an RSA key whose numbers do not fit together", cure}
	case kindEncrypted:
		return &KeyError{
			ErrEncryptedKey, "this key is encrypted with a passphrase",
			"take the passphrase off (openssl rsa -in KEY -out PLAIN), it is sealed here at rest",
		}
	case kindOther:
		return &KeyError{ErrKeyType, "this is not an RSA key (EC, Ed25519 or DSA)", cure}
	}
	return &KeyError{ErrNotKey, "this is no key that can be read", cure}
}

// classify looks at what a DER is, not at what its PEM label says: consoles and scripts mislabel them.
// The parsers' own errors are dropped: they say less than the kind, and might one day quote their input.
func classify(der []byte) (kind, any) {
	if key, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		if rsaKey, ok := key.(*rsa.PrivateKey); ok {
			return kindPrivate, rsaKey
		}
		return kindOther, nil
	}
	if key, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return kindPrivate, key
	}
	if key, err := x509.ParsePKIXPublicKey(der); err == nil {
		if rsaKey, ok := key.(*rsa.PublicKey); ok {
			return kindPublic, rsaKey
		}
		return kindOther, nil
	}
	if key, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return kindPublic, key
	}
	if cert, err := x509.ParseCertificate(der); err == nil {
		return kindCertificate, cert
	}
	if _, err := x509.ParseECPrivateKey(der); err == nil {
		return kindOther, nil
	}
	return classifyUnparsed(der), nil
}

// pkcs8Head is as much of PrivateKeyInfo (RFC 5208) as tells the algorithm.
type pkcs8Head struct {
	Version   int
	Algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	Rest asn1.RawValue
}

// encryptedHead is EncryptedPrivateKeyInfo (RFC 5208).
type encryptedHead struct {
	Algorithm struct {
		ID         asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	Data []byte
}

// pkcs1Head is the beginning of RSAPrivateKey (RFC 8017): nine numbers.
type pkcs1Head struct {
	Version                     int
	N, E, D, P, Q, DP, DQ, QInv asn1.RawValue
}

var (
	oidRSA    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidPKCS5  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5}
	oidPKCS12 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1}
)

// classifyUnparsed says what a DER that no parser takes was meant to be.
func classifyUnparsed(der []byte) kind {
	var (
		plain  pkcs8Head
		sealed encryptedHead
		pkcs1  pkcs1Head
	)
	if _, err := asn1.Unmarshal(der, &sealed); err == nil {
		if hasPrefix(sealed.Algorithm.ID, oidPKCS5) || hasPrefix(sealed.Algorithm.ID, oidPKCS12) {
			return kindEncrypted
		}
	}
	if _, err := asn1.Unmarshal(der, &plain); err == nil {
		if plain.Algorithm.ID.Equal(oidRSA) {
			return kindDamaged
		}
		return kindOther
	}
	if _, err := asn1.Unmarshal(der, &pkcs1); err == nil {
		return kindDamaged
	}
	return kindUnknown
}

func hasPrefix(id, prefix asn1.ObjectIdentifier) bool {
	return len(id) > len(prefix) && id[:len(prefix)].Equal(prefix)
}

// decodeKey gets the DER out of a key's text and checks that it is one whole ASN.1 value.
func decodeKey(text, cure string) ([]byte, error) {
	if len(text) > keyBytesMax {
		return nil, &KeyError{ErrNotKey, fmt.Sprintf("the text has %d bytes, more than any key", len(text)), cure}
	}
	text = strings.TrimPrefix(text, "\ufeff")
	text = strings.NewReplacer(`\r`, "", `\n`, "\n").Replace(text) // no key contains a backslash
	text = strings.TrimSpace(text)
	if text == "" {
		return nil, &KeyError{ErrEmptyKey, "there is no key", cure}
	}
	if strings.Contains(text, pemBegin) {
		var fault *KeyError
		if text, fault = pemBody(text, cure); fault != nil {
			return nil, fault
		}
	}
	der, err := decodeBase64(strings.Join(strings.Fields(text), ""))
	if err != nil {
		return nil, &KeyError{ErrBase64, "the key's text is not standard base64", cure}
	}
	return der, wholeValue(der, cure)
}

// decodeBase64 also takes text whose padding or tail is lost: wholeValue then tells which it was.
func decodeBase64(text string) ([]byte, error) {
	text = strings.TrimRight(text, "=")
	if len(text)%4 == 1 {
		text = text[:len(text)-1] // six bits that begin a byte
	}
	return base64.RawStdEncoding.DecodeString(text)
}

// wholeValue checks that der is one ASN.1 SEQUENCE, neither cut off nor followed by anything.
func wholeValue(der []byte, cure string) error {
	const sequence = 0x30
	if len(der) < 2 || der[0] != sequence {
		return &KeyError{ErrNotKey, "this is no key that can be read", cure}
	}
	head, size := 2, int(der[1])
	if size >= 0x80 {
		digits := size & 0x7f
		if digits == 0 || digits > 3 || len(der) < 2+digits {
			return &KeyError{ErrNotKey, "this is no key that can be read", cure}
		}
		head, size = 2+digits, 0
		for _, b := range der[2 : 2+digits] {
			size = size<<8 | int(b)
		}
	}
	switch whole := head + size; {
	case len(der) < whole:
		return &KeyError{ErrTruncated, fmt.Sprintf("the key is cut off: %d of %d bytes", len(der), whole), cure}
	case len(der) > whole:
		return &KeyError{ErrTrailing, fmt.Sprintf("%d bytes stand behind the key", len(der)-whole), cure}
	}
	return nil
}

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemDash  = "-----"
)

// pemBody is the base64 text of the one PEM block in text. Own code and not encoding/pem, because keys
// arrive with their line breaks lost or indented, and pem.Decode then says no more than "nothing found".
func pemBody(text, cure string) (string, *KeyError) {
	_, rest, _ := strings.Cut(text, pemBegin) // what stands before is a comment, as openssl writes them
	label, rest, ok := strings.Cut(rest, pemDash)
	if !ok || len(label) > len("ENCRYPTED PRIVATE KEY")+8 {
		return "", &KeyError{ErrNotKey, "the line -----BEGIN …----- is broken", cure}
	}
	if strings.HasPrefix(label, "EC ") || strings.HasPrefix(label, "DSA ") {
		return "", kindOther.fault(cure)
	}
	if label == "OPENSSH PRIVATE KEY" {
		return "", &KeyError{
			ErrNotKey, "this is a key in OpenSSH's own form",
			"convert it (ssh-keygen -p -m PEM -f KEY)",
		}
	}
	body, tail, ok := strings.Cut(rest, pemEnd)
	switch {
	case !ok:
		return "", &KeyError{ErrTruncated, "the key is cut off: there is no -----END line", cure}
	case strings.Contains(body, pemBegin) || strings.Contains(tail, pemBegin):
		return "", &KeyError{ErrManyBlocks, "there is more than one PEM block", "give one block only; " + cure}
	case strings.Contains(body, "ENCRYPTED") || strings.HasPrefix(label, "ENCRYPTED "):
		return "", kindEncrypted.fault(cure)
	case strings.TrimSpace(strings.TrimPrefix(tail, label+pemDash)) != "":
		return "", &KeyError{ErrTrailing, "something stands behind the key, or its END line does not fit", cure}
	}
	return body, nil
}
