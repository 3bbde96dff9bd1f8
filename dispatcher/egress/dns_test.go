package egress

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// fakeDNS is a name server on loopback, over UDP and TCP, that answers as a test says.
type fakeDNS struct {
	t      *testing.T
	udp    net.PacketConn
	tcp    net.Listener
	answer func(q dnsmessage.Question, tcp bool) *dnsmessage.Message // nil means silence

	mu    sync.Mutex
	asked []string
}

func newFakeDNS(t *testing.T, answer func(dnsmessage.Question, bool) *dnsmessage.Message) *fakeDNS {
	t.Helper()
	f := &fakeDNS{t: t, answer: answer}
	var err error
	for range 20 { // the same port over both
		if f.tcp, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		if f.udp, err = net.ListenPacket("udp", f.tcp.Addr().String()); err == nil {
			break
		}
		f.tcp.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(f.serveUDP)
	wg.Go(f.serveTCP)
	t.Cleanup(func() {
		f.udp.Close()
		f.tcp.Close()
		wg.Wait()
	})
	return f
}

// questions returns what was asked so far.
func (f *fakeDNS) questions() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

func (f *fakeDNS) addr() string { return f.tcp.Addr().String() }

func (f *fakeDNS) reply(raw []byte, tcp bool) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(raw); err != nil || len(m.Questions) != 1 {
		f.t.Errorf("the question does not parse: %v", err)
		return nil
	}
	q := m.Questions[0]
	f.mu.Lock()
	f.asked = append(f.asked, q.Name.String()+" "+q.Type.String())
	f.mu.Unlock()
	a := f.answer(q, tcp)
	if a == nil {
		return nil
	}
	a.ID, a.Response, a.RecursionAvailable = m.ID, true, true
	a.Questions = m.Questions
	out, err := a.Pack()
	if err != nil {
		f.t.Error(err)
	}
	return out
}

func (f *fakeDNS) serveUDP() {
	buf := make([]byte, 4096)
	for {
		n, from, err := f.udp.ReadFrom(buf)
		if err != nil {
			return
		}
		if out := f.reply(buf[:n], false); out != nil {
			// What answers another question is to be passed over.
			_, _ = f.udp.WriteTo(append([]byte{out[0] + 1}, out[1:]...), from)
			_, _ = f.udp.WriteTo(out, from)
		}
	}
}

func (f *fakeDNS) serveTCP() {
	for {
		c, err := f.tcp.Accept()
		if err != nil {
			return
		}
		var size [2]byte
		if _, err := io.ReadFull(c, size[:]); err == nil {
			buf := make([]byte, binary.BigEndian.Uint16(size[:]))
			if _, err := io.ReadFull(c, buf); err == nil {
				out := f.reply(buf, true)
				_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
			}
		}
		c.Close()
	}
}

// records makes an answer of the addresses that fit the question's type, behind a CNAME where one is given.
func dnsRecords(q dnsmessage.Question, cname string, addrs ...string) *dnsmessage.Message {
	m := &dnsmessage.Message{}
	name := q.Name
	if cname != "" {
		m.Answers = append(m.Answers, dnsmessage.Resource{
			Header: dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET},
			Body:   &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(cname)},
		})
		name = dnsmessage.MustNewName(cname)
	}
	for _, s := range addrs {
		a := netip.MustParseAddr(s)
		h := dnsmessage.ResourceHeader{Name: name, Class: dnsmessage.ClassINET}
		switch {
		case a.Is4() && q.Type == dnsmessage.TypeA:
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
		case a.Is6() && q.Type == dnsmessage.TypeAAAA:
			body := &dnsmessage.AAAAResource{AAAA: a.As16()}
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
		}
	}
	return m
}

// always answers with one address.
func always(addr string) func(dnsmessage.Question, bool) *dnsmessage.Message {
	return func(q dnsmessage.Question, _ bool) *dnsmessage.Message { return dnsRecords(q, "", addr) }
}

// rulesFor plays the internet on loopback: 127.0.0.2 is "public", every other address is what it is.
func rulesFor(s *server) Rules {
	port := netip.MustParseAddrPort(s.l.Addr().String()).Port()
	return Rules{AllowCIDRs: prefixes("127.0.0.2/32"), Ports: []uint16{port}}
}

// publicServer listens on 127.0.0.2 and on 127.0.0.1 at one port; inside counts what reached the second.
func publicServer(t *testing.T) (public *server, inside *atomic.Int32) {
	t.Helper()
	inside = new(atomic.Int32)
	for range 20 {
		in, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := net.SplitHostPort(in.Addr().String())
		out, err := net.Listen("tcp", "127.0.0.2:"+port)
		if err != nil {
			in.Close()
			continue
		}
		public = &server{tb: t, l: out, serve: func(s *server, _ int, c net.Conn) {
			for br := bufio.NewReader(c); s.request(br); {
				_, _ = c.Write([]byte(ok))
			}
		}}
		trap := &server{tb: t, l: in, serve: func(*server, int, net.Conn) { inside.Add(1) }}
		for _, s := range []*server{public, trap} {
			s.wg.Go(s.accept)
			t.Cleanup(s.close)
		}
		return public, inside
	}
	t.Fatal("no port is free on both addresses")
	return nil, nil
}

func hostURL(s *server, scheme, host string) string {
	_, port, _ := net.SplitHostPort(s.l.Addr().String())
	return scheme + "://" + host + ":" + port + "/n"
}
