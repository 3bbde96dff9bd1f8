package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// How what people do comes into the audit log. Record wraps an action and appends one entry about it; the
// functions of Service that it calls note what they found before and left behind. First comes the change,
// then its entry, then the answer: an entry says what came of the action, and nobody is told of a success
// that the log does not have. When the entry cannot be written the answer is a 503, and so its outcome
// unknown to the caller. A process that dies between the two leaves a change without an entry; that is a few
// milliseconds, and the log of the process has the change.

// auditResultOK is the result of what succeeded; everything else is the slug of its problem.
const auditResultOK = "ok"

const (
	// auditTextMax bounds what a caller can put into an entry by way of a path, in bytes.
	auditTextMax = 128
	// auditValueMax bounds what of before and after is kept; a larger one is there as its digest, or the store
	// would refuse the entry. Options of a merchant can be as large as a request.
	auditValueMax = 64 << 10
	// auditWriteMin is how long the entry of an action may take that has used up its time already.
	auditWriteMin = 150 * time.Millisecond
)

// Refused requests come from strangers too: they must not fill a log from which nothing is ever deleted, nor
// keep a disk busy. How many were left out stands in the next entry of the kind.
const (
	denialsPerSecond = 1
	denialsBurst     = 30
)

// deed is what is to be said of an action, while it is done.
type deed struct {
	object        string
	before, after facts
}

// facts are the members of an object, each as JSON.
type facts map[string]json.RawMessage

type deedKey struct{}

// note says what an action did to an object. What stays the same is left out of both sides. Without a Record
// around it nobody wants to know.
func note(ctx context.Context, object string, before, after facts) {
	d, wanted := ctx.Value(deedKey{}).(*deed)
	if !wanted {
		return
	}
	d.object = object
	d.before, d.after = differences(before, after)
}

// noteReason adds why somebody does something.
func noteReason(ctx context.Context, reason string) {
	if d, wanted := ctx.Value(deedKey{}).(*deed); wanted && reason != "" {
		if d.after == nil {
			d.after = facts{}
		}
		d.after.set("reason", reason)
	}
}

// Record does something that belongs into the audit log and appends an entry about it, whatever comes of it.
// The caller is the context's. It answers the error of do, or the 503 of an entry that could not be written.
func (s *Service) Record(
	ctx context.Context, action, object string, do func(ctx context.Context) error,
) (err error) {
	began, d := time.Now(), &deed{object: object}
	whole := false
	defer func() {
		if !whole { // a panic: it goes on, but not without its entry
			_ = s.entry(ctx, action, d, SlugInternal, auditWriteMin)
		}
	}()
	err = do(context.WithValue(ctx, deedKey{}, d))
	whole = true
	result, left := auditResultOK, storeAnswerMax-time.Since(began)
	if err != nil {
		result = asProblem(err).Slug()
	} else if left < 0 {
		left = storeAnswerMax // it was not the store that took so long
	}
	if lost := s.entry(ctx, action, d, result, max(left, auditWriteMin)); lost != nil && err == nil {
		p := problem(SlugUnavailable, "It was done, but the audit log could not be written; look before you "+
			"repeat the request.")
		p.cause = lost
		return p.with("Retry-After", itoa(retryAfterSeconds))
	}
	return err
}

// entry appends what became of an action. The one who asked for it may be gone by now.
func (s *Service) entry(
	ctx context.Context, action string, d *deed, result string, wait time.Duration,
) error {
	c, _ := callerOf(ctx)
	e := store.AuditEntry{
		Actor: c.Name, Action: action, Object: d.object, Before: d.before.raw(), After: d.after.raw(),
		RequestID: c.RequestID, Result: result,
	}
	if c.Source.IsValid() {
		e.Source = c.Source.String()
	}
	return s.Append(ctx, e, wait)
}

// Append writes an entry of the audit log, and a line of the process's log beside it; an entry that the store
// does not take is in the latter alone, as an error. It takes at most wait, whatever becomes of ctx.
func (s *Service) Append(ctx context.Context, e store.AuditEntry, wait time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), wait)
	defer cancel()
	kept, err := s.Store.Audit(ctx, e)
	if err != nil {
		s.Log.Error("audit entry not written", "actor", e.Actor, "source", e.Source, "action", e.Action,
			"object", e.Object, "request_id", e.RequestID, "result", e.Result, "error", err)
		return fmt.Errorf("writing the audit log: %w", err)
	}
	s.Log.Info("audit", "seq", kept.Seq, "actor", e.Actor, "source", e.Source, "action", e.Action,
		"object", e.Object, "request_id", e.RequestID, "result", e.Result)
	return nil
}

// denials bounds what refused requests write into the audit log: each key for itself, all strangers together.
type denials struct {
	limits  *limits[string]
	leftOut atomic.Int64
}

func newDenials(now func() time.Time) *denials {
	return &denials{limits: newLimits[string](denialsPerSecond, denialsBurst, ratesMax, now)}
}

