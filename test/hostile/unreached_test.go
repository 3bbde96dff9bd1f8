package hostile

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"strings"
	"testing"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/store"
)

// TestHandshakes are the rows in which TLS fails: nothing was sent, and the reason is the contract's.
func TestHandshakes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	with := func(edit func(*tls.Config)) *tls.Config {
		conf := ca.shows(nil)
		edit(conf)
		return conf
	}
	selfSigned := newAuthority(t).shows(nil)
	for _, tt := range []struct {
		name   string
		conf   *tls.Config
		reason store.Reason
	}{
		{
			"expired", ca.shows(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }),
			store.TLSExpired,
		},
		{
			"not yet valid", ca.shows(func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Minute) }),
			store.TLSNotYetValid,
		},
		{"wrong host", ca.shows(func(c *x509.Certificate) { c.IPAddresses = nil }), store.TLSHostname},
		{"unknown authority", selfSigned, store.TLSUntrusted},
		{
			"TLS 1.0", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS10, tls.VersionTLS10 }),
			store.TLSVersion,
		},
		{
			"TLS 1.1", with(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 }),
			store.TLSVersion,
		},
		{"RSA key exchange", with(func(c *tls.Config) {
			c.MaxVersion, c.CipherSuites = tls.VersionTLS12, []uint16{tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
		}), store.TLSHandshake},
		{"no HTTP/1.1", with(func(c *tls.Config) { c.NextProtos = []string{"h3"} }), store.TLSHandshake},
		{"client certificate, 1.2", with(func(c *tls.Config) {
			c.MaxVersion, c.ClientAuth = tls.VersionTLS12, tls.RequireAnyClientCert
		}), store.TLSClientCert},
		{
			"client certificate, 1.3", with(func(c *tls.Config) { c.ClientAuth = tls.RequireAnyClientCert }),
			store.TLSClientCert,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMerchant(t, tt.conf, func(c conn) {
				if c.request() != nil {
					t.Error("the server has read a request")
				}
				c.Close()
			})
			r := row{name: tt.name, want: "tls_error " + string(tt.reason)}
			check(t, r, m, egress.Options{RootCAs: ca.pool})
		})
	}
}

// TestWrongPorts: no TLS where it is expected, and TLS where it is not.
func TestWrongPorts(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	for _, tt := range []struct {
		row

		serve func(conn)
	}{
		{row{name: "hangs", want: "timeout timeout_tls", limit: soon}, conn.wait},
		{
			row{name: "closes", want: "tls_error tls_handshake"},
			func(c conn) { _, _ = c.Read(make([]byte, 4096)) },
		},
		{
			row{name: "speaks plain HTTP", want: "tls_error tls_handshake"},
			func(c conn) { hang(says("400 Bad Request", "", ""))(c) },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := newMerchant(t, nil, tt.serve)
			m.url = strings.Replace(m.url, "http:", "https:", 1)
			check(t, tt.row, m, egress.Options{RootCAs: ca.pool})
		})
	}
	for _, r := range []row{
		{
			name: "speaks TLS, and says so", want: "http_4xx http_status",
			unasked: hang(says("400 Bad Request", "", "The plain HTTP request was sent to HTTPS port")),
		},
		{
			name: "speaks TLS, and sends its alert", want: "bad_reply malformed",
			unasked: hang("\x15\x03\x01\x00\x02\x02\x46"),
		},
	} {
		t.Run(r.name, func(t *testing.T) {
			check(t, r, newMerchant(t, nil, r.talk), egress.Options{})
		})
	}
}

// TestNobodyThere: no address, no resolver, no listener.
func TestNobodyThere(t *testing.T) {
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	_, port, _ := net.SplitHostPort(gone.Addr().String())
	for _, tt := range []struct {
		row

		host, resolver string
		ours           bool
	}{
		{row{name: "refused", want: "connect_error conn_refused"}, "127.0.0.1", "", false},
		{row{name: "NXDOMAIN", want: "dns_error dns_nxdomain"}, "shop.example.com", answering(t, 3), false},
		{row{name: "no address", want: "dns_error dns_nxdomain"}, "shop.example.com", answering(t, 0), false},
		{row{name: "SERVFAIL", want: "dns_error dns_failure"}, "shop.example.com", answering(t, 2), true},
		{row{name: "REFUSED", want: "dns_error dns_failure"}, "shop.example.com", answering(t, 5), true},
		{row{name: "no resolver", want: "dns_error dns_failure"}, "shop.example.com", gone.Addr().String(), true},
	} {
		c := egress.New(egress.Options{Rules: egress.Rules{Dev: true}, Resolver: tt.resolver})
		j, res := send(t, c, tt.row, "http://"+net.JoinHostPort(tt.host, port)+"/", "m1", "a=1")
		if got := outcome(j); got != tt.want || res.Ours != tt.ours || res.RemoteAddr != "" {
			t.Errorf("%s: got %s (%s), ours %v; want %s", tt.name, got, res.Detail, res.Ours, tt.want)
		}
		c.Close()
	}
}

// answering is a name server that answers every question with one code and no record.
func answering(t *testing.T, rcode byte) string {
	t.Helper()
	l, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 512)
		for {
			n, from, err := l.ReadFrom(buf)
			if err != nil {
				return
			}
			if n >= 12 {
				buf[2], buf[3] = 0x81, 0x80|rcode // an answer, with recursion
				_, _ = l.WriteTo(buf[:n], from)
			}
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return l.LocalAddr().String()
}
