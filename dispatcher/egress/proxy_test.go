package egress

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

func TestParseProxy(t *testing.T) {
	for _, tt := range []struct{ text, hostPort, auth string }{
		{"http://127.0.0.1:3128", "127.0.0.1:3128", ""},
		{"http://[::1]:3128/", "[::1]:3128", ""},
		{"HTTP://Squid:3128", "squid:3128", ""},
		{"http://proxy.example.com.:80", "proxy.example.com:80", ""},
		{"http://u:p@proxy:1", "proxy:1", "Basic dTpw"},
		{"http://u:p%40%3A@proxy:1", "proxy:1", "Basic dTpwQDo="},
		{"http://u@proxy:1", "proxy:1", "Basic dTo="},
	} {
		p, err := ParseProxy(tt.text)
		if err != nil || p.String() != tt.hostPort || p.auth != tt.auth {
			t.Errorf("%s: got %+v, %v", tt.text, p, err)
		}
	}
	for _, text := range []string{
		"", "proxy:3128", "//proxy:1", "https://p:1", "socks5://p:1", "http://p", "http://p:0", "http://p:65536",
		"http://:1", "http://p:1/x", "http://p:1?x", "http://p:1?", "http://p:1#", "http://@p:1",
		"http://:hunter2@p:1",
		"http://u%3Ax:hunter2@p:1", "http://127.1:80", "http://0x7f000001:80", "http://-p:1", "http://p:1 ",
		"http://u:hunter2@p q:1", "http://u:hunter2%zz@p:1",
	} {
		if p, err := ParseProxy(text); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: got %+v, %v", text, p, err)
		}
	}
}

// forward is a proxy that does what one does: it connects where it is asked to. answer may say something
// else.
type forward struct {
	*server

	answer func(n int) string // n counts from 1; empty means to connect
	mu     sync.Mutex
	asked  []string // request line, and Proxy-Authorization where there is one
}

func newForward(t *testing.T, answer func(n int) string) *forward {
	f := &forward{answer: answer}
	f.server = newServer(t, func(_ *server, _ int, c net.Conn) { f.proxy(c) })
	return f
}

func (f *forward) options() Options {
	p, err := ParseProxy("http://user:pass@" + f.l.Addr().String())
	if err != nil {
		f.tb.Fatal(err)
	}
	return Options{Proxy: p}
}

func (f *forward) proxy(c net.Conn) {
	br := bufio.NewReader(c)
	req, err := http.ReadRequest(br)
	if err != nil {
		return
	}
	f.mu.Lock()
	auth := req.Header.Get("Proxy-Authorization")
	f.asked = append(f.asked, req.Method+" "+req.RequestURI+" "+req.Host+" "+auth)
	n, answer := len(f.asked), f.answer
	f.mu.Unlock()
	if answer != nil {
		if text := answer(n); text != "" {
			_, _ = io.WriteString(c, text)
			waitClosed(c)
			return
		}
	}
	far, err := net.Dial("tcp", req.RequestURI)
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer far.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 100 Wait\r\n\r\nHTTP/1.1 200 Connection established\r\nVia: x\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() { _, _ = io.Copy(far, br); _ = far.(*net.TCPConn).CloseWrite() })
	both.Go(func() { _, _ = io.Copy(c, far); _ = c.(*net.TCPConn).CloseWrite() })
	both.Wait()
}

func (f *forward) requests() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]string(nil), f.asked...)
}

