package api

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// sealKey makes a stored key of new material.
func (s *Service) sealKey(mchID string, material profile.Material) (store.Key, *Problem) {
	key := store.Key{ID: rand.Text()}
	p := s.reseal(mchID, &key, material)
	return key, p
}

// reseal puts material into a key, under the ID that it has. What is known of its public half stays: a
// certificate that merchants have installed must not become another one.
func (s *Service) reseal(mchID string, key *store.Key, material profile.Material) *Problem {
	public, err := material.Public(mchID, s.Now())
	if err != nil {
		return asProblem(err)
	}
	plain, err := json.Marshal(material)
	if err != nil {
		return asProblem(err)
	}
	if key.Sealed, err = s.Ring.Seal(mchID, key.ID, plain); err != nil {
		return asProblem(err)
	}
	key.PublicKey = cmp.Or(key.PublicKey, public.PEM)
	key.Certificate = cmp.Or(key.Certificate, public.Certificate)
	key.Serial = cmp.Or(key.Serial, public.Serial)
	key.Whpk = cmp.Or(key.Whpk, public.Whpk)
	return nil
}

// signers counts the keys, newest first, that sign now or will: those that are planned, and the newest in
// force. The ones after it only sign beside it until their overlap ends.
func signers(keys []store.Key, now time.Time) int {
	for i := range keys {
		if inForce(&keys[i], now) {
			return i + 1
		}
	}
	return len(keys)
}

func inForce(k *store.Key, now time.Time) bool {
	return !now.Before(k.From) && (k.Until.IsZero() || now.Before(k.Until))
}

// completion is what a merchant's changed settings ask of its keys, made before the change: no send must find
// a key that lacks a part. The zero value completes nothing.
type completion struct {
	first *store.Key          // for a merchant that had none
	keys  map[string]resealed // by ID
}

type resealed struct {
	was []byte // Sealed, before
	key store.Key
}

// apply completes a merchant's keys; it reports whether they are as the settings want them.
func (c *completion) apply(prof *profile.Profile, m *store.Merchant, now time.Time) (complete bool) {
	if len(m.Keys) == 0 {
		if !profile.Lacks(prof, m, &store.Key{}) {
			return true
		}
		if c.first == nil || profile.Lacks(prof, m, c.first) {
			return false
		}
		m.Keys = []store.Key{*c.first}
		return true
	}
	keys := slices.Clone(m.Keys)
	for i := range signers(keys, now) {
		k := &keys[i]
		if !profile.Lacks(prof, m, k) {
			continue
		}
		made, ok := c.keys[k.ID]
		if !ok || !bytes.Equal(made.was, k.Sealed) || profile.Lacks(prof, m, &made.key) {
			return false
		}
		made.key.From, made.key.Until = k.From, k.Until
		*k = made.key
	}
	m.Keys = keys
	return true
}

// warnings says what a completion did, in words.
func (c *completion) warnings(mchID string) []string {
	if c.first == nil && len(c.keys) == 0 {
		return nil
	}
	return []string{"these settings sign with a key that the merchant did not have: one was generated, and " +
		"GET /v1/merchants/" + mchID + "/public-key shows the half to verify with"}
}

// complete generates what the keys of a merchant lack for its settings. All of them get the same new part:
// a merchant verifies it with one public key, also when a rotation is planned.
func (s *Service) complete(prof *profile.Profile, m *store.Merchant) (c completion, p *Problem) {
	if len(m.Keys) == 0 {
		material, err := profile.Complete(prof, m, profile.Material{})
		if err != nil {
			return c, asProblem(err)
		}
		key, p := s.sealKey(m.MchID, material)
		c.first = &key
		return c, p
	}
	c.keys = map[string]resealed{}
	var made profile.Material // the parts of the first one that was completed
	for i := range signers(m.Keys, s.Now()) {
		k := m.Keys[i]
		if !profile.Lacks(prof, m, &k) {
			continue
		}
		have, err := profile.OpenKey(m.MchID, &k, s.Ring.Open)
		if err != nil {
			return c, asProblem(fmt.Errorf("merchant %s: %w", m.MchID, err))
		}
		have.PrivateKey, have.Whsk = cmp.Or(have.PrivateKey, made.PrivateKey), cmp.Or(have.Whsk, made.Whsk)
		if made, err = profile.Complete(prof, m, have); err != nil {
			return c, asProblem(err)
		}
		was := k.Sealed
		if p := s.reseal(m.MchID, &k, made); p != nil {
			return c, p
		}
		c.keys[k.ID] = resealed{was: was, key: k}
	}
	return c, nil
}

// PublicKey shows the public half of the key that signs now; one that a rotation has planned is shown by the
// rotation alone, until it takes over.
func (s *Service) PublicKey(ctx context.Context, mchID string) (MerchantKeys, error) {
	m, p := s.merchant(ctx, mchID)
	if p != nil {
		return MerchantKeys{}, p
	}
	prof, known := profile.ByName(m.Profile)
	if !known {
		return MerchantKeys{}, s.unknownProfile(&m)
	}
	now := s.Now()
	for i := range m.Keys {
		if inForce(&m.Keys[i], now) && profile.Signs(prof, &m) {
			return publicKeys(&m.Keys[i]), nil
		}
	}
	return MerchantKeys{}, nil
}
