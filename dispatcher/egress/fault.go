package egress

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"syscall"
	"time"
)

// Fault says why there is no whole reply; empty when there is one. The words are the reasons of the public
// contract.
type Fault string

// The faults that this client reports.
const (
	TimeoutConnect Fault = "timeout_connect" // no connection within the connect limit or the deadline
	TimeoutTLS     Fault = "timeout_tls"     // no TLS handshake in time
	TimeoutHeaders Fault = "timeout_headers" // no whole reply head in time
	TimeoutBody    Fault = "timeout_body"    // the head came, the end of the body did not

	DNSNXDomain Fault = "dns_nxdomain" // the merchant's name does not exist or has no address
	DNSFailure  Fault = "dns_failure"  // our resolver gave no answer; Result.Ours is set

	ConnRefused Fault = "conn_refused"
	Unreachable Fault = "unreachable"
	ConnClosed  Fault = "conn_closed" // before any reply byte
	ConnReset   Fault = "conn_reset"  // before any reply byte
	ConnStale   Fault = "conn_stale"  // a reused connection died before any reply byte: one re-send is allowed

	TLSUntrusted   Fault = "tls_untrusted"
	TLSExpired     Fault = "tls_expired"
	TLSNotYetValid Fault = "tls_not_yet_valid"
	TLSHostname    Fault = "tls_hostname"
	TLSVersion     Fault = "tls_version"
	TLSClientCert  Fault = "tls_client_cert"
	TLSHandshake   Fault = "tls_handshake"

	Truncated Fault = "truncated" // cut or reset after the first reply byte
	TooLarge  Fault = "too_large" // more than ReplyBytesMax of body
	Malformed Fault = "malformed" // not HTTP/1.x, a status outside 100–599, or a head over HeadBytesMax
	Upgrade   Fault = "upgrade"   // 101, refused unread

	AddressBlocked Fault = "address_blocked" // the rules refuse every address of the target
	Interrupted    Fault = "crash"           // the context was cancelled; Result.Ours is set
	Internal       Fault = "internal"        // our limits, or what cannot be sent; Result.Ours is set
)

// Faults lists every fault.
var Faults = []Fault{
	TimeoutConnect, TimeoutTLS, TimeoutHeaders, TimeoutBody, DNSNXDomain, DNSFailure, ConnRefused, Unreachable,
	ConnClosed, ConnReset, ConnStale, TLSUntrusted, TLSExpired, TLSNotYetValid, TLSHostname, TLSVersion,
	TLSClientCert, TLSHandshake, Truncated, TooLarge, Malformed, Upgrade, AddressBlocked, Interrupted, Internal,
}

// ours reports whether the fault lies on our side: it does not count as one of the merchant's sends.
func (f Fault) ours() bool { return f == DNSFailure || f == Interrupted || f == Internal }

// isTimeout reports whether a deadline ended the operation.
func isTimeout(err error) bool {
	var ne net.Error
	return errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) ||
		errors.As(err, &ne) && ne.Timeout()
}

// resolveFault classifies a failed look-up. Only a clear "no such name" or "no address" is the merchant's.
func resolveFault(err error) Fault {
	var de *net.DNSError
	if errors.As(err, &de) && de.IsNotFound {
		return DNSNXDomain
	}
	return DNSFailure
}

// dialFault classifies a failed connection.
func dialFault(err error) Fault {
	var blocked *BlockedError
	var errno syscall.Errno
	switch {
	case errors.As(err, &blocked):
		return AddressBlocked
	case errors.Is(err, context.Canceled):
		return Interrupted
	case errors.As(err, &errno):
		return errnoFault(errno)
	case isTimeout(err):
		return TimeoutConnect
	}
	return Unreachable
}

func errnoFault(errno syscall.Errno) Fault {
	switch errno {
	case syscall.ECONNREFUSED:
		return ConnRefused
	case syscall.ECONNRESET, syscall.ECONNABORTED:
		return ConnReset
	case syscall.ETIMEDOUT:
		return TimeoutConnect
	case syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL,
		syscall.EPERM, syscall.EACCES:
		return Internal // out of descriptors, memory or local ports, or forbidden by our own host
	}
	return Unreachable
}

// tlsFault classifies a failed handshake. asked says that the server wanted a client certificate, oldVersion
// that it chose a version below TLS 1.2.
func tlsFault(err error, asked, oldVersion bool) Fault {
	var cert *tls.CertificateVerificationError
	var pin *pinError
	switch code, alert := remoteAlert(err); {
	case errors.As(err, &pin):
		return TLSUntrusted
	case errors.As(err, &cert):
		return certFault(cert)
	case isTimeout(err):
		return TimeoutTLS
	case alert && code == alertProtocolVersion, oldVersion:
		return TLSVersion
	case alert && asked && clientCertAlert[code]:
		return TLSClientCert
	}
	return TLSHandshake
}

// certFault says what is wrong with the server's certificate.
func certFault(err *tls.CertificateVerificationError) Fault {
	var invalid x509.CertificateInvalidError
	var host x509.HostnameError
	var roots x509.SystemRootsError
	switch {
	case errors.As(err, &roots):
		return Internal // this machine has no readable root certificates
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		if invalid.Cert != nil && time.Now().Before(invalid.Cert.NotBefore) {
			return TLSNotYetValid
		}
		return TLSExpired
	case errors.As(err, &host):
		return TLSHostname
	}
	return TLSUntrusted
}

// Alert codes of RFC 8446, section 6.
const (
	alertProtocolVersion = 70
	alertNoProtocol      = 120 // ALPN found nothing in common: an HTTP/2-only server
)

// clientCertAlert lists what servers answer to a client certificate that is missing or not to their liking:
// handshake_failure, bad_certificate, unsupported_certificate, certificate_revoked, certificate_expired,
// certificate_unknown, unknown_ca, access_denied, decrypt_error, certificate_required.
var clientCertAlert = map[uint64]bool{
	40: true, 42: true, 43: true, 44: true, 45: true, 46: true, 48: true, 49: true, 51: true, 116: true,
}

// remoteAlert returns the code of the TLS alert that the server sent. crypto/tls keeps the type of its
// alerts to itself; their shape, a byte inside a net.OpError, is all there is to recognise them by without
// reading text.
func remoteAlert(err error) (code uint64, ok bool) {
	var op *net.OpError
	if !errors.As(err, &op) || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	v := reflect.ValueOf(op.Err)
	if v.Kind() != reflect.Uint8 {
		return 0, false
	}
	return v.Uint(), true
}

// lostFault classifies a connection that ended before the first reply byte.
func lostFault(err error) Fault {
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return ConnClosed
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return Unreachable
	}
	return ConnReset
}
