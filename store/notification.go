package store

import (
	"encoding/json"
	"time"

	"paynotify/retry"
)

// Limits of one notification. They bound what a record can cost every reader after it.
const (
	OutTradeNoCharsMax = 64        // Alipay's and WeChat's own limit
	ReplyBytesKept     = 1 << 10   // of a reply, in the attempt; enough to see what a merchant printed
	TLSSubjectBytesMax = 256       // of a certificate's subject, in the attempt; a server may send kilobytes
	ParamsMax          = 200       // PHP's max_input_vars is 1000; real notifications carry about 40
	BodyBytesMax       = 256 << 10 // of one accepted request
)

// State says how a notification stands.
type State string

// A notification is born pending. Spent, exhausted, canceled and quarantined are final, with one exception:
// an acknowledgement makes any state spent. Nothing leaves spent.
const (
	Pending     State = "pending"     // owed: due, scheduled, held or in flight
	Spent       State = "spent"       // acknowledged; never sent again
	Exhausted   State = "exhausted"   // every send of its schedule was made, none acknowledged
	Canceled    State = "canceled"    // a person took it back
	Quarantined State = "quarantined" // its record is damaged, or three attempts in a row failed inside us
)

// States lists every state, in the order people read them.
var States = []State{Pending, Spent, Exhausted, Canceled, Quarantined}

// Final reports whether nothing is owed any more.
func (s State) Final() bool { return s != Pending }

// Trigger says why an attempt was made.
type Trigger string

// The schedule makes first and retry; a person makes resend (one) and replay (many).
const (
	First  Trigger = "first"
	Retry  Trigger = "retry"
	Resend Trigger = "resend"
	Replay Trigger = "replay"
)

// Triggers lists every trigger.
var Triggers = []Trigger{First, Retry, Resend, Replay}

// Manual reports whether a person asked for the send: it has no place in the schedule and is never charged.
func (t Trigger) Manual() bool { return t == Resend || t == Replay }

// Notification is one payment result owed to one merchant.
//
// The first group of fields is frozen when it is accepted and covered by the record's checksum. The second
// group is its progress, changed by the store alone, through Settle and its neighbours in state.go.
type Notification struct {
	NotifyID       string          // 26 characters of [0-9a-z], given by the store; sorts by time (see NewID)
	MchID          string          // the merchant, and the lane
	Profile        string          // name of the wire dialect
	NotifyType     string          // may be empty
	OutTradeNo     string          // the merchant's order number; may be empty; ≤ 64 characters
	Params         json.RawMessage // one JSON object, compact, members in the caller's order, numbers as written
	NotifyURL      string          // override of the merchant's notify_url; empty = the merchant's at each send
	Schedule       string          // what retry.Parse takes: a name or a list of waits
	IdempotencyKey string          // scoped to MchID; empty = none
	ContentDigest  []byte          // of the parsed request; nil without an idempotency key
	TraceParent    string          // W3C traceparent of the request that brought it; may be empty
	CreatedAt      time.Time       // given by the store, microseconds; unique in an embedded store

	State        State
	NotifyCount  int       // places of the schedule used up so far, by charged attempts
	AttemptCount int       // attempts settled so far, charged or not
	NextAt       time.Time // no send starts before it; zero in final states
	PlannedAt    time.Time // the instant the schedule planned that send for: NextAt, or earlier when a fault
	// of ours or a lost claim made it wait; the schedule counts from here
	LastAt      time.Time // start of the last attempt; zero before
	SpentAt     time.Time // zero unless spent
	LastVerdict Verdict   // of the last attempt; empty before
	LastReason  Reason    // of the last attempt; empty before
	InFlight    bool      // claimed: an attempt is being made
	Resend      Trigger   // Resend or Replay while a person's send is owed; empty otherwise
	ResendAt    time.Time // when that send is due
	ResendForce bool      // that send goes out though the notification is spent
	Blocked     bool      // held: the address of its own NotifyURL override was refused
	Streak      Streak    // the uncharged attempts since the last charged one
	Shrunk      bool      // Params and attempts were dropped by retention
}

// Send is the place in the schedule of the next scheduled send, from 1.
func (n *Notification) Send() int { return n.NotifyCount + 1 }

// Sends is how many sends the schedule has (notify_count_limit), 0 for a schedule that retry.Parse refuses.
func (n *Notification) Sends() int {
	s, err := retry.Parse(n.Schedule)
	if err != nil {
		return 0
	}
	return s.Sends()
}

// Streak counts uncharged attempts with one reason in a row; it sets how long the next one waits.
type Streak struct {
	Reason Reason    // empty when there is no streak
	Count  int       // attempts in a row
	Since  time.Time // start of the first of them
}

// Attempt is one POST and what came of it.
type Attempt struct {
	N             int       // from 1, over all attempts of the notification; given by the store
	Send          int       // place in the schedule, from 1; 0 for a person's send
	Charged       bool      // uses up its place in the schedule, and so counts in NotifyCount
	Trigger       Trigger   //
	ScheduledAt   time.Time // the instant it was planned for
	StartedAt     time.Time // by the store's clock
	Duration      time.Duration
	Verdict       Verdict
	Reason        Reason
	Detail        string // one technical sentence for an operator; no secrets, no query strings; may be empty
	Status        int    // HTTP status; 0 without a reply
	Reply         []byte // at most ReplyBytesKept bytes, as received
	RemoteAddr    string // ip:port; empty without a connection
	RequestSHA256 string // hex, of the body (for GET: of the request target); empty when nothing was built
	Phases        Phases
	TLS           *TLSInfo // nil where no server has shown a certificate; shared: read-only
}

// TLSInfo is what an attempt over TLS saw of the server.
type TLSInfo struct {
	Version  string    // "TLS 1.3"
	Subject  string    // of the certificate, as a distinguished name; at most TLSSubjectBytesMax bytes
	NotAfter time.Time // of the certificate, to the second; certificates without an end say the year 9999
}

// Phases says where the time of an attempt went; zero for a phase that did not happen.
type Phases struct {
	DNS, Connect, TLS, FirstByte, Body time.Duration
}

// Sending is the global switch.
type Sending struct {
	Paused bool
	Reason string
	Since  time.Time // zero when never switched
}
