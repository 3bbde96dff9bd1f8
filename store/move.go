package store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"
)

// Moved is a notification with everything that a store keeps of it.
type Moved struct {
	Notification // never in flight: see Mover.Release

	Attempts []MovedAttempt // oldest first; N is the place in this list
	FinalAt  time.Time      // when it became final, as retention counts; may be zero for a spent one
}

// MovedAttempt is an attempt with what is kept beside it for Store.Attempts.
type MovedAttempt struct {
	Attempt

	State  State     // of the notification, after the attempt
	NextAt time.Time // likewise
}

// MovedMerchant is a merchant, or the name of a deleted one whose notifications are still there.
type MovedMerchant struct {
	Merchant

	Deleted bool // then only MchID is set
}

// Mover is a Store whose whole content can be read out and put in, while nobody serves it. Package migrate
// says in which order. What is not moved: the cursors of Attempts (one that is kept in a mark means nothing
// in another store), tokens of lanes, tokens of claims.
type Mover interface {
	Store

	// Release turns every live claim into an interrupted attempt, uncharged and due again: nobody serves the
	// store, so the process that had the claim is gone. It reports how many.
	Release(ctx context.Context) (int, error)

	// ExportMerchants pages through all merchants by mch_id, deleted ones included. The cursor of the next
	// page is empty at the end.
	ExportMerchants(ctx context.Context, cursor string, max int) ([]MovedMerchant, string, error)
	// Export pages through all notifications by notify_id, each once. A damaged one comes without its content:
	// shrunk, and quarantined unless it was spent. It fails when not even the notify_id can be read.
	Export(ctx context.Context, cursor string, max int) ([]Moved, string, error)

	// ImportMerchants stores merchants with their revisions and times. What is there already is replaced.
	ImportMerchants(ctx context.Context, ms []MovedMerchant) error
	// Import stores notifications durably, as they are. One that is there already is left alone. It fails
	// with ErrNoMerchant when a merchant was not imported first.
	Import(ctx context.Context, items []Moved) error
	// ImportKeys stores API keys with their times. What is there already is replaced.
	ImportKeys(ctx context.Context, ks []APIKey) error
	// ImportAudit appends entries to the audit log as they are, also where the chain is broken. Those that are
	// not behind its last one are there already, and left alone.
	ImportAudit(ctx context.Context, es []AuditEntry) error
	// Marks returns all marks by their names.
	Marks(ctx context.Context) (map[string]string, error)
	// Clear forgets every merchant, every notification, the switch, API keys, the audit log and all marks. The
	// texts of Meta stay.
	Clear(ctx context.Context) error

	// Meta returns a small text that belongs to the store as a whole, empty when there is none.
	Meta(ctx context.Context, name string) (string, error)
	// SetMeta stores it durably; an empty one is as good as none.
	SetMeta(ctx context.Context, name, value string) error
	// Metas returns all of them.
	Metas(ctx context.Context) (map[string]string, error)
}

// Names of the texts (see Mover.Meta) that mark a store that was moved, or is being moved.
const (
	MetaMovedTo   = "moved_to"   // on the source, when all is done: where its content is now
	MetaMigrating = "migrating"  // on the target, until all is there: where it comes from
	MetaMovingRun = "moving_run" // on both: which migration; whoever serves the source again takes it off
)

// MovedError says that the content of a store was moved away: to serve it would send everything twice.
type MovedError struct{ To string }

// Error names the store that has the content now.
func (e *MovedError) Error() string {
	return "its content was moved to " + e.To + ": serve that store; paynotify migrate brings it back"
}

// MigratingError says that a store is the unfinished target of a migration.
type MigratingError struct{ From string }

// Error names the source, which has the content still.
func (e *MigratingError) Error() string {
	return "it is only partly filled by a migration from " + e.From + ": run paynotify migrate again, or " +
		"serve that store"
}

// Rescue is what is moved of a damaged notification: what is needed to find it again. Nobody may send the
// rest. It depends on the record alone, so that the same damage reads the same twice.
func Rescue(notifyID, mchID string, state State) (Moved, error) {
	at, _, err := ParseID(notifyID)
	if err != nil {
		return Moved{}, err
	}
	m := Moved{FinalAt: at}
	m.NotifyID, m.MchID, m.CreatedAt, m.State = notifyID, mchID, at, state
	if state == Spent {
		m.SpentAt = at
	}
	m.Quarantine()
	m.Shrunk = true
	return m, nil
}

// CheckMarks returns a MovedError or a MigratingError when the marks of a store say that it must not be
// served.
func CheckMarks(meta func(name string) (string, error)) error {
	from, err := meta(MetaMigrating)
	if err != nil {
		return err
	}
	if from != "" {
		return &MigratingError{From: from}
	}
	to, err := meta(MetaMovedTo)
	if err != nil {
		return err
	}
	if to != "" {
		return &MovedError{To: to}
	}
	return nil
}