// TestThroughProxy: the proxy is asked for the address that was vetted, plain and TLS, and never for a name.
func TestThroughProxy(t *testing.T) {
	ca := newAuthority(t)
	names := make(chan string, 10)
	secure := newServer(t, func(s *server, _ int, raw net.Conn) {
		c := tls.Server(raw, &tls.Config{
			Certificates: []tls.Certificate{ca.server(false, nil)},
			GetConfigForClient: func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
				names <- hello.ServerName
				return nil, nil
			},
		})
		defer c.Close()
		for br := bufio.NewReader(c); s.request(br); {
			_, _ = c.Write([]byte(ok))
		}
	})
	plain, got := capture(t)
	dns := newFakeDNS(t, always("127.0.0.1"))
	f := newForward(t, nil)
	o := f.options()
	o.Resolver, o.RootCAs = dns.addr(), ca.pool
	c := devClient(t, o)
	res := c.Do(t.Context(), post(t, c, hostURL(plain, "http", "shop.example.com")))
	if res.Fault != "" || string(res.Body) != "success" || res.RemoteAddr != plain.l.Addr().String() {
		t.Errorf("plain: got %+v", res)
	}
	if raw := <-got; !strings.HasPrefix(raw, "POST /n HTTP/1.1\r\nHost: shop.example.com:") ||
		strings.Contains(raw, "Proxy-Authorization") {
		t.Errorf("the merchant was sent %q", raw)
	}
	for i := range 2 {
		res := c.Do(t.Context(), post(t, c, hostURL(secure, "https", "shop.example.com")))
		if res.Fault != "" || res.TLS == nil || res.Reused != (i == 1) ||
			res.RemoteAddr != secure.l.Addr().String() {
			t.Errorf("TLS: got %+v", res)
		}
	}
	if name := <-names; name != "shop.example.com" || len(names) != 0 {
		t.Errorf("server name %q, %d more", name, len(names))
	}
	want := []string{}
	for _, s := range []*server{plain, secure} {
		want = append(want, fmt.Sprintf("CONNECT %s %[1]s Basic dXNlcjpwYXNz", s.l.Addr()))
	}
	if asked := f.requests(); strings.Join(asked, "\n") != strings.Join(want, "\n") {
		t.Errorf("the proxy was asked %q, want %q", asked, want)
	}
}

// TestProxyCannotBypassTheRules: what the rules refuse is not even asked for, and the proxy's own address,
// which they would refuse, is none of theirs.
func TestProxyCannotBypassTheRules(t *testing.T) {
	f := newForward(t, nil)
	o := f.options()
	s, _ := publicServer(t)
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		if strings.HasPrefix(q.Name.String(), "mixed.") {
			return dnsRecords(q, "", "127.0.0.1", "127.0.0.2", "10.0.0.1")
		}
		return dnsRecords(q, "", "127.0.0.1", "169.254.169.254")
	})
	o.Rules, o.Resolver = rulesFor(s), dns.addr()
	c := New(o)
	t.Cleanup(c.Close)
	res := c.Do(t.Context(), post(t, c, hostURL(s, "http", "inside.example.com")))
	if res.Fault != AddressBlocked || res.Ours || len(f.requests()) != 0 {
		t.Errorf("inside: got %q (%s), asked %q", res.Fault, res.Detail, f.requests())
	}
	res = c.Do(t.Context(), post(t, c, hostURL(s, "http", "mixed.example.com")))
	if res.Fault != "" || res.Skipped != 2 || len(f.requests()) != 1 {
		t.Errorf("mixed: got %q (%s), skipped %d, asked %q", res.Fault, res.Detail, res.Skipped, f.requests())
	}
	r := post(t, c, hostURL(s, "http", "mixed.example.com"))
	literal, uerr := (&Rules{Dev: true}).CheckURL("http://169.254.169.254/")
	if uerr != nil {
		t.Fatal(uerr)
	}
	if r.Target = literal; c.Do(t.Context(), r).Fault != AddressBlocked || len(f.requests()) != 1 {
		t.Errorf("a literal: asked %q", f.requests())
	}
}

