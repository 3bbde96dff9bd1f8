package signer

import (
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
)

// The sizes that EncryptGCM and DecryptGCM take: AES-256, and the nonce and tag that GCM was made for.
const (
	gcmKeyBytes   = 32
	gcmNonceBytes = 12
)

// ErrDecrypt says that a ciphertext was not made with this key, nonce and associated data.
var ErrDecrypt = errors.New("it does not decrypt with this key")

// EncryptGCM encrypts as WeChat Pay's AEAD_AES_256_GCM does: AES-256-GCM, the 16 bytes of the tag behind the
// ciphertext. The key has 32 bytes and the nonce 12, else it fails. One nonce must never serve two different
// texts under a key: who sees both learns their difference and can forge.
func EncryptGCM(key, nonce, associated, plain []byte) ([]byte, error) {
	aead, err := newGCM(key, nonce)
	if err != nil {
		return nil, err
	}
	return aead.Seal(nil, nonce, plain, associated), nil
}

// DecryptGCM gives back what EncryptGCM encrypted. It fails with ErrDecrypt when any of the four is not what
// it was then, and with another error for a key or nonce of another size.
func DecryptGCM(key, nonce, associated, sealed []byte) ([]byte, error) {
	aead, err := newGCM(key, nonce)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, nonce, sealed, associated)
	if err != nil {
		return nil, ErrDecrypt
	}
	return plain, nil
}

func newGCM(key, nonce []byte) (cipher.AEAD, error) {
	if len(key) != gcmKeyBytes {
		return nil, fmt.Errorf("AES-256-GCM: the key has %d bytes, not %d", len(key), gcmKeyBytes)
	}
	if len(nonce) != gcmNonceBytes {
		return nil, fmt.Errorf("AES-256-GCM: the nonce has %d bytes, not %d", len(nonce), gcmNonceBytes)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES-256-GCM: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("AES-256-GCM: %w", err)
	}
	return aead, nil
}
