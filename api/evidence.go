package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// No request is stored: each is built again from the notification, the merchant as it is now and the instant
// of the attempt, and shown only if its digest is the one that the attempt recorded.

// Limits of one answer. The newest attempts come first; ?attempt= gets at the others.
const (
	evidenceBuildsMax = 256     // an RSA signature takes about a millisecond, and a store's answer two seconds
	evidenceBytesMax  = 8 << 20 // of bodies and signed texts; each stands there as text and as base64
)

// EvidenceView is everything about one notification, with the request of each attempt.
type EvidenceView struct {
	NotificationSummary
	Attempts []EvidenceAttempt `json:"attempts" nullable:"false" doc:"Oldest first"`
}

// EvidenceAttempt is an attempt with the request that was sent.
type EvidenceAttempt struct {
	AttemptView
	Request        *RequestView `json:"request"`
	RequestMissing *string      `json:"request_missing" doc:"Why request is null"`
	RequestNote    *string      `json:"request_note" doc:"What the digest does not prove of it; null when sure"`
}

// RequestView is a request as it left, without the headers Host and Content-Length, which follow from url and
// body.
type RequestView struct {
	Method       string       `json:"method" enum:"POST,GET"`
	URL          string       `json:"url" doc:"With its query"`
	Headers      []HeaderLine `json:"headers" nullable:"false" doc:"In the order sent"`
	Body         *string      `json:"body" doc:"null when it is not UTF-8"`
	BodyBase64   []byte       `json:"body_base64" doc:"The same bytes, base64"`
	StringToSign *string      `json:"string_to_sign" doc:"null when nothing was signed, or it is not UTF-8"`
	SignBase64   []byte       `json:"string_to_sign_base64" doc:"The same bytes, base64; null when unsigned"`
}

// HeaderLine is one header of a request.
type HeaderLine struct {
	Name  string `json:"name"`
	Value string `json:"value" doc:"•••• for the merchant's own headers, whose values are never shown"`
}

// TransformSchema says what may be null, which no tag can say of an object.
func (EvidenceAttempt) TransformSchema(_ huma.Registry, s *huma.Schema) *huma.Schema {
	orNull(s, "request", "Rebuilt; null unless it has the digest request_sha256")
	return AttemptView{}.TransformSchema(nil, s)
}

type evidenceInput struct {
	NotifyID string `path:"notify_id" doc:"26 characters of [0-9a-z]"`
	Attempt  int    `query:"attempt" minimum:"1" maximum:"1000000000" doc:"Only this attempt; default: all"`
}

func (a *API) evidenceRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "get-evidence", Method: "GET", Path: "/v1/notifications/{notify_id}/evidence",
		Tags: tagNotifications, Summary: "Show what was sent, byte for byte",
		Description: "Every request is rebuilt and checked against request_sha256; where that cannot be done any " +
			"more, because a key or setting has changed since, it is null with the reason.",
	}, []int{404}, func(ctx context.Context, in *evidenceInput) (EvidenceView, error) {
		return s.Evidence(ctx, in.NotifyID, in.Attempt)
	})
}

// Evidence shows a notification with the request of every attempt, or of attempt n alone unless that is 0.
func (s *Service) Evidence(ctx context.Context, notifyID string, n int) (EvidenceView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	var none EvidenceView
	f, err := s.find(ctx, notifyID)
	if err != nil {
		return none, err
	}
	r := s.rebuilder(&f)
	r.ownHeaders = r.ownHeaders && !throughPortal(ctx)
	shown := f.attempts
	if n > 0 {
		at := slices.IndexFunc(shown, func(a store.Attempt) bool { return a.N == n })
		if at < 0 {
			return none, noAttempt(len(shown))
		}
		shown = shown[at : at+1]
	}
	v := EvidenceView{NotificationSummary: f.summary, Attempts: make([]EvidenceAttempt, len(shown))}
	for i := len(shown) - 1; i >= 0; i-- {
		if err := ctx.Err(); err != nil {
			return none, asProblem(err)
		}
		a := &shown[i]
		v.Attempts[i].AttemptView = attemptView(ctx, a)
		request, missing := r.request(a)
		v.Attempts[i].Request, v.Attempts[i].RequestMissing = request, orNil(missing)
		if request != nil {
			v.Attempts[i].RequestNote = orNil(r.unproved(a))
		}
	}
	return v, nil
}

func noAttempt(attempts int) *Problem {
	f := profile.Fault{Location: "query.attempt", Message: "there is no attempt yet", Cure: "ask again later"}
	if attempts > 0 {
		f.Message = fmt.Sprintf("there are %d attempts", attempts)
		f.Cure = fmt.Sprintf("give a whole number from 1 to %d", attempts)
	}
	return invalid([]profile.Fault{f})
}

// rebuilder makes the requests of one notification's attempts again.
type rebuilder struct {
	n         *store.Notification
	m         *store.Merchant
	profile   *profile.Profile
	keys      *profile.Keys
	target    *egress.Target
	userAgent string
	never     string // why nothing can be rebuilt

	ownHeaders bool // the merchant's own headers are sent there

	// Equal digests are equal bytes, built at the start of the first attempt that has them: the re-send after a
	// stale connection repeats what was signed before it.
	signedAt map[string]time.Time
	done     map[string]rebuilt // by digest
	builds   int                // made so far
	bytes    int                // shown so far
}

type rebuilt struct {
	request *RequestView
	missing string // why it is nil
}

