package sqlitestore

import (
	"encoding/binary"
	"errors"
	"time"

	"paynotify/store"
	"paynotify/store/packed"
)

const (
	progVersion    = 1
	progMoved      = 2 // with the whole notify_id, of a notification that another store made; see moved.go
	bodyVersion    = 1
	attemptVersion = 1
	liveVersion    = 1

	randomChars = store.NotifyIDChars - 11 // of a notify_id, behind time and shard
)

// errDamaged says that a record cannot be what was written.
var errDamaged = errors.New("damaged record")

// states and triggers by their number on disk; never reordered.
var (
	states   = []store.State{store.Pending, store.Spent, store.Exhausted, store.Canceled, store.Quarantined}
	triggers = []store.Trigger{"", store.First, store.Retry, store.Resend, store.Replay}
)

func number[T comparable](list []T, v T) byte {
	for i, x := range list {
		if x == v {
			return byte(i)
		}
	}
	return 0
}

func readTrigger(d *packed.Reader) store.Trigger {
	i := int(d.Byte())
	if i >= len(triggers) {
		d.Bad = true
		return ""
	}
	return triggers[i]
}

// row is a notification as the writer handles it: the notification, and what only the disk knows of it.
type row struct {
	n       store.Notification
	id      int64
	mch     int64
	bodySum uint32
	lastSeq int64     // attempts.seq of its last attempt; 0 before
	finalAt time.Time // when it became exhausted, canceled or quarantined
	class   store.Class
	due     int64 // microseconds, as the due index has it; 0 = not in it
	said    int64
	moved   bool // its notify_id does not follow from the row id; see moved.go
}

// setDue computes what the due index has to say. A microsecond begun is waited for: never early.
func (r *row) setDue() {
	at, class := r.n.Due()
	r.class, r.due = class, 0
	if !at.IsZero() {
		r.due = (at.UnixNano() + 999) / 1000
	}
}

// prog packs the column of that name.
func (r *row) prog(b []byte, w *words) []byte {
	n := &r.n
	e := packed.Writer{B: b[:0]}
	if r.moved {
		e.Byte(progMoved)
		e.B = append(e.B, n.NotifyID...)
	} else {
		e.Byte(progVersion)
		e.B = append(e.B, n.NotifyID[store.NotifyIDChars-randomChars:]...)
	}
	e.U32(r.bodySum)
	var flags byte
	for i, on := range []bool{n.ResendForce, n.Blocked, n.Shrunk} {
		if on {
			flags |= 1 << i
		}
	}
	e.Byte(flags)
	e.Byte(number(triggers, n.Resend))
	e.Uint(uint64(n.NotifyCount))  //nolint:gosec // counts
	e.Uint(uint64(n.AttemptCount)) //nolint:gosec // counts
	e.Uint(uint64(r.lastSeq))      //nolint:gosec // never negative
	e.Uint(uint64(n.Streak.Count)) //nolint:gosec // counts
	if n.Streak.Count != 0 || n.Streak.Reason != "" {
		e.Uint(uint64(w.id("", n.Streak.Reason))) //nolint:gosec // never negative
		e.Time(n.Streak.Since, r.id)
	} else {
		e.Byte(0)
		e.Byte(0)
	}
	for _, t := range [...]time.Time{n.NextAt, n.PlannedAt, n.LastAt, n.SpentAt, n.ResendAt, r.finalAt} {
		e.Time(t, r.id)
	}
	e.U32(r.sum(e.B))
	return e.B
}

// sum covers the row: prog without the sum, and the columns beside it. It is what keeps a flipped bit from
// making a spent notification pending again.
func (r *row) sum(prog []byte) uint32 {
	var cols [40]byte
	binary.BigEndian.PutUint64(cols[0:], uint64(r.id))    //nolint:gosec // bits
	binary.BigEndian.PutUint64(cols[8:], uint64(r.mch))   //nolint:gosec // bits
	binary.BigEndian.PutUint64(cols[16:], uint64(r.due))  //nolint:gosec // bits
	binary.BigEndian.PutUint64(cols[24:], uint64(r.said)) //nolint:gosec // bits
	cols[32] = number(states, r.n.State)
	if r.due != 0 {
		cols[33] = byte(r.class) + 1 //nolint:gosec // one of three
	}
	if r.n.Blocked {
		cols[34] = 1
	}
	return packed.Extend(packed.Update(packed.Sum(prog), cols[:]), r.n.OutTradeNo)
}

