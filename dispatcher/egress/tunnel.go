package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// proxyHeadBytesMax bounds the head with which a proxy answers CONNECT; its fields say nothing to us.
const proxyHeadBytesMax = 8 << 10

// proxyTellEvery is the least time between two reports about the proxy: it may come and go with every
// attempt.
const proxyTellEvery = time.Minute

// proxyError says why the proxy made no connection. It is never the merchant's fault: even where the proxy
// says that it cannot reach the address, nobody can tell whether the address or the proxy's own way out is
// broken, and a send too many is cheaper than one that is used up for nothing.
type proxyError struct {
	fault Fault
	why   string
	dead  bool // the proxy itself does not work: another address would fare no better
}

func (e *proxyError) Error() string { return "egress proxy: " + e.why }

// tunnels makes connections through a proxy.
type tunnels struct {
	proxy    *Proxy
	resolver *resolver
	to       *dialer // the rules for merchants do not hold for the proxy, but it is no listener of our own
	tell     func(why error)

	mu     sync.Mutex
	opened time.Time // the last connection; at first, when this was made
	told   time.Time // the last report
	dead   bool      // what it said
}

func newTunnels(p *Proxy, rules *Rules, r *resolver, tell func(error)) *tunnels {
	own := func(ap netip.AddrPort) error {
		if rules.isOwn(ap) {
			return errOwnProxy
		}
		return nil
	}
	return &tunnels{proxy: p, resolver: r, to: newDialer(own), tell: tell, opened: time.Now()}
}

var errOwnProxy = errors.New("its address is a listener of this server itself")

// open connects to an address that the rules have passed.
func (t *tunnels) open(ctx context.Context, ap netip.AddrPort) (net.Conn, error) {
	c, err := t.connect(ctx, ap)
	if errors.Is(ctx.Err(), context.Canceled) { // by a shutdown, or because the other address family was quicker
		if err == nil {
			_ = c.Close()
		}
		return nil, ctx.Err()
	}
	t.learn(err)
	return c, err
}

// learn reports when the proxy begins or ceases to work. What may be about one address alone counts when
// nothing at all was opened for a while.
func (t *tunnels) learn(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	failed, _ := errors.AsType[*proxyError](err)
	switch {
	case err == nil:
		t.opened = now
	case failed == nil || !failed.dead && now.Sub(t.opened) < proxyTellEvery:
		return
	}
	if t.tell == nil || t.dead == (err != nil) || !t.told.IsZero() && now.Sub(t.told) < proxyTellEvery {
		return
	}
	t.dead, t.told = err != nil, now
	t.tell(err)
}

// connect has the proxy connect. Its errors are *proxyError.
func (t *tunnels) connect(ctx context.Context, ap netip.AddrPort) (net.Conn, error) {
	addrs := []netip.Addr{t.proxy.addr}
	if !t.proxy.addr.IsValid() {
		var err error
		if addrs, err = t.resolver.lookup(ctx, t.proxy.host); err != nil || len(addrs) == 0 {
			return nil, &proxyError{DNSFailure, fmt.Sprintf("its name cannot be looked up: %v", err), true}
		}
	}
	aps := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		aps[i] = netip.AddrPortFrom(a.Unmap(), t.proxy.port)
	}
	raw, err := t.to.dial(ctx, aps)
	if err != nil {
		return nil, lostProxy(err)
	}
	c := &tunnel{TCPConn: raw.(*net.TCPConn), far: net.TCPAddrFromAddrPort(ap)}
	if err := t.ask(ctx, c, ap); err != nil {
		_ = c.Close()
		return nil, err
	}
	return c, nil
}

// lostProxy says what becomes of a connection to the proxy that failed or broke.
func lostProxy(err error) *proxyError {
	f := dialFault(err)
	switch {
	case errors.Is(err, errOwnProxy):
		return &proxyError{ConnRefused, errOwnProxy.Error(), true}
	case isTimeout(err):
		f = TimeoutConnect
	case f == Unreachable: // no socket error: the connection ended
		f = lostFault(err)
	}
	return &proxyError{f, err.Error(), f != Internal}
}

// tunnel is a connection through a proxy. Its far end is the merchant's server.
type tunnel struct {
	*net.TCPConn

	far net.Addr
}

// RemoteAddr is the address that the proxy was asked to connect to.
func (c *tunnel) RemoteAddr() net.Addr { return c.far }

// ask has the proxy connect to the address.
func (t *tunnels) ask(ctx context.Context, c *tunnel, ap netip.AddrPort) error {
	if end, ok := ctx.Deadline(); ok {
		_ = c.SetDeadline(end)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	out := fmt.Appendf(nil, "CONNECT %s HTTP/1.1\r\nHost: %[1]s\r\n", ap)
	if t.proxy.auth != "" {
		out = appendHeader(out, "Proxy-Authorization", t.proxy.auth)
	}
	if _, err := c.Write(append(out, "\r\n"...)); err != nil {
		return lostProxy(err)
	}
	status, failed := readConnectReply(c)
	switch {
	case failed != nil:
		failed.dead = failed.fault != TimeoutConnect // else it may be waiting for the address
		return failed
	case status >= 200 && status <= 299:
		return nil
	}
	return refusedByProxy(status)
}

// refusedByProxy says what a status means. One about the proxy itself says that it does not work for us; the
// others may be about this address alone.
func refusedByProxy(status int) *proxyError {
	said := func(f Fault, what string) *proxyError {
		return &proxyError{f, fmt.Sprintf("it answered CONNECT with %d: %s", status, what), false}
	}
	switch {
	case status == http.StatusProxyAuthRequired:
		e := said(ConnRefused, "it does not accept our user and password")
		e.dead = true
		return e
	case status == http.StatusGatewayTimeout:
		return said(TimeoutConnect, "it got no connection to the address in time")
	case status >= 500:
		return said(Unreachable, "it could not connect to the address")
	}
	return said(ConnRefused, "it does not allow the address or the port")
}

// readConnectReply reads the proxy's head, 1xx ones before it, and not one byte more: what follows is the
// merchant's.
func readConnectReply(c net.Conn) (status int, failed *proxyError) {
	const start = "HTTP/"
	var head []byte
	for at := 0; len(head) < proxyHeadBytesMax; {
		head = append(head, 0)
		if _, err := c.Read(head[len(head)-1:]); err != nil {
			return 0, lostProxy(err)
		}
		if n := len(head) - at; n <= len(start) && head[len(head)-1] != start[n-1] {
			break
		}
		if !bytes.HasSuffix(head, []byte("\n\r\n")) && !bytes.HasSuffix(head, []byte("\n\n")) {
			continue
		}
		reply, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head[at:])), connectRequest)
		if err != nil || reply.StatusCode < 100 || reply.StatusCode > 599 {
			break
		}
		if reply.StatusCode >= 200 || reply.StatusCode == http.StatusSwitchingProtocols {
			return reply.StatusCode, nil
		}
		at = len(head)
	}
	const why = "what it answered CONNECT with is no HTTP head of up to 8 KiB"
	return 0, &proxyError{fault: Unreachable, why: why}
}

// connectRequest tells http.ReadResponse that no body follows.
var connectRequest = &http.Request{Method: http.MethodConnect}
