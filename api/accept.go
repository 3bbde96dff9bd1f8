package api

import (
	"bytes"
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// Receipt is the answer to an accepted notification, and what resend and cancel answer.
type Receipt struct {
	NotifyID       string      `json:"notify_id"`
	NotifyState    store.State `json:"notify_state" enum:"pending,spent,exhausted,canceled,quarantined"`
	NotifyCount    int         `json:"notify_count" doc:"Charged sends so far"`
	NextNotifyTime *Time       `json:"next_notify_time" nullable:"true" doc:"null in final states"`

	// Replayed says that the same idempotency key brought the same content before.
	Replayed bool `json:"-"`
}

// BatchItem is what became of one item of a batch.
type BatchItem struct {
	Status   int      `json:"status" doc:"202, 200 for a replay, else the problem's"`
	NotifyID string   `json:"notify_id,omitempty"`
	Problem  *Problem `json:"problem,omitempty"`
}

// Accept takes one notification in. When it returns without an error, the notification is durable: it ends
// spent, exhausted, canceled or quarantined, or a person sees why it is held. The error is a *Problem.
func (s *Service) Accept(ctx context.Context, req NotificationRequest, traceParent string) (Receipt, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, p := s.prepare(ctx, &req, traceParent)
	if p != nil {
		if a, again := s.answeredBefore(ctx, &req, p); again {
			return receiptOf(a)
		}
		return Receipt{}, p
	}
	answers, err := s.Intake.Accept(ctx, []store.Notification{n})
	if err != nil {
		return Receipt{}, unavailable(err)
	}
	return receiptOf(answers[0])
}

// AcceptBatch takes many in: one answer per item, in order, each for itself. The error is for all of them and
// says that nothing is known about any.
func (s *Service) AcceptBatch(
	ctx context.Context, reqs []NotificationRequest, traceParent string,
) ([]BatchItem, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	out := make([]BatchItem, len(reqs))
	ns := make([]store.Notification, 0, len(reqs))
	at := make([]int, 0, len(reqs)) // ns[k] is reqs[at[k]]
	for i := range reqs {
		n, p := s.prepare(ctx, &reqs[i], traceParent)
		switch {
		case p != nil && p.Status >= 500:
			return nil, p
		case p != nil:
			out[i] = s.refusedItem(ctx, &reqs[i], p)
		default:
			ns, at = append(ns, n), append(at, i)
		}
	}
	if len(ns) == 0 {
		return out, nil
	}
	answers, err := s.Intake.Accept(ctx, ns)
	if err != nil {
		return nil, unavailable(err)
	}
	for k, a := range answers {
		out[at[k]] = batchItemOf(a)
	}
	return out, nil
}

func batchItemOf(a store.Accepted) BatchItem {
	switch r, err := receiptOf(a); {
	case err != nil:
		p := asProblem(err)
		return BatchItem{Status: p.Status, Problem: p}
	case r.Replayed:
		return BatchItem{Status: 200, NotifyID: r.NotifyID}
	default:
		return BatchItem{Status: 202, NotifyID: r.NotifyID}
	}
}

// refusedItem is an item that would be refused today, unless it is a repeat.
func (s *Service) refusedItem(ctx context.Context, req *NotificationRequest, p *Problem) BatchItem {
	if a, again := s.answeredBefore(ctx, req, p); again {
		return batchItemOf(a)
	}
	return BatchItem{Status: p.Status, Problem: p}
}

// answeredBefore looks whether a request that would be refused today is the repeat of one that was accepted:
// its merchant may have been changed or deleted since. A repeat gets the first answer, whatever has happened.
func (s *Service) answeredBefore(
	ctx context.Context, req *NotificationRequest, p *Problem,
) (store.Accepted, bool) {
	if store.Reserved(req.MchID) || foreign(ctx, req.MchID) {
		return store.Accepted{}, false
	}
	if req.IdempotencyKey == "" || p.Status >= 500 || checkIdempotencyKey(req.IdempotencyKey) != nil {
		return store.Accepted{}, false
	}
	n, err := s.Store.ByKey(ctx, req.MchID, req.IdempotencyKey)
	if err != nil {
		return store.Accepted{}, false
	}
	a := store.Accepted{Status: store.Replayed, NotifyID: n.NotifyID, CreatedAt: n.CreatedAt}
	if !bytes.Equal(n.ContentDigest, req.digest()) {
		a.Status = store.Conflict
	}
	return a, true
}

func receiptOf(a store.Accepted) (Receipt, error) {
	switch a.Status {
	case store.Conflict:
		return Receipt{}, problem(SlugIdempotencyMismatch,
			"This idempotency key belongs to a notification with other content; use a new key.")
	case store.NoMerchant: // deleted since it was looked at
		return Receipt{}, fromStore(store.ErrNoMerchant)
	case store.New, store.Replayed:
	}
	// Also for a replay: the first answer once more, not today's state.
	return Receipt{
		NotifyID: a.NotifyID, NotifyState: store.Pending, NextNotifyTime: timeOrNil(a.CreatedAt),
		Replayed: a.Status == store.Replayed,
	}, nil
}

// prepare checks a request against its merchant and makes the record that accept freezes.
func (s *Service) prepare(
	ctx context.Context, req *NotificationRequest, traceParent string,
) (store.Notification, *Problem) {
	var n store.Notification
	if req.IdempotencyKey != "" || req.emptyKey {
		if p := checkIdempotencyKey(req.IdempotencyKey); p != nil {
			return n, p
		}
	}
	if store.Reserved(req.MchID) {
		return n, fromStore(store.ErrNoMerchant) // only the engine speaks there, and it does not come this way
	}
	if err := ownMerchant(ctx, req.MchID); err != nil {
		return n, fromStore(err)
	}
	m, err := s.Store.Merchant(ctx, req.MchID)
	if err != nil {
		return n, fromStore(err)
	}
	prof, known := profile.ByName(m.Profile)
	if !known {
		return n, s.unknownProfile(&m)
	}
	n = store.Notification{
		MchID: m.MchID, Profile: m.Profile, NotifyType: req.NotifyType, OutTradeNo: req.OutTradeNo,
		Params: req.Params, NotifyURL: req.NotifyURL, Schedule: req.Schedule,
		IdempotencyKey: req.IdempotencyKey, TraceParent: traceParent,
	}
	if n.NotifyType == "" {
		n.NotifyType = prof.NotifyType
	}
	if n.Schedule == "" {
		n.Schedule = cmp.Or(m.Schedule, prof.Schedule)
	}
	faults := profile.Check(prof, &m, &n)
	if n.NotifyURL != "" {
		faults = s.checkOverride(faults, &m, n.NotifyURL)
	}
	if p := invalid(faults); p != nil {
		return n, p
	}
	if n.IdempotencyKey != "" {
		n.ContentDigest = req.digest()
	}
	return n, nil
}

// unknownProfile is a bug or a store written by a newer version.
func (s *Service) unknownProfile(m *store.Merchant) *Problem {
	s.Log.Error("merchant with a profile unknown to this version", "mch_id", m.MchID, "profile", m.Profile)
	return problem(SlugInternal, "This version does not know the profile of the merchant; run the newer one.")
}

// checkOverride judges a notification's own notify_url by the URL rules and by options.hosts; profile.Check
// has seen to the rest.
func (s *Service) checkOverride(faults []profile.Fault, m *store.Merchant, raw string) []profile.Fault {
	target, bad := s.Rules.CheckURL(raw)
	if bad != nil {
		return merge(faults, urlFault(bad))
	}
	// Judged on the host that will be dialled, whatever other parsers make of the URL.
	if !s.hostAllowed(m, target.Host) {
		faults = merge(faults, profile.Fault{
			Location: "body.notify_url", Message: "its host is not among the merchant's options.hosts",
			Cure: "take a host of the list, or add this one to the merchant's options.hosts", Slug: SlugNotifyURL,
		})
	}
	return faults
}

// hostAllowed compares hosts as the URL rules write them, so that letter case and IDN forms do not count.
func (s *Service) hostAllowed(m *store.Merchant, host string) bool {
	if profile.HostAllowed(m, host) {
		return true
	}
	for _, listed := range textList(m.Options["hosts"]) {
		if t, bad := s.Rules.CheckURL("https://" + listed + "/"); bad == nil && t.Host == host {
			return true
		}
	}
	return false
}

// textList reads a list of strings as code gives it, or as a store reads it back from JSON.
func textList(value any) []string {
	switch list := value.(type) {
	case []string:
		return list
	case []any:
		out := make([]string, 0, len(list))
		for _, item := range list {
			if text, ok := item.(string); ok {
				out = append(out, text)
			}
		}
		return out
	}
	return nil
}

// merge adds faults at places that nothing is known to be wrong at yet.
func merge(faults []profile.Fault, more ...profile.Fault) []profile.Fault {
	for _, f := range more {
		if !slices.ContainsFunc(faults, func(have profile.Fault) bool { return have.Location == f.Location }) {
			faults = append(faults, f)
		}
	}
	return faults
}

func itoa(n int) string { return strconv.Itoa(n) }

// storeAnswerMax is how long the store may take: a 503 must come within 2 s.
const storeAnswerMax = 1800 * time.Millisecond
