package keyring

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

const (
	keyBytes = 32
	// KeysMax is how many master keys a ring may hold. Each serves until everything was sealed again; more
	// than a few are a file mistaken for another.
	KeysMax = 16
)

// ErrMasterKey says that a text holds no usable master keys. The error that wraps it names the line, never
// what stands there.
var ErrMasterKey = errors.New("master key")

// Generate makes a new master key, in the form that Load reads. It is a secret.
func Generate() string {
	var raw [keyBytes]byte
	rand.Read(raw[:]) // never fails
	return base64.StdEncoding.EncodeToString(raw[:])
}

// Load reads master keys, one a line, each 32 bytes in standard base64 or 64 hex digits; the first seals, all
// open. Blank lines and lines that begin with # are skipped. Errors wrap ErrMasterKey.
func Load(text string) (*Ring, error) {
	ring := &Ring{}
	for i, line := range strings.Split(strings.TrimPrefix(text, "\ufeff"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		raw, err := parseKey(line)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrMasterKey, i+1, err)
		}
		if len(ring.keys) == KeysMax {
			return nil, fmt.Errorf("%w: line %d: a ring holds at most %d keys", ErrMasterKey, i+1, KeysMax)
		}
		key, err := newKey(raw)
		if err != nil {
			return nil, fmt.Errorf("%w: line %d: %w", ErrMasterKey, i+1, err)
		}
		ring.keys = append(ring.keys, key)
	}
	if len(ring.keys) == 0 {
		return nil, fmt.Errorf("%w: there is none; write 32 random bytes in base64 (openssl rand -base64 32)",
			ErrMasterKey)
	}
	return ring, nil
}

func parseKey(line string) ([]byte, error) {
	raw, err := hex.DecodeString(line)
	if err != nil || len(raw) != keyBytes {
		raw, err = base64.StdEncoding.Strict().DecodeString(line)
	}
	const cure = "want 32 bytes in standard base64 (44 characters) or 64 hex digits"
	switch {
	case err != nil:
		return nil, fmt.Errorf("not base64 or hex (%d characters); %s", len(line), cure)
	case len(raw) != keyBytes:
		return nil, fmt.Errorf("%d bytes; %s", len(raw), cure)
	case bytes.Count(raw, raw[:1]) == keyBytes:
		return nil, errors.New("one byte 32 times is no key; write 32 random bytes (openssl rand -base64 32)")
	}
	return raw, nil
}
