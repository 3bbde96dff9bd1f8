package dispatcher

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// errStopping says that the dispatcher has drained, or drops what is in flight.
var errStopping = fmt.Errorf("%w: this process stops", store.ErrUnavailable)

// Probe finds out whether a merchant verifies signatures: it sends a request that is right in all but its
// signatures, and judges the reply as a send's would be. WeChat Pay v3 does the same with signatures that
// begin with WECHATPAY/SIGNTEST/; here every dialect has it.
//
// It is a send in all that concerns the wire (address rules, client, timeout, gate) and in nothing else:
// there is no notification, so nothing is claimed, settled, retried or spent. Whoever calls sees to it that
// the merchant agreed, that it is not held, and that it does not get many at once.
//
// The error is for what says nothing about the merchant: store.ErrUnavailable when results cannot be recorded
// or this process stops, the context's own, or a request that cannot be made.
func (d *Dispatcher) Probe(ctx context.Context, m store.Merchant) (store.Probe, error) {
	card, err := d.cards.make(m, m.Profile)
	if err != nil {
		return store.Probe{}, fmt.Errorf("merchant %s: %w", m.MchID, err)
	}
	card.keys = card.keys.Probe()
	h := d.probing(&m, card.profile)
	switch {
	case d.interrupt.Err() != nil:
		return store.Probe{}, errStopping
	case !d.gate.open(m.MchID):
		return store.Probe{}, fmt.Errorf("%w: %w", store.ErrUnavailable, errGate)
	}
	started := h.now()
	target, _ := d.target(h, card)
	if target == nil { // the address rules refuse it
		return store.Probe{At: started, Verdict: store.Blocked, Reason: store.AddressBlocked}, nil
	}
	req, err := d.build(h, card, target, started)
	if err != nil {
		return store.Probe{}, fmt.Errorf("merchant %s: %w", m.MchID, err)
	}
	req.Fresh = true // a connection that died while it was idle would only be a reason to ask again
	return d.probe(ctx, h, card, req, started)
}

// probe sends the request, unless and until this process stops.
func (d *Dispatcher) probe(
	ctx context.Context, h *held, c *card, req *request, started time.Time,
) (store.Probe, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(d.interrupt, cancel)
	defer stop()
	result := d.Client.Do(ctx, &req.Request)
	switch {
	case !result.Wrote && (errors.Is(result.Err, errLate) || errors.Is(result.Err, errGate)):
		return store.Probe{}, fmt.Errorf("%w: %w", store.ErrUnavailable, result.Err)
	case result.Fault != "" && d.interrupt.Err() != nil:
		return store.Probe{}, errStopping
	case result.Fault != "" && ctx.Err() != nil:
		return store.Probe{}, ctx.Err()
	}
	a := d.record(h, c, req, result, started)
	return store.Probe{
		At: started, Verifies: store.ProbeVerifies(a.Verdict, a.Reason, a.Status),
		Verdict: a.Verdict, Reason: a.Reason, Status: a.Status, Reply: a.Reply,
	}, nil
}

// probing is the notification that a probe carries, as if it were claimed now. Its order number exists
// nowhere, so that a merchant that books what it does not verify books nothing real.
func (d *Dispatcher) probing(m *store.Merchant, p *profile.Profile) *held {
	const orderChars = 12 // of the random part: with "probe-" within the 32 that the strictest dialect takes
	now := d.Store.Now()
	id := store.NewID(now, 0)
	return &held{
		Claim: store.Claim{
			Notification: store.Notification{
				NotifyID: id, MchID: m.MchID, Profile: p.Name, NotifyType: p.NotifyType,
				OutTradeNo: "probe-" + id[len(id)-orderChars:], Params: json.RawMessage("{}"), CreatedAt: now,
			},
			ClaimedAt: now,
		},
		asked: time.Now(), clock: d.Store,
	}
}
