package api

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/store"
)

// NotificationSummary is a notification as lists show it.
type NotificationSummary struct {
	NotifyID         string          `json:"notify_id"`
	MchID            string          `json:"mch_id"`
	Profile          string          `json:"profile"`
	NotifyURL        *string         `json:"notify_url" doc:"Its own, or the merchant's now"`
	NotifyType       string          `json:"notify_type"`
	OutTradeNo       string          `json:"out_trade_no"`
	Params           json.RawMessage `json:"params" doc:"As accepted; null when shrunk"`
	Schedule         string          `json:"schedule"`
	NotifyState      store.State     `json:"notify_state" enum:"pending,spent,exhausted,canceled,quarantined"`
	NotifyCount      int             `json:"notify_count" doc:"Charged sends so far"`
	NotifyCountLimit int             `json:"notify_count_limit" doc:"Sends of the schedule"`
	InFlight         bool            `json:"in_flight"`
	HeldReason       *string         `json:"held_reason" doc:"Why nothing is sent now"`
	CreatedAt        Time            `json:"created_at"`
	LastNotifyTime   *Time           `json:"last_notify_time" nullable:"true"`
	NextNotifyTime   *Time           `json:"next_notify_time" nullable:"true"`
	SpentAt          *Time           `json:"spent_at" nullable:"true"`
	LastVerdict      *store.Verdict  `json:"last_verdict"`
	LastReason       *store.Reason   `json:"last_reason"`
	Shrunk           bool            `json:"shrunk" doc:"Retention has dropped params and attempts"`
}

// NotificationView is everything about one notification.
type NotificationView struct {
	NotificationSummary
	Attempts []AttemptView `json:"attempts" nullable:"false" doc:"Oldest first"`
}

// NotificationPage is a page of notifications, newest first.
type NotificationPage struct {
	Notifications []NotificationSummary `json:"notifications" nullable:"false"`
	NextCursor    *string               `json:"next_cursor" doc:"null at the end"`
}

// AttemptView is one POST and what came of it.
type AttemptView struct {
	N             int           `json:"n" doc:"From 1, over all attempts"`
	Send          *int          `json:"send" doc:"Place in the schedule; null for resend and replay"`
	Charged       bool          `json:"charged" doc:"Counts in notify_count"`
	Trigger       store.Trigger `json:"trigger" enum:"first,retry,resend,replay"`
	ScheduledAt   Time          `json:"scheduled_at"`
	StartedAt     Time          `json:"started_at"`
	DurationMS    float64       `json:"duration_ms"`
	Verdict       store.Verdict `json:"verdict"`
	Reason        store.Reason  `json:"reason"`
	Hint          *string       `json:"hint" doc:"The cause and the cure"`
	Detail        *string       `json:"detail" doc:"For operators"`
	Status        *int          `json:"status" doc:"HTTP status; null without a reply"`
	Reply         *string       `json:"reply" doc:"First 1 KiB; control and invalid bytes as \\xNN"`
	ReplyBytes    []byte        `json:"reply_bytes" doc:"The same bytes, base64"`
	RemoteAddr    *string       `json:"remote_addr" doc:"ip:port; null without a connection"`
	RequestSHA256 *string       `json:"request_sha256" doc:"Of the body; for GET of the request target"`
	PhasesMS      PhasesView    `json:"phases_ms" doc:"Where the time went"`
	TLS           *TLSInfoView  `json:"tls"`
}

// TLSInfoView is what an attempt over TLS saw of the server.
type TLSInfoView struct {
	Version  string `json:"version" example:"TLS 1.3"`
	Subject  string `json:"subject" doc:"Of the server's certificate"`
	NotAfter Time   `json:"not_after" doc:"When the certificate ends"`
}

// TransformSchema says what may be null, which no tag can say of an object.
func (AttemptView) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	orNull(s, "tls", "Of the server; null without TLS, and where no certificate was shown")
	return s
}

// PhasesView is where the time of an attempt went, in milliseconds; 0 for what did not happen.
type PhasesView struct {
	DNS       float64 `json:"dns"`
	Connect   float64 `json:"connect"`
	TLS       float64 `json:"tls"`
	FirstByte float64 `json:"first_byte"`
	Body      float64 `json:"body"`
}