// Checksum is a sum over a store's content that depends neither on order nor on the kind of the store. It
// guards against loss and mistakes, not against people.
type Checksum struct{ high, low uint64 }

// String is 32 hexadecimal digits.
func (c Checksum) String() string { return fmt.Sprintf("%016x%016x", c.high, c.low) }

// add adds the first half of a record's SHA-256. Unlike with exclusive or, a record that is there twice does
// not vanish.
func (c *Checksum) add(record []byte) {
	sum := sha256.Sum256(record)
	c.high += binary.BigEndian.Uint64(sum[:8])
	c.low += binary.BigEndian.Uint64(sum[8:16])
}

// AddMerchant adds a merchant. It fails only for options that are no JSON.
func (c *Checksum) AddMerchant(m *MovedMerchant) error {
	if m.Deleted {
		c.add([]byte("deleted " + m.MchID))
		return nil
	}
	text, err := json.Marshal(&m.Merchant) // stores keep it so: times in UTC, maps in order
	if err != nil {
		return fmt.Errorf("merchant %s: %w", m.MchID, err)
	}
	c.add(append([]byte("merchant "), text...))
	return nil
}

// AddKey adds an API key.
func (c *Checksum) AddKey(k *APIKey) {
	w := canon{}
	w.texts("API key", k.ID, k.Name, k.Role, k.MchID, string(k.Digest))
	w.times(k.CreatedAt, k.ExpiresAt, k.RevokedAt)
	c.add(w.b)
}

// AddAudit adds an entry of the audit log.
func (c *Checksum) AddAudit(e *AuditEntry) {
	w := canon{b: make([]byte, 0, 512+len(e.Before)+len(e.After))}
	w.texts("audit", e.Actor, e.Source, e.Action, e.Object, string(e.Before), string(e.After), e.RequestID,
		e.Result, string(e.Sum[:]))
	w.ints(e.Seq)
	w.times(e.At)
	c.add(w.b)
}

// AddMark adds a mark.
func (c *Checksum) AddMark(name, value string) {
	w := canon{}
	w.texts("mark", name, value)
	c.add(w.b)
}

// Add adds a notification with its attempts.
func (c *Checksum) Add(m *Moved) {
	n := &m.Notification
	w := canon{b: make([]byte, 0, 512+len(n.Params)+256*len(m.Attempts))}
	w.texts("notification", n.NotifyID, n.MchID, n.Profile, n.NotifyType, n.OutTradeNo, string(n.Params),
		n.NotifyURL, n.Schedule, n.IdempotencyKey, string(n.ContentDigest), n.TraceParent, string(n.State),
		string(n.LastVerdict), string(n.LastReason), string(n.Resend), string(n.Streak.Reason))
	w.bools(n.ContentDigest != nil, n.InFlight, n.ResendForce, n.Blocked, n.Shrunk)
	w.ints(int64(n.NotifyCount), int64(n.AttemptCount), int64(n.Streak.Count))
	w.times(n.CreatedAt, n.NextAt, n.PlannedAt, n.LastAt, n.SpentAt, n.ResendAt, n.Streak.Since, m.FinalAt)
	for i := range m.Attempts {
		a := &m.Attempts[i]
		p := a.Phases
		w.texts("attempt", string(a.Trigger), string(a.Verdict), string(a.Reason), a.Detail, string(a.Reply),
			a.RemoteAddr, a.RequestSHA256, string(a.State))
		w.bools(a.Charged)
		w.ints(int64(a.N), int64(a.Send), int64(a.Duration), int64(a.Status), int64(p.DNS), int64(p.Connect),
			int64(p.TLS), int64(p.FirstByte), int64(p.Body))
		w.times(a.ScheduledAt, a.StartedAt, a.NextAt)
		if a.TLS != nil {
			w.texts("tls", a.TLS.Version, a.TLS.Subject)
			w.ints(a.TLS.NotAfter.Unix())
		}
	}
	c.add(w.b)
}

// canon writes fields so that no two records read the same.
type canon struct{ b []byte }

func (w *canon) texts(vs ...string) {
	for _, v := range vs {
		w.b = binary.AppendUvarint(w.b, uint64(len(v)))
		w.b = append(w.b, v...)
	}
}

func (w *canon) ints(vs ...int64) {
	for _, v := range vs {
		w.b = binary.AppendVarint(w.b, v)
	}
}

func (w *canon) bools(vs ...bool) {
	for _, v := range vs {
		if v {
			w.b = append(w.b, 1)
		} else {
			w.b = append(w.b, 0)
		}
	}
}

// times writes instants to the nanosecond; the zero Time, which has none, is told from 1970.
func (w *canon) times(ts ...time.Time) {
	for _, t := range ts {
		w.bools(!t.IsZero())
		if !t.IsZero() {
			w.ints(t.UnixNano())
		}
	}
}
