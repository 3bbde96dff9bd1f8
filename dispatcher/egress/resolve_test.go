package egress

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// TestNames: what names resolve to, and what becomes of it.
func TestNames(t *testing.T) {
	for _, tt := range []struct {
		name    string
		cname   string
		addrs   []string
		rcode   dnsmessage.RCode
		fault   Fault
		skipped int
	}{
		{name: "public", addrs: []string{"127.0.0.2"}},
		{name: "private", addrs: []string{"127.0.0.1"}, fault: AddressBlocked, skipped: 1},
		{name: "public and loopback", addrs: []string{"127.0.0.2", "::1"}, skipped: 1},
		{name: "loopback first", addrs: []string{"127.0.0.1", "::1", "127.0.0.2"}, skipped: 2},
		{
			name: "CNAME to an internal name", cname: "db.internal.", addrs: []string{"10.0.0.7"},
			fault: AddressBlocked, skipped: 1,
		},
		{name: "CNAME to a public one", cname: "cdn.example.net.", addrs: []string{"127.0.0.2"}},
		{name: "unspecified", addrs: []string{"0.0.0.0"}, fault: AddressBlocked, skipped: 1},
		{name: "mapped private", addrs: []string{"::ffff:10.0.0.1"}, fault: AddressBlocked, skipped: 1},
		{
			name: "mapped metadata and NAT64", addrs: []string{"::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe"},
			fault: AddressBlocked, skipped: 2,
		},
		{
			name: "sixteen, one allowed", addrs: append(strings.Fields(strings.Repeat("10.0.0.1 ", 15)), "127.0.0.2"),
			skipped: 15,
		},
		{name: "no such name", rcode: dnsmessage.RCodeNameError, fault: DNSNXDomain},
		{name: "no address", fault: DNSNXDomain},
		{name: "server failure", rcode: dnsmessage.RCodeServerFailure, fault: DNSFailure},
		{name: "refused", rcode: dnsmessage.RCodeRefused, fault: DNSFailure},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s, inside := publicServer(t)
			dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
				m := dnsRecords(q, tt.cname, tt.addrs...)
				m.RCode = tt.rcode
				return m
			})
			c := New(Options{Rules: rulesFor(s), Resolver: dns.addr()})
			t.Cleanup(c.Close)
			res := c.Do(t.Context(), post(t, c, hostURL(s, "http", "shop.example.com")))
			if res.Fault != tt.fault || res.Ours != (tt.fault == DNSFailure) || res.Skipped != tt.skipped {
				t.Errorf("got %q (%s), ours %v, skipped %d, want %q, %d",
					res.Fault, res.Detail, res.Ours, res.Skipped, tt.fault, tt.skipped)
			}
			if _, n := s.count(); n != 1 && tt.fault == "" || n != 0 && tt.fault != "" || inside.Load() != 0 {
				t.Errorf("%d requests, %d connections to the inside", n, inside.Load())
			}
			if res.Phases.DNS <= 0 || (res.RemoteAddr == "") != (tt.fault != "") {
				t.Errorf("DNS took %v, remote %q", res.Phases.DNS, res.RemoteAddr)
			}
			if asked := dns.questions(); len(asked) != 2 || !slices.Contains(asked, "shop.example.com. TypeAAAA") {
				t.Errorf("asked %q", asked)
			}
		})
	}
}

// TestRebinding: a name that was public a moment ago is judged again at every dial; a kept connection stays
// with the address that was judged.
func TestRebinding(t *testing.T) {
	s, inside := publicServer(t)
	var inwards atomic.Bool
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		if inwards.Load() {
			return dnsRecords(q, "", "127.0.0.1")
		}
		return dnsRecords(q, "", "127.0.0.2")
	})
	c := New(Options{Rules: rulesFor(s), Resolver: dns.addr()})
	t.Cleanup(c.Close)
	r := post(t, c, hostURL(s, "http", "shop.example.com"))
	if res := c.Do(t.Context(), r); res.Fault != "" {
		t.Fatalf("got %q (%s)", res.Fault, res.Detail)
	}
	inwards.Store(true)
	res := c.Do(t.Context(), r)
	if res.Fault != "" || !res.Reused || !strings.HasPrefix(res.RemoteAddr, "127.0.0.2:") {
		t.Errorf("kept connection: got %q (%s), %q", res.Fault, res.Detail, res.RemoteAddr)
	}
	r.Fresh = true
	if res := c.Do(t.Context(), r); res.Fault != AddressBlocked || res.Wrote || inside.Load() != 0 {
		t.Errorf("rebound: got %q (%s)", res.Fault, res.Detail)
	}
}

