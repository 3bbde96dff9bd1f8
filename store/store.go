package store

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that every Store returns, wrapped or not.
var (
	ErrNotFound     = errors.New("notification not found")
	ErrNoMerchant   = errors.New("merchant not found")
	ErrExists       = errors.New("merchant exists already")
	ErrHasPending   = errors.New("merchant has pending notifications")
	ErrAlreadySpent = errors.New("notification is spent already")
	ErrNotPending   = errors.New("notification is not pending")
	ErrShrunk       = errors.New("notification was shrunk by retention")
	ErrBadCursor    = errors.New("cursor is not one of ours")
	// ErrUnavailable says that the store cannot commit now. What it answered for has an unknown outcome.
	ErrUnavailable = errors.New("store unavailable")
	// ErrFull is an ErrUnavailable whose cause is a full disk or full memory.
	ErrFull error = fullError{}
)

type fullError struct{}

func (fullError) Error() string        { return "store unavailable: no space left" }
func (fullError) Is(target error) bool { return target == ErrUnavailable }

// AwakeLeaseMax is how long at most a lane that was woken, and that nobody runs, stays forgotten: what a lost
// wake costs. A lane named again while it still waits for a runner is harmless.
const AwakeLeaseMax = 15 * time.Second

// Store keeps notifications and merchants. It is the truth and the clock: what it has returned nil for
// survives a crash, and no other clock decides when something is due. Safe for concurrent use.
//
// The promises stand here in the order of package storetest, which checks each of them.
type Store interface {
	// Accept stores items durably, in order and in one commit, and answers one Accepted per item. NotifyID,
	// CreatedAt and the progress fields are the store's to fill. An item with an IdempotencyKey seen before
	// for its merchant is Replayed (same ContentDigest) or Conflict (another one), also inside one call; one
	// whose merchant is not there is NoMerchant. An item that asks for it is also claimed in the same write,
	// where its lane is open, has no due backlog, has tokens and is under its cap. The error is for all of
	// them: nothing is known about any.
	Accept(ctx context.Context, items []Incoming, lease time.Duration) ([]Accepted, error)

	// Claim gives out at most max due notifications of a lane, in lane order (see Class), within the lane's
	// cap over all nodes and its rate. Before it gives one out it verifies the record's checksum and
	// quarantines a damaged one. A closed lane gives nothing.
	Claim(ctx context.Context, lane string, max int, lease time.Duration) (Claims, error)

	// Settle records attempts and applies their outcomes, each atomically and fenced by its claim: an
	// outcome whose claim was lost changes nothing, except that an acknowledgement still makes the
	// notification spent (see Notification.SettleLate); that is no error, nor is a notification that is gone.
	// Settling frees the place in the lane.
	//
	// It answers which of these lanes have work now that nobody is awake for, and marks them awake as Wakes
	// does: whoever settles has them run. So a lane at its cap goes on as soon as one of its attempts ends.
	Settle(ctx context.Context, ss []Settlement) (ready []string, err error)

	// Wakes names lanes that have work now and that nobody is awake for, at most max, fairly, and marks them
	// awake until their run ends (a Claim whose Lane is not LaneMore) or AwakeLeaseMax has passed since the
	// last Claim. It also turns claims whose lease ran out into interrupted attempts, due again.
	Wakes(ctx context.Context, max int) (Wakes, error)

	// Get returns a notification with its attempts, oldest first, or ErrNotFound.
	Get(ctx context.Context, notifyID string) (Notification, []Attempt, error)

	// ByKey returns the notification that was accepted under this idempotency key of a merchant, which may
	// have been deleted since, or ErrNotFound.
	ByKey(ctx context.Context, mchID, idempotencyKey string) (Notification, error)

	// List returns notifications newest first, and the cursor of the next page, empty at the end. It fails
	// with ErrBadCursor.
	List(ctx context.Context, q Query) ([]Notification, string, error)

	// Attempts follows attempts in the order in which they were settled: those after the cursor (empty: from
	// now on), at most max, and the cursor to go on from. It fails with ErrBadCursor.
	Attempts(ctx context.Context, after string, max int) ([]Settled, string, error)

	// Resend asks for one send on a person's behalf; see Notification.AskResend for its errors. It fails with
	// ErrNoMerchant when the merchant was deleted.
	Resend(ctx context.Context, notifyID string, t Trigger, force bool) (Notification, error)

	// Cancel takes a pending notification back; see Notification.Cancel for its errors.
	Cancel(ctx context.Context, notifyID string) (Notification, error)

	// Survey is for looking at many at once.
	Survey

	// Stats counts without scanning.
	Stats(ctx context.Context) (Stats, error)

	// Prune deletes at most max notifications that became final before the given instants, with their
	// attempts, and reports how many.
	Prune(ctx context.Context, spentBefore, othersBefore time.Time, max int) (int, error)

	// CreateMerchant stores a new merchant (Revision and CreatedAt are the store's) or fails with ErrExists.
	CreateMerchant(ctx context.Context, m Merchant) (Merchant, error)
	// UpdateMerchant changes a merchant in one step; change may be called more than once and must not keep
	// what it is given. Its error is returned as it is. A lane that it opens is woken in time.
	UpdateMerchant(ctx context.Context, mchID string, change func(*Merchant) error) (Merchant, error)
	// Merchant returns a merchant or ErrNoMerchant. It is called for every accepted notification: cheap.
	Merchant(ctx context.Context, mchID string) (Merchant, error)
	// Merchants pages through all merchants by mch_id.
	Merchants(ctx context.Context, cursor string, limit int) ([]Merchant, string, error)
	// DeleteMerchant fails with ErrHasPending while anything is owed to the merchant, a person's send or one
	// in flight included. Its notifications stay readable.
	DeleteMerchant(ctx context.Context, mchID string) error

	// Sending reads, SetSending turns, the switch that stops all sending on every node. Since is the store's
	// to fill. While it is stopped no lane is woken and no claim given out; accepting goes on.
	Sending(ctx context.Context) (Sending, error)
	SetSending(ctx context.Context, s Sending) error

	// CreateKey stores a new API key, live (CreatedAt is the store's), or fails with ErrExists when the ID is
	// known. When there are KeysMax keys it forgets the one that was revoked first, and fails with ErrKeysMax
	// when none was.
	CreateKey(ctx context.Context, k APIKey) (APIKey, error)
	// Keys returns all API keys, oldest first, also those that were revoked.
	Keys(ctx context.Context) ([]APIKey, error)
	// RevokeKey ends a key for good, or fails with ErrNoKey; once more changes nothing. When it returns, this
	// Store gives the key out as revoked, and that of any other process does at most 100 ms later.
	RevokeKey(ctx context.Context, id string) (APIKey, error)
	// Key returns an API key, live or not, or ErrNoKey. It is called for every request: cheap. A key that
	// another process has created may be unknown for 100 ms.
	Key(ctx context.Context, id string) (APIKey, error)

	// Audit appends an entry to the audit log, durably: Seq, At and Sum are the store's. All processes append
	// to one log, whose entries follow each other without a gap. It keeps what AuditEntry.Ready makes of it, or
	// fails with that error. Nothing is ever deleted from the log.
	Audit(ctx context.Context, e AuditEntry) (AuditEntry, error)
	// AuditLog returns at most limit entries in their order, those with a Seq greater than after. When after is
	// -n these are the last n, as many as limit of them.
	AuditLog(ctx context.Context, after int64, limit int) ([]AuditEntry, error)

	// Mark returns a small text that the engine itself keeps under a name, such as how far it has read;
	// "" when it was never set.
	Mark(ctx context.Context, name string) (string, error)
	// SetMark sets a mark that is `was` until then; false when it is something else. It fails as CheckMark
	// does.
	SetMark(ctx context.Context, name, was, value string) (bool, error)

	// Now is the store's clock, as nearly as this process knows it. It never fails and never waits.
	Now() time.Time

	// Health says whether the store can commit now, and how durable what it commits is.
	Health(ctx context.Context) Health

	Close() error
}

