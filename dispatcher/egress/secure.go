package egress

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"time"
)

// TLSInfo describes the server's side of a TLS connection: also of one that was refused for the certificate
// that the server showed.
type TLSInfo struct {
	Version  string    // "TLS 1.3"
	Subject  string    // of the server's certificate, as a distinguished name
	NotAfter time.Time // of the server's certificate
}

// tlsState is what a connection keeps beside its TLS stream.
type tlsState struct {
	conn    *tls.Conn
	records *records
	info    *TLSInfo // nil before the server has shown a certificate
	asked   bool     // the server asked for a client certificate
}

// secure makes TLS over a connection that has a deadline. The server is always verified; o, which may be nil,
// says by which roots and keys, and what client certificate it may see.
func (c *conn) secure(host string, roots *x509.CertPool, o *TLSOptions) error {
	s := &tlsState{records: &records{Conn: c.raw}}
	shown := &tls.Certificate{}
	conf := &tls.Config{
		ServerName:                  host,
		RootCAs:                     roots,
		MinVersion:                  tls.VersionTLS12,
		NextProtos:                  []string{"http/1.1"},
		DynamicRecordSizingDisabled: true, // a request is one write, so one record where it fits
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			s.asked = true
			return shown, nil
		},
	}
	if o != nil {
		conf.RootCAs = orDefault(o.Roots, roots)
		shown = orDefault(o.Certificate, shown)
		conf.VerifyConnection = o.checkPins
	}
	s.conn = tls.Client(s.records, conf)
	c.tls, c.stream = s, s.conn
	err := s.conn.Handshake()
	s.describe(err)
	return err
}

// describe notes what the server has shown, whether or not it was good enough.
func (s *tlsState) describe(err error) {
	state := s.conn.ConnectionState()
	chain := state.PeerCertificates
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		chain = refused.UnverifiedCertificates
	}
	if len(chain) > 0 {
		s.info = &TLSInfo{
			Version: tls.VersionName(state.Version), Subject: chain[0].Subject.String(), NotAfter: chain[0].NotAfter,
		}
	}
}

// silent reports whether TLS holds nothing that came behind the last reply: no record that was read from the
// socket and not asked for, and no rest of a record that was. The second can be seen only by asking for a
// byte.
func (s *tlsState) silent() bool {
	if s.records.buffered() {
		return false
	}
	s.records.probing = true
	n, err := s.conn.Read(make([]byte, 1))
	s.records.probing = false
	return n == 0 && errors.Is(err, errSilent)
}

// records feeds TLS one record at a time. crypto/tls reads ahead and keeps what it has read to itself, so
// bytes behind a reply would be invisible; here they stay where they can be seen.
type records struct {
	net.Conn
	buf     [4096]byte
	r, w    int // buf[r:w] was read from the socket and not given to TLS
	left    int // bytes of the current record's payload still to give
	head    [5]byte
	headN   int      // bytes of the current record's header given
	first   [11]byte // the first bytes of the connection, for oldVersion
	firstN  int
	probing bool // say errSilent instead of reading the socket
}

// errSilent is temporary, so that crypto/tls goes on after it.
var errSilent net.Error = silentError{}

type silentError struct{}

func (silentError) Error() string   { return "nothing to read" }
func (silentError) Timeout() bool   { return true }
func (silentError) Temporary() bool { return true }

func (r *records) buffered() bool { return r.w > r.r || r.headN > 0 || r.left > 0 }

// Read gives the rest of the current record's header, then of its payload, never bytes of two records.
func (r *records) Read(p []byte) (int, error) {
	if r.r == r.w {
		if r.probing {
			return 0, errSilent
		}
		n, err := r.Conn.Read(r.buf[:])
		r.r, r.w = 0, n
		r.firstN += copy(r.first[r.firstN:], r.buf[:n])
		if n == 0 {
			return 0, err
		}
	}
	have := r.buf[r.r:r.w]
	if r.left > 0 {
		n := copy(p, have[:min(len(have), r.left)])
		r.r += n
		r.left -= n
		return n, nil
	}
	n := copy(p, have[:min(len(have), len(r.head)-r.headN)])
	copy(r.head[r.headN:], p[:n])
	r.r += n
	if r.headN += n; r.headN == len(r.head) {
		r.headN = 0
		r.left = int(r.head[3])<<8 | int(r.head[4])
	}
	return n, nil
}

// oldVersion reports whether the server's first message chose a version below TLS 1.2 (RFC 5246, section
// 7.4.1.3). crypto/tls has no type for that error.
func (r *records) oldVersion() bool {
	const handshake, serverHello = 22, 2
	return r.firstN == len(r.first) && r.first[0] == handshake && r.first[5] == serverHello &&
		r.first[9] == 3 && r.first[10] < 3
}

// plainHTTP reports whether the server answered the handshake in plain HTTP.
func (r *records) plainHTTP() bool { return r.firstN >= 5 && string(r.first[:5]) == "HTTP/" }
