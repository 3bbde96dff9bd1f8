// Package profile knows how each payment provider writes, signs and judges: one file per provider.
//
// A profile is data and functions, not a class hierarchy. It reads no clock, no network and no globals: the
// instant of a send is a parameter and its nonces are derived, so that the same input gives the same bytes.
//
// Start reading at Profile, then at alipay.go, then at Judge in judge.go.
package profile

import (
	"time"

	"paynotify/store"
)

// Profile is one provider's wire habits.
type Profile struct {
	Name       string
	Summary    string   // one line for tables and help
	Method     string   // POST or GET
	SignTypes  []string // the first is the default; empty for an unsigned profile
	Key        KeyNeed
	NotifyType string    // default; empty = not sent when the caller gives none
	Schedule   string    // default, what retry.Parse takes
	Ack        store.Ack // default
	Charsets   []string  // the first is the default
	Options    []Option  // besides CommonOptions
	Reserved   []string  // parameter names that are ours alone, besides CommonReserved
	Adds       []string  // parameter names it sends besides params, which may replace them
	Headers    []string  // names of the headers it sends besides those of every request
	AllowQuery bool      // notify_url may carry a query without options.allow_query
	Unsigned   bool      // loudly marked wherever the merchant is shown
	Overlap    bool      // a message can carry the signatures of several keys, so that a rotation can overlap
	Secret     SecretRules

	// CheckParams finds what the dialect cannot carry, at accept. The common rules have been applied.
	CheckParams func(m *store.Merchant, n *store.Notification, ps Params) []Fault
	// Encode writes and signs the request of one send; callers want the function Encode, which adds the rest.
	Encode func(in Input) (Message, error)
	// Verify checks a captured request as the provider's real merchants do; see the function Verify.
	Verify func(req CapturedRequest, keys VerifyKeys) (Verification, error)
}

// KeyNeed says what a profile signs with.
type KeyNeed int

// What a profile may need.
const (
	KeyNone         KeyNeed = iota
	KeyRSA                  // key.private_key, RSA-2048 with e = 65537
	KeySecret               // key.secret
	KeyRSAAndSecret         // both: the secret encrypts
	KeyWebhook              // key.secret whsec_…, and key.private_key whsk_… for sign_type v1a
)

// SecretRules say which secrets a profile takes, besides one line of at most 256 bytes. The zero value takes
// them all.
type SecretRules struct {
	Generate func() string             // nil = 32 characters of [0-9a-z]
	Check    func(secret string) error // a *signer.KeyError, which holds nothing of the secret; nil = any
	Chars    int                       // how many the provider's own have; another number is warned of; 0 = any
}

// Option is one member of a merchant's options.
type Option struct {
	Name    string
	Values  []string // closed list, the first is the default; nil for booleans, lists and free text
	Bool    bool
	List    bool   // of strings
	Default string // of free text
	// Check says what is wrong with free text of one line, both texts empty when nothing is; nil takes any.
	Check func(text string) (message, cure string)
	Doc   string // one line
}

// Input is all that one send depends on.
type Input struct {
	Notification *store.Notification
	Merchant     *store.Merchant
	Keys         *Keys
	Now          time.Time
}

// Message is the encoded, signed request of one send.
type Message struct {
	Method string
	Query  string   // appended to the notify_url's query; empty = nothing
	Header []Header // in this order, in this letter case; the client adds its own; shared: read-only
	Body   []byte
	// StringToSign is what was signed, for people who compare; nil when nothing was.
	StringToSign []byte
}

// Header is one header line. Its letter case is kept: some verifiers look for exactly it.
type Header struct{ Name, Value string }

// Fault is one thing wrong with what a caller gave, with its cure.
type Fault struct {
	Location string // as in the API's problems: body.params.NAME, body.key.private_key
	Message  string
	Cure     string
	Slug     string // problem type when not the general one: "reserved-parameter"; usually empty
}
