package egress

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// authority issues certificates that the tests' clients trust.
type authority struct {
	tb   testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{tb: tb, key: newKey(tb), pool: x509.NewCertPool()}
	a.cert = a.issue(&x509.Certificate{
		Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign,
		NotBefore: time.Now().AddDate(-9, 0, 0), NotAfter: time.Now().AddDate(9, 0, 0),
	}, nil, a.key)
	a.pool.AddCert(a.cert)
	return a
}

func newKey(tb testing.TB) *ecdsa.PrivateKey {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

// issue signs a certificate for key; a nil parent means self-signed.
func (a *authority) issue(c, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.tb.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	signer := a.key
	if parent == nil {
		parent, signer = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return cert
}

// server makes a certificate for 127.0.0.1, changed by edit.
func (a *authority) server(selfSigned bool, edit func(*x509.Certificate)) tls.Certificate {
	c := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "shop"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, DNSNames: []string{"shop.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(c)
	}
	key, parent := newKey(a.tb), a.cert
	if selfSigned {
		parent = nil
	}
	return tls.Certificate{Certificate: [][]byte{a.issue(c, parent, key).Raw}, PrivateKey: key}
}

// secureServer answers every request on a connection with the given bytes.
func secureServer(t *testing.T, conf *tls.Config, reply string) *server {
	s := newServer(t, func(s *server, _ int, raw net.Conn) {
		c := tls.Server(raw, conf)
		defer c.Close()
		for br := bufio.NewReader(c); s.request(br); {
			_, _ = c.Write([]byte(reply))
		}
	})
	return s
}

func (s *server) secureURL() string { return strings.Replace(s.url(), "http:", "https:", 1) }

func TestTLSFaults(t *testing.T) {
	ca := newAuthority(t)
	good := ca.server(false, nil)
	conf := func(edit func(*tls.Config)) *tls.Config {
		c := &tls.Config{Certificates: []tls.Certificate{good}}
		edit(c)
		return c
	}
	cert := func(selfSigned bool, edit func(*x509.Certificate)) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{ca.server(selfSigned, edit)}}
	}
	for _, tt := range []secureCase{
		{name: "good", conf: conf(func(*tls.Config) {}), wrote: true},
		{name: "TLS 1.2", conf: conf(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), wrote: true},
		{
			name: "ALPN http/1.1", conf: conf(func(c *tls.Config) { c.NextProtos = []string{"h2", "http/1.1"} }),
			wrote: true,
		},
		{
			name: "expired", fault: TLSExpired,
			conf: cert(false, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
		},
		{
			name: "not yet valid", fault: TLSNotYetValid,
			conf: cert(false, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
		},
		{
			name: "wrong host", fault: TLSHostname,
			conf: cert(false, func(c *x509.Certificate) { c.IPAddresses = nil }),
		},
		{name: "self-signed", conf: cert(true, nil), fault: TLSUntrusted},
		{name: "not for servers", fault: TLSUntrusted, conf: cert(false, func(c *x509.Certificate) {
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		})},
		{name: "TLS 1.0 only", fault: TLSVersion, blind: true, conf: conf(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10
		})},
		{name: "TLS 1.1 only", fault: TLSVersion, blind: true, conf: conf(func(c *tls.Config) {
			c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11
		})},
		{name: "RSA key exchange only", fault: TLSHandshake, blind: true, conf: conf(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		})},
		{name: "no common protocol", fault: TLSHandshake, blind: true, conf: conf(func(c *tls.Config) {
			c.NextProtos = []string{"acme-tls/1"}
		})},
		{name: "client certificate, TLS 1.2", fault: TLSClientCert, conf: conf(func(c *tls.Config) {
			c.MaxVersion, c.ClientAuth = tls.VersionTLS12, tls.RequireAnyClientCert
		})},
		{name: "client certificate, TLS 1.3", fault: TLSClientCert, wrote: true, conf: conf(func(c *tls.Config) {
			c.ClientAuth = tls.RequireAnyClientCert
		})},
		{name: "client certificate wished for", wrote: true, conf: conf(func(c *tls.Config) {
			c.ClientAuth = tls.RequestClientCert
		})},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, ca)
		})
	}
}

