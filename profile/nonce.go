package profile

import (
	"strconv"

	"paynotify/signer"
)

// derived makes a text of [0-9A-Za-z] out of a key and a label, the same at every call: a nonce that nobody
// without the key can tell from a random one, and that the evidence of a send can make again. Two sends must
// differ in what they give; 12 characters hold 71 bits.
func derived(key []byte, chars int, label string, text []byte) string {
	const (
		alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
		fair     = 256 / len(alphabet) * len(alphabet) // bytes from here on would favour the first characters
	)
	out := make([]byte, 0, chars)
	for block := 0; len(out) < chars; block++ {
		input := append([]byte(label+"\n"+strconv.Itoa(block)+"\n"), text...)
		for _, b := range signer.HMACSHA256(key, input) {
			if int(b) < fair && len(out) < chars {
				out = append(out, alphabet[int(b)%len(alphabet)])
			}
		}
	}
	return string(out)
}
