package api

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"paynotify/profile"
	"paynotify/replay"
	"paynotify/store"
)

// Problem is an error answer, RFC 9457 application/problem+json. It is also the error that every method of
// Service returns, so that a caller inside the process sees what a caller over HTTP sees.
type Problem struct {
	Type   string       `json:"type" doc:"/problems/SLUG" example:"/problems/validation-failed"`
	Title  string       `json:"title" doc:"The problem type in words"`
	Status int          `json:"status" doc:"The HTTP status"`
	Detail string       `json:"detail" doc:"What is wrong with this request, and the cure"`
	Offset *int64       `json:"offset,omitempty" doc:"On malformed-json: the byte where reading stopped"`
	Errors []FieldError `json:"errors,omitempty" nullable:"false" doc:"On 422: everything found wrong"`

	header http.Header // besides the content type
	cause  error       // for the log; never shown
}

// FieldError is one thing wrong with a request that could be read.
type FieldError struct {
	Location string `json:"location" doc:"Where, e.g. body.params.total_amount or query.limit"`
	Message  string `json:"message" doc:"What is wrong there"`
	Cure     string `json:"cure" doc:"What to do about it"`
}

// The problem types. Each has one status.
const (
	SlugMalformedJSON       = "malformed-json"
	SlugBadCursor           = "bad-cursor"
	SlugBadIdempotencyKey   = "bad-idempotency-key"
	SlugUnauthorized        = "unauthorized"
	SlugTokenExpired        = "token-expired"
	SlugMissingScope        = "missing-scope"
	SlugNotFound            = "not-found"
	SlugMerchantNotFound    = "merchant-not-found"
	SlugNotifyNotFound      = "notification-not-found"
	SlugKeyNotFound         = "key-not-found"
	SlugReplayNotFound      = "replay-not-found"
	SlugMethodNotAllowed    = "method-not-allowed"
	SlugTimeout             = "request-timeout"
	SlugMerchantExists      = "merchant-exists"
	SlugMerchantHasPending  = "merchant-has-pending"
	SlugIdempotencyMismatch = "idempotency-mismatch"
	SlugAlreadySpent        = "already-spent"
	SlugNotPending          = "not-pending"
	SlugShrunk              = "shrunk"
	SlugNoBackup            = "backup-unsupported"
	SlugTooManyKeys         = "too-many-keys"
	SlugChanging            = "merchant-changing"
	SlugProbeNotAllowed     = "probe-not-allowed"
	SlugHeld                = "merchant-held"
	SlugProfiling           = "profile-running"
	SlugReplayDone          = "replay-done"
	SlugTooManyReplays      = "too-many-replays"
	SlugTooLarge            = "too-large"
	SlugTooMany             = "too-many-items"
	SlugUnsupportedMedia    = "unsupported-media-type"
	SlugInvalid             = "validation-failed"
	SlugReservedParameter   = "reserved-parameter"
	SlugNotifyURL           = "notify-url"
	SlugCardData            = "card-data"
	SlugTooManyProbes       = "too-many-probes"
	SlugRateLimited         = "rate-limited"
	SlugInternal            = "internal"
	SlugUnavailable         = "storage-unavailable"
)

type problemType struct {
	status int
	title  string
}

