package store

// Verdict is the judgement of an attempt, and a metric label.
type Verdict string

// The thirteen verdicts.
const (
	Acked         Verdict = "acked"
	Refused       Verdict = "refused"
	HTTP3xx       Verdict = "http_3xx"
	HTTP4xx       Verdict = "http_4xx"
	HTTP5xx       Verdict = "http_5xx"
	Timeout       Verdict = "timeout"
	DNSError      Verdict = "dns_error"
	ConnectError  Verdict = "connect_error"
	TLSError      Verdict = "tls_error"
	BadReply      Verdict = "bad_reply"
	Blocked       Verdict = "blocked"
	Interrupted   Verdict = "interrupted"
	InternalError Verdict = "internal_error"
)

// Verdicts lists every verdict.
var Verdicts = []Verdict{
	Acked, Refused, HTTP3xx, HTTP4xx, HTTP5xx, Timeout, DNSError, ConnectError, TLSError, BadReply,
	Blocked, Interrupted, InternalError,
}

// Class folds verdicts for histograms: acked, refused (a whole reply that is no ack), error.
func (v Verdict) Class() string {
	switch v {
	case Acked:
		return "acked"
	case Refused, HTTP3xx, HTTP4xx, HTTP5xx:
		return "refused"
	}
	return "error"
}

// Reason is the finer cause of a verdict.
type Reason string

// The closed list of reasons. Package profile explains each: its cause and its cure.
const (
	AckExact   Reason = "ack_exact"
	AckTrimmed Reason = "ack_trimmed"

	AckCase      Reason = "ack_case"
	AckQuoted    Reason = "ack_quoted"
	AckJSON      Reason = "ack_json"
	AckHTML      Reason = "ack_html"
	AckPHPNotice Reason = "ack_php_notice"
	AckExtraText Reason = "ack_extra_text"
	AckRepeated  Reason = "ack_repeated"
	AckUTF16     Reason = "ack_utf16"
	AckInvisible Reason = "ack_invisible"
	AckNotXML    Reason = "ack_not_xml"
	AckStatus    Reason = "ack_status"
	AckEmpty     Reason = "ack_empty"
	AckMismatch  Reason = "ack_mismatch"
	Encoded      Reason = "encoded"

	Redirect   Reason = "redirect"
	HTTPStatus Reason = "http_status"

	TimeoutConnect Reason = "timeout_connect"
	TimeoutTLS     Reason = "timeout_tls"
	TimeoutHeaders Reason = "timeout_headers"
	TimeoutBody    Reason = "timeout_body"

	DNSNXDomain Reason = "dns_nxdomain"
	DNSFailure  Reason = "dns_failure"

	ConnRefused Reason = "conn_refused"
	Unreachable Reason = "unreachable"
	ConnClosed  Reason = "conn_closed"
	ConnReset   Reason = "conn_reset"
	ConnStale   Reason = "conn_stale"

	TLSUntrusted   Reason = "tls_untrusted"
	TLSExpired     Reason = "tls_expired"
	TLSNotYetValid Reason = "tls_not_yet_valid"
	TLSHostname    Reason = "tls_hostname"
	TLSVersion     Reason = "tls_version"
	TLSClientCert  Reason = "tls_client_cert"
	TLSHandshake   Reason = "tls_handshake"

	Truncated Reason = "truncated"
	TooLarge  Reason = "too_large"
	Malformed Reason = "malformed"
	Upgrade   Reason = "upgrade"

	AddressBlocked Reason = "address_blocked"
	Crash          Reason = "crash"
	Internal       Reason = "internal"
)

// VerdictOf is the verdict that a reason belongs to. ack_status and http_status belong to the class of the
// HTTP status, which StatusVerdict tells.
func VerdictOf(r Reason) Verdict { return verdictOf[r] }

// StatusVerdict is the verdict of a whole reply with this status that is no acknowledgement.
func StatusVerdict(status int) Verdict {
	switch status / 100 {
	case 3:
		return HTTP3xx
	case 4:
		return HTTP4xx
	case 5:
		return HTTP5xx
	}
	return Refused
}

// NearMiss reports whether the reply was meant as an acknowledgement but does not count as one.
func (r Reason) NearMiss() bool { return nearMiss[r] }

var nearMiss = map[Reason]bool{
	AckCase: true, AckQuoted: true, AckJSON: true, AckHTML: true, AckPHPNotice: true, AckExtraText: true,
	AckRepeated: true, AckUTF16: true, AckInvisible: true, AckNotXML: true, AckStatus: true,
}

var verdictOf = map[Reason]Verdict{
	AckExact: Acked, AckTrimmed: Acked,
	AckCase: Refused, AckQuoted: Refused, AckJSON: Refused, AckHTML: Refused, AckPHPNotice: Refused,
	AckExtraText: Refused, AckRepeated: Refused, AckUTF16: Refused, AckInvisible: Refused,
	AckNotXML: Refused, AckStatus: Refused, AckEmpty: Refused, AckMismatch: Refused, Encoded: Refused,
	Redirect: HTTP3xx, HTTPStatus: HTTP4xx,
	TimeoutConnect: Timeout, TimeoutTLS: Timeout, TimeoutHeaders: Timeout, TimeoutBody: Timeout,
	DNSNXDomain: DNSError, DNSFailure: DNSError,
	ConnRefused: ConnectError, Unreachable: ConnectError, ConnClosed: ConnectError, ConnReset: ConnectError,
	ConnStale:    ConnectError,
	TLSUntrusted: TLSError, TLSExpired: TLSError, TLSNotYetValid: TLSError, TLSHostname: TLSError,
	TLSVersion: TLSError, TLSClientCert: TLSError, TLSHandshake: TLSError,
	Truncated: BadReply, TooLarge: BadReply, Malformed: BadReply, Upgrade: BadReply,
	AddressBlocked: Blocked, Crash: Interrupted, Internal: InternalError,
}

// Reasons lists every reason once, in the order of the table above.
var Reasons = []Reason{
	AckExact, AckTrimmed, AckCase, AckQuoted, AckJSON, AckHTML, AckPHPNotice, AckExtraText, AckRepeated,
	AckUTF16, AckInvisible, AckNotXML, AckStatus, AckEmpty, AckMismatch, Encoded, Redirect, HTTPStatus,
	TimeoutConnect, TimeoutTLS, TimeoutHeaders, TimeoutBody, DNSNXDomain, DNSFailure, ConnRefused,
	Unreachable, ConnClosed, ConnReset, ConnStale, TLSUntrusted, TLSExpired, TLSNotYetValid, TLSHostname,
	TLSVersion, TLSClientCert, TLSHandshake, Truncated, TooLarge, Malformed, Upgrade, AddressBlocked,
	Crash, Internal,
}
