package egress

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// capture answers one request per connection and hands its bytes over.
func capture(t *testing.T) (*server, chan string) {
	got := make(chan string, 10)
	s := newServer(t, func(_ *server, _ int, c net.Conn) {
		var b bytes.Buffer
		br := bufio.NewReader(io.TeeReader(c, &b))
		req, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		got <- b.String()
		_, _ = c.Write([]byte(ok))
	})
	return s, got
}

func TestRequestBytes(t *testing.T) {
	s, got := capture(t)
	host := s.l.Addr().String()
	c := devClient(t, Options{UserAgent: "paynotify/1.2"})
	defaults := "User-Agent: paynotify/1.2\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
	for _, tt := range []struct {
		name, path string
		req        Request
		want       string
	}{
		{
			"post", "/n?x=1&Y=%2f",
			Request{Body: []byte("a=1"), Header: []Header{{"content-TYPE", "text/x"}, {"X-b", ""}, {"X-B", "2"}}},
			"POST /n?x=1&Y=%2f HTTP/1.1\r\nHost: " + host + "\r\n" + defaults +
				"content-TYPE: text/x\r\nX-b: \r\nX-B: 2\r\nContent-Length: 3\r\n\r\na=1",
		},
		{
			"empty post", "",
			Request{},
			"POST / HTTP/1.1\r\nHost: " + host + "\r\n" + defaults + "Content-Length: 0\r\n\r\n",
		},
		{
			"get", "/n",
			Request{Method: "GET", Query: "sign=x"},
			"GET /n?sign=x HTTP/1.1\r\nHost: " + host + "\r\n" + defaults + "\r\n",
		},
		{
			"query behind query", "/n?a=1",
			Request{Method: "GET", Query: "b=2"},
			"GET /n?a=1&b=2 HTTP/1.1\r\nHost: " + host + "\r\n" + defaults + "\r\n",
		},
		{
			"query behind ?", "/n?",
			Request{Method: "GET", Query: "b=2"},
			"GET /n?b=2 HTTP/1.1\r\nHost: " + host + "\r\n" + defaults + "\r\n",
		},
		{
			"the caller wins", "/n",
			Request{Header: []Header{{"user-agent", "mine"}, {"ACCEPT", "text/plain"}, {"Accept-encoding", "x"}}},
			"POST /n HTTP/1.1\r\nHost: " + host + "\r\nuser-agent: mine\r\nACCEPT: text/plain\r\n" +
				"Accept-encoding: x\r\nContent-Length: 0\r\n\r\n",
		},
	} {
		r := tt.req
		r.Target, r.Fresh = target(t, c, "http://"+host+tt.path), true
		if res := c.Do(t.Context(), &r); res.Fault != "" {
			t.Errorf("%s: %q (%s)", tt.name, res.Fault, res.Detail)
			continue
		}
		if _, line, _ := strings.Cut(tt.want, " "); !strings.HasPrefix(line, r.RequestTarget()+" HTTP/1.1\r\n") {
			t.Errorf("%s: the request target %q is not what leaves", tt.name, r.RequestTarget())
		}
		if diff := cmp.Diff(tt.want, <-got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}

func TestCheckHeader(t *testing.T) {
	for _, tt := range []struct {
		name, value string
		ok          bool
	}{
		{"X-Shop", "1", true},
		{"Authorization", "Bearer x", true},
		{"webhook-id", "ünïcode", true},
		{"", "x", false},
		{"X Shop", "x", false},
		{"X:Shop", "x", false},
		{"X-Shop\r\nY", "x", false},
		{"X-Shop", "a\r\nHost: b", false},
		{"X-Shop", "a\nb", false},
		{"X-Shop", "a\x00b", false},
		{"host", "x", false},
		{"Content-length", "x", false},
		{"Transfer-Encoding", "x", false},
		{"Connection", "x", false},
		{"Proxy-Authorization", "x", false},
		{"cookie", "x", false},
		{"Idempotency-Key", "x", false},
		{"x-idempotency-key", "x", false},
	} {
		if err := CheckHeader(tt.name, tt.value); (err == nil) != tt.ok {
			t.Errorf("%q: %q: got %v, want ok=%v", tt.name, tt.value, err, tt.ok)
		}
	}
}

// TestUnsendable: what cannot be one well-formed request is our fault, and nothing is dialled.
func TestUnsendable(t *testing.T) {
	s, _ := capture(t)
	c := devClient(t, Options{})
	good := target(t, c, s.url())
	for name, r := range map[string]*Request{
		"no target":        {},
		"a made-up target": {Target: &Target{Scheme: "http", Host: "127.0.0.1", Port: 80, RequestURI: "/"}},
		"query":            {Target: good, Query: "a=1 HTTP/1.1\r\nX: y"},
		"method":           {Target: good, Method: "GET /x"},
		"header":           {Target: good, Header: []Header{{"Host", "other"}}},
	} {
		if res := c.Do(t.Context(), r); res.Fault != Internal || !res.Ours || res.Wrote || res.Detail == "" {
			t.Errorf("%s: got %+v", name, res)
		}
	}
	if conns, _ := s.count(); conns != 0 {
		t.Errorf("%d connections", conns)
	}
}

func TestBeforeWriteAndPoints(t *testing.T) {
	s, got := capture(t)
	c := devClient(t, Options{})
	var order []string
	r := post(t, c, s.url())
	r.Point = func(name string) { order = append(order, name) }
	stopped := errors.New("lease is over")
	r.BeforeWrite = func() error { order = append(order, "refused"); return stopped }
	res := c.Do(t.Context(), r)
	if res.Fault != "" || !errors.Is(res.Err, stopped) || res.Wrote || res.Status != 0 || res.RemoteAddr == "" {
		t.Errorf("refused: got %+v", res)
	}
	if c.idle() != 1 {
		t.Error("the unused connection was not kept")
	}
	r.BeforeWrite = func() error {
		select {
		case raw := <-got:
			t.Errorf("already sent: %q", raw)
		default:
		}
		order = append(order, "ready")
		return nil
	}
	if res := c.Do(t.Context(), r); res.Fault != "" || res.Err != nil || !res.Wrote || !res.Reused {
		t.Errorf("sent: got %+v", res)
	}
	if diff := cmp.Diff([]string{"refused", "ready", "wrote_request", "read_reply"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if len(got) != 1 {
		t.Errorf("%d requests left, want 1", len(got))
	}
}

func TestPhases(t *testing.T) {
	s, _ := capture(t)
	c := devClient(t, Options{})
	res := c.Do(t.Context(), post(t, c, s.url()))
	p := res.Phases
	if p.DNS != 0 || p.Connect <= 0 || p.TLS != 0 || p.FirstByte <= 0 || p.Body <= 0 ||
		p.Connect+p.FirstByte+p.Body > time.Minute {
		t.Errorf("got %+v", p)
	}
	if res.RemoteAddr != s.l.Addr().String() {
		t.Errorf("remote %q, want %q", res.RemoteAddr, s.l.Addr())
	}
}

// TestInterrupt: cancelling the context ends the wait at once and says that it was us.
func TestInterrupt(t *testing.T) {
	why := errors.New("shutting down")
	for _, tt := range []struct {
		name  string
		head  string
		wrote bool
	}{
		{"before the reply", "", true},
		{"inside the head", "HTTP/1.1 200", true},
		{"inside the body", with("") + "succ", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(context.Background())
			s := newServer(t, func(s *server, _ int, c net.Conn) {
				if s.request(bufio.NewReader(c)) {
					_, _ = c.Write([]byte(tt.head))
					cancel(why)
					waitClosed(c)
				}
			})
			c := devClient(t, Options{})
			start := time.Now()
			res := c.Do(ctx, post(t, c, s.url()))
			if res.Fault != Interrupted || !res.Ours || res.Wrote != tt.wrote || !errors.Is(res.Err, why) ||
				c.idle() != 0 {
				t.Errorf("got %+v", res)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
	ctx, cancel := context.WithCancel(context.Background())
	s, got := capture(t)
	c := devClient(t, Options{})
	r := post(t, c, s.url())
	r.Point = func(name string) {
		if name == "read_reply" {
			cancel()
		}
	}
	// Too late to interrupt: the reply counts, but the connection may not go into other hands.
	if res := c.Do(ctx, r); res.Fault != "" || res.Status != 200 || c.idle() != 0 {
		t.Errorf("cancelled after the reply: got %+v, %d idle", res, c.idle())
	}
	<-got
	if res := c.Do(ctx, r); res.Fault != Interrupted || res.Wrote || len(got) != 0 {
		t.Errorf("cancelled before: got %+v", res)
	}
}

// TestLiteralsAreAlwaysJudged: rules that became stricter since the URL was written down hold for literals
// even where the dial itself is replaced.
func TestLiteralsAreAlwaysJudged(t *testing.T) {
	dials := 0
	c := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) {
		dials++
		return nil, io.ErrUnexpectedEOF
	}})
	target, uerr := (&Rules{Dev: true}).CheckURL("http://169.254.169.254/")
	if uerr != nil {
		t.Fatal(uerr)
	}
	if res := c.Do(t.Context(), &Request{Target: target}); res.Fault != AddressBlocked || dials != 0 {
		t.Errorf("got %q (%s), %d dials", res.Fault, res.Detail, dials)
	}
}

// TestContextDeadline: a context's deadline is a deadline like the request's, not an interruption.
func TestContextDeadline(t *testing.T) {
	s := newServer(t, func(_ *server, _ int, c net.Conn) { waitClosed(c) })
	c := devClient(t, Options{})
	ctx, cancel := context.WithTimeout(context.Background(), short)
	defer cancel()
	if res := c.Do(ctx, post(t, c, s.url())); res.Fault != TimeoutHeaders || res.Ours {
		t.Errorf("got %+v", res)
	}
}

// TestBoundedMemory: hundreds of hostile replies at once cost little more than their sockets.
func TestBoundedMemory(t *testing.T) {
	acts := []func(net.Conn, *bufio.Reader){
		endless(with(""), "success"),
		endless("HTTP/1.1 200 OK\r\nX: ", "x"),
		endless(with("Transfer-Encoding: chunked\r\n"), "1;"+strings.Repeat("x", 500)+"\r\ns\r\n"),
		endless("", "HTTP/1.1 100 Continue\r\n\r\n"),
	}
	s := newServer(t, func(s *server, n int, c net.Conn) {
		if br := bufio.NewReader(c); s.request(br) {
			acts[n%len(acts)](c, br)
		}
	})
	c := devClient(t, Options{})
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const n = 400
	for range n {
		if res := c.Do(t.Context(), post(t, c, s.url())); res.Fault != TooLarge && res.Fault != Malformed {
			t.Fatalf("got %q (%s)", res.Fault, res.Detail)
		}
	}
	runtime.ReadMemStats(&after)
	if each := (after.TotalAlloc - before.TotalAlloc) / n; each > 256<<10 { // the server's buffers included
		t.Errorf("%d bytes were allocated per hostile reply", each)
	}
}

func TestDialFault(t *testing.T) {
	in := func(err error) error {
		return &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", err)}
	}
	for _, tt := range []struct {
		err  error
		want Fault
	}{
		{in(syscall.ECONNREFUSED), ConnRefused},
		{in(syscall.ENETUNREACH), Unreachable},
		{in(syscall.EHOSTUNREACH), Unreachable},
		{in(syscall.ETIMEDOUT), TimeoutConnect},
		{in(syscall.ECONNRESET), ConnReset},
		{in(syscall.EMFILE), Internal},
		{in(syscall.ENFILE), Internal},
		{in(syscall.EADDRNOTAVAIL), Internal},
		{in(syscall.EPERM), Internal},
		{&net.OpError{Op: "dial", Err: context.DeadlineExceeded}, TimeoutConnect},
		{&net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}, TimeoutConnect},
		{&net.OpError{Op: "dial", Err: &BlockedError{}}, AddressBlocked},
		{context.Canceled, Interrupted},
		{errors.New("no idea"), Unreachable},
	} {
		if got := dialFault(tt.err); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
	for _, f := range Faults {
		if f.ours() != (f == DNSFailure || f == Interrupted || f == Internal) {
			t.Errorf("%s: ours is %v", f, f.ours())
		}
	}
}

// TestDescriptorsShort: when there is no descriptor for a dial the fault is ours, and idle ones are given up.
func TestDescriptorsShort(t *testing.T) {
	s, _ := capture(t)
	c := devClient(t, Options{})
	idle, closed := idleConn("other")
	c.pool.put(idle, time.Now())
	c.dialer.net.ControlContext = func(context.Context, string, string, syscall.RawConn) error {
		return syscall.EMFILE
	}
	res := c.Do(t.Context(), post(t, c, s.url()))
	if res.Fault != Internal || !res.Ours || !closed.closed.Load() || c.idle() != 0 {
		t.Errorf("got %+v, idle closed %v", res, closed.closed.Load())
	}
}

func TestConnRefused(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	c := devClient(t, Options{})
	res := c.Do(t.Context(), post(t, c, "http://"+l.Addr().String()))
	if res.Fault != ConnRefused || res.Ours || res.Wrote || res.RemoteAddr != "" || res.Detail == "" {
		t.Errorf("got %+v", res)
	}
}

// TestProxyVariablesAreIgnored: a proxy from the environment would see, and could reach, everything.
func TestProxyVariablesAreIgnored(t *testing.T) {
	proxy, _ := capture(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "HTTPS_PROXY"} {
		t.Setenv(name, "http://"+proxy.l.Addr().String())
	}
	s, got := capture(t)
	c := devClient(t, Options{})
	if res := c.Do(t.Context(), post(t, c, s.url())); res.Fault != "" || len(got) != 1 {
		t.Errorf("got %+v", res)
	}
	if n, _ := proxy.count(); n != 0 {
		t.Error("the proxy was asked")
	}
}
