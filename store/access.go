package store

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strings"
	"time"
)

// Limits of what is kept about access, and of marks.
const (
	KeysMax       = 10_000    // API keys, revoked ones too: all of them may lie in memory
	AuditBytesMax = 256 << 10 // of the texts of one audit entry: as much as a request may have
	MarkBytesMax  = 64 << 10  // of a mark
	MarkNameMax   = 64        // bytes of a mark's name

	auditBackMax = time.Second // how far the store's clock is held back from going back in the audit log
)

// Errors that have to do with API keys.
var (
	ErrNoKey   = errors.New("API key not found")
	ErrKeysMax = fmt.Errorf("there are %d API keys, and none of them is revoked: revoke one", KeysMax)
)

// APIKey is the right to use the API, as far as it is kept: nothing of it opens a door. Values handed out by
// a Store are shared: treat Digest as read-only.
type APIKey struct {
	ID        string    // 8 characters of [0-9a-z], public
	Name      string    // what people call it
	Role      string    // what it may do; the API's business
	MchID     string    // the only merchant that it is for; empty = all
	Digest    []byte    // SHA-256 of the secret part; never shown
	CreatedAt time.Time // the store's to fill
	ExpiresAt time.Time `json:",omitzero"` // not taken from then on; zero = never
	RevokedAt time.Time `json:",omitzero"` // zero = live
}

// Created is the key as a store keeps it that creates it at an instant: live, instants in UTC and to the
// microsecond.
func (k APIKey) Created(at time.Time) APIKey {
	k.CreatedAt, k.RevokedAt = micros(at), time.Time{}
	if !k.ExpiresAt.IsZero() {
		k.ExpiresAt = micros(k.ExpiresAt)
	}
	return k
}

