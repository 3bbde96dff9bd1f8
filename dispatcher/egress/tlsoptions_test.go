package egress

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"net"
	"strings"
	"testing"
	"time"
)

func pemText(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// pair makes a client certificate with its key, in PEM; edit changes it.
func (a *authority) pair(edit func(*x509.Certificate)) (cert, key string) {
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "paynotify"}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if edit != nil {
		edit(c)
	}
	k := newKey(a.tb)
	return pemText("CERTIFICATE", a.issue(c, a.cert, k).Raw), a.keyText(k)
}

func (a *authority) keyText(k *ecdsa.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.tb.Fatal(err)
	}
	return pemText("PRIVATE KEY", der)
}

func (a *authority) text() string { return pemText("CERTIFICATE", a.cert.Raw) }

func pinOf(t *testing.T, der []byte) [32]byte {
	t.Helper()
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return sha256.Sum256(c.RawSubjectPublicKeyInfo)
}

func TestParseTLS(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.pair(nil)
	pin := pinOf(t, ca.cert.Raw)
	asHex, asBase64 := hex.EncodeToString(pin[:]), base64.StdEncoding.EncodeToString(pin[:])
	if o, err := ParseTLS("", "", "", ""); o != nil || err != nil {
		t.Errorf("nothing: %+v, %v", o, err)
	}
	o, err := ParseTLS(ca.text()+"\n# another\n"+newAuthority(t).text(), cert+ca.text(), key, asHex)
	if err != nil || o.Roots == nil || o.Certificate == nil || len(o.Certificate.Certificate) != 2 ||
		len(o.Pins) != 1 {
		t.Errorf("everything: %+v, %v", o, err)
	}
	for _, text := range []string{
		asHex, strings.ToUpper(asHex), asBase64, "sha256/" + asBase64, "sha256//" + asBase64, "sha256/" + asHex,
		pinText(pin), strings.Repeat("0", 64) + ", " + asHex,
	} {
		o, err := ParseTLS("", "", "", text)
		if err != nil || o.Pins[len(o.Pins)-1] != pin {
			t.Errorf("pin %s: %+v, %v", text, o, err)
		}
	}
	_, otherKey := ca.pair(nil)
	for _, tt := range []struct{ name, ca, cert, key, pin, field, words string }{
		{"no PEM", "x", "", "", "", "ca", "no certificate in PEM"},
		{"a key for an authority", key, "", "", "", "ca", "something that is no certificate"},
		{"a damaged one", pemText("CERTIFICATE", []byte("x")), "", "", "", "ca", "damaged"},
		{"too long", strings.Repeat("x", 64<<10+1), "", "", "", "ca", "longer"},
		{"no key", "", cert, "", "", "client_key", "missing"},
		{"no certificate", "", "", key, "", "client_cert", "missing"},
		{"swapped", "", key, cert, "", "client_cert", "no certificate"},
		{"another's key", "", cert, otherKey, "", "client_key", "not the private key"},
		{"no PEM key", "", cert, "x", "", "client_key", "not PEM"},
		{"long key", "", cert, strings.Repeat("x", 64<<10+1), "", "client_key", "longer"},
		{"passphrase", "", cert, pemText("ENCRYPTED PRIVATE KEY", []byte("x")), "", "client_key", "passphrase"},
		{"short pin", "", "", "", asHex[2:], "pin_sha256", "no SHA-256"},
		{"long pin", "", "", "", asBase64 + "AAAA", "pin_sha256", "no SHA-256"},
		{"empty pin", "", "", "", asHex + ",", "pin_sha256", "no SHA-256"},
		{"many pins", "", "", "", strings.Repeat(asHex+",", 10) + asHex, "pin_sha256", "more than 10"},
	} {
		o, err := ParseTLS(tt.ca, tt.cert, tt.key, tt.pin)
		field, ok := errors.AsType[*TLSFieldError](err)
		if o != nil || !ok || field.Field != tt.field || !strings.Contains(field.Message, tt.words) ||
			!strings.HasSuffix(field.Cure, ".") || strings.Contains(err.Error(), "BEGIN PRIVATE") {
			t.Errorf("%s: got %v, want %s with %q", tt.name, err, tt.field, tt.words)
		}
	}
}