var problemTypes = map[string]problemType{
	SlugMalformedJSON:       {400, "Malformed JSON"},
	SlugBadCursor:           {400, "Bad cursor"},
	SlugBadIdempotencyKey:   {400, "Bad idempotency key"},
	SlugUnauthorized:        {401, "Unauthorized"},
	SlugTokenExpired:        {401, "Token expired"},
	SlugMissingScope:        {403, "Missing scope"},
	SlugNotFound:            {404, "Not found"},
	SlugMerchantNotFound:    {404, "Merchant not found"},
	SlugNotifyNotFound:      {404, "Notification not found"},
	SlugKeyNotFound:         {404, "Key not found"},
	SlugReplayNotFound:      {404, "Replay not found"},
	SlugMethodNotAllowed:    {405, "Method not allowed"},
	SlugTimeout:             {408, "Request timeout"},
	SlugMerchantExists:      {409, "Merchant exists"},
	SlugMerchantHasPending:  {409, "Merchant has pending notifications"},
	SlugIdempotencyMismatch: {409, "Idempotency mismatch"},
	SlugAlreadySpent:        {409, "Already spent"},
	SlugNotPending:          {409, "Not pending"},
	SlugShrunk:              {409, "Shrunk"},
	SlugNoBackup:            {409, "Backup unsupported"},
	SlugTooManyKeys:         {409, "Too many keys"},
	SlugChanging:            {409, "Merchant changing"},
	SlugProbeNotAllowed:     {409, "Probe not allowed"},
	SlugHeld:                {409, "Merchant held"},
	SlugProfiling:           {409, "Profile running"},
	SlugReplayDone:          {409, "Replay done"},
	SlugTooManyReplays:      {409, "Too many replays"},
	SlugTooLarge:            {413, "Too large"},
	SlugTooMany:             {413, "Too many items"},
	SlugUnsupportedMedia:    {415, "Unsupported media type"},
	SlugInvalid:             {422, "Validation failed"},
	SlugReservedParameter:   {422, "Reserved parameter"},
	SlugNotifyURL:           {422, "notify_url refused"},
	SlugCardData:            {422, "Card data refused"},
	SlugTooManyProbes:       {429, "Too many probes"},
	SlugRateLimited:         {429, "Rate limited"},
	SlugInternal:            {500, "Internal error"},
	SlugUnavailable:         {503, "Storage unavailable"},
}

// How soon a 503 may be tried again, in seconds.
const (
	retryAfterSeconds     = 1
	retryAfterFullSeconds = 10 // somebody has to make room first
)

// problem makes a Problem of a type; slugs that this file does not know are kinds of validation-failed.
func problem(slug, detail string) *Problem {
	t, known := problemTypes[slug]
	if !known {
		t = problemTypes[SlugInvalid]
	}
	return &Problem{Type: "/problems/" + slug, Title: t.title, Status: t.status, Detail: detail}
}

// NewProblem makes a Problem of a type, for the console; detail says what is wrong, and the cure.
func NewProblem(slug, detail string) *Problem { return problem(slug, detail) }

// Header is what an answer with this problem has besides its content type.
func (p *Problem) Header() http.Header { return p.header }

// invalid is the problem of a request that could be read but is wrong; nil without faults. The first fault
// with a type of its own gives the problem its type.
func invalid(faults []profile.Fault) *Problem {
	if len(faults) == 0 {
		return nil
	}
	slug := SlugInvalid
	p := &Problem{Errors: make([]FieldError, len(faults))}
	for i, f := range faults {
		p.Errors[i] = FieldError{Location: f.Location, Message: f.Message, Cure: f.Cure}
		if f.Slug != "" && slug == SlugInvalid {
			slug = f.Slug
		}
	}
	detail := faults[0].Location + ": " + faults[0].Message
	if n := len(faults) - 1; n > 0 {
		detail += " (and " + strconv.Itoa(n) + " more, see errors)"
	}
	head := problem(slug, detail)
	p.Type, p.Title, p.Status, p.Detail = head.Type, head.Title, head.Status, head.Detail
	return p
}

