package signer

import "errors"

// The kinds of a KeyError, for errors.Is.
var (
	ErrEmptyKey     = errors.New("no key")
	ErrNotKey       = errors.New("not a key")
	ErrPublicKey    = errors.New("public key where a private one is needed")
	ErrPrivateKey   = errors.New("private key where a public one is needed")
	ErrCertificate  = errors.New("certificate where a private key is needed")
	ErrEncryptedKey = errors.New("encrypted key")
	ErrKeyType      = errors.New("key of another algorithm")
	ErrManyBlocks   = errors.New("more than one PEM block")
	ErrBase64       = errors.New("not base64")
	ErrTruncated    = errors.New("key cut off")
	ErrTrailing     = errors.New("something behind the key")
	ErrDamaged      = errors.New("key damaged")
	ErrKeySize      = errors.New("key of another size")
)

// KeyError says why a text is not the key that is needed, and what to give instead. It never contains any of
// the text.
type KeyError struct {
	Kind    error  // one of the errors above
	Message string // "this is a public key"
	Cure    string // "give the private key, …"
}

// Error is message and cure in one line.
func (e *KeyError) Error() string { return e.Message + "; " + e.Cure }

// Unwrap is the kind.
func (e *KeyError) Unwrap() error { return e.Kind }
