package api

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// RotateRequest is the body of rotate-key; all of it is optional.
type RotateRequest struct {
	Key     *KeyRequest `json:"key,omitempty" doc:"The new key; what is left out is generated"`
	Overlap string      `json:"overlap,omitempty" doc:"How long the old keys sign too" example:"24h"`
	At      *time.Time  `json:"at,omitempty" doc:"When the new key takes over; default now"`
}

const (
	// overlapMax bounds for how long an old key stays good.
	overlapMax = 30 * 24 * time.Hour
	// overlapDefault is how long the old keys sign beside a new one when nobody says. Standard Webhooks gives a
	// merchant a day to install a new secret; to cut the old one at once, which loses every notification until
	// the merchant has switched, must be asked for with "0s".
	overlapDefault = 24 * time.Hour
	// keysMax bounds the keys of one merchant that sign now or will: each is one more signature in a header of
	// every message, and receivers bound their headers.
	keysMax = 10
	// keyTriesMax is how often a key is made for a merchant that somebody else changes meanwhile.
	keyTriesMax = 3
)

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

// rotation is what a caller asked for, checked.
type rotation struct {
	given   profile.Material
	from    time.Time // zero = now
	overlap time.Duration
}

// begin is when the new key takes over.
func (r *rotation) begin(now time.Time) time.Time {
	if r.from.IsZero() {
		return now
	}
	return r.from
}

// RotateKey gives a merchant a new key. Where a message can carry several signatures (standard, stripe) the
// old keys sign beside the new one for the overlap, and the new one comes first; elsewhere the new key takes
// over at one instant, and the old one signs until then. What serves something else than the signature, such
// as the APIv3 key of wechat_v3, stays unless the caller gives a new one.
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
	rotate, warnings, faults := s.rotation(prof, &m, req)
	if len(faults) > 0 {
		return none, invalid(faults)
	}
	for range keyTriesMax {
		made, p := s.successor(prof, &m, &rotate)
		if p != nil {
			return none, p
		}
		err := s.install(ctx, prof, &m, &rotate, made)
		switch {
		case errors.Is(err, errKeyChanged):
			continue
		case err != nil:
			return none, ownOrStore(err)
		}
		s.Log.Info("merchant key rotated", "mch_id", mchID, "key_id", made.key.ID, "from", rotate.from)
		ctx, cancel := bounded(ctx)
		defer cancel()
		at := slices.IndexFunc(m.Keys, func(k store.Key) bool { return k.ID == made.key.ID })
		return s.withKeys(ctx, &m, at, made.shown, warnings...)
	}
	return none, changing()
}

// errKeyChanged says that a merchant is no longer the one for which a key was made.
var errKeyChanged = errors.New("the merchant's keys or settings changed meanwhile")

// changing is the answer when a key was made in vain again and again.
func changing() *Problem {
	return problem(SlugChanging, "Others change this merchant at the same time; repeat the request.")
}

// rotation judges what a caller asks for.
func (s *Service) rotation(
	prof *profile.Profile, m *store.Merchant, req RotateRequest,
) (r rotation, warnings []string, faults []profile.Fault) {
	if !profile.Signs(prof, m) {
		faults = append(faults, profile.Fault{
			Location: "body", Message: "profile " + prof.Name + " signs nothing and has no key",
			Cure: "set options.header_signature to true, or create a merchant with a profile that signs",
		})
	}
	if req.Key != nil {
		r.given = profile.Material{PrivateKey: req.Key.PrivateKey, Secret: req.Key.Secret, Serial: req.Key.Serial}
	}
	if prof.Overlap {
		r.overlap = overlapDefault
	}
	if req.Overlap != "" {
		d, err := time.ParseDuration(req.Overlap)
		switch {
		case err != nil || d < 0 || d > overlapMax:
			faults = append(faults, profile.Fault{
				Location: "body.overlap", Message: "is no duration from 0s to " + overlapMax.String(),
				Cure: `write it like "24h"`,
			})
		case prof.Overlap:
			r.overlap = d
		case d > 0:
			warnings = append(warnings, "profile "+prof.Name+" cannot carry two signatures: overlap has no effect, "+
				"the new key takes over at one instant")
		}
	}
	if req.At != nil {
		// A mistyped year must not switch keys at once under a merchant that is not ready.
		if r.from = req.At.UTC().Truncate(time.Microsecond); r.from.Before(s.Now().Add(-time.Minute)) {
			faults = append(faults, profile.Fault{
				Location: "body.at", Message: "lies in the past", Cure: "give a later instant, or leave it out for now",
			})
		}
	}
	return r, warnings, faults
}

