package egress

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"
)

// fallbackDelay is how long the first address family has to connect before the other one is tried as well
// (RFC 8305 recommends 250 ms; net.Dialer uses 300 ms).
const fallbackDelay = 300 * time.Millisecond

// dialSliceMin is the least that one of several addresses gets of the connect limit.
const dialSliceMin = 2 * time.Second

// dialer makes connections to addresses that its check passes, and to no others.
type dialer struct {
	check   func(netip.AddrPort) error
	net     net.Dialer
	through *tunnels // asks a proxy to connect; nil for sockets of our own
}

func newDialer(check func(netip.AddrPort) error) *dialer {
	d := &dialer{check: check}
	d.net.KeepAlive = -1 // no connection outlives the idle limit, no reply the deadline
	d.net.ControlContext = func(_ context.Context, _, address string, _ syscall.RawConn) error {
		// The last word: this is the address that connect(2) will get, whatever was resolved or checked before.
		ap, err := netip.ParseAddrPort(address)
		if err != nil {
			return &BlockedError{Why: "not an IP address and port"}
		}
		return d.check(ap)
	}
	return d
}

// allowed splits what a name resolved to: the addresses that may be dialled, and the refusal of the first
// other.
func (d *dialer) allowed(addrs []netip.Addr, port uint16) (ok []netip.AddrPort, refused error) {
	for _, a := range addrs {
		ap := netip.AddrPortFrom(a.Unmap(), port)
		if err := d.check(ap); err == nil {
			ok = append(ok, ap)
		} else if refused == nil {
			refused = err
		}
	}
	return ok, refused
}

// dial connects to the first address that answers. The family of the first address gets a head start.
func (d *dialer) dial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	var first, second []netip.AddrPort
	for _, ap := range addrs {
		if ap.Addr().Is4() == addrs[0].Addr().Is4() {
			first = append(first, ap)
		} else {
			second = append(second, ap)
		}
	}
	if len(second) == 0 {
		return d.serial(ctx, first)
	}
	return d.race(ctx, first, second)
}

type dialed struct {
	conn net.Conn
	err  error
	lead bool // of the family with the head start
}

// race tries both families. It returns when both have ended, the loser interrupted, so that nothing is left
// over.
func (d *dialer) race(ctx context.Context, first, second []netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan dialed, 2)
	try := func(addrs []netip.AddrPort, lead bool) {
		c, err := d.serial(ctx, addrs)
		results <- dialed{c, err, lead}
	}
	go try(first, true)
	delay := time.NewTimer(fallbackDelay)
	defer delay.Stop()
	var won net.Conn
	var failed error
	settle := func(r dialed) {
		switch {
		case r.err != nil:
			if failed == nil || r.lead {
				failed = r.err
			}
		case won == nil:
			won = r.conn
			cancel()
		default:
			_ = r.conn.Close()
		}
	}
	select {
	case r := <-results:
		settle(r)
		if won == nil {
			go try(second, false)
			settle(<-results)
		}
	case <-delay.C:
		go try(second, false)
		settle(<-results)
		settle(<-results)
	}
	if won != nil {
		return won, nil
	}
	return nil, failed
}

// serial tries one address after the other; each gets its share of the time that is left.
func (d *dialer) serial(ctx context.Context, addrs []netip.AddrPort) (net.Conn, error) {
	var failed error
	for i, ap := range addrs {
		c, err := d.one(ctx, ap, len(addrs)-i)
		if err == nil {
			return c, nil
		}
		if failed == nil {
			failed = err
		}
		if proxy, ok := errors.AsType[*proxyError](err); ctx.Err() != nil || ok && proxy.dead {
			break
		}
	}
	return nil, failed
}

func (d *dialer) one(ctx context.Context, ap netip.AddrPort, left int) (net.Conn, error) {
	if end, ok := ctx.Deadline(); ok && left > 1 {
		slice := max(time.Until(end)/time.Duration(left), dialSliceMin)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, slice)
		defer cancel()
	}
	if d.through != nil {
		return d.through.open(ctx, ap)
	}
	return d.net.DialContext(ctx, "tcp", ap.String())
}

func hostPort(host string, port uint16) string {
	return net.JoinHostPort(host, strconv.Itoa(int(port)))
}