// seldom puts into the audit log what strangers can cause, such as a refused request, unless there is too
// much of it. An entry that cannot be written changes nothing for the caller.
func (s *Service) seldom(ctx context.Context, action, object, result string, about facts) {
	c, _ := callerOf(ctx)
	if _, ok := s.denials.limits.take(c.Name); !ok {
		s.denials.leftOut.Add(1)
		return
	}
	d := &deed{object: object, after: about}
	if n := s.denials.leftOut.Swap(0); n > 0 {
		if d.after == nil {
			d.after = facts{}
		}
		d.after.set("left_out", n)
	}
	_ = s.entry(ctx, action, d, result, storeAnswerMax) // the error is logged
}

// factsOf takes a value apart into its members, and adds more, name by value.
func factsOf(value any, more ...any) facts {
	f := facts{}
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &f)
	}
	if err != nil {
		f.set("unreadable", err.Error())
	}
	for i := 0; i+1 < len(more); i += 2 {
		name, _ := more[i].(string)
		f.set(name, more[i+1])
	}
	return f
}

func (f facts) set(name string, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		text = []byte(`"unreadable"`)
	}
	f[name] = text
}

// raw is the facts as one JSON object; none at all are null.
func (f facts) raw() json.RawMessage {
	if f == nil {
		return nil
	}
	text, err := json.Marshal(f)
	if err != nil {
		return nil
	}
	if len(text) > auditValueMax {
		text, _ = json.Marshal(map[string]any{"bytes": len(text), "sha256": digestOf(text)}) // never fails
	}
	return text
}

// hidden are members whose values are secrets: only that they are there, and that they changed, is told.
var hidden = []string{"secret", "key", "private_key"}

// differences leaves in two sets of facts what is not in the other one, with secrets hidden. Where there is
// nothing before, or nothing after, the other side stays whole.
func differences(before, after facts) (was, is facts) {
	if before == nil || after == nil {
		return before.safe(), after.safe()
	}
	was, is = facts{}, facts{}
	for name, v := range before {
		if !bytes.Equal(v, after[name]) {
			was[name] = v
		}
	}
	for name, v := range after {
		if !bytes.Equal(v, before[name]) {
			is[name] = v
		}
	}
	return was.safe(), is.safe()
}

// safe hides the values of members that may be secrets.
func (f facts) safe() facts {
	for _, name := range hidden {
		if v, there := f[name]; there && !bytes.Equal(v, []byte("null")) {
			f[name] = []byte(`"[hidden]"`)
		}
	}
	return f
}

// merchantFacts is what the audit log knows of a merchant: what the API shows of it, and which keys it has.
func (s *Service) merchantFacts(m *store.Merchant) facts {
	if m == nil {
		return nil
	}
	type key struct {
		ID          string `json:"id"`
		Fingerprint string `json:"fingerprint"`
		From        *Time  `json:"from"`
		Until       *Time  `json:"until"`
	}
	keys := make([]key, len(m.Keys))
	for i, k := range m.Keys {
		keys[i] = key{
			ID: k.ID, Fingerprint: fingerprint(k.Sealed), From: timeOrNil(k.From), Until: timeOrNil(k.Until),
		}
	}
	f := factsOf(s.view(m, store.Sending{}),
		"keys", keys, "headers", ownHeaders(m), "client_key", ownClientKey(m))
	for _, follows := range []string{"warnings", "held_reason"} { // from the others
		delete(f, follows)
	}
	return f
}

// ownHeaders are the names of a merchant's own headers, each with the fingerprint of its sealed value: that a
// value changed is seen, and nothing of it.
func ownHeaders(m *store.Merchant) map[string]string {
	if len(m.Headers) == 0 {
		return nil
	}
	prints := make(map[string]string, len(m.Headers))
	for name, sealed := range m.Headers {
		prints[name] = fingerprint([]byte(sealed))
	}
	return prints
}

// ownClientKey is the fingerprint of a merchant's sealed client key, nil without one.
func ownClientKey(m *store.Merchant) *string {
	t, err := m.OwnTLS()
	if err != nil || len(t.ClientKey) == 0 {
		return nil
	}
	return new(fingerprint(t.ClientKey))
}

// noteMerchant says what an action changed of a merchant; nil = there was, or is, none.
func (s *Service) noteMerchant(ctx context.Context, before, after *store.Merchant) {
	if _, wanted := ctx.Value(deedKey{}).(*deed); !wanted {
		return
	}
	m := after
	if m == nil {
		m = before
	}
	note(ctx, "merchant/"+m.MchID, s.merchantFacts(before), s.merchantFacts(after))
}

// noteNotification says what somebody did to a notification, and more, name by value.
func (s *Service) noteNotification(ctx context.Context, n *store.Notification, more ...any) {
	about := facts{}
	for i := 0; i+1 < len(more); i += 2 {
		name, _ := more[i].(string)
		about.set(name, more[i+1])
	}
	about.set("mch_id", n.MchID)
	about.set("notify_state", n.State)
	note(ctx, "notification/"+n.NotifyID, nil, about)
}

// fingerprint tells whether two secrets are the same one without telling anything of them: it is taken of the
// digest or the sealed form in which they are stored, because the digest of a short secret could be guessed.
func fingerprint(stored []byte) string {
	sum := sha256.Sum256(stored)
	return hex.EncodeToString(sum[:4])
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
