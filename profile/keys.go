package profile

import (
	"crypto/ed25519"
	"crypto/rsa"
	"fmt"
	"slices"
	"time"

	"paynotify/signer"
	"paynotify/store"
)

// Keys are a merchant's keys, parsed: made once per revision of the merchant, safe for concurrent use.
type Keys struct {
	keys  []parsedKey // newest first
	probe bool        // every signature is wrong
}

type parsedKey struct {
	from, until time.Time // zero = no bound
	private     *rsa.PrivateKey
	ed25519     ed25519.PrivateKey
	secret      []byte
	serial      string // of private
}

// LoadKeys parses the opened material of a merchant's keys: ms[i] belongs to m.Keys[i], whose time of service
// it gets. Given fewer than the merchant has, the caller has picked them: they serve at any time. A merchant
// whose messages are not signed needs none.
func LoadKeys(p *Profile, m *store.Merchant, ms []Material) (*Keys, error) {
	loaded := &Keys{keys: make([]parsedKey, 0, len(ms))}
	for i, material := range ms {
		k, err := material.parse()
		if err == nil && p.Key == KeyWebhook { // once here, not at every send
			k.secret, err = signer.ParseWhsec(material.Secret)
		}
		if err != nil {
			return nil, fmt.Errorf("key of merchant %s: %w", m.MchID, err)
		}
		if len(ms) == len(m.Keys) {
			k.from, k.until = m.Keys[i].From, m.Keys[i].Until
		}
		loaded.keys = append(loaded.keys, k)
	}
	if p.Key != KeyNone && len(loaded.keys) == 0 {
		return nil, fmt.Errorf("merchant %s: %w", m.MchID, errNoKey)
	}
	return loaded, nil
}

// Probe is the same keys, but every signature made with them is well-formed and wrong: what is sent to find
// out whether a merchant verifies.
func (k *Keys) Probe() *Keys { return &Keys{keys: slices.Clone(k.keys), probe: true} }

// at is the newest key in force at an instant, nil when there is none.
func (k *Keys) at(now time.Time) *parsedKey {
	if k == nil {
		return nil
	}
	for i := range k.keys {
		if k.keys[i].inForce(now) {
			return &k.keys[i]
		}
	}
	return nil
}

// inForce lists the keys in force at an instant, newest first: during an overlap there are several, and a
// dialect that can carry several signatures makes one with each.
func (k *Keys) inForce(now time.Time) (keys []*parsedKey) {
	if k == nil {
		return nil
	}
	for i := range k.keys {
		if k.keys[i].inForce(now) {
			keys = append(keys, &k.keys[i])
		}
	}
	return keys
}

func (k *parsedKey) inForce(now time.Time) bool {
	return !now.Before(k.from) && (k.until.IsZero() || now.Before(k.until))
}
