package dispatcher

import (
	"cmp"
	"context"
	"fmt"
	"sync"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// cardsMax merchants are kept ready to sign: about 4 KB each with an RSA key.
const cardsMax = 16384

// card is a merchant made ready for sending: keys opened and parsed, address parsed, defaults filled in.
type card struct {
	merchant store.Merchant
	profile  *profile.Profile
	signType string
	ack      store.Ack
	target   *egress.Target
	refused  *egress.URLError // why target is nil
	keys     *profile.Keys
	headers  []profile.Header   // the merchant's own
	tls      *egress.TLSOptions // likewise; nil when it has none
}

// cards caches a card per merchant, for the revision at which it was made.
type cards struct {
	store store.Store
	ring  *keyring.Ring
	rules *egress.Rules

	mu   sync.RWMutex
	byID map[string]*card
}

// get returns the card of the claim's merchant, at the claim's revision or a later one.
func (cs *cards) get(ctx context.Context, h *held) (*card, error) {
	cs.mu.RLock()
	c := cs.byID[h.MchID]
	cs.mu.RUnlock()
	if c != nil && c.merchant.Revision >= h.MerchantRevision {
		return c, nil
	}
	m, err := cs.store.Merchant(ctx, h.MchID)
	if err != nil {
		return nil, fmt.Errorf("merchant %s: %w", h.MchID, err)
	}
	c, err = cs.make(m, h.Profile)
	if err != nil {
		return nil, fmt.Errorf("merchant %s: %w", h.MchID, err)
	}
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if cs.byID == nil || len(cs.byID) >= cardsMax {
		cs.byID = make(map[string]*card)
	}
	cs.byID[h.MchID] = c
	return c, nil
}

func (cs *cards) make(m store.Merchant, profileName string) (*card, error) {
	p, ok := profile.ByName(profileName)
	if !ok {
		return nil, fmt.Errorf("profile %q is unknown to this version", profileName)
	}
	full := profile.Defaults(p, &m)
	c := &card{merchant: m, profile: p, signType: full.SignType, ack: full.Ack}
	c.target, c.refused = cs.rules.CheckURL(m.NotifyURL)
	var err error
	if c.keys, err = profile.OpenKeys(p, &m, cs.ring.Open); err != nil {
		return nil, err
	}
	if c.headers, err = profile.OpenHeaders(&m, cs.ring.Open); err != nil {
		return nil, err
	}
	if c.tls, err = openTLS(&m, cs.ring); err != nil {
		return nil, err
	}
	return c, nil
}

// openTLS opens and parses a merchant's own TLS settings. What comes out is another value for each revision,
// so that no connection outlives the settings it was made with.
func openTLS(m *store.Merchant, ring *keyring.Ring) (*egress.TLSOptions, error) {
	own, err := m.OwnTLS()
	if err != nil {
		return nil, err
	}
	var key []byte
	if own.ClientKey != nil {
		if key, err = ring.Open(m.MchID, store.OwnTLSKeyID, own.ClientKey); err != nil {
			return nil, fmt.Errorf("client key: %w", err)
		}
	}
	return egress.ParseTLS(own.CA, own.ClientCert, string(key), own.PinSHA256)
}

// headersFor are the merchant's own headers, if a send to that target carries them.
func (c *card) headersFor(t *egress.Target) []profile.Header {
	if t == c.target || len(c.headers) == 0 {
		return c.headers
	}
	own := cmp.Or(c.target, &egress.Target{})
	if !profile.HeadersGoTo(&c.merchant, own.Scheme, own.Host, t.Scheme, t.Host) {
		return nil
	}
	return c.headers
}
