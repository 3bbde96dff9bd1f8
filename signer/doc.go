// Package signer signs and verifies bytes the way payment providers do: RSA2, RSA, MD5 with an appended key,
// HMAC-SHA256 and Ed25519; and reads and writes the keys for that in every form that merchants have them.
//
// It knows nothing of messages: which bytes are signed, and where the signature stands, is a profile's.
// Keys are parsed once and may be used by many goroutines at the same time. No error of this package
// contains a byte of a key.
//
// Start reading at SignRSA2 in rsa.go, then at ParsePrivateKey in parse.go.
package signer
