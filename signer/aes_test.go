package signer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
)

// TestECBVectors: the four blocks of NIST SP 800-38A, F.1.1 and F.1.5, in front of a block of padding.
func TestECBVectors(t *testing.T) {
	const plain = "6bc1bee22e409f96e93d7e117393172a" + "ae2d8a571e03ac9c9eb76fac45af8e51" +
		"30c81c46a35ce411e5fbc1191a0a52ef" + "f69f2445df4f9b17ad2b417be66c3710"
	for key, want := range map[string]string{
		"2b7e151628aed2a6abf7158809cf4f3c": "3ad77bb40d7a3660a89ecaf32466ef97" +
			"f5d3d58503b9699de785895a96fdbaaf" + "43b1cd7f598ece23881b00e3ed030688" +
			"7b0c785e27e8ad3f8223207104725dd4",
		"603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4": "f3eed1bdb5d2a03c064b5a7e3db181f8" +
			"591ccb10d410ed26dc5ba74a31362870" + "b6ed21b99ca6f4f9f153e7b1beafed1d" +
			"23304b7a39f9f3ff067d8d8f9e24ecc7",
	} {
		sealed, err := EncryptECB(unhex(t, key), unhex(t, plain))
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(sealed); len(got) != len(want)+32 || got[:len(want)] != want {
			t.Errorf("got %s, want %s and padding", got, want)
		}
		opened, err := DecryptECB(unhex(t, key), sealed)
		if err != nil || hex.EncodeToString(opened) != plain {
			t.Errorf("got %x, %v", opened, err)
		}
	}
}

// TestECBLengths: every length comes back, and the text given is not written over.
func TestECBLengths(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	for n := range 50 {
		plain := bytes.Repeat([]byte{7}, n)
		sealed, err := EncryptECB(key, plain)
		if err != nil || len(sealed) <= n || len(sealed) > n+16 || len(sealed)%16 != 0 {
			t.Fatalf("%d bytes became %d, %v", n, len(sealed), err)
		}
		before := bytes.Clone(sealed)
		opened, err := DecryptECB(key, sealed)
		if err != nil || !bytes.Equal(opened, plain) || !bytes.Equal(plain, bytes.Repeat([]byte{7}, n)) {
			t.Errorf("%d bytes: got %x, %v", n, opened, err)
		}
		if !bytes.Equal(sealed, before) {
			t.Errorf("%d bytes: the ciphertext was written over", n)
		}
	}
}

func TestECBRefuses(t *testing.T) {
	key, other := []byte("0123456789abcdef"), []byte("fedcba9876543210")
	sealed, err := EncryptECB(key, []byte("twenty bytes of text"))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ key, sealed []byte }{
		"empty": {key, nil}, "cut": {key, sealed[:20]}, "a block less": {key, sealed[:16]},
		"another key": {other, sealed},
	} {
		if plain, err := DecryptECB(c.key, c.sealed); !errors.Is(err, ErrDecrypt) || plain != nil {
			t.Errorf("%s: got %q, %v", name, plain, err)
		}
	}
	for pad := range 256 { // a last block that says each number of padding bytes, of which it has none or one
		block := append(bytes.Repeat([]byte{0xaa}, 15), byte(pad))
		raw, err := EncryptECB(key, block)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := DecryptECB(key, raw[:16]); (err == nil) != (pad == 1) {
			t.Errorf("padding %d: got %x, %v", pad, plain, err)
		}
	}
	_, sealing := EncryptECB([]byte("short-key"), nil)
	_, opening := DecryptECB([]byte("short-key"), nil)
	for _, err := range []error{sealing, opening} {
		if err == nil || strings.Contains(err.Error(), "short-key") {
			t.Errorf("a key of 9 bytes: %v", err)
		}
	}
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