// unpack reads prog into the row, whose columns are set. A row that is not what was written is errDamaged,
// with as much of it as could be read.
func (r *row) unpack(prog []byte, w *words) error {
	if len(prog) < 4 {
		return errDamaged
	}
	d := packed.Reader{B: prog[1 : len(prog)-4]}
	n := &r.n
	switch prog[0] {
	case progVersion:
		n.CreatedAt = time.UnixMicro(r.id).UTC()
		n.NotifyID = notifyID(r.id, string(d.Take(randomChars)))
	case progMoved:
		r.moved = true
		n.NotifyID = string(d.Take(store.NotifyIDChars))
		n.CreatedAt, _, _ = store.ParseID(n.NotifyID) // checked by the sum
	default:
		return errDamaged
	}
	r.bodySum = d.U32()
	flags := d.Byte()
	n.ResendForce, n.Blocked, n.Shrunk = flags&1 != 0, flags&2 != 0, flags&4 != 0
	n.Resend = readTrigger(&d)
	n.NotifyCount, n.AttemptCount = d.Count(), d.Count()
	r.lastSeq = int64(d.Uint()) //nolint:gosec // checked by the sum
	n.Streak.Count = d.Count()
	_, n.Streak.Reason = w.text(int64(d.Uint())) //nolint:gosec // checked by the sum
	n.Streak.Since = d.Time(r.id)
	for _, t := range [...]*time.Time{&n.NextAt, &n.PlannedAt, &n.LastAt, &n.SpentAt, &n.ResendAt, &r.finalAt} {
		*t = d.Time(r.id)
	}
	n.LastVerdict, n.LastReason = w.text(r.said)
	want := binary.BigEndian.Uint32(prog[len(prog)-4:])
	if d.Bad || len(d.B) != 0 || r.sum(prog[:len(prog)-4]) != want {
		return errDamaged
	}
	return nil
}

// notifyID puts a notify_id together again; see store.NewID.
func notifyID(us int64, random string) string {
	const digits = "0123456789abcdefghijklmnopqrstuvwxyz"
	var id [store.NotifyIDChars - randomChars]byte
	for i := len(id) - 2; i >= 0; i-- {
		id[i] = digits[us%36]
		us /= 36
	}
	id[len(id)-1] = digits[0]
	return string(id[:]) + random
}

// packBody packs what is frozen at accept and has no column of its own.
func packBody(n *store.Notification) []byte {
	size := 48 + len(n.Params) + len(n.Profile) + len(n.NotifyType) + len(n.NotifyURL) + len(n.Schedule) +
		len(n.ContentDigest) + len(n.TraceParent)
	e := packed.Writer{B: make([]byte, 0, size)}
	e.Byte(bodyVersion)
	e.Text(n.Profile)
	e.Text(n.NotifyType)
	e.Text(n.NotifyURL)
	e.Text(n.Schedule)
	e.Text(n.TraceParent)
	e.Bool(n.ContentDigest != nil)
	e.Bytes(n.ContentDigest)
	e.B = append(e.B, n.Params...)
	return e.B
}

// unpackBody fills in what packBody packed.
func unpackBody(b []byte, n *store.Notification) error {
	d := packed.Reader{B: b}
	if d.Byte() != bodyVersion {
		return errDamaged
	}
	n.Profile, n.NotifyType, n.NotifyURL = d.Text(), d.Text(), d.Text()
	n.Schedule, n.TraceParent = d.Text(), d.Text()
	known := d.Bool()
	n.ContentDigest = d.Bytes()
	if known && n.ContentDigest == nil {
		n.ContentDigest = []byte{}
	}
	if len(d.B) > 0 {
		n.Params = d.B
	}
	if d.Bad {
		return errDamaged
	}
	return nil
}

// bodySum covers everything that a merchant is sent: the packed body (its sum comes first, so that it can
// be computed before the id is known), the notify_id, the merchant and the order number.
func bodySum(ofBody uint32, n *store.Notification) uint32 {
	return packed.Extend(ofBody, n.NotifyID, n.MchID, n.OutTradeNo, n.IdempotencyKey)
}
