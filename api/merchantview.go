package api

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/store"
)

// MerchantView is a merchant as the API shows it: defaults filled in, never a key.
type MerchantView struct {
	MchID         string         `json:"mch_id"`
	Name          string         `json:"name"`
	Profile       string         `json:"profile"`
	NotifyURL     string         `json:"notify_url"`
	SignType      string         `json:"sign_type" doc:"none for an unsigned profile"`
	AppID         string         `json:"app_id"`
	Charset       string         `json:"charset"`
	Schedule      string         `json:"schedule"`
	Ack           AckView        `json:"ack"`
	MaxInflight   int            `json:"max_inflight"`
	RatePerSecond float64        `json:"rate_per_second" doc:"0 = no limit"`
	Options       map[string]any `json:"options"`
	TLS           *TLSView       `json:"tls"`

	Headers map[string]string `json:"headers" doc:"Names of its own headers; values are never shown"`

	State        string     `json:"state" enum:"active,paused"`
	PausedReason *string    `json:"paused_reason"`
	PausedUntil  *Time      `json:"paused_until" nullable:"true" doc:"null until a person resumes"`
	HeldReason   *string    `json:"held_reason" doc:"Why nothing is sent to it now"`
	Probe        *ProbeView `json:"probe"`
	CreatedAt    Time       `json:"created_at"`
	Warnings     []string   `json:"warnings" nullable:"false" doc:"Weak settings, in words"`
}

// AckView says which reply is an acknowledgement.
type AckView struct {
	Match   string         `json:"match" enum:"exact,trim,trim_fold,xml_return_code,status,json_path"`
	Text    string         `json:"text"`
	Status  []AckStatus    `json:"status" nullable:"false" doc:"Codes, or classes like 2xx"`
	Path    string         `json:"path"`
	Lenient []store.Reason `json:"lenient" nullable:"false" doc:"Near-misses accepted all the same"`
}

// AckStatus is an HTTP status, written as a number, or a class of them, written like "2xx".
type AckStatus string

// MarshalJSON writes a code as a number and a class as a string.
func (s AckStatus) MarshalJSON() ([]byte, error) {
	if n, err := strconv.Atoi(string(s)); err == nil {
		return strconv.AppendInt(nil, int64(n), 10), nil
	}
	return json.Marshal(string(s))
}

// UnmarshalJSON reads either form.
func (s *AckStatus) UnmarshalJSON(data []byte) error {
	*s = AckStatus(strings.Trim(string(data), `"`))
	return nil
}

// Schema documents the type.
func (AckStatus) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{OneOf: []*huma.Schema{
		{Type: huma.TypeInteger, Examples: []any{200}},
		{Type: huma.TypeString, Pattern: "^([1-5]xx|[1-5][0-9][0-9])$", Examples: []any{"2xx"}},
	}}
}

// MerchantKeys is what everybody may know of a merchant's key now in force.
type MerchantKeys struct {
	PublicKey       *string `json:"public_key" doc:"PEM, SubjectPublicKeyInfo"`
	PublicKeyBase64 *string `json:"public_key_base64" doc:"The same in one line"`
	Certificate     *string `json:"certificate" doc:"PEM, self-signed; RSA only"`
	Serial          *string `json:"serial" doc:"Of the certificate; RSA only"`
	Whpk            *string `json:"whpk" doc:"Ed25519 verification key, whpk_…; v1a only"`
}

// MerchantCreated answers the creation of a merchant and the rotation of its key.
type MerchantCreated struct {
	MerchantView
	MerchantKeys
	Secret *string `json:"secret" doc:"Shown once, when it is new; null where there is none or it stays"`
}

// MerchantPage is a page of merchants.
type MerchantPage struct {
	Merchants  []MerchantView `json:"merchants" nullable:"false"`
	NextCursor *string        `json:"next_cursor" doc:"null at the end"`
}

// view shows a merchant; warnings come first from what the caller knows besides.
func (s *Service) view(m *store.Merchant, sending store.Sending, warnings ...string) MerchantView {
	now := s.Now()
	full := *m
	if prof, known := profile.ByName(m.Profile); known {
		full = profile.Defaults(prof, m)
		warnings = append(warnings, profile.Warnings(prof, m)...)
	}
	warnings = append(warnings, probeWarnings(m.Probe)...)
	tls := s.tlsView(m)
	warnings = append(warnings, tlsWarnings(tls, now)...)
	v := MerchantView{
		MchID: full.MchID, Name: full.Name, Profile: full.Profile, NotifyURL: full.NotifyURL,
		SignType: full.SignType, AppID: full.AppID, Charset: full.Charset, Schedule: full.Schedule,
		Ack: ackView(full.Ack), MaxInflight: cmp.Or(full.MaxInflight, s.MaxInflightDefault),
		RatePerSecond: full.RatePerSecond, Options: full.Options, State: "active",
		TLS: tls, Headers: headersView(m),
		Probe: probeView(m.Probe), CreatedAt: Time{full.CreatedAt}, Warnings: append([]string{}, warnings...),
	}
	if m.PausedAt(now) {
		v.State, v.PausedReason, v.PausedUntil = "paused", orNil(m.PausedReason), timeOrNil(m.PausedUntil)
	}
	v.HeldReason = orNil(heldReason(sending, m, now))
	return v
}

// viewFor leaves out what a merchant that looks at itself is not shown: the headers are the platform's, and
// so are the words of who paused it.
func viewFor(ctx context.Context, v MerchantView) MerchantView {
	if throughPortal(ctx) {
		v.Headers, v.PausedReason = map[string]string{}, nil
	}
	return v
}

// heldReason is why a merchant's lane is closed: the first that applies.
func heldReason(sending store.Sending, m *store.Merchant, now time.Time) string {
	if sending.Paused {
		return store.HeldSendingPaused
	}
	return m.HeldReason(now)
}

func ackView(a store.Ack) AckView {
	v := AckView{
		Match: a.Match, Text: a.Text, Path: a.Path, Status: []AckStatus{},
		Lenient: append([]store.Reason{}, a.Lenient...),
	}
	for _, code := range a.Status {
		v.Status = append(v.Status, AckStatus(code))
	}
	return v
}

// publicKeys shows a key's public half.
func publicKeys(k *store.Key) (v MerchantKeys) {
	if k == nil {
		return v
	}
	v.PublicKey, v.Certificate, v.Serial = orNil(k.PublicKey), orNil(k.Certificate), orNil(k.Serial)
	v.Whpk = orNil(k.Whpk)
	if block, _ := pem.Decode([]byte(k.PublicKey)); block != nil {
		v.PublicKeyBase64 = orNil(base64.StdEncoding.EncodeToString(block.Bytes))
	}
	return v
}
