package dispatcher_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// identity is a certificate that signs itself, with its key, as PEM and ready to use.
type identity struct {
	certPEM, keyPEM string
	pair            tls.Certificate
	pool            *x509.CertPool
}

func newIdentity(t *testing.T, name string, notAfter time.Time) identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"shop.example.com"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	id := identity{
		certPEM: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		keyPEM:  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})),
		pool:    x509.NewCertPool(),
	}
	id.pool.AppendCertsFromPEM([]byte(id.certPEM))
	if id.pair, err = tls.X509KeyPair([]byte(id.certPEM), []byte(id.keyPEM)); err != nil {
		t.Fatal(err)
	}
	return id
}

// secured is a merchant's server that speaks TLS, asks for a client certificate, and writes down what comes.
type secured struct {
	conf *tls.Config

	mu    sync.Mutex
	heads []string // of the requests, with the client's name in front
	conns int
}

// client replaces the world's wire by one that leads to s.
func (s *secured) client(w *world) func(dispatcher.Poster) dispatcher.Poster {
	return func(dispatcher.Poster) dispatcher.Poster {
		client := egress.New(egress.Options{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			w.conns.Go(func() { s.serve(theirs, strings.HasSuffix(addr, ":443")) })
			return ours, nil
		}})
		w.closers = append(w.closers, client.Close)
		return client
	}
}

func (s *secured) serve(raw net.Conn, secure bool) {
	defer raw.Close()
	s.mu.Lock()
	s.conns++
	s.mu.Unlock()
	c, peer := raw, "nobody"
	if secure {
		t := tls.Server(raw, s.conf)
		if t.Handshake() != nil {
			return
		}
		if certs := t.ConnectionState().PeerCertificates; len(certs) > 0 {
			peer = certs[0].Subject.CommonName
		}
		c = t
	}
	for in := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		head := peer + " " + req.Host + " " + req.Header.Get("Authorization") + " " + req.Header.Get("X-Shop")
		_, _ = io.Copy(io.Discard, req.Body)
		s.mu.Lock()
		s.heads = append(s.heads, head)
		s.mu.Unlock()
		if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess"); err != nil {
			return
		}
	}
}

func (s *secured) seen() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	heads := s.heads
	s.heads = nil
	return heads
}

// seal seals as the API does.
func (w *world) seal(mchID, id, plain string) []byte {
	w.t.Helper()
	sealed, err := w.ring.Seal(mchID, id, []byte(plain))
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed
}

func (w *world) headers(mchID string, values map[string]string) map[string]string {
	w.t.Helper()
	sealed := map[string]string{}
	for name, value := range values {
		sealed[name] = base64.StdEncoding.EncodeToString(w.seal(mchID, store.HeaderKeyID(name), value))
	}
	return sealed
}