// Incoming is a notification to accept.
type Incoming struct {
	Notification
	Want bool // also claim it, if its lane allows
}

// AcceptStatus says what became of an Incoming.
type AcceptStatus int

// What can become of an item.
const (
	New        AcceptStatus = iota // stored
	Replayed                       // stored before under the same idempotency key
	Conflict                       // the key belongs to another content
	NoMerchant                     // not stored: its merchant is not there
)

// Accepted is the answer to one Incoming.
type Accepted struct {
	Status    AcceptStatus
	NotifyID  string
	CreatedAt time.Time
	Claim     *Claim // set when the item was claimed as well
}

// Claim is the right to make one attempt.
type Claim struct {
	Notification

	Token            uint64 // fences the settlement
	MerchantRevision int64
	Send             int // place in the schedule, from 1; 0 for a person's send
	Trigger          Trigger
	ScheduledAt      time.Time
	ClaimedAt        time.Time // by the store's clock
	LeaseUntil       time.Time // by the store's clock
}

// LaneStatus says why a Claim gave out no more.
type LaneStatus int

// LaneMore leaves the lane awake: claim again, or have it woken. All others put it to sleep.
const (
	LaneIdle   LaneStatus = iota // nothing is due
	LaneMore                     // max was reached
	LaneCapped                   // all places of the lane are taken
	LaneRated                    // no tokens
	LaneHeld                     // closed
	LaneTight                    // what is due is held back by the breaker or a shrunken cap
)