// TestBlockedBeforeTLS: a public name on a private address is refused before a handshake shows our interest.
func TestBlockedBeforeTLS(t *testing.T) {
	s, inside := publicServer(t)
	dns := newFakeDNS(t, always("127.0.0.1"))
	c := New(Options{Rules: rulesFor(s), Resolver: dns.addr()})
	t.Cleanup(c.Close)
	res := c.Do(t.Context(), post(t, c, hostURL(s, "https", "shop.example.com")))
	if res.Fault != AddressBlocked || inside.Load() != 0 {
		t.Errorf("got %q (%s), %d connections", res.Fault, res.Detail, inside.Load())
	}
}

// TestOwnListenerByName: the server's own API is refused under whatever name, also with --dev.
func TestOwnListenerByName(t *testing.T) {
	s, _ := publicServer(t)
	own := func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort(s.l.Addr().String())} }
	dns := newFakeDNS(t, always("127.0.0.2"))
	c := devClient(t, Options{Resolver: dns.addr(), Rules: Rules{Own: own}})
	res := c.Do(t.Context(), post(t, c, hostURL(s, "http", "shop.example.com")))
	if res.Fault != AddressBlocked {
		t.Errorf("got %q (%s)", res.Fault, res.Detail)
	}
}

// TestResolverAlone: with a resolver set /etc/hosts is not read, whatever it says about this name.
func TestResolverAlone(t *testing.T) {
	s, _ := publicServer(t)
	dns := newFakeDNS(t, always("127.0.0.2"))
	c := devClient(t, Options{Resolver: dns.addr()})
	for _, name := range []string{"ip6-localhost", "ip6-loopback", "shop"} {
		res := c.Do(t.Context(), post(t, c, hostURL(s, "http", name)))
		if res.Fault != "" || !strings.HasPrefix(res.RemoteAddr, "127.0.0.2:") {
			t.Errorf("%s: got %q (%s) from %q", name, res.Fault, res.Detail, res.RemoteAddr)
		}
	}
	if asked := dns.questions(); len(asked) != 6 || !slices.Contains(asked, "shop. TypeA") {
		t.Errorf("asked %q", asked)
	}
}

// TestResolverSilent: no answer, or no resolver at all, is our fault and ends in time.
func TestResolverSilent(t *testing.T) {
	s, _ := publicServer(t)
	dns := newFakeDNS(t, func(dnsmessage.Question, bool) *dnsmessage.Message { return nil })
	gone, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	for name, addr := range map[string]string{
		"silent": dns.addr(), "gone": gone.LocalAddr().String(), "nonsense": "127.0.0.1",
	} {
		c := New(Options{Rules: rulesFor(s), Resolver: addr, DialTimeout: short})
		start := time.Now()
		res := c.Do(t.Context(), post(t, c, hostURL(s, "http", "shop.example.com")))
		if res.Fault != DNSFailure || !res.Ours || res.Wrote || time.Since(start) > 5*time.Second {
			t.Errorf("%s: got %q (%s) after %v", name, res.Fault, res.Detail, time.Since(start))
		}
		c.Close()
	}
}

// TestResolverInterrupted: a shutdown during a look-up is an interruption, not a fault of DNS.
func TestResolverInterrupted(t *testing.T) {
	s, _ := publicServer(t)
	ctx, cancel := context.WithCancel(context.Background())
	dns := newFakeDNS(t, func(dnsmessage.Question, bool) *dnsmessage.Message { cancel(); return nil })
	c := New(Options{Rules: rulesFor(s), Resolver: dns.addr()})
	defer c.Close()
	start := time.Now()
	res := c.Do(ctx, post(t, c, hostURL(s, "http", "shop.example.com")))
	if res.Fault != Interrupted || time.Since(start) > 4*time.Second {
		t.Errorf("got %q (%s) after %v", res.Fault, res.Detail, time.Since(start))
	}
}

// TestLongAnswers: what does not fit a datagram is asked for again over TCP.
func TestLongAnswers(t *testing.T) {
	var many []string
	for i := range 60 {
		many = append(many, fmt.Sprintf("10.0.0.%d", i))
	}
	many = append(many, "127.0.0.2")
	dns := newFakeDNS(t, func(q dnsmessage.Question, tcp bool) *dnsmessage.Message {
		if !tcp {
			return &dnsmessage.Message{Header: dnsmessage.Header{Truncated: true}}
		}
		return dnsRecords(q, "", many...)
	})
	addrs, err := lookupAt(t.Context(), dns.addr(), "shop.example.com")
	if err != nil || len(addrs) != 61 || addrs[60] != netip.MustParseAddr("127.0.0.2") {
		t.Errorf("got %v, %v", addrs, err)
	}
}

