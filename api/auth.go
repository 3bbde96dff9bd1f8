package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"paynotify/store"
)

// Authenticator decides who a request comes from. It is what the console's login uses too. Safe for
// concurrent use.
type Authenticator struct {
	admin      [sha256.Size]byte // of the configured key; comparing digests takes the same time for every guess
	configured bool
	keys       store.Store
	notYet     func() error // why the store may not be asked; nil = it may
	now        func() time.Time
	origins    http.CrossOriginProtection
	adminKeys  adminKeys
	passKeys   [][]byte // of passes: the first signs, all verify
	spent      spentPasses
}

// Principal is who a request comes from.
type Principal struct {
	Name  string // the key's id; "admin" is the configured key, "local" a user of this machine without one
	Role  Role
	MchID string // the only merchant whose things it may see and touch; empty = all
}

// The names of who needs no key in the store.
const (
	nameAdmin = "admin"
	nameLocal = "local"
)

// nobody stands in the audit log for who showed no key of ours.
const nobody = "anonymous"

func newAuthenticator(o *Options) *Authenticator {
	return &Authenticator{
		admin: sha256.Sum256([]byte(o.AdminKey)), configured: o.AdminKey != "", keys: o.Store, notYet: o.NotYet,
		now: o.Now, passKeys: o.Ring.Derive("passes"),
	}
}

// Authenticate tells who a request comes from, or answers the *Problem to refuse it with; the Principal has a
// name then if it was a key of ours.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, *Problem) {
	given := r.Header["Authorization"]
	if len(given) == 1 {
		if scheme, key, _ := strings.Cut(given[0], " "); strings.EqualFold(scheme, "bearer") {
			key = strings.TrimSpace(key)
			if a.configured || strings.HasPrefix(key, keyPrefix) {
				return a.Login(r.Context(), key)
			}
		}
	}
	switch {
	case !a.configured:
		return a.local(r)
	case len(given) == 0:
		return Principal{}, unauthorized("Send the header Authorization: Bearer KEY.")
	}
	return Principal{}, unauthorized("This key is not one of ours.")
}

// Login tells whose key this is, or answers the *Problem to refuse it with.
func (a *Authenticator) Login(ctx context.Context, key string) (Principal, *Problem) {
	digest := sha256.Sum256([]byte(key))
	if a.configured && subtle.ConstantTimeCompare(digest[:], a.admin[:]) == 1 {
		return Principal{Name: nameAdmin, Role: RoleAdmin}, nil
	}
	id, secret, ours := splitKey(key)
	switch {
	case !strings.HasPrefix(key, keyPrefix):
		return Principal{}, unauthorized("This key is not one of ours.")
	case !ours:
		return Principal{}, unauthorized("This key is not one of ours: its checksum is wrong. Was it cut?")
	}
	if err := a.notYet(); err != nil {
		return Principal{}, tooEarly(err)
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	k, err := a.keys.Key(ctx, id)
	switch {
	case errors.Is(err, store.ErrNoKey):
		return Principal{}, unauthorized("This key is not one of ours.")
	case err != nil:
		return Principal{}, unavailable(err)
	}
	digest = sha256.Sum256([]byte(secret))
	if subtle.ConstantTimeCompare(digest[:], k.Digest) != 1 {
		return Principal{}, unauthorized("This key is not one of ours.")
	}
	who := Principal{Name: k.ID, Role: Role(k.Role), MchID: k.MchID}
	switch {
	case !k.RevokedAt.IsZero():
		return who, unauthorized("This key was revoked.")
	case !k.Live(a.now()):
		return who, challenge(problem(SlugTokenExpired, "This key expired at "+
			k.ExpiresAt.UTC().Format(time.RFC3339)+"; ask an admin for a new one."))
	}
	return who, nil
}

// local lets in the users of this machine while there is no key for an admin: neither a configured one nor
// one that an admin made and nobody has revoked. One that has expired still counts: somebody decided that a
// key is needed here, and the calendar must not decide otherwise. Keys of the other roles do not count, or
// the first of them would lock everybody out who could make a second.
func (a *Authenticator) local(r *http.Request) (Principal, *Problem) {
	if why := a.notLocal(r); why != "" {
		return Principal{}, unauthorized("Without a key only this machine is served, and " + why +
			`; send Authorization: Bearer KEY. "paynotify key add" makes a key, auth.admin_key configures one.`)
	}
	switch needed, p := a.KeyNeeded(r.Context()); {
	case p != nil:
		return Principal{}, p
	case needed:
		return Principal{}, unauthorized("There is an API key with the role admin, so that this machine's own " +
			"users need a key too: send Authorization: Bearer KEY. If it is lost, configure auth.admin_key.")
	}
	return Principal{Name: nameLocal, Role: RoleAdmin}, nil
}

// KeyNeeded reports whether this machine's own users need a key too.
func (a *Authenticator) KeyNeeded(ctx context.Context) (bool, *Problem) {
	if a.configured {
		return true, nil
	}
	if err := a.notYet(); err != nil {
		return false, tooEarly(err)
	}
	exists, err := a.adminKeys.exist(ctx, a.keys, a.now())
	if err != nil {
		return false, unavailable(err)
	}
	return exists, nil
}

// adminKeys remembers for a second whether the store has a key for an admin, for servers whose local users
// need none.
type adminKeys struct {
	mu    sync.Mutex
	until time.Time
	found bool
	err   error
}

// adminKeysFresh is how long another node's first key for an admin may go unseen.
const adminKeysFresh = time.Second

// exist reports whether there is such a key. It asks the store under the lock: once for all who wait, and so
// that no answer from before forget is remembered after it.
func (k *adminKeys) exist(ctx context.Context, keys store.Store, now time.Time) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if now.Before(k.until) {
		return k.found, k.err
	}
	ctx, cancel := bounded(context.WithoutCancel(ctx))
	defer cancel()
	all, err := keys.Keys(ctx)
	k.found, k.err = hasAdminKey(all), err
	k.until = now.Add(adminKeysFresh)
	return k.found, k.err
}