// newKey is a key that is not installed yet.
type newKey struct {
	key    store.Key
	before string           // ID of the key that it follows; empty = none
	shown  profile.Material // without the secret that it keeps
}

// successor makes the key that follows the merchant's one. That takes a while, and is done outside the store.
func (s *Service) successor(prof *profile.Profile, m *store.Merchant, r *rotation) (made newKey, p *Problem) {
	var kept profile.Material
	if before := predecessor(m.Keys, r.begin(s.Now())); before != nil {
		made.before = before.ID
		if profile.Keeps(prof, m, r.given) {
			var err error
			if kept, err = profile.OpenKey(m.MchID, before, s.Ring.Open); err != nil {
				return made, asProblem(fmt.Errorf("merchant %s: %w", m.MchID, err))
			}
		}
	}
	material, faults := profile.NewMaterial(prof, m, r.given, kept)
	if len(faults) > 0 {
		return made, invalid(faults)
	}
	if made.key, p = s.sealKey(m.MchID, material); p != nil {
		return made, p
	}
	made.key.From = r.from
	made.shown = material
	if r.given.Secret == "" && material.Secret == kept.Secret {
		made.shown.Secret = "" // it was shown when it was new
	}
	return made, nil
}

// install stores a merchant with a new key; m becomes the merchant as it is stored, or, with errKeyChanged,
// as it is now instead.
func (s *Service) install(
	ctx context.Context, prof *profile.Profile, m *store.Merchant, r *rotation, made newKey,
) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	updated, err := s.update(ctx, m.MchID, func(now *store.Merchant) error {
		*m = *now
		instant := s.Now()
		follows := ""
		if before := predecessor(now.Keys, r.begin(instant)); before != nil {
			follows = before.ID
		}
		if follows != made.before || profile.Lacks(prof, now, &made.key) {
			return errKeyChanged
		}
		keys := takeOver(now.Keys, made.key, instant, r.overlap)
		if len(keys) > keysMax {
			return tooManyKeys(keys)
		}
		now.Keys = keys
		return nil
	})
	if err == nil {
		*m = updated
	}
	return err
}

// tooManyKeys is the answer to a rotation that would leave too many keys in force: to drop one would break
// the merchant that still verifies with it.
func tooManyKeys(keys []store.Key) *Problem {
	detail := fmt.Sprintf("The merchant has %d keys that sign now or will. ", len(keys)-1)
	var ends time.Time
	for _, k := range keys {
		if !k.Until.IsZero() && (ends.IsZero() || k.Until.Before(ends)) {
			ends = k.Until
		}
	}
	if !ends.IsZero() {
		detail += "The next of them ends at " + ends.UTC().Format(time.RFC3339) + ": rotate then, or "
	}
	return problem(SlugTooManyKeys, detail+`end them all with "overlap": "0s" and without "at".`)
}

// predecessor is the newest key that has begun by an instant: the one that a key from then on follows.
// Planned ones after it are replaced.
func predecessor(keys []store.Key, begin time.Time) *store.Key {
	for i := range keys {
		if !keys[i].From.After(begin) {
			return &keys[i]
		}
	}
	return nil
}

// takeOver puts a key among the others, newest first: those that would begin later are replaced by it, those
// before it end with the overlap, and those that will never sign again are dropped.
func takeOver(keys []store.Key, fresh store.Key, now time.Time, overlap time.Duration) []store.Key {
	begin := fresh.From
	if begin.IsZero() {
		begin = now
	}
	out := []store.Key{fresh}
	end := begin.Add(overlap)
	for _, k := range keys {
		if k.From.After(begin) {
			continue
		}
		if k.Until.IsZero() || k.Until.After(end) {
			k.Until = end
		}
		if k.Until.After(now) && k.From.Before(k.Until) {
			out = append(out, k)
		}
	}
	return out
}
