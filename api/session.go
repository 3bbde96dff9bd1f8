package api

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// Sessions are for people with a browser: they show a key or a link once, and a cookie from then on. /v1
// takes none of them, so that no page of another origin can use them there.

// Session is somebody who has logged in.
type Session struct {
	Principal

	Token   string    // for the cookie; a secret
	Expires time.Time // the session ends then, or with the key that it came from
}

// The actions of sessions in the audit log.
const (
	actionBegin = "session.begin"
	actionEnd   = "session.end"
)

// Logging in is bounded for each address, right or wrong: nobody who has a key does it often.
const (
	loginsPerSecond = 1
	loginsBurst     = 20
	loginsMax       = 10_000 // addresses that are remembered
)

func newLogins(now func() time.Time) *limits[netip.Addr] {
	return newLimits[netip.Addr](loginsPerSecond, loginsBurst, loginsMax, now)
}

// SessionOf tells whose session a token is, or answers the *Problem to refuse it with.
func (a *Authenticator) SessionOf(r *http.Request, token string) (Session, *Problem) {
	p, who, refused := a.session(r, token)
	if refused != nil {
		return Session{}, refused
	}
	return Session{Principal: who, Token: token, Expires: p.expires()}, nil
}

func (a *Authenticator) session(r *http.Request, token string) (p pass, who Principal, refused *Problem) {
	if p, refused = a.open(passSession, token); refused == nil {
		who, refused = a.holder(r, &p)
	}
	if err := a.notYet(); err != nil && refused == nil {
		refused = tooEarly(err)
	}
	if refused != nil {
		return p, who, refused
	}
	switch spent, err := a.spent.has(r.Context(), a.keys, &p, a.now()); {
	case err != nil:
		return p, who, unavailable(err)
	case spent:
		return p, who, unauthorized("This session was ended; log in again.")
	}
	return p, who, nil
}

// LogIn begins a session for who shows a key. Success and failure stand in the audit log.
func (a *API) LogIn(w http.ResponseWriter, r *http.Request, key string) (Session, *Problem) {
	if p := a.mayLogIn(r); p != nil {
		return Session{}, p
	}
	who, refused := a.Auth.Login(r.Context(), strings.TrimSpace(key))
	if refused != nil {
		return Session{}, a.loginRefused(w, r, who, refused)
	}
	return a.begin(w, r, who, a.Auth.newPass(passSession, who.Name, "", sessionLife), nil)
}

// LogInByLink begins a session for who follows a link that POST /v1/login-links made. It does so once.
func (a *API) LogInByLink(w http.ResponseWriter, r *http.Request, token string) (Session, *Problem) {
	p, who, refused := a.link(w, r, passLogin, token)
	if refused != nil {
		return Session{}, refused
	}
	first, err := a.Auth.spent.spend(r.Context(), a.Auth.keys, &p, a.Auth.now())
	switch {
	case err != nil:
		return Session{}, unavailable(err)
	case !first:
		return Session{}, a.loginRefused(w, r, who, unauthorized("This link was used already; ask for another."))
	}
	return a.begin(w, r, who, a.Auth.newPass(passSession, p.By, "", sessionLife), &p)
}

// LogInByPortal begins a session for a merchant that follows its portal link, which it may do as often as it
// likes until the link ends.
func (a *API) LogInByPortal(w http.ResponseWriter, r *http.Request, token string) (Session, *Problem) {
	p, who, refused := a.link(w, r, passPortal, token)
	if refused != nil {
		return Session{}, refused
	}
	life := min(sessionLife, p.expires().Sub(a.Auth.now()))
	return a.begin(w, r, who, a.Auth.newPass(passSession, p.By, p.MchID, life), &p)
}

// link opens a link, for who may follow it.
func (a *API) link(
	w http.ResponseWriter, r *http.Request, kind passKind, token string,
) (p pass, who Principal, refused *Problem) {
	if refused = a.mayLogIn(r); refused != nil {
		return p, who, refused
	}
	if p, refused = a.Auth.open(kind, token); refused == nil {
		who, refused = a.Auth.holder(r, &p)
	}
	if refused != nil {
		refused = a.loginRefused(w, r, who, refused)
	}
	return p, who, refused
}

// LogOut ends a session; one that has ended already, or is none, is no error.
func (a *API) LogOut(w http.ResponseWriter, r *http.Request, token string) *Problem {
	p, who, refused := a.Auth.session(r, token)
	switch {
	case refused != nil && refused.Status == http.StatusUnauthorized:
		return nil
	case refused != nil:
		return refused
	}
	return a.noted(w, r, who, deed{object: "session/" + p.ID}, actionEnd, func(ctx context.Context) error {
		if _, err := a.Auth.spent.spend(ctx, a.Auth.keys, &p, a.Auth.now()); err != nil {
			return unavailable(err)
		}
		return nil
	})
}

// begin hands out a session; by is the link that was followed to it.
func (a *API) begin(
	w http.ResponseWriter, r *http.Request, who Principal, p pass, by *pass,
) (Session, *Problem) {
	d := deed{object: "session/" + p.ID}
	if by != nil {
		d.after = facts{}
		d.after.set("link_id", by.ID)
	}
	refused := a.noted(w, r, who, d, actionBegin, func(context.Context) error { return nil })
	if refused != nil {
		return Session{}, refused
	}
	return Session{Principal: who, Token: a.Auth.text(&p), Expires: p.expires()}, nil
}

// noted does something with a session and puts it into the audit log. A merchant with a portal link is a
// stranger to whom nobody can say how often to use it, so that its entries are bounded like refusals.
func (a *API) noted(
	w http.ResponseWriter, r *http.Request, who Principal, d deed, action string,
	do func(context.Context) error,
) *Problem {
	ctx := WithCaller(r.Context(), a.CallerOf(w, r, who))
	if who.Role == RolePortal {
		if err := do(ctx); err != nil {
			return asProblem(err)
		}
		a.Service.seldom(ctx, action, d.object, auditResultOK, d.after)
		return nil
	}
	err := a.Service.Record(ctx, action, d.object, func(ctx context.Context) error {
		note(ctx, d.object, nil, d.after)
		return do(ctx)
	})
	if err != nil {
		return asProblem(err)
	}
	return nil
}

// mayLogIn is why nobody may log in from there now, nil when somebody may.
func (a *API) mayLogIn(r *http.Request) *Problem {
	if p := a.NotYet(); p != nil {
		return p
	}
	wait, ok := a.logins.take(peer(r))
	if ok {
		return nil
	}
	return slowDown("There were too many logins from this address; wait a little.", wait)
}

// loginRefused notes a login that failed.
func (a *API) loginRefused(w http.ResponseWriter, r *http.Request, who Principal, p *Problem) *Problem {
	if p.Status == http.StatusUnauthorized {
		if who.Name == "" {
			who.Name = nobody
		}
		ctx := WithCaller(r.Context(), a.CallerOf(w, r, who))
		a.Service.seldom(ctx, actionBegin, "session", p.Slug(), nil)
	}
	return p
}
