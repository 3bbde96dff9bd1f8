package egress

import (
	"errors"
	"io"
	"net"
	"net/http"
	"time"
)

// wire reads from the connection, counts, and keeps the first error of the connection itself: what the
// parsers above say about a reply that ended early is not precise enough for a verdict.
type wire struct {
	from  net.Conn
	left  int       // bytes that may still be read
	n     int       // bytes read
	first time.Time // when the first byte came
	last  time.Time // the latest instant known
	over  bool      // left was used up
	err   error     // of the connection; nil when the bytes themselves are wrong
}

var (
	errOver    = errors.New("reply is longer than its limit")
	errNotHTTP = errors.New("reply does not start with HTTP/")
	errHTTP2   = errors.New("the server speaks HTTP/2 and not HTTP/1.1")
)

// Read stops at the limit, and at the first byte that cannot belong to a status line: a server of another
// protocol may never send a line end, and waiting for one would be called a timeout.
func (w *wire) Read(p []byte) (int, error) {
	if w.left <= 0 {
		w.over = true
		return 0, errOver
	}
	n, err := w.from.Read(p[:min(len(p), w.left)])
	if n > 0 && w.n == 0 {
		w.first = time.Now()
		w.last = w.first
	}
	const start = "HTTP/"
	for i := w.n; i < len(start) && i < w.n+n; i++ {
		if p[i-w.n] != start[i] {
			first := w.n == 0
			w.n += n
			const settings = 4 // the type of the frame that an HTTP/2 server begins with (RFC 9113, section 3.4)
			if first && n >= 4 && p[0] == 0 && p[3] == settings {
				return 0, errHTTP2
			}
			return 0, errNotHTTP
		}
	}
	w.n += n
	w.left -= n
	if err != nil {
		w.err = err
	}
	return n, err
}

// now is the latest instant that the exchange has seen, which is exact enough for the age of an idle
// connection.
func (w *wire) now() time.Time {
	if w.last.IsZero() {
		return time.Now()
	}
	return w.last
}

// write sends the whole request in one piece.
func (x *exchange) write() bool {
	start := time.Now()
	x.wire = wire{from: x.conn.stream, left: HeadBytesMax, last: start}
	x.br.Reset(&x.wire)
	x.conn.limit(earlier(x.deadline, start.Add(x.client.opts.HeaderTimeout)))
	n, err := x.conn.stream.Write(x.out)
	x.res.Wrote = n > 0 || x.conn.tls != nil || err == nil
	x.point("wrote_request")
	if err != nil && isTimeout(err) {
		if !x.canceled() {
			x.fail(TimeoutHeaders, "the server did not take the request in time")
		}
		return false
	}
	// After any other error there may still be a reply: servers answer and close before they have read
	// everything.
	return true
}

func (x *exchange) point(name string) {
	if x.req.Point != nil {
		x.req.Point(name)
	}
}

// receive reads the reply and decides whether the connection is kept.
func (x *exchange) receive() {
	written := x.wire.last
	resp := x.head()
	if x.wire.n > 0 {
		x.res.Phases.FirstByte = x.wire.first.Sub(written)
	}
	if resp == nil {
		return
	}
	x.res.Status = resp.StatusCode
	x.res.ContentType = kept(resp.Header, "Content-Type")
	x.res.ContentEncoding = kept(resp.Header, "Content-Encoding")
	x.res.Location = kept(resp.Header, "Location")
	x.res.RetryAfter = kept(resp.Header, "Retry-After")
	switch {
	case resp.StatusCode == http.StatusSwitchingProtocols:
		x.fail(Upgrade, "the server switched protocols; nothing was read behind the 101")
	case resp.StatusCode < 100 || resp.StatusCode > 599 || resp.ProtoMajor != 1:
		x.fail(Malformed, "the status line is not one of HTTP/1.x with a status from 100 to 599")
	default:
		x.readBody(resp)
	}
}

// kept is what a result carries of a header: its first value, cut so that a hostile one is not kept for days.
func kept(h http.Header, name string) string {
	v := h.Get(name)
	return v[:min(len(v), headerBytesKept)]
}

// head reads heads until one is final, a 101 included.
func (x *exchange) head() *http.Response {
	for {
		resp, err := http.ReadResponse(x.br, nil)
		if err != nil {
			x.headFailed(err)
			return nil
		}
		if resp.StatusCode < 100 || resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return resp
		}
	}
}

func (x *exchange) headFailed(err error) {
	w := &x.wire
	switch {
	case w.over:
		x.fail(Malformed, "the reply's head is longer than 32 KiB, 1xx heads included")
	case w.err == nil:
		x.fail(Malformed, err.Error())
	case isTimeout(w.err):
		if !x.canceled() {
			x.fail(TimeoutHeaders, "no whole reply head in time")
		}
	case w.n > 0:
		x.fail(Truncated, "the connection ended inside the reply's head: "+w.err.Error())
	default:
		x.lost(w.err)
	}
}

// lost records a connection that ended before the first reply byte.
func (x *exchange) lost(err error) {
	if _, alert := remoteAlert(err); alert && x.conn.tls != nil && !x.res.Reused {
		x.fail(tlsFault(err, x.conn.tls.asked, false), "TLS: "+err.Error()) // TLS 1.3 refuses a client this late
		return
	}
	if x.res.Reused {
		x.fail(ConnStale, "the kept-alive connection was dead: "+err.Error())
		return
	}
	x.fail(lostFault(err), err.Error())
}

// headOnlyGrace is how long the body of a reply is waited for whose head has already decided.
const headOnlyGrace = 200 * time.Millisecond

// readBody reads the body, up to its limit and one byte more, and keeps what came.
func (x *exchange) readBody(resp *http.Response) {
	x.wire.left = wireBytesMax
	if int64(x.br.Buffered()) < resp.ContentLength || resp.ContentLength < 0 {
		end := x.deadline
		if x.req.HeadOnly {
			end = earlier(end, time.Now().Add(headOnlyGrace))
		}
		x.conn.limit(end)
	}
	n, err := 0, error(nil)
	for err == nil && n < len(x.body) {
		var m int
		m, err = resp.Body.Read(x.body[n:])
		n += m
	}
	x.wire.last = time.Now()
	x.res.Phases.Body = x.wire.last.Sub(x.wire.first)
	x.res.Body = append([]byte(nil), x.body[:min(n, ReplyBytesMax)]...)
	switch {
	case errors.Is(err, io.EOF) && n <= ReplyBytesMax:
		x.keep = !resp.Close
		x.point("read_reply")
	case x.req.HeadOnly:
		x.point("read_reply")
	default:
		x.bodyFailed(n, err)
	}
}

func (x *exchange) bodyFailed(n int, err error) {
	w := &x.wire
	switch {
	case n > ReplyBytesMax, w.over:
		x.fail(TooLarge, "the reply's body is longer than 4 KiB")
	case w.err == nil:
		x.fail(Malformed, err.Error())
	case isTimeout(w.err):
		if !x.canceled() {
			x.fail(TimeoutBody, "the reply's body did not end in time")
		}
	default:
		x.fail(Truncated, "the connection ended inside the reply's body: "+w.err.Error())
	}
}
