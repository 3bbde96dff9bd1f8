package api

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"regexp"
	"strings"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

var mchIDPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// CreateMerchant registers a merchant and makes the key that it does not bring.
func (s *Service) CreateMerchant(ctx context.Context, req MerchantRequest) (MerchantCreated, error) {
	e, err := editOf(req)
	if err != nil {
		return MerchantCreated{}, err
	}
	return s.createMerchant(ctx, e)
}

// UpdateMerchant changes the members that the request sets; empty ones stay as they are. Over HTTP a merge
// patch can also take one back to its default.
func (s *Service) UpdateMerchant(
	ctx context.Context, mchID string, req MerchantRequest,
) (MerchantView, error) {
	e, err := editOf(req)
	if err != nil {
		return MerchantView{}, err
	}
	return s.patchMerchant(ctx, mchID, e)
}

// editOf reads a typed request as if it had come over HTTP, so that there is one way in.
func editOf(req MerchantRequest) (*merchantEdit, error) {
	text, err := json.Marshal(req)
	if err != nil {
		return nil, problem(SlugInvalid, "The merchant cannot be written as JSON.")
	}
	return read[merchantEdit](&body{text})
}

func (s *Service) createMerchant(ctx context.Context, e *merchantEdit) (MerchantCreated, error) {
	var none MerchantCreated
	faults := e.faults
	m := store.Merchant{}
	if e.mchID != nil {
		m.MchID = *e.mchID
	}
	if !mchIDPattern.MatchString(m.MchID) {
		faults = merge(faults, profile.Fault{
			Location: "body.mch_id", Message: "must match " + mchIDPattern.String(),
			Cure: "use 1–64 letters, digits, dots, hyphens and underscores, beginning with a letter or digit",
		})
	}
	prof, fault := profileOf(e)
	if fault != nil {
		return none, invalid(merge(faults, *fault))
	}
	m.Profile = prof.Name
	e.apply(&m, prof)
	faults, p := s.applyOwn(faults, &m, &e.own)
	if p != nil {
		return none, p
	}
	faults = s.check(faults, prof, &m)
	if len(faults) > 0 {
		return none, invalid(faults) // before a key is made, which costs
	}
	material, faults := profile.NewMaterial(prof, &m, e.key, profile.Material{})
	if len(faults) > 0 {
		return none, invalid(faults)
	}
	if material != (profile.Material{}) {
		key, p := s.sealKey(m.MchID, material)
		if p != nil {
			return none, p
		}
		m.Keys = []store.Key{key}
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	created, err := s.Store.CreateMerchant(ctx, m)
	if err != nil {
		return none, fromStore(err)
	}
	s.noteMerchant(ctx, nil, &created)
	s.Log.Info("merchant created", "mch_id", created.MchID, "profile", created.Profile)
	return s.withKeys(ctx, &created, 0, material)
}

// profileOf finds the profile that a new merchant names.
func profileOf(e *merchantEdit) (*profile.Profile, *profile.Fault) {
	var names []string
	for _, p := range profile.All() {
		names = append(names, p.Name)
	}
	if e.profile == nil {
		return nil, &profile.Fault{
			Location: "body.profile", Message: "is missing", Cure: "give one of " + strings.Join(names, ", "),
		}
	}
	prof, known := profile.ByName(*e.profile)
	if !known {
		f := unknownName("body", *e.profile, "profile", names)
		f.Location = "body.profile"
		return nil, &f
	}
	return prof, nil
}

// withKeys shows a merchant together with one of its keys, and its secret, which is never shown again.
func (s *Service) withKeys(
	ctx context.Context, m *store.Merchant, key int, material profile.Material, warnings ...string,
) (MerchantCreated, error) {
	sending, err := s.Store.Sending(ctx)
	if err != nil {
		return MerchantCreated{}, fromStore(err)
	}
	if prof, known := profile.ByName(m.Profile); known {
		warnings = append(warnings, prof.KeyWarnings(material)...)
	}
	out := MerchantCreated{
		MerchantView: s.view(m, sending, warnings...),
		Secret:       orNil(material.Secret),
	}
	if key < len(m.Keys) {
		out.MerchantKeys = publicKeys(&m.Keys[key])
	}
	return out, nil
}

// Merchant shows one merchant.
func (s *Service) Merchant(ctx context.Context, mchID string) (MerchantView, error) {
	m, p := s.merchant(ctx, mchID)
	if p != nil {
		return MerchantView{}, p
	}
	return s.show(ctx, &m)
}

// merchant reads one merchant.
func (s *Service) merchant(ctx context.Context, mchID string) (store.Merchant, *Problem) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := ownMerchant(ctx, mchID); err != nil {
		return store.Merchant{}, fromStore(err)
	}
	m, err := s.Store.Merchant(ctx, mchID)
	if err != nil {
		return m, fromStore(err)
	}
	return m, nil
}

