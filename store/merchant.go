package store

import (
	"encoding/json"
	"time"
)

// Merchant is who receives notifications. It owns keys, limits and rules, and is a lane of the dispatcher.
// Values handed out by a Store are shared: treat maps and slices as read-only and change a merchant only
// through UpdateMerchant.
type Merchant struct {
	MchID         string
	Name          string
	Profile       string
	NotifyURL     string
	SignType      string // empty = the profile's default
	AppID         string
	Charset       string            // "utf-8" or "gbk"; empty = utf-8
	Schedule      string            // what retry.Parse takes; empty = the profile's default
	Ack           Ack               // Match empty = the profile's default
	MaxInflight   int               // 1–1000; 0 = the configured default
	RatePerSecond float64           // ≥ 0; 0 = no limit; see RateBurst
	Options       map[string]any    // strings, booleans and lists of strings
	Headers       map[string]string // base64 of values sealed with HeaderKeyID
	TLS           json.RawMessage   // see OwnTLS
	Keys          []Key             // newest first; only sealed bytes, see signer/keyring
	Probe         *Probe            // what came of the last signature probe; nil = there was none

	Paused       bool
	PausedReason string
	PausedUntil  time.Time // zero = until a person resumes
	Blocked      bool      // its address was refused; until notify_url changes or a person resumes
	// BreakerOpen says that its lane sends probes only, see Breaker. The store tells it and keeps it elsewhere;
	// an update that sets it to false closes the breaker.
	BreakerOpen bool `json:"-"`
	CreatedAt   time.Time
	Revision    int64 // grows with every change
}

// RateBurst is how many sends a lane of this rate may start at once after a rest: a second's worth, at least
// one. Over any span of d it starts at most RateBurst + rate × d sends.
func RateBurst(ratePerSecond float64) float64 { return max(1, ratePerSecond) }

// Ack says which reply is an acknowledgement.
type Ack struct {
	Match   string   // exact, trim, trim_fold, xml_return_code, status, json_path
	Text    string   // what the body must say
	Status  []string // "200" or classes like "2xx"
	Path    string   // for json_path
	Lenient []Reason // near-misses accepted all the same
}

// Key is one of a merchant's keys: a public half that everybody may see, and a sealed rest.
type Key struct {
	ID          string    // random, part of the seal's additional data
	Sealed      []byte    // opened by signer/keyring with MchID and ID
	PublicKey   string    // PEM, SubjectPublicKeyInfo; empty for secrets
	Certificate string    // PEM, self-signed; RSA only
	Serial      string    // upper-case hex, or what the caller said; RSA only
	Whpk        string    // "whpk_…", the Ed25519 key of Standard Webhooks' v1a
	From        time.Time // not used before; zero = at once
	Until       time.Time // not used from then on; zero = no end
}

// Probe is what came of a signature probe: of a request to the merchant's notify_url whose every signature
// was wrong on purpose.
type Probe struct {
	At       time.Time
	Verifies *bool // see ProbeVerifies
	Verdict  Verdict
	Reason   Reason
	Status   int    // of the reply; 0 = none
	Reply    []byte // at most ReplyBytesKept of it
}

// ProbeVerifies says what the judgement of a probe's reply tells of the merchant: false, it acknowledged a
// wrong signature; true, it refused it with a whole reply that was no acknowledgement; nil, nothing can be
// said. A reply that was meant as an acknowledgement and is none (a near-miss), one that nobody could read,
// and 429 and 503, which speak of load, say nothing.
func ProbeVerifies(v Verdict, r Reason, status int) *bool {
	switch {
	case v == Acked:
		return new(false)
	case r.NearMiss(), r == Encoded, status == 429, status == 503:
		return nil
	case v == Refused, v == HTTP4xx, v == HTTP5xx:
		return new(true)
	}
	return nil
}

// Open reports whether the merchant's lane may send at now, leaving the global switch aside. An open breaker
// does not close it: probes go.
func (m *Merchant) Open(now time.Time) bool { return !m.PausedAt(now) && !m.Blocked }

// PausedAt reports whether a pause is in force at now.
func (m *Merchant) PausedAt(now time.Time) bool {
	return m.Paused && (m.PausedUntil.IsZero() || now.Before(m.PausedUntil))
}

// HeldReason is why the merchant's lane is closed at now, or sends probes only; empty when it is open.
func (m *Merchant) HeldReason(now time.Time) string {
	switch {
	case m.PausedAt(now):
		return HeldMerchantPaused
	case m.Blocked:
		return HeldAddressBlocked
	case m.BreakerOpen:
		return HeldBreakerOpen
	}
	return ""
}

// HeldReason is why nothing of a notification is sent at now, or no more than probes: the first reason that
// applies, empty when it is not held or not pending. A merchant that is gone, nil, holds nothing.
func (n *Notification) HeldReason(m *Merchant, s Sending, now time.Time) string {
	switch {
	case n.State != Pending:
		return ""
	case s.Paused:
		return HeldSendingPaused
	case n.Blocked && (m == nil || m.Open(now)):
		return HeldAddressBlocked
	case m == nil:
		return ""
	}
	return m.HeldReason(now)
}

// Why a pending notification is held, first that applies.
const (
	HeldSendingPaused  = "sending_paused"
	HeldMerchantPaused = "merchant_paused"
	HeldAddressBlocked = "address_blocked"
	HeldBreakerOpen    = "breaker_open"
)

// HeldReasons lists them in that order.
var HeldReasons = []string{HeldSendingPaused, HeldMerchantPaused, HeldAddressBlocked, HeldBreakerOpen}
