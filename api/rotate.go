package api

import (
	"context"
	"reflect"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// RotateRequest is the body of rotate-key; all of it is optional.
type RotateRequest struct {
	Key     *KeyRequest `json:"key,omitempty" doc:"The new key; default: generated"`
	Overlap string      `json:"overlap,omitempty" doc:"How long both sign, where the dialect can" example:"24h"`
	At      *time.Time  `json:"at,omitempty" doc:"When the new key takes over; default now"`
}

// overlapMax bounds for how long an old key stays good.
const overlapMax = 30 * 24 * time.Hour

var rotateNames = []string{"key", "overlap", "at"}

func (*RotateRequest) documented() reflect.Type { return reflect.TypeFor[RotateRequest]() }

func (req *RotateRequest) readFrom(r *reader) {
	r.object("body", rotateNames, func(name string) {
		switch name {
		case "key":
			if key := readKey(r); key != (profile.Material{}) {
				req.Key = &KeyRequest{PrivateKey: key.PrivateKey, Secret: key.Secret, Serial: key.Serial}
			}
		case "overlap":
			req.Overlap = r.optionalText("body.overlap")
		case "at":
			req.At = r.instant("body.at")
		}
	})
}

// RotateKey gives a merchant a new key. None of today's dialects can carry two signatures: the new key takes
// over at one instant, and the old one signs until then.
func (s *Service) RotateKey(ctx context.Context, mchID string, req RotateRequest) (MerchantCreated, error) {
	var none MerchantCreated
	m, p := s.merchant(ctx, mchID)
	if p != nil {
		return none, p
	}
	prof, known := profile.ByName(m.Profile)
	if !known {
		return none, s.unknownProfile(&m)
	}
	at, warnings, faults := s.rotation(prof, req)
	var given profile.Material
	if req.Key != nil {
		given = profile.Material{PrivateKey: req.Key.PrivateKey, Secret: req.Key.Secret, Serial: req.Key.Serial}
	}
	if len(faults) > 0 {
		return none, invalid(faults)
	}
	material, faults := profile.NewMaterial(prof, &m, given, profile.Material{})
	if len(faults) > 0 {
		return none, invalid(faults)
	}
	var fresh store.Merchant // only its key counts
	fresh.MchID = mchID
	if p := s.addKey(&fresh, material); p != nil {
		return none, p
	}
	fresh.Keys[0].From = at
	ctx, cancel := bounded(ctx) // only now: making a key takes a while
	defer cancel()
	m, err := s.Store.UpdateMerchant(ctx, mchID, func(m *store.Merchant) error {
		m.Keys = takeOver(m.Keys, fresh.Keys[0], s.Now())
		return nil
	})
	if err != nil {
		return none, fromStore(err)
	}
	s.Log.Info("merchant key rotated", "mch_id", mchID, "key_id", fresh.Keys[0].ID, "from", at)
	s.Intake.Nudge()
	return s.withKeys(ctx, &m, 0, material, warnings...)
}

// merchant reads one merchant.
func (s *Service) merchant(ctx context.Context, mchID string) (store.Merchant, *Problem) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	m, err := s.Store.Merchant(ctx, mchID)
	if err != nil {
		return m, fromStore(err)
	}
	return m, nil
}

// rotation judges what a caller asks for; at is zero for now.
func (s *Service) rotation(
	prof *profile.Profile, req RotateRequest,
) (at time.Time, warnings []string, faults []profile.Fault) {
	if prof.Key == profile.KeyNone {
		faults = append(faults, profile.Fault{
			Location: "body", Message: "profile " + prof.Name + " signs nothing and has no key",
			Cure: "create a merchant with a profile that signs",
		})
	}
	if req.Overlap != "" {
		d, err := time.ParseDuration(req.Overlap)
		if err != nil || d < 0 || d > overlapMax {
			faults = append(faults, profile.Fault{
				Location: "body.overlap", Message: "is no duration from 0s to " + overlapMax.String(),
				Cure: `write it like "24h"`,
			})
		}
		warnings = append(warnings, "profile "+prof.Name+" cannot carry two signatures: overlap has no effect, "+
			"the new key takes over at one instant")
	}
	if req.At != nil {
		// A mistyped year must not switch keys at once under a merchant that is not ready.
		if at = req.At.UTC().Truncate(time.Microsecond); at.Before(s.Now().Add(-time.Minute)) {
			faults = append(faults, profile.Fault{
				Location: "body.at", Message: "lies in the past", Cure: "give a later instant, or leave it out for now",
			})
		}
	}
	return at, warnings, faults
}

// takeOver puts a key first, ends the others where it begins, and drops those that will never sign again.
func takeOver(keys []store.Key, fresh store.Key, now time.Time) []store.Key {
	begin := fresh.From
	if begin.IsZero() {
		begin = now
	}
	out := []store.Key{fresh}
	for _, k := range keys {
		if k.Until.IsZero() || k.Until.After(begin) {
			k.Until = begin
		}
		if k.Until.After(now) && k.From.Before(k.Until) {
			out = append(out, k)
		}
	}
	return out
}

// PublicKey shows the public half of the key that signs now.
func (s *Service) PublicKey(ctx context.Context, mchID string) (MerchantKeys, error) {
	m, p := s.merchant(ctx, mchID)
	if p != nil {
		return MerchantKeys{}, p
	}
	now := s.Now()
	for i := range m.Keys {
		k := &m.Keys[i]
		if !now.Before(k.From) && (k.Until.IsZero() || now.Before(k.Until)) {
			return publicKeys(k), nil
		}
	}
	return MerchantKeys{}, nil
}