func (s *Service) show(ctx context.Context, m *store.Merchant, warnings ...string) (MerchantView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	sending, err := s.Store.Sending(ctx)
	if err != nil {
		return MerchantView{}, fromStore(err)
	}
	return viewFor(ctx, s.view(m, sending, warnings...)), nil
}

// Merchants shows a page of merchants by mch_id; limit 0 is the default.
func (s *Service) Merchants(ctx context.Context, cursor string, limit int) (MerchantPage, error) {
	after, err := openCursor(cursor)
	if err != nil {
		return MerchantPage{}, fromStore(err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	ms, next, err := s.merchants(ctx, after, page(limit))
	if err != nil {
		return MerchantPage{}, fromStore(err)
	}
	sending, err := s.Store.Sending(ctx)
	if err != nil {
		return MerchantPage{}, fromStore(err)
	}
	out := MerchantPage{Merchants: make([]MerchantView, 0, len(ms)), NextCursor: orNil(sealCursor(next))}
	for i := range ms {
		if !store.Reserved(ms[i].MchID) {
			out.Merchants = append(out.Merchants, viewFor(ctx, s.view(&ms[i], sending)))
		}
	}
	return out, nil
}

// merchants are a page of those that the caller may see.
func (s *Service) merchants(ctx context.Context, after string, limit int) ([]store.Merchant, string, error) {
	bound := boundTo(ctx)
	if bound == "" {
		return s.Store.Merchants(ctx, after, limit)
	}
	if after != "" {
		return nil, "", nil
	}
	m, err := s.Store.Merchant(ctx, bound)
	if errors.Is(err, store.ErrNoMerchant) {
		return nil, "", nil
	}
	return []store.Merchant{m}, "", err
}

// A store may use a mch_id as its cursor and take any text for one. What we hand out has a checksum, so that
// a cursor that was cut or mixed up is an error and not an empty page.

func sealCursor(next string) string {
	if next == "" {
		return ""
	}
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(next)))
	return base64.RawURLEncoding.EncodeToString(append(sum, next...))
}

// MerchantsAfter is the cursor of the page of Merchants that begins behind a mch_id, whether there is a
// merchant of that name or not.
func MerchantsAfter(mchID string) string { return sealCursor(mchID) }

func openCursor(cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) < 4 || binary.BigEndian.Uint32(raw) != crc32.ChecksumIEEE(raw[4:]) {
		return "", store.ErrBadCursor
	}
	return string(raw[4:]), nil
}

// patchMerchant changes a merchant in one step. A new notify_url also lifts the hold of a refused address,
// and forgets the probe of the old one. Where the new settings sign with something that the merchant's key
// does not hold, it is generated and stored in the same step.
func (s *Service) patchMerchant(ctx context.Context, mchID string, e *merchantEdit) (MerchantView, error) {
	var none MerchantView
	faults := e.faults
	if e.hasKey {
		faults = merge(faults, profile.Fault{
			Location: "body.key", Message: "cannot be changed here", Cure: "POST …/rotate-key",
		})
	}
	var made completion
	for range keyTriesMax {
		var lacking store.Merchant
		var prof *profile.Profile
		m, err := s.update(ctx, mchID, func(m *store.Merchant) (err error) {
			if prof, err = s.patch(m, e, faults); err != nil || made.apply(prof, m, s.Now()) {
				return err
			}
			lacking = *m
			return errKeyChanged
		})
		switch {
		case err == nil:
			warnings := made.warnings(mchID)
			if len(warnings) > 0 {
				s.Log.Info("merchant key completed for its settings", "mch_id", mchID)
			}
			return s.show(ctx, &m, warnings...)
		case !errors.Is(err, errKeyChanged):
			return none, ownOrStore(err)
		}
		var p *Problem
		if made, p = s.complete(prof, &lacking); p != nil { // outside the store: it takes a while
			return none, p
		}
	}
	return none, changing()
}

