package api

import (
	"context"
	"errors"

	"paynotify/profile"
	"paynotify/store"
)

// The engine's own merchants (store.Reserved). They follow from the configuration, so no request creates,
// changes, lists or sends to them: to every route that names a merchant they do not exist. What was sent to
// them is read like any notification, by notify_id, or in lists by mch_id; a list that does not ask for
// them leaves them out. Counts over everything count them, as they are load like any.

// Own is one of the engine's own merchants, as the configuration wants it.
type Own struct {
	MchID  string
	Name   string
	URL    string // empty = nothing is to be sent to it
	Secret string // whsec_…
}

const (
	ownProfile = "standard"
	// ownInflight is the cap of these lanes. One of them carries what happens to all merchants together, to a
	// server of the platform's own.
	ownInflight = 64
	// ownUnset is why a merchant is paused that the configuration names no more.
	ownUnset = "not in the configuration any more"
)

// KeepOwn makes one of the engine's own merchants what the configuration says; any node may do so at any
// time. What is owed to it stays owed. The old secret signs beside a new one for a day, so that the
// receiver may change it when it likes. A merchant that is configured is not held: the start is how a
// person has it tried again. The error is a *Problem.
func (s *Service) KeepOwn(ctx context.Context, own Own) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if p := s.checkOwn(own); p != nil {
		return p
	}
	now, err := s.Store.Merchant(ctx, own.MchID)
	missing := errors.Is(err, store.ErrNoMerchant)
	switch {
	case missing && own.URL == "":
		return nil
	case missing:
		if now, err = s.makeOwn(ctx, own); err == nil || !errors.Is(err, store.ErrExists) {
			return ownProblem(err)
		}
		if now, err = s.Store.Merchant(ctx, own.MchID); err != nil { // another node was faster
			return fromStore(err)
		}
	case err != nil:
		return fromStore(err)
	}
	fresh, err := s.ownKey(&now, own)
	if err != nil {
		return ownProblem(err)
	}
	if fresh == nil && ownAsWanted(&now, own) {
		return nil
	}
	_, err = s.Store.UpdateMerchant(ctx, own.MchID, func(m *store.Merchant) error {
		if m.Paused = own.URL == ""; m.Paused {
			m.PausedReason = ownUnset
			return nil
		}
		m.Name, m.NotifyURL, m.MaxInflight, m.PausedReason = own.Name, own.URL, ownInflight, ""
		m.Blocked, m.BreakerOpen = false, false
		if fresh != nil {
			m.Keys = takeOver(m.Keys, *fresh, s.Now(), overlapDefault)
		}
		return nil
	})
	if err != nil {
		return fromStore(err)
	}
	s.Log.Info("merchant follows the configuration", "mch_id", own.MchID, "configured", own.URL != "",
		"new_secret", fresh != nil)
	s.Intake.Nudge()
	return nil
}

// ownProblem is nil for nil, where a nil *Problem would be an error.
func ownProblem(err error) error {
	if err == nil {
		return nil
	}
	return ownOrStore(err)
}

// ownAsWanted reports whether a merchant is what the configuration says, its key left aside.
func ownAsWanted(m *store.Merchant, own Own) bool {
	if own.URL == "" {
		return m.Paused
	}
	return m.NotifyURL == own.URL && m.Name == own.Name && m.MaxInflight == ownInflight && !m.Paused &&
		!m.Blocked && !m.BreakerOpen
}

// merchant is one without a key.
func (o *Own) merchant() store.Merchant {
	return store.Merchant{
		MchID: o.MchID, Name: o.Name, Profile: ownProfile, NotifyURL: o.URL, MaxInflight: ownInflight,
	}
}

// checkOwn judges what the configuration says as if it were a request.
func (s *Service) checkOwn(own Own) *Problem {
	if own.URL == "" {
		return nil
	}
	m := own.merchant()
	prof, known := profile.ByName(ownProfile)
	if !known {
		return s.unknownProfile(&m)
	}
	return invalid(s.check(nil, prof, &m))
}

// makeOwn creates the merchant.
func (s *Service) makeOwn(ctx context.Context, own Own) (store.Merchant, error) {
	m := own.merchant()
	key, err := s.ownKey(&m, own)
	if err != nil {
		return m, err
	}
	m.Keys = []store.Key{*key}
	m, err = s.Store.CreateMerchant(ctx, m)
	if err == nil {
		s.Log.Info("merchant made from the configuration", "mch_id", own.MchID)
	}
	return m, err
}

// ownKey is the key that the configuration asks for; nil when it is the one that signs already, or none is
// asked for.
func (s *Service) ownKey(m *store.Merchant, own Own) (*store.Key, error) {
	if own.URL == "" {
		return nil, nil
	}
	if len(m.Keys) > 0 {
		have, err := profile.OpenKey(m.MchID, &m.Keys[0], s.Ring.Open)
		if err != nil {
			return nil, err
		}
		if have.Secret == own.Secret {
			return nil, nil
		}
	}
	prof, known := profile.ByName(m.Profile)
	if !known {
		return nil, s.unknownProfile(m)
	}
	material, faults := profile.NewMaterial(prof, m, profile.Material{Secret: own.Secret}, profile.Material{})
	if p := invalid(faults); p != nil {
		return nil, p
	}
	key, p := s.sealKey(m.MchID, material)
	if p != nil {
		return nil, p
	}
	return &key, nil
}
