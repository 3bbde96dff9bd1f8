package keyring

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
)

// A sealed value is version (1 byte), fingerprint of the master key (8), nonce (12), ciphertext, tag (16).
const (
	version          = 1
	fingerprintBytes = 8
	headBytes        = 1 + fingerprintBytes
	// PlainBytesMax is the most that Seal takes: a merchant's keys, certificates and headers need less.
	PlainBytesMax = 64 << 10
)

// Errors of Seal, Open and VerifyCheck. None tells anything of a key.
var (
	// ErrWrongKey says that the ring does not hold the master key that a value was made with.
	ErrWrongKey = errors.New("sealed with another master key")
	// ErrDamaged says that a sealed value was changed, or belongs to another merchant or key.
	ErrDamaged = errors.New("sealed value is damaged or not this merchant's")
)

// Ring holds the master keys. It is safe for concurrent use, and shows nothing of them however it is printed
// or logged. Make one with Load.
type Ring struct{ keys []key }

type key struct {
	aead        cipher.AEAD
	fingerprint string // raw bytes; in the clear before everything that this key sealed
	check       string
	root        []byte // what Derive derives from
}

func newKey(raw []byte) (key, error) {
	block, err := aes.NewCipher(raw)
	if err != nil {
		return key{}, fmt.Errorf("set up AES: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return key{}, fmt.Errorf("set up GCM: %w", err)
	}
	return key{
		aead:        aead,
		fingerprint: string(derive(raw, "paynotify master key fingerprint")[:fingerprintBytes]),
		check:       checkPrefix + hex.EncodeToString(derive(raw, "paynotify master key check")),
		root:        derive(raw, "paynotify derived keys"),
	}, nil
}

// Derive makes secret keys of 32 bytes for the purpose that label names, one of each master key: the first is
// to sign, all verify. Every ring with the same master key derives the same, so that all nodes of a store
// agree. No label gives what the store keeps in the clear.
func (r *Ring) Derive(label string) [][]byte {
	out := make([][]byte, len(r.keys))
	for i := range r.keys {
		out[i] = derive(r.keys[i].root, label)
	}
	return out
}

// derive makes a value out of a key that says nothing about it.
func derive(raw []byte, label string) []byte {
	h := hmac.New(sha256.New, raw)
	io.WriteString(h, label) //nolint:errcheck // a hash never fails
	return h.Sum(nil)
}

// Seal encrypts a merchant's key under the first master key. Only Open with the same mchID and keyID, and a
// ring that holds this master key, gets it back. The same input never gives the same output. mchID must not
// contain "|".
func (r *Ring) Seal(mchID, keyID string, plain []byte) ([]byte, error) {
	switch {
	case strings.Contains(mchID, "|"):
		return nil, errors.New(`seal: a merchant's id cannot contain "|"`)
	case len(plain) > PlainBytesMax:
		return nil, fmt.Errorf("seal: %d bytes, at most %d", len(plain), PlainBytesMax)
	}
	k := r.keys[0]
	out := make([]byte, 0, headBytes+k.aead.Overhead()+len(plain))
	out = append(out, version)
	out = append(out, k.fingerprint...)
	return k.aead.Seal(out, nil, plain, additional(mchID, keyID)), nil //nolint:gosec // the AEAD makes the nonce
}

// PlainBytes is how many bytes Open gets out of a sealed value.
func PlainBytes(sealed []byte) int {
	const nonceAndTag = 12 + 16
	return max(0, len(sealed)-headBytes-nonceAndTag)
}

// Open decrypts what Seal made, with whichever key of the ring sealed it. It fails with ErrWrongKey when the
// ring does not hold that key, with ErrDamaged when anything was changed or belongs elsewhere.
func (r *Ring) Open(mchID, keyID string, sealed []byte) ([]byte, error) {
	if len(sealed) < headBytes || sealed[0] != version || strings.Contains(mchID, "|") {
		return nil, ErrDamaged
	}
	fingerprint := string(sealed[1:headBytes])
	i := slices.IndexFunc(r.keys, func(k key) bool { return k.fingerprint == fingerprint })
	if i < 0 {
		return nil, fmt.Errorf("%w (%x), not one of %s", ErrWrongKey, fingerprint, r.fingerprints())
	}
	plain, err := r.keys[i].aead.Open(nil, nil, sealed[headBytes:], additional(mchID, keyID))
	if err != nil {
		return nil, ErrDamaged
	}
	return plain, nil
}

// Current reports whether a sealed value was made with the key that seals now; others should be opened and
// sealed again before their key leaves the ring.
func (r *Ring) Current(sealed []byte) bool {
	return len(sealed) >= headBytes && sealed[0] == version &&
		string(sealed[1:headBytes]) == r.keys[0].fingerprint
}

// additional is the data that GCM authenticates beside the value. A mch_id has no "|", so it is unambiguous.
func additional(mchID, keyID string) []byte { return []byte(mchID + "|" + keyID) }

const checkPrefix = "paynotify-key-check-1:"

// Check is the key-check value of the key that seals: public text for a store to keep, with which VerifyCheck
// later refuses a wrong master key before anything is sealed under it.
func (r *Ring) Check() string { return r.keys[0].check }

// VerifyCheck returns nil when one of the ring's keys made the check value, else ErrWrongKey, wrapped. A
// value of an older key than the first is right too; the store may then replace it with Check.
func (r *Ring) VerifyCheck(value string) error {
	if !strings.HasPrefix(value, checkPrefix) {
		return fmt.Errorf("%w: the store's key-check value is not one of ours", ErrWrongKey)
	}
	for _, k := range r.keys {
		if hmac.Equal([]byte(k.check), []byte(value)) {
			return nil
		}
	}
	return fmt.Errorf("the store's merchant keys are %w; give the master key that it was started with first,"+
		" this ring has %s", ErrWrongKey, r.fingerprints())
}

func (r *Ring) fingerprints() string {
	all := make([]string, len(r.keys))
	for i, k := range r.keys {
		all[i] = hex.EncodeToString([]byte(k.fingerprint))
	}
	return strings.Join(all, " ")
}

// String is the fingerprints of the keys, for people who compare.
func (r *Ring) String() string {
	if r == nil {
		return "keyring(none)"
	}
	return "keyring(" + r.fingerprints() + ")"
}

// Format prints String whatever the verb: not even %#v or %x shows a key.
func (r *Ring) Format(f fmt.State, _ rune) {
	io.WriteString(f, r.String()) //nolint:errcheck // fmt.State has nobody to tell
}

// LogValue logs String.
func (r *Ring) LogValue() slog.Value { return slog.StringValue(r.String()) }

// MarshalText writes String, so that JSON and YAML show no key either.
func (r *Ring) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
