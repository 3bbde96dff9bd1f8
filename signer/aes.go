package signer

import (
	"bytes"
	"crypto/aes"
	"fmt"
)

// EncryptECB encrypts a text of any length with AES in ECB mode and PKCS #7 padding; the key has 16, 24 or 32
// bytes. ECB shows which blocks of a text are equal and nothing in it proves who wrote it: it is here because
// the refund notifications of WeChat Pay v2 are defined by it, and is for nothing else.
func EncryptECB(key, plain []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES: %w", err) // it says the size and nothing of the key
	}
	pad := aes.BlockSize - len(plain)%aes.BlockSize
	sealed := make([]byte, 0, len(plain)+pad)
	sealed = append(append(sealed, plain...), bytes.Repeat([]byte{byte(pad)}, pad)...)
	eachBlock(sealed, block.Encrypt)
	return sealed, nil
}

// DecryptECB is the inverse of EncryptECB; ErrDecrypt where the length or the padding is wrong, which a
// wrong key nearly always makes it.
func DecryptECB(key, sealed []byte) ([]byte, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("AES: %w", err)
	}
	if len(sealed) == 0 || len(sealed)%aes.BlockSize != 0 {
		return nil, ErrDecrypt
	}
	plain := bytes.Clone(sealed)
	eachBlock(plain, block.Decrypt)
	pad := int(plain[len(plain)-1])
	if pad == 0 || pad > aes.BlockSize {
		return nil, ErrDecrypt
	}
	plain, padding := plain[:len(plain)-pad], plain[len(plain)-pad:]
	for _, b := range padding {
		if int(b) != pad {
			return nil, ErrDecrypt
		}
	}
	return plain, nil
}

// eachBlock works on whole blocks in place.
func eachBlock(text []byte, work func(dst, src []byte)) {
	for ; len(text) > 0; text = text[aes.BlockSize:] {
		work(text, text[:aes.BlockSize])
	}
}