// TestProxyFaults: what the proxy does wrong is ours, whatever it says; what happens behind it is not.
func TestProxyFaults(t *testing.T) {
	says := func(text string) func(int) string { return func(int) string { return text } }
	for _, tt := range []struct {
		name   string
		answer func(int) string
		fault  Fault
		detail string
	}{
		{"wants a password", says("HTTP/1.1 407 X\r\n\r\n"), ConnRefused, "does not accept our user and password"},
		{"forbids", says("HTTP/1.1 403 X\r\nContent-Length: 9\r\n\r\nforbidden"), ConnRefused, "with 403"},
		{"knows no CONNECT", says("HTTP/1.0 405 X\r\n\r\n"), ConnRefused, "with 405"},
		{"cannot connect", says("HTTP/1.1 502 X\r\n\r\n"), Unreachable, "with 502"},
		{"is full", says("HTTP/1.1 503 X\r\n\r\n"), Unreachable, "with 503"},
		{"gets no answer", says("HTTP/1.1 504 X\r\n\r\n"), TimeoutConnect, "with 504"},
		{"redirects", says("HTTP/1.1 302 X\r\nLocation: http://p/\r\n\r\n"), ConnRefused, "with 302"},
		{"switches protocols", says("HTTP/1.1 101 X\r\n\r\n"), ConnRefused, "with 101"},
		{"speaks something else", says("SSH-2.0-x\r\n"), Unreachable, "no HTTP head"},
		{"speaks nonsense", says("HTTP/1.1 abc\r\n\r\n"), Unreachable, "no HTTP head"},
		{
			"never ends its head", says("HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 2000)), Unreachable,
			"8 KiB",
		},
		{"says nothing", says("HTTP/1.1 100 Wait\r\n\r\n"), TimeoutConnect, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, _ := capture(t)
			f := newForward(t, tt.answer)
			o := f.options()
			if tt.fault == TimeoutConnect {
				o.DialTimeout = short
			}
			c := devClient(t, o)
			res := c.Do(t.Context(), post(t, c, s.url()))
			checkProxyFault(t, res, tt.fault, tt.detail)
			if conns, _ := s.count(); conns != 0 || c.idle() != 0 {
				t.Errorf("%d connections to the merchant, %d idle", conns, c.idle())
			}
		})
	}
}

func checkProxyFault(t *testing.T, res Result, fault Fault, detail string) {
	t.Helper()
	if res.Fault != fault || !res.Ours || res.Wrote || res.RemoteAddr != "" ||
		!strings.HasPrefix(res.Detail, "egress proxy: ") || !strings.Contains(res.Detail, detail) ||
		strings.Contains(res.Detail, "pass") && !strings.Contains(detail, "pass") {
		t.Errorf("got %+v, want %q with %q", res, fault, detail)
	}
}

// TestNoProxyThere: a proxy that cannot be reached, under an address or a name, is our fault as well.
func TestNoProxyThere(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	dropping := newServer(t, func(_ *server, _ int, c net.Conn) { _, _ = c.Read(make([]byte, 4096)) })
	resetting := newServer(t, func(_ *server, _ int, c net.Conn) { _, _ = c.Read(make([]byte, 4096)); reset(c) })
	s, _ := capture(t)
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeNameError}}
	})
	for _, tt := range []struct {
		name, proxy string
		own         bool
		fault       Fault
		detail      string
	}{
		{"refuses", gone.Addr().String(), false, ConnRefused, "refused"},
		{"closes", dropping.l.Addr().String(), false, ConnClosed, "EOF"},
		{"resets", resetting.l.Addr().String(), false, ConnReset, "reset"},
		{"has no address", "proxy.example.com:3128", false, DNSFailure, "cannot be looked up"},
		{"is ourselves", s.l.Addr().String(), true, ConnRefused, "a listener of this server itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := ParseProxy("http://user:pass@" + tt.proxy)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{Proxy: p, Resolver: dns.addr()}
			if tt.own {
				o.Rules.Own = func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(tt.proxy)} }
			}
			c := devClient(t, o)
			if p.IsOwn(&c.opts.Rules) != tt.own {
				t.Errorf("IsOwn is %v", !tt.own)
			}
			res := c.Do(t.Context(), post(t, c, "http://127.0.0.9:81/n"))
			checkProxyFault(t, res, tt.fault, tt.detail)
		})
	}
}

// TestProxyInterrupted: a shutdown while the proxy thinks is an interruption.
func TestProxyInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	f := newForward(t, func(int) string { cancel(); return "HTTP/1.1 100 Wait\r\n\r\n" })
	c := devClient(t, f.options())
	if res := c.Do(ctx, post(t, c, "http://127.0.0.9:81/n")); res.Fault != Interrupted || !res.Ours {
		t.Errorf("got %+v", res)
	}
}

