package signer

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// TestGCM is test case 16 of the GCM specification (McGrew and Viega), AES-256 with associated data.
func TestGCM(t *testing.T) {
	unhex := func(text string) []byte {
		raw, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	key := unhex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308")
	nonce, associated := unhex("cafebabefacedbaddecaf888"), unhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")
	plain := unhex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72" +
		"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39")
	want := unhex("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa" +
		"8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662" +
		"76fc6ece0f4e1768cddf8853bb2d551b")
	sealed, err := EncryptGCM(key, nonce, associated, plain)
	if err != nil || !bytes.Equal(sealed, want) {
		t.Fatalf("got %x, %v", sealed, err)
	}
	if got, err := DecryptGCM(key, nonce, associated, sealed); err != nil || !bytes.Equal(got, plain) {
		t.Fatalf("got %x, %v", got, err)
	}
	for name, part := range map[string][]byte{
		"key": key, "nonce": nonce, "associated": associated, "sealed": sealed,
	} {
		part[len(part)-1] ^= 1
		if got, err := DecryptGCM(key, nonce, associated, sealed); !errors.Is(err, ErrDecrypt) || got != nil {
			t.Errorf("another %s: got %x, %v", name, got, err)
		}
		part[len(part)-1] ^= 1
	}
	if _, err := DecryptGCM(key, nonce, associated, sealed[:15]); !errors.Is(err, ErrDecrypt) {
		t.Errorf("shorter than a tag: %v", err)
	}
}

func TestGCMSizes(t *testing.T) {
	for _, c := range []struct{ key, nonce int }{
		{31, 12}, {33, 12}, {16, 12}, {0, 12}, {32, 11}, {32, 16}, {32, 0},
	} {
		key, nonce := make([]byte, c.key), make([]byte, c.nonce)
		if _, err := EncryptGCM(key, nonce, nil, nil); err == nil {
			t.Errorf("encrypted with a key of %d bytes and a nonce of %d", c.key, c.nonce)
		}
		if _, err := DecryptGCM(key, nonce, nil, make([]byte, 16)); err == nil || errors.Is(err, ErrDecrypt) {
			t.Errorf("decrypted with a key of %d bytes and a nonce of %d: %v", c.key, c.nonce, err)
		}
	}
}