func (s *Service) rebuilder(f *found) *rebuilder {
	r := &rebuilder{
		n: &f.n, m: f.merchant, userAgent: s.UserAgent,
		signedAt: map[string]time.Time{}, done: map[string]rebuilt{},
	}
	for i := range f.attempts {
		a := &f.attempts[i]
		if _, seen := r.signedAt[a.RequestSHA256]; !seen {
			r.signedAt[a.RequestSHA256] = a.StartedAt
		}
	}
	r.never = r.open(s)
	return r
}

// open gets ready what every request needs, or says why there will be none.
func (r *rebuilder) open(s *Service) (never string) {
	if r.m == nil {
		return "The merchant was removed, and its key and settings with it."
	}
	prof, known := profile.ByName(r.n.Profile)
	if !known {
		return "This version does not know the profile " + r.n.Profile + "."
	}
	target, refused := s.Rules.CheckURL(cmp.Or(r.n.NotifyURL, r.m.NotifyURL))
	if refused != nil {
		return "The rules of now refuse the notify_url (" + string(refused.Rule) + "). " + refused.Cure
	}
	own, _ := s.Rules.CheckURL(r.m.NotifyURL)
	own = cmp.Or(own, &egress.Target{})
	r.ownHeaders = profile.HeadersGoTo(r.m, own.Scheme, own.Host, target.Scheme, target.Host)
	keys, err := profile.OpenKeys(prof, r.m, s.Ring.Open)
	switch {
	case err == nil:
		r.profile, r.target, r.keys = prof, target, keys
		return ""
	case errors.Is(err, keyring.ErrWrongKey):
		never = "The merchant's key is sealed under a master key that this server was not given."
	default:
		never = "The merchant's key cannot be used; the log of the server says why."
	}
	s.Log.Error("merchant key cannot be opened for evidence", "mch_id", r.m.MchID, "error", err)
	return never
}

// request is what an attempt sent, or why it cannot be told.
func (r *rebuilder) request(a *store.Attempt) (request *RequestView, missing string) {
	switch {
	case a.RequestSHA256 == "" && a.Verdict == store.Interrupted:
		return nil, "The attempt was interrupted before its request was recorded; whether one left is not known."
	case a.RequestSHA256 == "":
		return nil, "No request was made."
	case r.never != "":
		return nil, r.never
	}
	one, made := r.done[a.RequestSHA256]
	if !made {
		if r.builds++; r.builds > evidenceBuildsMax {
			return nil, leftOut(a)
		}
		one.request, one.missing = r.build(a.RequestSHA256)
		r.done[a.RequestSHA256] = one
	}
	if one.request != nil {
		r.bytes += len(one.request.BodyBase64) + len(one.request.SignBase64)
		if r.bytes > evidenceBytesMax {
			return nil, leftOut(a)
		}
	}
	return one.request, one.missing
}

func leftOut(a *store.Attempt) string {
	return fmt.Sprintf("Left out, or this answer would be too large; ask for it alone with ?attempt=%d.", a.N)
}

// build makes the request with that digest as the dispatcher does.
func (r *rebuilder) build(digest string) (request *RequestView, missing string) {
	msg, err := profile.Encode(r.profile, profile.Input{
		Notification: r.n, Merchant: r.m, Keys: r.keys, Now: r.signedAt[digest],
	})
	if err != nil {
		return nil, "The merchant's key and settings of now do not give a request: " + err.Error() + "."
	}
	req := egress.Request{Target: r.target, Query: msg.Query, Method: msg.Method}
	for _, line := range msg.Header {
		req.Header = append(req.Header, egress.Header(line))
	}
	if r.ownHeaders {
		for _, name := range slices.Sorted(maps.Keys(r.m.Headers)) {
			req.Header = append(req.Header, egress.Header{Name: name, Value: Masked})
		}
	}
	if msg.Digest(&req) != digest {
		return nil, "The merchant's key, or a setting that goes into the request (sign_type, app_id, charset, " +
			"options), has changed since: what they give now does not have the digest request_sha256."
	}
	v := &RequestView{
		Method: msg.Method, URL: r.target.Scheme + "://" + r.target.HostHeader + req.RequestTarget(),
		Body: textOrNil(msg.Body), BodyBase64: append([]byte{}, msg.Body...),
		SignBase64: msg.StringToSign,
	}
	if msg.StringToSign != nil {
		v.StringToSign = textOrNil(msg.StringToSign)
	}
	for _, line := range req.HeaderLines(r.userAgent) {
		v.Headers = append(v.Headers, HeaderLine(line))
	}
	return v, ""
}

// textOrNil is bytes as a text, or nil (null) when JSON cannot carry them.
func textOrNil(b []byte) *string {
	if !utf8.Valid(b) {
		return nil
	}
	text := string(b)
	return &text
}

// unproved says what the digest does not cover and may have been otherwise at an attempt; empty when nothing
// may. Only a merchant that was never changed surely is what it was.
func (r *rebuilder) unproved(a *store.Attempt) string {
	const firstRevision = 1
	if r.m.Revision <= firstRevision && !r.m.CreatedAt.After(a.StartedAt) {
		return ""
	}
	proved := "the body"
	rest := "url and headers are those of its settings now, and notify_url may have been another."
	if r.profile.Method == http.MethodGet {
		proved = "path and query"
	}
	if r.n.NotifyURL != "" { // frozen when it was accepted
		rest = "what was added to its query, and the headers, are those of its settings now."
	}
	return "request_sha256 proves " + proved + " alone. The merchant was changed after it was created, " +
		"perhaps since this attempt: " + rest
}
