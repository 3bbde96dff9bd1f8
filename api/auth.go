package api

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// Authenticator decides who a request comes from. It is what the console's login uses too.
type Authenticator struct {
	admin   [sha256.Size]byte // of the admin key; comparing digests takes the same time for every guess
	keyless bool              // no key is configured: the machine's own users are admin
	origins http.CrossOriginProtection
}

// Principal is who a request comes from.
type Principal struct {
	Name string // for the log: "admin" or "local"
}

// NewAuthenticator makes one. With no admin key it lets in loopback peers only.
func NewAuthenticator(adminKey string) *Authenticator {
	return &Authenticator{admin: sha256.Sum256([]byte(adminKey)), keyless: adminKey == ""}
}

// Authenticate tells who a request comes from, or answers the *Problem to refuse it with.
func (a *Authenticator) Authenticate(r *http.Request) (Principal, *Problem) {
	if a.keyless {
		if why := a.notLocal(r); why != "" {
			return Principal{}, unauthorized("No key is configured, so only this machine is served, and " + why +
				"; configure auth.admin_key to serve others.")
		}
		return Principal{Name: "local"}, nil
	}
	given := r.Header["Authorization"]
	if len(given) == 0 {
		return Principal{}, unauthorized("Send the header Authorization: Bearer KEY.")
	}
	scheme, key, _ := strings.Cut(given[0], " ")
	if len(given) > 1 || !strings.EqualFold(scheme, "bearer") || !a.Accepts(strings.TrimSpace(key)) {
		return Principal{}, unauthorized("This key is not one of ours.")
	}
	return Principal{Name: "admin"}, nil
}

// Accepts reports whether a key is the admin key.
func (a *Authenticator) Accepts(key string) bool {
	digest := sha256.Sum256([]byte(key))
	return !a.keyless && subtle.ConstantTimeCompare(digest[:], a.admin[:]) == 1
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
	return problem(SlugUnauthorized, detail).with("WWW-Authenticate", `Bearer realm="paynotify"`)
}

// peer is the address a request came from.
func peer(r *http.Request) netip.Addr {
	ap, _ := netip.ParseAddrPort(r.RemoteAddr) // invalid: not loopback, nobody's peer
	return ap.Addr().Unmap()
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
