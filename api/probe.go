package api

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/store"
)

// Prober is what a signature probe needs of the dispatcher.
type Prober interface {
	// Probe sends a request whose every signature is wrong, and judges the reply. An error says nothing about
	// the merchant.
	Probe(ctx context.Context, m store.Merchant) (store.Probe, error)
}

// probesMax bounds this process's probes at once, of which a merchant has one at most: they take no place
// among the workers, so somebody else has to bound them.
const probesMax = 8

// probeRetryAfter is in how many seconds a place may be free; most merchants answer sooner.
const probeRetryAfter = 2

// ProbeView is what came of a signature probe.
type ProbeView struct {
	At       Time          `json:"at" doc:"When it was sent"`
	Verifies *bool         `json:"verifies_signatures" doc:"false: acknowledged; true: refused; null: unclear"`
	Verdict  store.Verdict `json:"verdict" doc:"As of an attempt"`
	Reason   store.Reason  `json:"reason" doc:"As of an attempt"`
	Status   *int          `json:"status" doc:"HTTP status; null without a reply"`
	Reply    *string       `json:"reply" doc:"As of an attempt: its first 1 KiB, escaped"`
}

// probeView shows a probe; nil (null) where there was none.
func probeView(p *store.Probe) *ProbeView {
	if p == nil {
		return nil
	}
	v := &ProbeView{At: Time{p.At}, Verifies: p.Verifies, Verdict: p.Verdict, Reason: p.Reason}
	if p.Status > 0 {
		v.Status = &p.Status
	}
	if p.Status > 0 || len(p.Reply) > 0 {
		v.Reply = new(EscapeReply(p.Reply))
	}
	return v
}

// probeWarnings says loudly what a probe has found.
func probeWarnings(p *store.Probe) []string {
	if p == nil || p.Verifies == nil || *p.Verifies {
		return nil
	}
	return []string{"the merchant acknowledged a wrongly signed probe at " + p.At.UTC().Format(time.RFC3339) +
		": it does not verify signatures, and anybody who learns its notify_url can forge payments"}
}

// TransformSchema says what may be null, which no tag can say of an object.
func (MerchantView) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	orNull(s, "probe", "What came of the last signature probe; null when there was none")
	orNull(s, "tls", "Its own TLS settings, without the client key; null when it has none")
	return s
}

// orNull says that a member, which is an object, may be null.
func orNull(s *huma.Schema, name, doc string) {
	if member := s.Properties[name]; member.Ref != "" {
		s.Properties[name] = &huma.Schema{
			Description: doc, OneOf: []*huma.Schema{{Ref: member.Ref}, {Type: "null"}},
		}
	}
}

// probing are the merchants that are being probed.
type probing struct {
	mu        sync.Mutex
	merchants map[string]bool
}

func (p *probing) begin(mchID string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.merchants[mchID] || len(p.merchants) >= probesMax {
		return false
	}
	if p.merchants == nil {
		p.merchants = make(map[string]bool)
	}
	p.merchants[mchID] = true
	return true
}

func (p *probing) end(mchID string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.merchants, mchID)
}

// Probe sends a merchant one request with wrong signatures, because a person asked, and notes in the merchant
// what came of it. It makes no notification. A request that was refused does not prove that the signature was
// the reason: a receiver that verifies nothing may refuse it because it does not know the order.
func (s *Service) Probe(ctx context.Context, mchID string) (ProbeView, error) {
	var none ProbeView
	m, p := s.merchant(ctx, mchID)
	if p != nil {
		return none, p
	}
	if p := s.mayProbe(ctx, &m); p != nil {
		return none, p
	}
	if !s.probing.begin(mchID) {
		p := problem(SlugTooManyProbes, "This merchant is being probed, or too many others are; wait for it.")
		return none, p.with("Retry-After", strconv.Itoa(probeRetryAfter))
	}
	defer s.probing.end(mchID)
	made, err := s.Prober.Probe(ctx, m)
	switch {
	case err == nil:
	case errors.Is(err, store.ErrUnavailable), ctx.Err() != nil:
		p := problem(SlugUnavailable, "The probe was not made, or cut short; nothing was noted. Repeat it.")
		p.cause = err
		return none, p.with("Retry-After", strconv.Itoa(retryAfterSeconds))
	default:
		return none, asProblem(err)
	}
	log := s.Log.Info
	if made.Verifies != nil && !*made.Verifies {
		log = s.Log.Warn
	}
	log("merchant probed with a wrong signature", "mch_id", mchID,
		"verifies_signatures", verifies(made.Verifies), "verdict", made.Verdict, "reason", made.Reason,
		"status", made.Status)
	seen := factsOf(probeView(&made))
	delete(seen, "reply") // a stranger's words
	note(ctx, "merchant/"+mchID, nil, seen)
	if err := s.noteProbe(ctx, &m, &made); err != nil {
		return none, ownOrStore(err)
	}
	return *probeView(&made), nil
}

func verifies(v *bool) string {
	if v == nil {
		return "unknown"
	}
	return strconv.FormatBool(*v)
}

// mayProbe is why a merchant is not probed. A hold for a refused address is no reason: whether the address is
// still refused is what the probe will say. A pause and the switch are: who pauses wants no requests.
func (s *Service) mayProbe(ctx context.Context, m *store.Merchant) *Problem {
	prof, known := profile.ByName(m.Profile)
	if !known {
		return s.unknownProfile(m)
	}
	if on, _ := m.Options["probe"].(bool); !on {
		return problem(SlugProbeNotAllowed, "The merchant has not agreed to requests with wrong signatures; "+
			"when it has, set options.probe to true.")
	}
	if !profile.Signs(prof, m) {
		return problem(SlugProbeNotAllowed, "Nothing that is sent to this merchant is signed, so there is nothing "+
			"to verify; set options.header_signature to true, or take a profile that signs.")
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	sending, err := s.Store.Sending(ctx)
	if err != nil {
		return fromStore(err)
	}
	switch heldReason(sending, m, s.Now()) {
	case store.HeldSendingPaused:
		return problem(SlugHeld, "All sending is stopped, probes too; PUT /v1/sending starts it again.")
	case store.HeldMerchantPaused:
		return problem(SlugHeld, "The merchant is paused, and a probe is a request to it; "+
			"POST /v1/merchants/"+m.MchID+"/resume first.")
	}
	return nil
}

// errOtherMerchant says that a probe's result is of an address that is no longer the merchant's, or that a
// later one is there.
var errOtherMerchant = errors.New("the result is out of date")

// noteProbe keeps a probe's result in the merchant. The request has been made, so that it counts also when
// the caller has gone.
func (s *Service) noteProbe(ctx context.Context, m *store.Merchant, made *store.Probe) error {
	ctx, cancel := bounded(context.WithoutCancel(ctx))
	defer cancel()
	_, err := s.Store.UpdateMerchant(ctx, m.MchID, func(now *store.Merchant) error {
		if now.NotifyURL != m.NotifyURL || !now.CreatedAt.Equal(m.CreatedAt) ||
			now.Probe != nil && now.Probe.At.After(made.At) {
			return errOtherMerchant
		}
		now.Probe = made
		return nil
	})
	if errors.Is(err, errOtherMerchant) {
		return nil
	}
	return err
}