func (k *adminKeys) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.until = time.Time{}
}

func hasAdminKey(keys []store.APIKey) bool {
	for i := range keys {
		if Role(keys[i].Role) == RoleAdmin && keys[i].RevokedAt.IsZero() {
			return true
		}
	}
	return false
}

// notLocal says why a request does not count as one of this machine's own; empty when it does. A reverse
// proxy on this machine must not make everybody admin, nor a web page that a user of this machine looks at.
func (a *Authenticator) notLocal(r *http.Request) string {
	switch {
	case !loopbackPeer(r):
		return "the peer is another machine"
	case !loopbackHost(r.Host):
		return "the request asks for another Host than this machine"
	case forwarded(r.Header):
		return "a proxy forwarded the request"
	case a.origins.Check(r) != nil:
		return "the request was sent by a page of another origin"
	}
	return ""
}

func unauthorized(detail string) *Problem {
	return challenge(problem(SlugUnauthorized, detail))
}

// challenge says how to authenticate, as every 401 must.
func challenge(p *Problem) *Problem {
	return p.with("WWW-Authenticate", `Bearer realm="paynotify"`)
}

// peer is the address a request came from.
func peer(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // invalid: not loopback, nobody's peer
	return ap.Addr().Unmap()
}

// Secure reports whether a request came by TLS, to us or to the proxy in front of us.
func Secure(r *http.Request) bool {
	proto := r.Header["X-Forwarded-Proto"]
	return r.TLS != nil || len(proto) == 1 && strings.EqualFold(proto[0], "https")
}

// originOf is the scheme and the host under which a request asked for us.
func originOf(r *http.Request) string {
	if Secure(r) {
		return "https://" + r.Host
	}
	return "http://" + r.Host
}

func loopbackPeer(r *http.Request) bool { return peer(r).IsLoopback() }

// loopbackHost reports whether a Host header names this machine: a DNS name that points here does not,
// because a page of that name could then reach us from the user's browser.
func loopbackHost(hostPort string) bool {
	host := hostPort
	if h, _, err := net.SplitHostPort(hostPort); err == nil {
		host = h
	}
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap().IsLoopback()
}

// forwarded reports whether a proxy has handled the request.
func forwarded(h http.Header) bool {
	for name := range h {
		switch name {
		case "Forwarded", "Via", "X-Real-Ip":
			return true
		}
		if strings.HasPrefix(name, "X-Forwarded") {
			return true
		}
	}
	return false
}