// fromStore is the problem that an error of the store stands for.
func fromStore(err error) *Problem {
	switch {
	case errors.Is(err, store.ErrNotFound):
		return problem(SlugNotifyNotFound, "No notification has this notify_id.")
	case errors.Is(err, store.ErrNoMerchant):
		return problem(SlugMerchantNotFound, "No merchant has this mch_id; POST /v1/merchants creates one.")
	case errors.Is(err, store.ErrExists):
		return problem(SlugMerchantExists, "A merchant with this mch_id exists; PATCH it, or choose another.")
	case errors.Is(err, store.ErrNoKey):
		return problem(SlugKeyNotFound, "No API key has this id; GET /v1/keys lists them.")
	case errors.Is(err, store.ErrKeysMax):
		return problem(SlugTooManyKeys, "There are "+itoa(store.KeysMax)+
			" API keys, none of them revoked; revoke one.")
	case errors.Is(err, store.ErrHasPending):
		return problem(SlugMerchantHasPending,
			"Notifications are still owed to this merchant; cancel them or wait until they are final.")
	case errors.Is(err, store.ErrAlreadySpent):
		return problem(SlugAlreadySpent,
			"The merchant has acknowledged this notification; send it again with \"force\": true.")
	case errors.Is(err, store.ErrNotPending):
		return problem(SlugNotPending, "Only a pending notification can be canceled; this one is final.")
	case errors.Is(err, store.ErrShrunk):
		return problem(SlugShrunk, "Retention has dropped the parameters; there is nothing left to send.")
	case errors.Is(err, replay.ErrNotFound):
		return problem(SlugReplayNotFound, "No replay has this replay_id; GET /v1/replays lists the last ones.")
	case errors.Is(err, replay.ErrDone):
		return problem(SlugReplayDone, "This replay is done; there is nothing left to cancel.")
	case errors.Is(err, replay.ErrTooMany):
		return problem(SlugTooManyReplays, "There are "+itoa(replay.ActiveMax)+
			" replays under way; wait until one is done, or cancel one.")
	case errors.Is(err, store.ErrBadCursor):
		return problem(SlugBadCursor, "This cursor is not one of ours; start again without it.")
	}
	return unavailable(err)
}

// unavailable is the answer when the store did not do what was asked: the outcome is unknown.
func unavailable(err error) *Problem {
	wait, detail := retryAfterSeconds, "The store did not commit in time. The outcome is unknown; "+
		"repeat the request with the same Idempotency-Key."
	if errors.Is(err, store.ErrFull) {
		wait, detail = retryAfterFullSeconds, "The store is full. The outcome is unknown; make room, "+
			"then repeat the request with the same Idempotency-Key."
	}
	p := problem(SlugUnavailable, detail)
	p.cause = err
	return p.with("Retry-After", strconv.Itoa(wait))
}

// tooEarly is the answer before the store may be used: unlike unavailable it knows that nothing was done.
func tooEarly(why error) *Problem {
	p := problem(SlugUnavailable, "The server waits for its store; nothing was done. Repeat the request.")
	p.cause = why
	return p.with("Retry-After", strconv.Itoa(retryAfterSeconds))
}

// asProblem turns any error into what the caller may see.
func asProblem(err error) *Problem {
	var p *Problem
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unavailable(err)
	}
	p = problem(SlugInternal, "Something went wrong inside; the log of the server says what.")
	p.cause = err
	return p
}

// Error says what is wrong, for callers inside the process and for command lines.
func (p *Problem) Error() string {
	var text strings.Builder
	text.WriteString(p.Title + ": " + p.Detail)
	for _, e := range p.Errors {
		text.WriteString("\n  " + e.Location + ": " + e.Message)
		if e.Cure != "" {
			text.WriteString("; " + e.Cure)
		}
	}
	return text.String()
}

// Unwrap gives the error behind the problem, if there is one.
func (p *Problem) Unwrap() error { return p.cause }

// Slug is the last part of Type, such as "merchant-not-found".
func (p *Problem) Slug() string {
	if len(p.Type) > len("/problems/") {
		return p.Type[len("/problems/"):]
	}
	return p.Type
}

func (p *Problem) with(name, value string) *Problem {
	if p.header == nil {
		p.header = http.Header{}
	}
	p.header.Set(name, value)
	return p
}

const problemMediaType = "application/problem+json"

// write answers a request with the problem.
func (p *Problem) write(w http.ResponseWriter) {
	maps.Copy(w.Header(), p.header)
	w.Header().Set("Content-Type", problemMediaType)
	w.WriteHeader(p.Status)
	body, _ := json.Marshal(p) // cannot fail: strings and numbers
	_, _ = w.Write(append(body, '\n'))
}