// secureCase is one row of TestTLSFaults.
type secureCase struct {
	name  string
	conf  *tls.Config
	fault Fault
	wrote bool // TLS 1.3 refuses a client after it may have written
	blind bool // it ends before the server has shown a certificate
}

func (tt secureCase) check(t *testing.T, ca *authority) {
	s := secureServer(t, tt.conf, ok)
	c := devClient(t, Options{RootCAs: ca.pool})
	res := c.Do(t.Context(), post(t, c, s.secureURL()))
	if res.Fault != tt.fault || res.Ours || res.Wrote != tt.wrote || (c.idle() == 1) != (tt.fault == "") {
		t.Errorf("got %q (%s), wrote %v, want %q", res.Fault, res.Detail, res.Wrote, tt.fault)
	}
	info := res.TLS
	if tt.blind != (info == nil) || info != nil && (info.Subject != "CN=shop" || info.NotAfter.IsZero() ||
		!strings.HasPrefix(info.Version, "TLS 1.")) {
		t.Errorf("TLS info %+v, want none: %v", info, tt.blind)
	}
	if tt.fault != "" {
		if _, n := s.count(); n != 0 {
			t.Errorf("%d requests were read by a server that was not trusted", n)
		}
		return
	}
	again := c.Do(t.Context(), post(t, c, s.secureURL()))
	if again.Fault != "" || !again.Reused || string(again.Body) != "success" || again.TLS != info {
		t.Errorf("again: %q (%s), reused %v, TLS %+v", again.Fault, again.Detail, again.Reused, again.TLS)
	}
}

// TestNoTLSThere: what answers a handshake is not TLS, or nothing.
func TestNoTLSThere(t *testing.T) {
	// A ServerHello of TLS 1.0, as servers write it that know no later version.
	oldHello := append([]byte{22, 3, 1, 0, 42, 2, 0, 0, 38, 3, 1}, make([]byte, 33)...)
	oldHello = append(oldHello, 0, 0x2f, 0)
	for _, tt := range []struct {
		name   string
		serve  func(c net.Conn)
		fault  Fault
		detail string
	}{
		{"hangs", waitClosed, TimeoutTLS, ""},
		{"closes", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)) }, TLSHandshake, ""},
		{"resets", func(c net.Conn) { _, _ = c.Read(make([]byte, 4096)); reset(c) }, TLSHandshake, ""},
		{"plain HTTP", func(c net.Conn) {
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
			waitClosed(c)
		}, TLSHandshake, "plain HTTP"},
		{"TLS 1.0 hello", func(c net.Conn) { _, _ = c.Write(oldHello); waitClosed(c) }, TLSVersion, ""},
		{
			"garbage", func(c net.Conn) { _, _ = c.Write(bytes.Repeat([]byte{0xff}, 64)); waitClosed(c) },
			TLSHandshake, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(_ *server, _ int, c net.Conn) { tt.serve(c) })
			c := devClient(t, Options{TLSTimeout: short})
			res := c.Do(t.Context(), post(t, c, s.secureURL()))
			if res.Fault != tt.fault || res.Wrote || res.Ours || !strings.Contains(res.Detail, tt.detail) {
				t.Errorf("got %q (%s), want %q", res.Fault, res.Detail, tt.fault)
			}
		})
	}
}

// TestHTTPToTLSPort: the server's own plain-text answer is a reply like any other.
func TestHTTPToTLSPort(t *testing.T) {
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.StartTLS()
	defer s.Close()
	c := devClient(t, Options{})
	res := c.Do(t.Context(), post(t, c, strings.Replace(s.URL, "https:", "http:", 1)))
	if res.Fault != "" || res.Status != 400 || c.idle() != 0 {
		t.Errorf("got %+v", res)
	}
}

