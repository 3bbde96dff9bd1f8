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

// Opener opens what a keyring has sealed; keyring.Ring's Open is one.
type Opener func(mchID, keyID string, sealed []byte) ([]byte, error)

// OpenKeys opens and parses all keys of a merchant, each with its time of service. Errors of open come back
// wrapped. No error contains a byte of a key.
func OpenKeys(p *Profile, m *store.Merchant, open Opener) (*Keys, error) {
	materials := make([]Material, len(m.Keys))
	for i := range m.Keys {
		var err error
		if materials[i], err = OpenKey(m.MchID, &m.Keys[i], open); err != nil {
			return nil, err
		}
	}
	return LoadKeys(p, m, materials)
}

// OpenKey opens the material of one key of a merchant.
func OpenKey(mchID string, k *store.Key, open Opener) (material Material, err error) {
	plain, err := open(mchID, k.ID, k.Sealed)
	if err != nil {
		return Material{}, fmt.Errorf("key %s: %w", k.ID, err)
	}
	if json.Unmarshal(plain, &material) != nil { // its error could quote the key
		return Material{}, fmt.Errorf("key %s: sealed text is not a key", k.ID)
	}
	return material, nil
}

// Keeps reports whether a rotation, for which the caller gives these parts, keeps parts of the key before:
// then NewMaterial needs that one opened.
func Keeps(p *Profile, m *store.Merchant, given Material) bool {
	need := partsOf(p, m)
	return need.keepRSA || need.keepSecret && given.Secret == ""
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
