package api

import (
	"context"
	"net/netip"

	"paynotify/store"
)

// Caller is what is known of whoever asks Service for something.
type Caller struct {
	Principal

	Source    netip.Addr // where the request came from
	Origin    string     // scheme and host that it asked for; for links to us
	RequestID string
}

type callerKey struct{}

// WithCaller says on whose behalf Service is called: it shows and changes what that caller may see, and the
// audit log names it. Without one the engine itself calls, and may everything. What role a caller needs is
// not Service's question; see routeAccess.
func WithCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) (c Caller, found bool) {
	c, found = ctx.Value(callerKey{}).(Caller)
	return c, found
}

// boundTo is the only merchant that the caller may see; empty = all.
func boundTo(ctx context.Context) string {
	c, _ := callerOf(ctx)
	return c.MchID
}

// throughPortal reports whether the caller is a merchant with a link of its own: what operators note for each
// other is not for it.
func throughPortal(ctx context.Context) bool {
	c, _ := callerOf(ctx)
	return c.Role == RolePortal
}

// whole refuses who may see one merchant alone what is about everything there is.
func whole(ctx context.Context) error {
	if bound := boundTo(ctx); bound != "" {
		return problem(SlugMissingScope, "This is about all merchants; you see merchant "+bound+" alone.")
	}
	return nil
}

// foreign reports whether a merchant is one that the caller may not see.
func foreign(ctx context.Context, mchID string) bool {
	bound := boundTo(ctx)
	return bound != "" && bound != mchID
}

// ownMerchant finds a merchant absent that the caller may not see: that it exists is none of its business. To
// every caller that is one of the engine's own (store.Reserved); to the engine itself there is none such.
func ownMerchant(ctx context.Context, mchID string) error {
	if _, asked := callerOf(ctx); asked && store.Reserved(mchID) || foreign(ctx, mchID) {
		return store.ErrNoMerchant
	}
	return nil
}

// ownNotification is ownMerchant for a notification that was read.
func ownNotification(ctx context.Context, n *store.Notification) error {
	if foreign(ctx, n.MchID) {
		return store.ErrNotFound
	}
	return nil
}