// gather holds writes back until flush, so that several TLS records reach the client in one segment.
type gather struct {
	net.Conn
	held []byte
	hold bool
}

func (g *gather) Write(p []byte) (int, error) {
	if !g.hold {
		return g.Conn.Write(p)
	}
	g.held = append(g.held, p...)
	return len(p), nil
}

func (g *gather) flush() {
	g.hold = false
	_, _ = g.Conn.Write(g.held)
	g.held = nil
}

// TestTLSLeftovers: bytes behind a reply are found wherever TLS keeps them, and never read as another reply.
func TestTLSLeftovers(t *testing.T) {
	ca := newAuthority(t)
	conf := &tls.Config{
		Certificates: []tls.Certificate{ca.server(false, nil)}, DynamicRecordSizingDisabled: true,
	}
	const stray = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nSTOLEN"
	// As many bytes as one read of ours takes: what follows stays inside TLS.
	padding := strings.Repeat("x", 4096-len(with("Content-Length: 7\r\nX: \r\n"))-len("success"))
	full := with("Content-Length: 7\r\nX: "+padding+"\r\n") + "success"
	if len(full) != 4096 {
		t.Fatalf("the full reply has %d bytes", len(full))
	}
	for _, tt := range []struct {
		name    string
		records []string
		cut     int // bytes of the last record that never come
	}{
		{"in one record", []string{ok + stray}, 0},
		{"in the next record", []string{ok, stray}, 0},
		{"in one record, behind a full buffer", []string{full + stray}, 0},
		{"in the next record, behind a full buffer", []string{full, stray}, 0},
		{"in half a record", []string{ok, stray}, 9},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(s *server, n int, raw net.Conn) {
				g := &gather{Conn: raw}
				c := tls.Server(g, conf)
				defer c.Close()
				for br := bufio.NewReader(c); s.request(br); {
					if n > 1 {
						_, _ = c.Write([]byte(ok))
						continue
					}
					g.hold = true
					for _, r := range tt.records {
						_, _ = c.Write([]byte(r))
					}
					g.held = g.held[:len(g.held)-tt.cut]
					g.flush()
				}
			})
			c := devClient(t, Options{RootCAs: ca.pool})
			for range 2 {
				if res := c.Do(t.Context(), post(t, c, s.secureURL())); string(res.Body) != "success" || res.Reused {
					t.Errorf("got %q, %q (%s), reused %v", res.Body, res.Fault, res.Detail, res.Reused)
				}
			}
			if conns, requests := s.count(); conns != 2 || requests != 2 {
				t.Errorf("%d connections and %d requests, want 2 and 2", conns, requests)
			}
		})
	}
}

// TestTLSLargeReply: the record reader carries records of every size, cut anywhere by the network.
func TestTLSLargeReply(t *testing.T) {
	ca := newAuthority(t)
	conf := &tls.Config{Certificates: []tls.Certificate{ca.server(false, nil)}}
	big := with("X: "+strings.Repeat("x", 20<<10)+"\r\nContent-Length: 4096\r\n") + strings.Repeat("s", 4096)
	s := newServer(t, func(s *server, _ int, raw net.Conn) {
		g := &gather{Conn: raw}
		c := tls.Server(g, conf)
		defer c.Close()
		for br := bufio.NewReader(c); s.request(br); {
			g.hold = true
			_, _ = c.Write([]byte(big))
			g.hold = false
			for i := 0; i < len(g.held); i += 777 {
				_, _ = raw.Write(g.held[i:min(i+777, len(g.held))])
			}
			g.held = nil
		}
	})
	c := devClient(t, Options{RootCAs: ca.pool})
	for i := range 3 {
		res := c.Do(t.Context(), post(t, c, s.secureURL()))
		if res.Fault != "" || len(res.Body) != 4096 || res.Reused != (i > 0) {
			t.Errorf("%d: got %d bytes, %q (%s), reused %v", i, len(res.Body), res.Fault, res.Detail, res.Reused)
		}
	}
}