// FollowedAttempt is an attempt as it is settled, with what to know of its notification.
type FollowedAttempt struct {
	NotifyID         string      `json:"notify_id"`
	MchID            string      `json:"mch_id"`
	OutTradeNo       string      `json:"out_trade_no"`
	NotifyState      store.State `json:"notify_state" enum:"pending,spent,exhausted,canceled,quarantined"`
	NextNotifyTime   *Time       `json:"next_notify_time" nullable:"true"`
	NotifyCountLimit int         `json:"notify_count_limit"`
	AttemptView
}

// AttemptPage is what was settled after a cursor.
type AttemptPage struct {
	Attempts   []FollowedAttempt `json:"attempts" nullable:"false"`
	NextCursor string            `json:"next_cursor" doc:"Give it as after"`
}

// Notification shows one notification with all its attempts.
func (s *Service) Notification(ctx context.Context, notifyID string) (NotificationView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	f, err := s.find(ctx, notifyID)
	if err != nil {
		return NotificationView{}, err
	}
	v := NotificationView{NotificationSummary: f.summary, Attempts: make([]AttemptView, len(f.attempts))}
	for i := range f.attempts {
		v.Attempts[i] = attemptView(ctx, &f.attempts[i])
	}
	return v, nil
}

// found is a notification with all that belongs to it.
type found struct {
	n        store.Notification
	attempts []store.Attempt
	merchant *store.Merchant // nil = gone
	summary  NotificationSummary
}

// find reads one notification; its error is a *Problem.
func (s *Service) find(ctx context.Context, notifyID string) (f found, err error) {
	if _, _, err = store.ParseID(notifyID); err != nil {
		return f, fromStore(store.ErrNotFound)
	}
	if f.n, f.attempts, err = s.Store.Get(ctx, notifyID); err == nil {
		err = ownNotification(ctx, &f.n)
	}
	if err != nil {
		return found{}, fromStore(err)
	}
	look, err := s.look(ctx)
	if err != nil {
		return f, fromStore(err)
	}
	if f.summary, err = look.summary(ctx, &f.n); err != nil {
		return f, fromStore(err)
	}
	f.merchant = look.merchants[f.n.MchID]
	return f, nil
}

// Notifications shows a page of notifications, newest first; Limit 0 is the default.
func (s *Service) Notifications(ctx context.Context, q store.Query) (NotificationPage, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	q.Limit = page(q.Limit)
	if q.MchID == "" {
		q.MchID = boundTo(ctx)
	} else if foreign(ctx, q.MchID) {
		return NotificationPage{Notifications: []NotificationSummary{}}, nil // as for one that there is not
	}
	ns, next, err := s.list(ctx, q)
	if err != nil {
		return NotificationPage{}, fromStore(err)
	}
	look, err := s.look(ctx)
	if err != nil {
		return NotificationPage{}, fromStore(err)
	}
	out := NotificationPage{Notifications: make([]NotificationSummary, len(ns)), NextCursor: orNil(next)}
	for i := range ns {
		if out.Notifications[i], err = look.summary(ctx, &ns[i]); err != nil {
			return NotificationPage{}, fromStore(err)
		}
	}
	return out, nil
}

// look shows notifications of one answer: it reads each merchant once.
type look struct {
	s         *Service
	now       time.Time
	sending   store.Sending
	merchants map[string]*store.Merchant // nil = gone
}

func (s *Service) look(ctx context.Context) (*look, error) {
	sending, err := s.Store.Sending(ctx)
	return &look{
		s: s, now: s.Now(), sending: sending,
		merchants: map[string]*store.Merchant{},
	}, err
}

func (l *look) merchant(ctx context.Context, mchID string) (*store.Merchant, error) {
	if m, seen := l.merchants[mchID]; seen {
		return m, nil
	}
	m, err := l.s.Store.Merchant(ctx, mchID)
	switch {
	case errors.Is(err, store.ErrNoMerchant):
		l.merchants[mchID] = nil
		return nil, nil // gone: its notifications stay readable
	case err != nil:
		return nil, err
	}
	l.merchants[mchID] = &m
	return &m, nil
}

func (l *look) summary(ctx context.Context, n *store.Notification) (NotificationSummary, error) {
	m, err := l.merchant(ctx, n.MchID)
	if err != nil {
		return NotificationSummary{}, err
	}
	v := NotificationSummary{
		NotifyID: n.NotifyID, MchID: n.MchID, Profile: n.Profile, NotifyURL: orNil(n.NotifyURL),
		NotifyType: n.NotifyType, OutTradeNo: n.OutTradeNo, Params: n.Params, Schedule: n.Schedule,
		NotifyState: n.State, NotifyCount: n.NotifyCount, NotifyCountLimit: n.Sends(),
		InFlight: n.InFlight, CreatedAt: Time{n.CreatedAt}, LastNotifyTime: timeOrNil(n.LastAt),
		NextNotifyTime: timeOrNil(n.NextAt), SpentAt: timeOrNil(n.SpentAt),
		LastVerdict: orNil(n.LastVerdict), LastReason: orNil(n.LastReason), Shrunk: n.Shrunk,
	}
	if n.Shrunk {
		v.Params = nil
	}
	if n.NotifyURL == "" && m != nil {
		v.NotifyURL = orNil(m.NotifyURL)
	}
	v.HeldReason = orNil(n.HeldReason(m, l.sending, l.now))
	return v, nil
}