// Live reports whether the key may be used at now: neither revoked nor expired.
func (k *APIKey) Live(now time.Time) bool {
	return k.RevokedAt.IsZero() && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// SortKeys puts keys into the order of Store.Keys, oldest first.
func SortKeys(ks []APIKey) {
	sort.Slice(ks, func(i, j int) bool {
		return cmp.Or(ks[i].CreatedAt.Compare(ks[j].CreatedAt), cmp.Compare(ks[i].ID, ks[j].ID)) < 0
	})
}

// FirstRevoked is the ID of the key that was revoked before all others, empty when none is revoked. It is the
// one to forget when there is no room for another.
func FirstRevoked(ks []APIKey) string {
	first := APIKey{}
	for _, k := range ks {
		earlier := cmp.Or(k.RevokedAt.Compare(first.RevokedAt), cmp.Compare(k.ID, first.ID)) < 0
		if !k.RevokedAt.IsZero() && (first.ID == "" || earlier) {
			first = k
		}
	}
	return first.ID
}

// AuditEntry is what somebody did, or tried to do, to what the engine keeps.
//
// Sum chains it to the entry before it: whoever changes, removes, inserts or moves an entry must change every
// Sum behind it too. The chain alone cannot tell that entries at the end are missing, nor that all of it was
// made anew: that takes a Sum noted elsewhere. The last entry's Sum, which the API shows, stands for
// everything up to there.
type AuditEntry struct {
	Seq       int64           // the store's, from 1, no gaps
	At        time.Time       // the store's, in UTC, to the microsecond
	Actor     string          // key id, "admin", "local", "system"
	Source    string          // IP address, empty for the system
	Action    string          // "merchant.create", …
	Object    string          // "merchant/m1", …
	Before    json.RawMessage // secrets as fingerprints; null where there is nothing
	After     json.RawMessage // likewise
	RequestID string
	Result    string   // "ok" or the problem's slug
	Sum       [32]byte // see Chain
}

// Ready is the entry in the form in which it is kept and shown: texts are UTF-8, Before and After compact
// JSON as encoding/json writes it. It fails when one of them is no JSON, or when all is larger than
// AuditBytesMax.
func (e AuditEntry) Ready() (AuditEntry, error) {
	size := 0
	for _, text := range []*string{&e.Actor, &e.Source, &e.Action, &e.Object, &e.RequestID, &e.Result} {
		*text = strings.ToValidUTF8(*text, "\uFFFD")
		size += len(*text)
	}
	for _, text := range []*json.RawMessage{&e.Before, &e.After} {
		valid, err := compact(bytes.ToValidUTF8(*text, []byte("\uFFFD")))
		if err != nil {
			return e, fmt.Errorf("audit entry %q: before and after are to be JSON: %w", e.Action, err)
		}
		*text = valid
		size += len(valid)
	}
	if size > AuditBytesMax {
		return e, fmt.Errorf("audit entry %q: %d bytes are too many, at most %d: leave out of before and after "+
			"what has not changed", e.Action, size, AuditBytesMax)
	}
	return e, nil
}

// compact is JSON without white space; nothing is null.
func compact(text json.RawMessage) (json.RawMessage, error) {
	if len(text) == 0 {
		text = nil // as json.RawMessage has it
	}
	return json.Marshal(text)
}

// StoredJSON is a text that was stored as JSON, also when somebody has spoilt it: then it is shown as a
// string, and the chain breaks there.
func StoredJSON(text string) json.RawMessage {
	if json.Valid([]byte(text)) {
		return json.RawMessage(text)
	}
	shown, _ := json.Marshal(text) // never fails
	return shown
}

// Follow is the entry as it stands in the log behind another one, of which Seq, At and Sum count; behind the
// zero one it is the first. The clock of the log does not go back, unless by more than a second: then
// somebody has set it, and it is believed.
func (e AuditEntry) Follow(last *AuditEntry, at time.Time) AuditEntry {
	e.Seq, e.At = last.Seq+1, micros(at)
	if back := last.At.Sub(e.At); back > 0 && back <= auditBackMax {
		e.At = last.At
	}
	e.Sum = e.Chain(last.Sum)
	return e
}

// Chain is the Sum that an entry must have behind the entry with the given Sum; before the first entry there
// are 32 zero bytes. It is the SHA-256 of these bytes, one behind the other:
//
//	prev                             32 bytes
//	Seq                              8 bytes
//	At                               8 bytes: microseconds since 1970-01-01T00:00:00Z
//	Actor, Source, Action, Object,   each 8 bytes that say how many bytes it has, then these, in UTF-8
//	Before, After, RequestID, Result
//
// Numbers have their highest byte first. Before and After are compact JSON, members in the order in which the
// log has them; <, >, &, U+2028 and U+2029 are written as \u003c and so on; "null" where there is nothing.
func (e AuditEntry) Chain(prev [32]byte) [32]byte {
	b := make([]byte, 0, 512+len(e.Before)+len(e.After))
	b = append(b, prev[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.Seq)) //nolint:gosec // its bits
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMicro()))
	text := func(v string) {
		b = binary.BigEndian.AppendUint64(b, uint64(len(v)))
		b = append(b, v...)
	}
	value := func(v json.RawMessage) {
		if shown, err := compact(v); err == nil { // else it is not what was written, and the sum will say so
			v = shown
		}
		text(string(v))
	}
	text(e.Actor)
	text(e.Source)
	text(e.Action)
	text(e.Object)
	value(e.Before)
	value(e.After)
	text(e.RequestID)
	text(e.Result)
	return sha256.Sum256(b)
}

// VerifyChain checks entries that follow each other in the log; prev is the Sum of the one before the first
// of them, zero at the log's beginning. When the chain is not whole it tells the first Seq at which the entry
// is missing or is not what was written. It cannot know what should follow the last of them; see AuditEntry.
func VerifyChain(prev [32]byte, entries []AuditEntry) (at int64, ok bool) {
	if len(entries) == 0 {
		return 0, true
	}
	next := entries[0].Seq
	if prev == [32]byte{} {
		next = 1
	}
	for i := range entries {
		e := &entries[i]
		if e.Seq != next || e.Sum != e.Chain(prev) {
			return next, false
		}
		prev = e.Sum
		next++
	}
	return 0, true
}

// CheckMark tells what is wrong with a mark that is to be set, nil when nothing is.
func CheckMark(name, value string) error {
	switch {
	case name == "" || len(name) > MarkNameMax:
		return fmt.Errorf("mark %.80q: a name has 1 to %d bytes", name, MarkNameMax)
	case len(value) > MarkBytesMax:
		return fmt.Errorf("mark %q: %d bytes are too many, at most %d", name, len(value), MarkBytesMax)
	}
	return nil
}

// micros is an instant as it is kept.
func micros(at time.Time) time.Time { return time.UnixMicro(at.UnixMicro()).UTC() }
