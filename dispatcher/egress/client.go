package egress

import (
	"bufio"
	"context"
	"crypto/x509"
	"errors"
	"net"
	"sync"
	"time"
)

// Limits of one exchange. They bound what a hostile server can cost.
const (
	ReplyBytesMax   = 4 << 10  // of a reply's body; an acknowledgement has a few bytes
	HeadBytesMax    = 32 << 10 // of a reply's head, 1xx heads included
	wireBytesMax    = 64 << 10 // of a reply's body as transferred: chunk framing and trailers included
	headerBytesKept = 1 << 10  // of each header in a Result
	detailMax       = 200      // characters of Result.Detail
)

// Options configure a Client. The zero value reaches public addresses with the limits of the public contract.
type Options struct {
	// Rules say what may be reached.
	Rules Rules
	// Resolver is a DNS server, HOST:PORT, that is asked alone; /etc/hosts is then not read. Empty means the
	// system's configuration.
	Resolver string
	// Proxy makes every connection; nil means that they are made directly. It is asked to CONNECT to an address
	// that the rules have passed, never to a name, and what it cannot do is our fault, not the merchant's.
	Proxy *Proxy
	// ProxyChanged is told, at most once a minute, that the proxy does not work, and why; and with nil that it
	// works again. Nil means nobody is told.
	ProxyChanged func(why error)
	// UserAgent is sent unless the request has its own; empty means "paynotify".
	UserAgent string
	// DialTimeout limits the look-up of the name, and again the connection; 0 means 5 s.
	DialTimeout time.Duration
	// TLSTimeout limits the TLS handshake; 0 means 5 s.
	TLSTimeout time.Duration
	// HeaderTimeout limits the time from the start of the write to the end of the reply's head; 0 means 10 s.
	HeaderTimeout time.Duration
	// RootCAs verify servers; nil means the system's.
	RootCAs *x509.CertPool
	// IdlePerPool bounds the idle connections of one merchant to one host and port; 0 means 256.
	IdlePerPool int
	// IdleTotal bounds all idle connections; 0 means 1024.
	IdleTotal int
	// IdleTimeout is how long a connection may be idle; 0 means 60 s.
	IdleTimeout time.Duration
	// Dial replaces resolution, connection and proxy, for tests over pipes; addr is HOST:PORT as the URL has it.
	// Only IP literals are then judged by the rules.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

const defaultUserAgent = "paynotify"

// Client sends requests to merchants. It is safe for concurrent use.
type Client struct {
	opts     Options
	dialer   *dialer
	resolver *resolver
	pool     pool
}

// New makes a client. It starts nothing until the first Do.
func New(o Options) *Client {
	o.UserAgent = orDefault(o.UserAgent, defaultUserAgent)
	o.DialTimeout = orDefault(o.DialTimeout, 5*time.Second)
	o.TLSTimeout = orDefault(o.TLSTimeout, 5*time.Second)
	o.HeaderTimeout = orDefault(o.HeaderTimeout, 10*time.Second)
	o.IdlePerPool = orDefault(o.IdlePerPool, 256)
	o.IdleTotal = orDefault(o.IdleTotal, 1024)
	o.IdleTimeout = orDefault(o.IdleTimeout, 60*time.Second)
	c := &Client{opts: o, resolver: newResolver(o.Resolver)}
	c.dialer = newDialer(c.opts.Rules.checkDial)
	if o.Proxy != nil {
		c.dialer.through = newTunnels(o.Proxy, &c.opts.Rules, c.resolver, o.ProxyChanged)
	}
	c.pool.perKeyMax, c.pool.totalMax, c.pool.ttl = o.IdlePerPool, o.IdleTotal, o.IdleTimeout
	return c
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Close closes the idle connections. Exchanges in flight go on; their connections are closed when they end.
func (c *Client) Close() { c.pool.shed(true) }

// Phases says where the time went; zero for a phase that did not happen.
type Phases struct {
	DNS       time.Duration // look-up of the name
	Connect   time.Duration
	TLS       time.Duration
	FirstByte time.Duration // from the start of the write to the first reply byte
	Body      time.Duration // from there to the end of the reply
}

// Result is what came of one Do.
type Result struct {
	Status          int    // of the reply; 0 when no head was read
	ContentType     string // and the next three: the reply's header, first value
	ContentEncoding string
	Location        string
	RetryAfter      string
	Body            []byte // at most ReplyBytesMax bytes, also of a reply that ended in a fault

	Fault  Fault  // "" for a whole reply, and when Err is set by BeforeWrite
	Ours   bool   // the fault is on our side, not the merchant's
	Detail string // one technical sentence for an operator, never for a merchant; no URL
	Err    error  // what BeforeWrite returned, or the cause of a cancelled context

	RemoteAddr string   // ip:port; empty without a connection
	Reused     bool     // the connection had carried an exchange before
	Wrote      bool     // at least one byte of the request may have left
	Skipped    int      // addresses of a mixed answer that the rules refused
	TLS        *TLSInfo // nil where no server has shown a certificate; shared, do not change
	Phases     Phases
}

// exchange is one Do in progress. Its buffers are reused by later ones.
type exchange struct {
	client   *Client
	ctx      context.Context
	req      *Request
	res      Result
	deadline time.Time
	conn     *conn
	stop     func() bool // ends the watch over the context; nil when there is none
	keep     bool        // the connection may carry another exchange

	wire wire
	br   *bufio.Reader
	out  []byte
	body [ReplyBytesMax + 1]byte
}

// outKeptMax bounds the write buffer that stays with a pooled exchange; larger requests are rare.
const outKeptMax = 64 << 10

var exchanges = sync.Pool{New: func() any {
	x := &exchange{}
	x.br = bufio.NewReaderSize(&x.wire, 4<<10)
	return x
}}

// Do makes one exchange: at most one request leaves, on one connection. It returns when the reply is whole,
// a limit is reached, or ctx is done. It does not retry; after ConnStale the caller may call it once more,
// with Request.Fresh.
func (c *Client) Do(ctx context.Context, r *Request) Result {
	x := exchanges.Get().(*exchange)
	x.client, x.ctx, x.req = c, ctx, r
	x.run()
	x.release()
	res := x.res
	x.client, x.ctx, x.req, x.res, x.conn, x.stop, x.keep = nil, nil, nil, Result{}, nil, nil, false
	x.wire = wire{}
	x.br.Reset(&x.wire)
	if cap(x.out) > outKeptMax {
		x.out = nil
	}
	exchanges.Put(x)
	return res
}

func (x *exchange) run() {
	if err := x.req.check(); err != nil {
		x.fail(Internal, err.Error())
		return
	}
	x.deadline = x.req.Deadline
	if x.deadline.IsZero() {
		x.deadline = time.Now().Add(DefaultTimeout)
	}
	if d, ok := x.ctx.Deadline(); ok && d.Before(x.deadline) {
		x.deadline = d
	}
	if x.canceled() || !x.connect() {
		return
	}
	x.out = x.req.append(x.out[:0], x.client.opts.UserAgent)
	if x.req.BeforeWrite != nil {
		if err := x.req.BeforeWrite(); err != nil {
			x.res.Err, x.keep = err, true
			return
		}
	}
	if x.canceled() {
		x.keep = true
		return
	}
	if x.write() {
		x.receive()
	}
}

// release gives the connection back to the pool, or closes it.
func (x *exchange) release() {
	if x.stop != nil && !x.stop() {
		x.keep = false // the interruption has started and would hit the next exchange
	}
	switch {
	case x.conn == nil:
	case x.keep && x.br.Buffered() == 0:
		x.client.pool.put(x.conn, x.wire.now())
	default:
		x.conn.close()
	}
}

// fail records why there is no whole reply.
func (x *exchange) fail(f Fault, detail string) {
	x.res.Fault, x.res.Ours = f, f.ours()
	if len(detail) > detailMax {
		detail = detail[:detailMax] + "…"
	}
	x.res.Detail = detail
}

// canceled records an interruption when the context was cancelled. A context whose deadline has passed is a
// timeout like any other.
func (x *exchange) canceled() bool {
	if !errors.Is(x.ctx.Err(), context.Canceled) {
		return false
	}
	x.res.Err = context.Cause(x.ctx)
	x.fail(Interrupted, "interrupted: "+x.res.Err.Error())
	return true
}

// watch lets the context interrupt the connection.
func (x *exchange) watch() {
	if x.ctx.Done() != nil {
		x.stop = context.AfterFunc(x.ctx, x.conn.cancel)
	}
}

// connect finds a silent idle connection or makes a fresh one.
func (x *exchange) connect() bool {
	key := poolKey{owner: x.req.Pool, server: x.req.Target.server}
	if x.req.Target.Secure() {
		key.tls = x.req.TLS
	}
	for !x.req.Fresh {
		c := x.client.pool.take(key)
		if c == nil {
			break
		}
		if c.silent() {
			x.use(c)
			x.res.Reused = true
			x.watch()
			return true
		}
		c.close()
	}
	return x.dial(key)
}

// use makes c the exchange's connection.
func (x *exchange) use(c *conn) {
	x.conn = c
	x.res.RemoteAddr = c.remote
	if c.tls != nil {
		x.res.TLS = c.tls.info
	}
}