// TestProxyTriesTheNextAddress: as a direct dial does; but a proxy that is dead is asked once.
func TestProxyTriesTheNextAddress(t *testing.T) {
	s, _ := capture(t)
	f := newForward(t, func(n int) string {
		if n == 1 {
			return "HTTP/1.1 502 Bad Gateway\r\n\r\n"
		}
		return ""
	})
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		return dnsRecords(q, "", "127.0.0.9", "127.0.0.1")
	})
	o := f.options()
	o.Resolver = dns.addr()
	c := devClient(t, o)
	res := c.Do(t.Context(), post(t, c, hostURL(s, "http", "shop.example.com")))
	if res.Fault != "" || len(f.requests()) != 2 {
		t.Errorf("got %q (%s) after %q", res.Fault, res.Detail, f.requests())
	}
	f.mu.Lock()
	f.answer = func(int) string { return "HTTP/1.1 407 X\r\n\r\n" }
	f.mu.Unlock()
	res = c.Do(t.Context(), post(t, c, hostURL(s, "http", "other.example.com")))
	if res.Fault != ConnRefused || len(f.requests()) != 3 {
		t.Errorf("got %q (%s) after %q", res.Fault, res.Detail, f.requests())
	}
}

// TestProxyIsReportedOnce: not per attempt, and what may be one address's fault only when nothing works.
func TestProxyIsReportedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		p, _ := ParseProxy("http://p:1")
		tunnels := newTunnels(p, &Rules{}, nil, func(why error) { told = append(told, fmt.Sprint(why)) })
		dead, lone := &proxyError{fault: ConnRefused, why: "gone", dead: true}, refusedByProxy(502)
		expect := func(n int, last string) {
			t.Helper()
			if len(told) != n || n > 0 && !strings.Contains(told[n-1], last) {
				t.Fatalf("told %q, want %d with %q", told, n, last)
			}
		}
		tunnels.learn(nil)
		tunnels.learn(lone)
		expect(0, "")
		for range 100 {
			tunnels.learn(dead)
		}
		expect(1, "gone")
		for range 100 { // it comes and goes
			tunnels.learn(nil)
			tunnels.learn(dead)
		}
		expect(1, "gone")
		time.Sleep(proxyTellEvery)
		tunnels.learn(nil)
		tunnels.learn(nil)
		expect(2, "<nil>")
		time.Sleep(2 * proxyTellEvery)
		tunnels.learn(lone)
		expect(3, "502")
	})
}

// FuzzConnectReply: whatever a proxy answers, exactly its head is read, and nothing but a clear 2xx opens a
// tunnel.
func FuzzConnectReply(f *testing.F) {
	for _, text := range []string{
		"HTTP/1.1 200 OK\r\n\r\nrest", "HTTP/1.0 200\n\nrest",
		"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 407 X\r\nA: b\r\n\r\n",
		"HTTP/1.1 101 S\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "SSH-2.0\r\n\r\n", "",
		"HTTP/1.1 100 C\r\n\r\n\r\n\r\n", "HTTP/1.1 099 C\r\n\r\n", "HTTP/1.1 200 OK\r\nA b\r\n\r\n",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := &readConn{left: text}
		status, failed := readConnectReply(c)
		read := text[:len(text)-len(c.left)]
		if (failed == nil) != (status >= 200 && status <= 599 || status == http.StatusSwitchingProtocols) {
			t.Errorf("%q: status %d, %v", text, status, failed)
		}
		if len(read) > proxyHeadBytesMax || failed == nil && !strings.HasSuffix(read, "\n\r\n") &&
			!strings.HasSuffix(read, "\n\n") {
			t.Errorf("%q: %q was read", text, read)
		}
	})
}

// readConn is a connection on which a text arrives and then the end.
type readConn struct {
	net.Conn

	left string
}

func (c *readConn) Read(p []byte) (int, error) {
	if c.left == "" {
		return 0, io.EOF
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}
