package egress

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// dial makes a fresh connection: look-up, rules, socket, TLS.
func (x *exchange) dial(key poolKey) bool {
	raw, err := x.socket()
	if err != nil {
		x.dialFailed(err)
		return false
	}
	x.use(newConn(key, raw))
	x.watch()
	return !x.req.Target.Secure() || x.handshake()
}

// socket looks the target up and connects to one of its addresses.
func (x *exchange) socket() (net.Conn, error) {
	t, c := x.req.Target, x.client
	if t.addr.IsValid() {
		if err := c.opts.Rules.checkDial(netip.AddrPortFrom(t.addr, t.Port)); err != nil {
			return nil, err
		}
	}
	if c.opts.Dial != nil {
		return x.timed(&x.res.Phases.Connect, func(ctx context.Context) (net.Conn, error) {
			return c.opts.Dial(ctx, "tcp", hostPort(t.Host, t.Port))
		})
	}
	addrs := []netip.Addr{t.addr}
	if !t.addr.IsValid() {
		_, err := x.timed(&x.res.Phases.DNS, func(ctx context.Context) (_ net.Conn, err error) {
			addrs, err = c.resolver.lookup(ctx, t.Host)
			return nil, err
		})
		if err != nil {
			return nil, lookupError{err}
		}
	}
	ok, refused := c.dialer.allowed(addrs, t.Port)
	x.res.Skipped = len(addrs) - len(ok)
	if len(ok) == 0 {
		if refused == nil {
			refused = lookupError{&net.DNSError{Err: "no address", Name: t.Host, IsNotFound: true}}
		}
		return nil, refused
	}
	return x.timed(&x.res.Phases.Connect, func(ctx context.Context) (net.Conn, error) {
		return c.dialer.dial(ctx, ok)
	})
}

// lookupError marks the failures of a look-up among those of a dial.
type lookupError struct{ error }

// timed runs one phase under the connect limit and notes how long it took.
func (x *exchange) timed(took *time.Duration, f func(context.Context) (net.Conn, error)) (net.Conn, error) {
	start := time.Now()
	ctx, cancel := context.WithDeadline(x.ctx, earlier(x.deadline, start.Add(x.client.opts.DialTimeout)))
	defer cancel()
	c, err := f(ctx)
	*took = time.Since(start)
	return c, err
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func (x *exchange) dialFailed(err error) {
	if x.canceled() {
		return
	}
	f := dialFault(err)
	lookup, unresolved := errors.AsType[lookupError](err)
	proxy, viaProxy := errors.AsType[*proxyError](err)
	switch {
	case unresolved:
		f = resolveFault(lookup.error)
	case viaProxy:
		f = proxy.fault
	}
	x.fail(f, err.Error())
	x.res.Ours = x.res.Ours || viaProxy
	if f == Internal {
		x.client.pool.shed(false) // idle connections hold descriptors and ports that sends need now
	}
}

// handshake makes TLS over the fresh connection.
func (x *exchange) handshake() bool {
	start := time.Now()
	c := x.conn
	c.limit(earlier(x.deadline, start.Add(x.client.opts.TLSTimeout)))
	err := c.secure(x.req.Target.Host, x.client.opts.RootCAs, x.req.TLS)
	x.res.Phases.TLS = time.Since(start)
	x.res.TLS = c.tls.info
	if err == nil {
		return true
	}
	if x.canceled() {
		return false
	}
	detail := err.Error()
	if c.tls.records.plainHTTP() {
		detail = "the server speaks plain HTTP on this port: " + detail
	}
	if code, alert := remoteAlert(err); alert && code == alertNoProtocol {
		detail = "the server does not speak HTTP/1.1: " + detail
	}
	x.fail(tlsFault(err, c.tls.asked, c.tls.records.oldVersion()), fmt.Sprintf("TLS: %s", detail))
	return false
}
