package api

import (
	"context"
	"log/slog"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// Intake is what accepting needs of the dispatcher.
type Intake interface {
	// Accept stores notifications durably and answers one Accepted per item, in order; the error is for all of
	// them and says that nothing is known about any.
	Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error)
	// Nudge says that something may have become due.
	Nudge()
}

// Service does what the API offers, for callers inside the process too. Every error it returns is a *Problem.
// Safe for concurrent use.
type Service struct {
	Store  store.Store
	Intake Intake
	Prober Prober
	Ring   *keyring.Ring // seals merchants' keys
	Rules  *egress.Rules // judges notify_urls
	// Following tells how telling others what happens stands; nil = nobody does.
	Following func(ctx context.Context) (Following, error)
	// ReplayBegun says that a replay was begun; nil = whoever carries them out finds it in the store.
	ReplayBegun func()
	// UserAgent is what the dispatcher's client sends; empty means its default.
	UserAgent string
	// MaxInflightDefault is the cap of merchants that have none of their own.
	MaxInflightDefault int
	Log                *slog.Logger
	Now                func() time.Time

	probing probing
	auth    *Authenticator
	denials *denials
}

// bounded gives a call to the store the time in which a caller is promised an answer.
func bounded(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, storeAnswerMax)
}

// page clamps nothing: it only fills in the default. Callers over HTTP were checked before.
func page(limit int) int {
	if limit <= 0 {
		return pageDefault
	}
	return min(limit, pageMax)
}

// Page sizes of lists.
const (
	pageDefault = 50
	pageMax     = 500
)
