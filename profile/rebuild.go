package profile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"paynotify/store"
)

// What a send and its later evidence have in common: they must open the same keys and take the same digest,
// or no evidence could be trusted.

// OpenKeys opens and parses all keys of a merchant, each with its time of service. open is the Open of the
// keyring that sealed them; its errors come back wrapped. No error contains a byte of a key.
func OpenKeys(
	p *Profile, m *store.Merchant, open func(mchID, keyID string, sealed []byte) ([]byte, error),
) (*Keys, error) {
	materials := make([]Material, len(m.Keys))
	for i, k := range m.Keys {
		plain, err := open(m.MchID, k.ID, k.Sealed)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, err)
		}
		if json.Unmarshal(plain, &materials[i]) != nil { // its error could quote the key
			return nil, fmt.Errorf("key %s: sealed text is not a key", k.ID)
		}
	}
	return LoadKeys(p, m, materials)
}

// Digest is a message's request_sha256: hex, of the body, for GET of the request target as it leaves, which
// is asked for only then.
func (msg *Message) Digest(request interface{ RequestTarget() string }) string {
	digested := msg.Body
	if msg.Method == "GET" {
		digested = []byte(request.RequestTarget())
	}
	sum := sha256.Sum256(digested)
	return hex.EncodeToString(sum[:])
}