// update changes a merchant as the API does.
func (w *world) update(mchID string, change func(m *store.Merchant)) {
	w.t.Helper()
	_, err := w.store.UpdateMerchant(context.Background(), mchID, func(m *store.Merchant) error {
		change(m)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func TestAMerchantsOwnTLS(t *testing.T) {
	s := &secured{}
	inVirtualTimeWith(t, func(w *world) { w.withClient = s.client(w) }, func(t *testing.T, w *world) {
		never := time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)
		server, client := newIdentity(t, "shop", never), newIdentity(t, "paynotify", never)
		s.conf = &tls.Config{
			Certificates: []tls.Certificate{server.pair}, ClientCAs: client.pool,
			ClientAuth: tls.RequireAndVerifyClientCert,
		}
		own := store.OwnTLS{
			CA: server.certPEM, ClientCert: client.certPEM,
			ClientKey: w.seal("m1", store.OwnTLSKeyID, client.keyPEM),
		}
		m := store.Merchant{MchID: "m1", NotifyURL: "https://shop.example.com/m1"}
		m.SetOwnTLS(own)
		w.merchant(m)
		last := func(order string) store.Attempt {
			id := w.accept("m1", order)[0]
			w.pass(time.Second)
			_, attempts := w.get(id)
			if len(attempts) != 1 {
				t.Fatalf("%s has %d attempts", order, len(attempts))
			}
			return attempts[0]
		}
		a := last("1")
		want := &store.TLSInfo{Version: "TLS 1.3", Subject: "CN=shop", NotAfter: never}
		if a.Verdict != store.Acked || cmp.Diff(want, a.TLS) != "" {
			t.Errorf("verdict %s %s (%s), tls %+v; want acked, %+v", a.Verdict, a.Reason, a.Detail, a.TLS, want)
		}
		if a = last("2"); a.TLS == nil || s.conns != 1 {
			t.Errorf("on the same connection: tls %+v, %d connections", a.TLS, s.conns)
		}
		saw := "paynotify shop.example.com  "
		if got := s.seen(); cmp.Diff([]string{saw, saw}, got) != "" {
			t.Errorf("the merchant saw %q", got)
		}
		// Another authority: the connection that the old one verified is not used any more.
		own.CA = client.certPEM
		w.update("m1", func(m *store.Merchant) { m.SetOwnTLS(own) })
		if a = last("3"); a.Reason != store.TLSUntrusted || a.TLS == nil {
			t.Errorf("after a change of ca: %s %s, tls %+v", a.Verdict, a.Reason, a.TLS)
		}
		// Without a client certificate the server refuses; TLS 1.2 does so within the handshake.
		s.conf = s.conf.Clone()
		s.conf.MaxVersion = tls.VersionTLS12
		w.update("m1", func(m *store.Merchant) { m.SetOwnTLS(store.OwnTLS{CA: server.certPEM}) })
		if a = last("4"); a.Reason != store.TLSClientCert {
			t.Errorf("without client certificate: %s %s", a.Verdict, a.Reason)
		}
	})
}

func TestAMerchantsOwnHeaders(t *testing.T) {
	s := &secured{}
	inVirtualTimeWith(t, func(w *world) { w.withClient = s.client(w) }, func(t *testing.T, w *world) {
		server := newIdentity(t, "shop", time.Now().Add(time.Hour))
		s.conf = &tls.Config{Certificates: []tls.Certificate{server.pair}}
		m := store.Merchant{
			MchID: "m1", NotifyURL: "https://shop.example.com/m1",
			Headers: w.headers("m1", map[string]string{"X-Shop": "7", "Authorization": "Basic c2VjcmV0"}),
		}
		m.SetOwnTLS(store.OwnTLS{CA: server.certPEM})
		w.merchant(m)
		send := func(notifyURL string) {
			t.Helper()
			_, err := w.d.Accept(context.Background(), []store.Notification{{
				MchID: "m1", Profile: "alipay_mapi", Params: json.RawMessage(`{}`), Schedule: "alipay",
				NotifyURL: notifyURL,
			}})
			if err != nil {
				t.Fatal(err)
			}
			w.pass(time.Second)
		}
		for _, tt := range []struct{ notifyURL, want string }{
			{"", "nobody shop.example.com Basic c2VjcmV0 7"},
			{"https://SHOP.example.com/other", "nobody shop.example.com Basic c2VjcmV0 7"},
			{"http://shop.example.com/in-the-clear", "nobody shop.example.com  "},
			{"http://evil.example.com/", "nobody evil.example.com  "},
		} {
			send(tt.notifyURL)
			if got := s.seen(); len(got) != 1 || got[0] != tt.want {
				t.Errorf("sent to %q, the receiver saw %q, want %q", tt.notifyURL, got, tt.want)
			}
		}
		w.update("m1", func(m *store.Merchant) {
			m.NotifyURL, m.Options = "http://shop.example.com/", map[string]any{"hosts": []string{"other.example.com"}}
		})
		send("http://other.example.com/")
		if got := s.seen(); len(got) != 1 || got[0] != "nobody other.example.com Basic c2VjcmV0 7" {
			t.Errorf("a host that the merchant lists saw %q", got)
		}
	})
}

func TestOwnSettingsUnderAnotherMasterKey(t *testing.T) {
	for name, spoil := range map[string]func(w *world, m *store.Merchant){
		"headers": func(w *world, m *store.Merchant) {
			m.Headers = w.headers("m1", map[string]string{"X-Shop": "7"})
		},
		"tls": func(w *world, m *store.Merchant) {
			m.SetOwnTLS(store.OwnTLS{ClientCert: "x", ClientKey: w.seal("m1", store.OwnTLSKeyID, "y")})
		},
	} {
		t.Run(name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, w *world) {
				w.merchant(store.Merchant{MchID: "m1"})
				own := w.ring
				other, err := keyring.Load(keyring.Generate())
				if err != nil {
					t.Fatal(err)
				}
				w.ring = other
				w.update("m1", func(m *store.Merchant) { spoil(w, m) })
				w.ring = own
				id := w.accept("m1", "1")[0]
				w.pass(time.Second / 2)
				_, attempts := w.get(id)
				if len(attempts) != 1 || attempts[0].Verdict != store.InternalError || len(w.seen()) != 0 {
					t.Fatalf("attempts %+v, %d POSTs", attempts, len(w.seen()))
				}
				if d := attempts[0].Detail; !strings.Contains(d, "another master key") {
					t.Errorf("detail is %q", d)
				}
			})
		})
	}
}