// attemptView shows an attempt to the caller. detail and remote_addr tell a merchant about our network and
// not about its own server.
func attemptView(ctx context.Context, a *store.Attempt) AttemptView {
	v := AttemptView{
		N: a.N, Charged: a.Charged, Trigger: a.Trigger, ScheduledAt: Time{a.ScheduledAt},
		StartedAt: Time{a.StartedAt}, DurationMS: ms(a.Duration), Verdict: a.Verdict, Reason: a.Reason,
		Hint: orNil(profile.Explain(a.Reason).Hint()), Detail: orNil(a.Detail), RemoteAddr: orNil(a.RemoteAddr),
		RequestSHA256: orNil(a.RequestSHA256),
		PhasesMS: PhasesView{
			DNS: ms(a.Phases.DNS), Connect: ms(a.Phases.Connect), TLS: ms(a.Phases.TLS),
			FirstByte: ms(a.Phases.FirstByte), Body: ms(a.Phases.Body),
		},
	}
	if a.Send > 0 {
		v.Send = &a.Send
	}
	if a.TLS != nil {
		v.TLS = &TLSInfoView{Version: a.TLS.Version, Subject: a.TLS.Subject, NotAfter: Time{a.TLS.NotAfter}}
	}
	if a.Status > 0 {
		v.Status = &a.Status
	}
	if a.Status > 0 || len(a.Reply) > 0 {
		text := EscapeReply(a.Reply)
		v.Reply, v.ReplyBytes = &text, append([]byte{}, a.Reply...)
	}
	if throughPortal(ctx) {
		v.Detail, v.RemoteAddr = nil, nil
	}
	return v
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Resend asks for one send on a person's behalf.
func (s *Service) Resend(ctx context.Context, notifyID string, req ResendRequest) (Receipt, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, _, err := store.ParseID(notifyID); err != nil {
		return Receipt{}, fromStore(store.ErrNotFound)
	}
	n, _, err := s.Store.Get(ctx, notifyID)
	if err == nil {
		err = ownNotification(ctx, &n)
	}
	if err != nil {
		return Receipt{}, fromStore(err)
	}
	if _, err = s.Store.Merchant(ctx, n.MchID); err != nil {
		return Receipt{}, fromStore(err) // a deleted merchant's lane is never run
	}
	if n, err = s.Store.Resend(ctx, notifyID, store.Resend, req.Force); err != nil {
		return Receipt{}, fromStore(err)
	}
	s.noteNotification(ctx, &n, "force", req.Force)
	noteReason(ctx, req.Reason)
	s.Log.Info("resend asked for", "notify_id", notifyID, "mch_id", n.MchID, "force", req.Force,
		"reason", req.Reason)
	s.Intake.Nudge()
	return receiptNow(&n), nil
}

// Cancel takes a pending notification back.
func (s *Service) Cancel(ctx context.Context, notifyID, reason string) (Receipt, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, _, err := store.ParseID(notifyID); err != nil {
		return Receipt{}, fromStore(store.ErrNotFound)
	}
	n, _, err := s.Store.Get(ctx, notifyID)
	if err == nil {
		err = ownNotification(ctx, &n)
	}
	if err != nil {
		return Receipt{}, fromStore(err)
	}
	was := n.State
	if n, err = s.Store.Cancel(ctx, notifyID); err != nil {
		return Receipt{}, fromStore(err)
	}
	s.noteNotification(ctx, &n, "was", was)
	noteReason(ctx, reason)
	s.Log.Info("notification canceled", "notify_id", notifyID, "mch_id", n.MchID, "reason", reason)
	return receiptNow(&n), nil
}

func receiptNow(n *store.Notification) Receipt {
	return Receipt{
		NotifyID: n.NotifyID, NotifyState: n.State, NotifyCount: n.NotifyCount, NextNotifyTime: timeOrNil(n.NextAt),
	}
}