// patch makes the changes of an edit; the error is a *Problem.
func (s *Service) patch(
	m *store.Merchant, e *merchantEdit, faults []profile.Fault,
) (*profile.Profile, error) {
	faults = fixed(fixed(faults, "mch_id", e.mchID, m.MchID), "profile", e.profile, m.Profile)
	prof, known := profile.ByName(m.Profile)
	if !known {
		return nil, s.unknownProfile(m)
	}
	before := m.NotifyURL
	e.apply(m, prof)
	faults, p := s.applyOwn(faults, m, &e.own)
	if p != nil {
		return nil, p
	}
	if p := invalid(s.check(faults, prof, m)); p != nil {
		return nil, p
	}
	if m.NotifyURL != before {
		m.Blocked, m.Probe = false, nil
	}
	return prof, nil
}

// fixed refuses to change a member that cannot change; its own value once more is no change.
func fixed(faults []profile.Fault, member string, given *string, have string) []profile.Fault {
	if given == nil || *given == have {
		return faults
	}
	return merge(faults, profile.Fault{
		Location: "body." + member, Message: "cannot change", Cure: "leave it out, or create another merchant",
	})
}

// change updates a merchant and shows it.
func (s *Service) change(
	ctx context.Context, mchID string, change func(m *store.Merchant) error,
) (MerchantView, error) {
	m, err := s.update(ctx, mchID, change)
	if err != nil {
		return MerchantView{}, ownOrStore(err)
	}
	return s.show(ctx, &m)
}

// update changes a merchant and lets sending look again: the change may have opened its lane.
func (s *Service) update(
	ctx context.Context, mchID string, change func(m *store.Merchant) error,
) (store.Merchant, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := ownMerchant(ctx, mchID); err != nil {
		return store.Merchant{}, err
	}
	var before store.Merchant
	m, err := s.Store.UpdateMerchant(ctx, mchID, func(m *store.Merchant) error {
		before = *m
		return change(m)
	})
	if err == nil {
		s.noteMerchant(ctx, &before, &m)
		s.Intake.Nudge()
	}
	return m, err
}

// ownOrStore keeps a Problem that one of our functions made inside a call to the store.
func ownOrStore(err error) *Problem {
	if p := (*Problem)(nil); errors.As(err, &p) {
		return p
	}
	return fromStore(err)
}

// DeleteMerchant removes a merchant to whom nothing is owed; its notifications stay readable.
func (s *Service) DeleteMerchant(ctx context.Context, mchID string) error {
	ctx, cancel := bounded(ctx)
	defer cancel()
	before, p := s.merchant(ctx, mchID)
	if p != nil {
		return p
	}
	if err := s.Store.DeleteMerchant(ctx, mchID); err != nil {
		return fromStore(err)
	}
	s.noteMerchant(ctx, &before, nil)
	s.Log.Info("merchant deleted", "mch_id", mchID)
	return nil
}

// PauseRequest is the body of pause; all of it is optional.
type PauseRequest struct {
	Reason string     `json:"reason,omitempty" maxLength:"256"`
	Until  *time.Time `json:"until,omitempty" doc:"When sending goes on; default: on resume"`
}

// PauseMerchant stops sending to a merchant; accepting goes on and nothing is lost.
func (s *Service) PauseMerchant(ctx context.Context, mchID string, req PauseRequest) (MerchantView, error) {
	var until time.Time
	if req.Until != nil {
		if until = req.Until.UTC(); !until.After(s.Now()) {
			return MerchantView{}, invalid([]profile.Fault{{
				Location: "body.until", Message: "lies in the past", Cure: "give a later instant, or leave it out",
			}})
		}
	}
	v, err := s.change(ctx, mchID, func(m *store.Merchant) error {
		m.Paused, m.PausedReason, m.PausedUntil = true, req.Reason, until
		return nil
	})
	if err == nil {
		noteReason(ctx, req.Reason)
		s.Log.Info("merchant paused", "mch_id", mchID, "reason", req.Reason, "until", until)
	}
	return v, err
}

// ResumeMerchant ends a pause, and the hold that a refused address caused.
func (s *Service) ResumeMerchant(ctx context.Context, mchID, reason string) (MerchantView, error) {
	v, err := s.change(ctx, mchID, func(m *store.Merchant) error {
		m.Paused, m.PausedReason, m.PausedUntil = false, "", time.Time{}
		m.Blocked, m.BreakerOpen = false, false
		return nil
	})
	if err == nil {
		noteReason(ctx, reason)
		s.Log.Info("merchant resumed", "mch_id", mchID, "reason", reason)
	}
	return v, err
}
