package egress

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Header is one header line; name and order go out as given.
type Header struct {
	Name, Value string
}

// Request is one POST (or GET) to a merchant.
type Request struct {
	// Pool names the owner of idle connections, the mch_id: connections are never shared between owners.
	Pool string
	// Target comes from Rules.CheckURL.
	Target *Target
	// TLS is how this owner's server is verified and what it is shown; nil means the client's roots and no
	// client certificate. Connections made with other options are not reused.
	TLS *TLSOptions
	// Query is added to the target's own query, already encoded; empty adds nothing.
	Query string
	// Method is the HTTP method; empty means POST.
	Method string
	// Header goes out in this order and case, after Host and the defaults. A caller's User-Agent, Accept or
	// Accept-Encoding replaces the default; what CheckHeader refuses makes the request Internal.
	Header []Header
	// Body is the request body; it is not changed and not kept.
	Body []byte
	// Deadline is the end of everything, the last reply byte included; zero means 15 s from the start of Do.
	Deadline time.Time
	// HeadOnly says that the head of the reply alone decides: faults of the body are no faults, and a body that
	// does not come at once is not waited for.
	HeadOnly bool
	// Fresh refuses idle connections; the re-send after ConnStale sets it.
	Fresh bool
	// BeforeWrite is called when a connection is ready, before the first byte. Its error ends Do: nothing is
	// written, Result.Err is that error. Nil means nothing to ask.
	BeforeWrite func() error
	// Point is called at "wrote_request" and at "read_reply" (a whole reply), for tests of crashes there. Nil
	// means none.
	Point func(name string)
}

// DefaultTimeout is how long Do may take when a Request has no deadline.
const DefaultTimeout = 15 * time.Second

// reservedHeaders are this client's own, or would change how a proxy or server frames, repeats or attributes
// a request.
var reservedHeaders = []string{
	"Host", "Content-Length", "Transfer-Encoding", "Trailer", "TE", "Connection", "Keep-Alive", "Upgrade",
	"Expect", "Cookie", "Idempotency-Key", "X-Idempotency-Key",
}

// CheckHeader says whether a caller may send this header: its name is a token and not one of the client's
// own, its value has no CR, LF or NUL.
func CheckHeader(name, value string) error {
	if name == "" {
		return errors.New("header name is empty: give it a name")
	}
	for i := range len(name) {
		if !tokenByte[name[i]] {
			return fmt.Errorf("header name %q: use letters, digits and hyphens only", name)
		}
	}
	for _, r := range reservedHeaders {
		if len(r) == len(name) && strings.EqualFold(r, name) {
			return fmt.Errorf("header %q is set by the sender: remove it", name)
		}
	}
	if len(name) > 6 && strings.EqualFold(name[:6], "Proxy-") {
		return fmt.Errorf("header %q is for proxies: remove it", name)
	}
	if strings.IndexByte(value, '\n') >= 0 || strings.IndexByte(value, '\r') >= 0 ||
		strings.IndexByte(value, 0) >= 0 {
		return fmt.Errorf("header %q: remove line breaks and NUL from its value", name)
	}
	return nil
}

// tokenByte marks the bytes of a token (RFC 9110, section 5.6.2).
var tokenByte = func() (t [256]bool) {
	for _, c := range []byte("!#$%&'*+-.^_`|~0123456789" +
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		t[c] = true
	}
	return t
}()

func (r *Request) method() string {
	if r.Method == "" {
		return "POST"
	}
	return r.Method
}

// check refuses what would not be one well-formed request on the wire.
func (r *Request) check() error {
	if r.Target == nil || r.Target.server == "" {
		return errors.New("request without a target of CheckURL")
	}
	for i := range len(r.Method) {
		if !tokenByte[r.Method[i]] {
			return fmt.Errorf("method %q is no token", r.Method)
		}
	}
	for i := range len(r.Query) {
		if c := r.Query[i]; c <= 0x20 || c == 0x7f || c == '#' {
			return errors.New("query holds a byte that must be percent-encoded")
		}
	}
	for i := range r.Header {
		if err := CheckHeader(r.Header[i].Name, r.Header[i].Value); err != nil {
			return err
		}
	}
	return nil
}

// append writes the whole request behind b: head and body, to leave in one piece.
func (r *Request) append(b []byte, userAgent string) []byte {
	t := r.Target
	b = append(b, r.method()...)
	b = append(b, ' ')
	b = r.appendTarget(b)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, t.HostHeader...)
	b = append(b, "\r\n"...)
	if !r.has("User-Agent") {
		b = appendHeader(b, "User-Agent", userAgent)
	}
	if !r.has("Accept") {
		b = append(b, "Accept: */*\r\n"...)
	}
	if !r.has("Accept-Encoding") {
		b = append(b, "Accept-Encoding: identity\r\n"...)
	}
	for i := range r.Header {
		b = appendHeader(b, r.Header[i].Name, r.Header[i].Value)
	}
	if len(r.Body) > 0 || r.method() == "POST" {
		b = append(b, "Content-Length: "...)
		b = strconv.AppendInt(b, int64(len(r.Body)), 10)
		b = append(b, "\r\n"...)
	}
	b = append(b, "\r\n"...)
	return append(b, r.Body...)
}

// RequestTarget is the path and query of the request line, exactly as it leaves.
func (r *Request) RequestTarget() string { return string(r.appendTarget(nil)) }

func (r *Request) appendTarget(b []byte) []byte {
	uri := r.Target.RequestURI
	b = append(b, uri...)
	if r.Query == "" {
		return b
	}
	if strings.IndexByte(uri, '?') < 0 {
		b = append(b, '?')
	} else if c := uri[len(uri)-1]; c != '?' && c != '&' {
		b = append(b, '&')
	}
	return append(b, r.Query...)
}

func appendHeader(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, ": "...)
	b = append(b, value...)
	return append(b, "\r\n"...)
}

func (r *Request) has(name string) bool {
	for i := range r.Header {
		if len(r.Header[i].Name) == len(name) && strings.EqualFold(r.Header[i].Name, name) {
			return true
		}
	}
	return false
}