// Claims is what a Claim gave out.
type Claims struct {
	Items       []Claim
	Lane        LaneStatus
	Next        time.Time // when the sleeping lane has work again; zero = unknown, or not before a change
	Quarantined []string  // notify_ids whose records turned out damaged
	Newer       int       // due ones left alone, because a newer version of paynotify wrote them
}

// Settlement asks to record one outcome.
type Settlement struct {
	NotifyID string
	MchID    string
	Token    uint64
	Outcome  Outcome
}

// Wakes is the answer to Wakes.
type Wakes struct {
	Lanes     []string
	Next      time.Time // when there may be more; zero = not before something is accepted or settled
	Now       time.Time // the store's clock
	Recovered int       // claims whose lease had run out
	Lost      int       // of Lanes: were marked awake, and nobody ran them: the queue lost the wake
}

// Query selects notifications. Zero fields select everything.
type Query struct {
	MchID       string
	OutTradeNo  string
	State       State
	Held        string // "true", "false" or one of HeldReasons
	Verdict     Verdict
	Reason      Reason
	CreatedFrom time.Time // inclusive
	CreatedTo   time.Time // exclusive
	Limit       int       // 1–500
	Cursor      string
}

// Settled is an attempt in the order of settlement.
type Settled struct {
	Attempt

	NotifyID   string
	MchID      string
	OutTradeNo string
	NotifyType string
	State      State // after it
	NextAt     time.Time
	Sends      int // notify_count_limit
}

// Stats are counts over everything.
type Stats struct {
	States        map[State]int
	Held          int
	Due           int       // due, not held, not in flight
	OldestDue     time.Time // zero when nothing is due
	InFlight      int
	PendingBySend map[int]int   // by the place in the schedule of the send that comes next
	Merchants     MerchantStats // by what an operator wants to know
}

// MerchantStats counts merchants: each in one of these.
type MerchantStats struct{ Active, Failing, Paused, BreakerOpen int }

// Health is how the store is.
type Health struct {
	Err         error // nil: it can commit
	Durable     bool  // an accepted notification survives the store's own restart
	FsyncAlways bool  // and a power failure
	Warnings    []string
}

// Backuper is a Store that can be copied while it works.
type Backuper interface {
	// Backup writes a consistent copy. A process started on the copy has sending paused.
	Backup(ctx context.Context, w io.Writer) error
}

// Shrinker is a Store whose spent notifications can be made small some time before they are deleted.
type Shrinker interface {
	// Shrink drops what only a send needs (parameters, attempts) of at most max notifications that became
	// spent before the given instant, and reports of how many.
	Shrink(ctx context.Context, spentBefore time.Time, max int) (int, error)
}

// DomainsMax bounds Divided.Domain.
const DomainsMax = 36

// Divided is a Store of which a part may fail while the others work.
type Divided interface {
	// Domain tells to which part a merchant belongs, from 0 and below DomainsMax.
	Domain(mchID string) int
}