// TestLocalhost: needs no server and no file; with --dev it works even where there is neither.
func TestLocalhost(t *testing.T) {
	s, got := capture(t)
	c := devClient(t, Options{Resolver: "127.0.0.1:1"})
	if res := c.Do(t.Context(), post(t, c, hostURL(s, "http", "localhost"))); res.Fault != "" || len(got) != 1 {
		t.Errorf("got %+v", res)
	}
	c.opts.Rules.Dev = false
	r := Request{Target: target(t, devClient(t, Options{}), "http://localhost/")}
	if res := c.Do(t.Context(), &r); res.Fault != AddressBlocked {
		t.Errorf("without dev: got %q", res.Fault)
	}
}

// TestSystemResolver: the other way to resolve takes names as absolute and is the pure Go one.
func TestSystemResolver(t *testing.T) {
	dns := newFakeDNS(t, func(q dnsmessage.Question, _ bool) *dnsmessage.Message {
		if strings.HasPrefix(q.Name.String(), "gone.") {
			return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeNameError}}
		}
		if strings.HasPrefix(q.Name.String(), "broken.") {
			return &dnsmessage.Message{Header: dnsmessage.Header{RCode: dnsmessage.RCodeServerFailure}}
		}
		return dnsRecords(q, "", "127.0.0.2")
	})
	r := newResolver("")
	if !r.system.PreferGo {
		t.Error("the C resolver may be used")
	}
	r.system.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, dns.addr())
	}
	addrs, err := r.lookup(t.Context(), "shop.example.com")
	if err != nil || len(addrs) != 1 || addrs[0].Unmap() != netip.MustParseAddr("127.0.0.2") {
		t.Errorf("got %v, %v", addrs, err)
	}
	if _, err := r.lookup(t.Context(), "gone.example.com"); resolveFault(err) != DNSNXDomain {
		t.Errorf("gone: %v", err)
	}
	if _, err := r.lookup(t.Context(), "broken.example.com"); resolveFault(err) != DNSFailure {
		t.Errorf("broken: %v", err)
	}
	for _, q := range dns.questions() {
		if name, _, _ := strings.Cut(q, " "); !strings.HasSuffix(name, ".example.com.") {
			t.Errorf("asked for %q: a search list was applied", q)
		}
	}
}

// TestRace: an address family that hangs costs the head start and no more.
func TestRace(t *testing.T) {
	s, got := capture(t)
	here := netip.MustParseAddrPort(s.l.Addr().String())
	d := newDialer((&Rules{Dev: true}).checkDial)
	d.net.ControlContext = func(ctx context.Context, network, _ string, _ syscall.RawConn) error {
		if network == "tcp6" {
			<-ctx.Done()
		}
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	start := time.Now()
	c, err := d.dial(ctx, []netip.AddrPort{netip.AddrPortFrom(netip.IPv6Loopback(), here.Port()), here})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if took := time.Since(start); took < fallbackDelay || took > 10*time.Second {
		t.Errorf("took %v", took)
	}
	if len(got) != 0 {
		t.Error("something was sent")
	}
}

// TestRaceFailures: the first family's error is the one that counts, and a quick failure does not wait.
func TestRaceFailures(t *testing.T) {
	d := newDialer((&Rules{Dev: true}).checkDial)
	var tried []string
	var mu sync.Mutex
	d.net.ControlContext = func(_ context.Context, network, _ string, _ syscall.RawConn) error {
		mu.Lock()
		defer mu.Unlock()
		tried = append(tried, network)
		if network == "tcp4" {
			return syscall.ECONNREFUSED
		}
		return syscall.ENETUNREACH
	}
	start := time.Now()
	_, err := d.dial(t.Context(), []netip.AddrPort{
		netip.MustParseAddrPort("127.0.0.1:80"), netip.MustParseAddrPort("[::1]:80"),
		netip.MustParseAddrPort("127.0.0.2:80"),
	})
	if dialFault(err) != ConnRefused || strings.Join(tried, " ") != "tcp4 tcp4 tcp6" ||
		time.Since(start) > 5*time.Second {
		t.Errorf("got %v after trying %q", err, tried)
	}
}

func FuzzParseAnswer(f *testing.F) {
	question := appendQuestion(nil, [2]byte{0, 7}, "shop.example.com", dnsTypeA)
	q := dnsmessage.Question{
		Name: dnsmessage.MustNewName("shop.example.com."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}
	m := dnsRecords(q, "x.", "1.2.3.4")
	m.ID, m.Response, m.Questions = 7, true, []dnsmessage.Question{q}
	raw, err := m.Pack()
	if err != nil {
		f.Fatal(err)
	}
	if a, err := parseAnswer(raw, question); err != nil || len(a.addrs) != 1 {
		f.Fatalf("the seed gives %v, %v", a, err)
	}
	f.Add(raw)
	f.Add(question)
	f.Fuzz(func(t *testing.T, raw []byte) {
		a, _ := parseAnswer(raw, question)
		for _, ip := range a.addrs {
			if !ip.Is4() {
				t.Errorf("%v is no answer to a question for A", ip)
			}
		}
	})
}
