package hostile

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"flag"
	"io"
	"math/big"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// patience bounds every wait of these tests for something that is about to happen.
const patience = 30 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	// The rows wait for deadlines and do not compute, so more of them run at once than there are processors.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(int) { http.DefaultClient.CloseIdleConnections() }))
}

// merchant is a server that does whatever a test writes down, on a raw connection or on TLS over one.
type merchant struct {
	url  string
	l    net.Listener
	open atomic.Int32 // connections that the client has not closed
	wg   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
}

// newMerchant serves every connection with talk, then waits until the client has closed it, unless talk did.
// A nil conf means plain HTTP.
func newMerchant(tb testing.TB, conf *tls.Config, talk func(conn)) *merchant {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	m := &merchant{l: l, url: "http://" + l.Addr().String() + "/notify"}
	if conf != nil {
		m.url = strings.Replace(m.url, "http:", "https:", 1)
	}
	m.wg.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			m.open.Add(1)
			m.mu.Lock()
			m.conns = append(m.conns, raw)
			m.mu.Unlock()
			m.wg.Go(func() { m.serve(conn{Conn: raw, raw: raw.(*net.TCPConn)}, conf, talk) })
		}
	})
	tb.Cleanup(m.close)
	return m
}

func (m *merchant) serve(c conn, conf *tls.Config, talk func(conn)) {
	defer m.open.Add(-1)
	defer c.raw.Close()
	if conf != nil {
		c.Conn = tls.Server(c.raw, conf)
	}
	c.br = bufio.NewReader(c.Conn)
	talk(c)
}

func (m *merchant) close() {
	m.l.Close()
	m.mu.Lock()
	for _, c := range m.conns {
		c.Close()
	}
	m.mu.Unlock()
	m.wg.Wait()
}

// conn is one connection at the merchant's side.
type conn struct {
	net.Conn // raw, or TLS over it

	raw *net.TCPConn
	br  *bufio.Reader
}

// request reads one whole request; nil when there is none.
func (c conn) request() *http.Request {
	req, err := http.ReadRequest(c.br)
	if err != nil {
		return nil
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return nil
	}
	return req
}

func (c conn) say(text string) bool {
	_, err := io.WriteString(c, text)
	return err == nil
}

// wait returns when the client has closed its side.
func (c conn) wait() { _, _ = io.Copy(io.Discard, c.raw) }

// reset closes the connection with a RST.
func (c conn) reset() {
	_ = c.raw.SetLinger(0)
	c.raw.Close()
}

// until waits for something that is about to happen.
func until(done func() bool) bool {
	for end := time.Now().Add(patience); !done(); runtime.Gosched() {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// authority is one that the tests' clients trust, with what a server on 127.0.0.1 shows.
type authority struct {
	tb   testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(tb testing.TB) *authority {
	tb.Helper()
	a := &authority{tb: tb, key: newKey(tb), pool: x509.NewCertPool()}
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:  x509.KeyUsageCertSign,
		NotBefore: time.Now().AddDate(-1, 0, 0), NotAfter: time.Now().AddDate(1, 0, 0),
	}
	a.cert = a.issue(c, c, a.key)
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

func (a *authority) issue(c, parent *x509.Certificate, key *ecdsa.PrivateKey) *x509.Certificate {
	a.tb.Helper()
	c.SerialNumber = big.NewInt(time.Now().UnixNano())
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, a.key)
	if err != nil {
		a.tb.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.tb.Fatal(err)
	}
	return cert
}

// shows is a server's configuration with a certificate that edit, which may be nil, has changed.
func (a *authority) shows(edit func(*x509.Certificate)) *tls.Config {
	a.tb.Helper()
	c := &x509.Certificate{
		Subject: pkix.Name{CommonName: "shop"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if edit != nil {
		edit(c)
	}
	key := newKey(a.tb)
	return &tls.Config{Certificates: []tls.Certificate{
		{Certificate: [][]byte{a.issue(c, a.cert, key).Raw}, PrivateKey: key},
	}}
}