// TestTLSOptions: what a merchant's own settings change about the verdict, and what they never do.
func TestTLSOptions(t *testing.T) {
	everybodys, own := newAuthority(t), newAuthority(t)
	shown := func(a *authority, edit func(*x509.Certificate)) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{a.server(false, edit)}}
	}
	mutual := func(version uint16) *tls.Config {
		c := shown(everybodys, nil)
		c.ClientAuth, c.ClientCAs, c.MaxVersion = tls.RequireAndVerifyClientCert, own.pool, version
		return c
	}
	expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
	elsewhere := func(c *x509.Certificate) { c.IPAddresses = nil }
	good := shown(everybodys, nil)
	leaf := pinOf(t, good.Certificates[0].Certificate[0])
	theirs := sha256.Sum256(everybodys.cert.RawSubjectPublicKeyInfo)
	other := sha256.Sum256(own.cert.RawSubjectPublicKeyInfo)
	cert, key := own.pair(nil)
	oldCert, oldKey := own.pair(expired)
	wrongCert, wrongKey := everybodys.pair(nil)
	for _, tt := range []optionCase{
		{name: "own authority", conf: shown(own, nil), ca: own.text()},
		{name: "own authority, without it", conf: shown(own, nil), fault: TLSUntrusted},
		{name: "own authority replaces the others", conf: good, ca: own.text(), fault: TLSUntrusted},
		{name: "own authority, expired", conf: shown(own, expired), ca: own.text(), fault: TLSExpired},
		{name: "own authority, wrong host", conf: shown(own, elsewhere), ca: own.text(), fault: TLSHostname},
		{name: "pinned key", conf: good, pins: [][32]byte{leaf}},
		{name: "pinned authority", conf: good, pins: [][32]byte{other, theirs}},
		{
			name: "another key pinned", conf: good, pins: [][32]byte{other}, fault: TLSUntrusted,
			detail: pinText(leaf),
		},
		{
			name: "pinned key of nobody we trust", conf: shown(own, nil), fault: TLSUntrusted,
			pins: [][32]byte{sha256.Sum256(own.cert.RawSubjectPublicKeyInfo)}, detail: "authority",
		},
		{name: "pinned but expired", conf: shown(everybodys, expired), pins: [][32]byte{theirs}, fault: TLSExpired},
		{name: "client certificate, TLS 1.2", conf: mutual(tls.VersionTLS12), cert: cert, key: key},
		{name: "client certificate, TLS 1.3", conf: mutual(tls.VersionTLS13), cert: cert, key: key},
		{name: "client certificate not asked for", conf: good, cert: cert, key: key},
		{
			name: "no client certificate", conf: mutual(tls.VersionTLS13), ca: everybodys.text(), fault: TLSClientCert,
		},
		{name: "expired, 1.2", conf: mutual(tls.VersionTLS12), cert: oldCert, key: oldKey, fault: TLSClientCert},
		{name: "expired, 1.3", conf: mutual(tls.VersionTLS13), cert: oldCert, key: oldKey, fault: TLSClientCert},
		{
			name: "unknown, 1.2", conf: mutual(tls.VersionTLS12), cert: wrongCert, key: wrongKey, fault: TLSClientCert,
		},
		{
			name: "unknown, 1.3", conf: mutual(tls.VersionTLS13), cert: wrongCert, key: wrongKey, fault: TLSClientCert,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.check(t, everybodys)
		})
	}
}

// optionCase is one row of TestTLSOptions: a server, a merchant's settings, and what comes of both.
type optionCase struct {
	name          string
	conf          *tls.Config
	ca, cert, key string
	pins          [][32]byte
	fault         Fault
	detail        string
}

func (tt optionCase) check(t *testing.T, everybodys *authority) {
	o, err := ParseTLS(tt.ca, tt.cert, tt.key, "")
	if err != nil {
		t.Fatal(err)
	}
	if o == nil {
		o = &TLSOptions{}
	}
	o.Pins = tt.pins
	s := secureServer(t, tt.conf, ok)
	c := devClient(t, Options{RootCAs: everybodys.pool})
	r := post(t, c, s.secureURL())
	r.TLS = o
	res := c.Do(t.Context(), r)
	if res.Fault != tt.fault || res.Ours || !strings.Contains(res.Detail, tt.detail) {
		t.Errorf("got %q (%s), want %q with %q", res.Fault, res.Detail, tt.fault, tt.detail)
	}
	if _, n := s.count(); (n == 1) != (tt.fault == "") {
		t.Errorf("%d requests arrived", n)
	}
	if res.TLS == nil || res.TLS.Subject != "CN=shop" || res.TLS.Version == "" {
		t.Errorf("the certificate is described as %+v", res.TLS)
	}
}

// TestPoolsKnowTheTLSOptions: a connection that was verified in one way serves no request that wants another,
// so that a changed authority or pin holds from the next send on.
func TestPoolsKnowTheTLSOptions(t *testing.T) {
	ca := newAuthority(t)
	s := secureServer(t, &tls.Config{Certificates: []tls.Certificate{ca.server(false, nil)}}, ok)
	c := devClient(t, Options{RootCAs: ca.pool})
	first, second := &TLSOptions{}, &TLSOptions{Pins: [][32]byte{{}}}
	for i, tt := range []struct {
		o      *TLSOptions
		reused bool
		fault  Fault
	}{{nil, false, ""}, {first, false, ""}, {first, true, ""}, {second, false, TLSUntrusted}, {nil, true, ""}} {
		r := post(t, c, s.secureURL())
		r.TLS = tt.o
		if res := c.Do(t.Context(), r); res.Fault != tt.fault || res.Reused != tt.reused {
			t.Errorf("%d: got %q (%s), reused %v", i, res.Fault, res.Detail, res.Reused)
		}
	}
}

// TestHTTP2Only: a server that speaks nothing else is understood as what it is, whether it says so in the
// handshake or speaks on regardless.
func TestHTTP2Only(t *testing.T) {
	const settings = "\x00\x00\x00\x04\x00\x00\x00\x00\x00"
	ca := newAuthority(t)
	for _, tt := range []struct {
		protocol string
		fault    Fault
		detail   string
	}{
		{"h2", Malformed, "speaks HTTP/2 and not HTTP/1.1"}, // Go's servers go on with a client that knows no h2
		{"h2c", TLSHandshake, "does not speak HTTP/1.1"},    // others do not
	} {
		conf := &tls.Config{
			Certificates: []tls.Certificate{ca.server(false, nil)}, NextProtos: []string{tt.protocol},
		}
		s := newServer(t, func(_ *server, _ int, raw net.Conn) {
			c := tls.Server(raw, conf)
			_, _ = c.Write([]byte(settings))
			waitClosed(c)
		})
		c := devClient(t, Options{RootCAs: ca.pool})
		res := c.Do(t.Context(), post(t, c, s.secureURL()))
		if res.Fault != tt.fault || !strings.Contains(res.Detail, tt.detail) {
			t.Errorf("%s: got %q (%s)", tt.protocol, res.Fault, res.Detail)
		}
	}
}
