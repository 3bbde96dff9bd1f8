package signer

import (
	"crypto/hmac"
	"crypto/md5" //nolint:gosec // sign_type MD5 is the provider's definition
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
)

// MD5Key is the lower-case hex MD5 of data with key appended: Alipay's legacy sign_type MD5, also epay's.
// WeChat and Jeepay write "&key=" into the data and want upper case.
func MD5Key(data, key []byte) string {
	h := md5.New() //nolint:gosec // see the import
	h.Write(data)
	h.Write(key)
	var sum [md5.Size]byte
	return hex.EncodeToString(h.Sum(sum[:0]))
}

// VerifyMD5Key checks a signature of MD5Key, in constant time; it returns nil or ErrSignature.
func VerifyMD5Key(data, key []byte, signature string) error {
	if subtle.ConstantTimeCompare([]byte(MD5Key(data, key)), []byte(signature)) != 1 {
		return ErrSignature
	}
	return nil
}

// HMACSHA256 is the 32 bytes of the HMAC-SHA256 of data: Standard Webhooks write them in base64, Stripe and
// WeChat in hex.
func HMACSHA256(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// VerifyHMACSHA256 checks 32 bytes of HMACSHA256, in constant time; it returns nil or ErrSignature.
func VerifyHMACSHA256(key, data, mac []byte) error {
	if !hmac.Equal(HMACSHA256(key, data), mac) {
		return ErrSignature
	}
	return nil
}

// GenerateSecret makes an MD5 or HMAC secret of 32 characters of [0-9a-z] (165 bits), the form that
// merchants of Alipay and WeChat know. Nothing in it needs escaping.
func GenerateSecret() string {
	const (
		alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
		chars    = 32
		fair     = 256 / len(alphabet) * len(alphabet) // bytes from here on would favour the first letters
	)
	secret := make([]byte, 0, chars)
	for len(secret) < chars {
		var raw [2 * chars]byte
		rand.Read(raw[:]) // never fails
		for _, b := range raw {
			if int(b) < fair && len(secret) < chars {
				secret = append(secret, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(secret)
}
