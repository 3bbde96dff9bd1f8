package sqlitestore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"time"

	"paynotify/store"
)

// Records are packed by hand: version byte, fixed fields, varints, length-prefixed texts. JSON would cost
// more than the statement that writes it. Checksums are CRC-32C, which finds every error of up to 32 bits
// in a row; they guard against decay, not against people.

const (
	progVersion    = 1
	bodyVersion    = 1
	attemptVersion = 1
	liveVersion    = 1

	randomChars = store.NotifyIDChars - 11 // of a notify_id, behind time and shard
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errDamaged says that a record cannot be what was written.
var errDamaged = errors.New("damaged record")

// enc appends fields.
type enc struct{ b []byte }

func (e *enc) byte(v byte)    { e.b = append(e.b, v) }
func (e *enc) uint(v uint64)  { e.b = binary.AppendUvarint(e.b, v) }
func (e *enc) int(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *enc) u32(v uint32)   { e.b = binary.BigEndian.AppendUint32(e.b, v) }
func (e *enc) text(v string)  { e.uint(uint64(len(v))); e.b = append(e.b, v...) }
func (e *enc) bytes(v []byte) { e.uint(uint64(len(v))); e.b = append(e.b, v...) }

// time appends an instant, to the nanosecond, as its distance from the record's own; zero stays zero.
func (e *enc) time(t time.Time, base int64) {
	if t.IsZero() {
		e.uint(0)
		return
	}
	d := t.UnixNano() - base*1000
	e.uint(uint64(d<<1^d>>63) + 1) //nolint:gosec // zigzag
}

func (e *enc) bool(v bool) {
	if v {
		e.byte(1)
	} else {
		e.byte(0)
	}
}

// dec takes fields off; after the first that is not there everything is zero and bad is set.
type dec struct {
	b   []byte
	bad bool
}

func (d *dec) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	head := d.b[:n:n]
	d.b = d.b[n:]
	return head
}

func (d *dec) byte() byte {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *dec) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *dec) u32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *dec) count() int {
	v := d.uint()
	if v > math.MaxInt32 {
		d.bad = true
		return 0
	}
	return int(v)
}

func (d *dec) text() string { return string(d.take(d.uint())) }
func (d *dec) bool() bool   { return d.byte() == 1 }

// bytes copies: the record's buffer is not kept alive by a part of it.
func (d *dec) bytes() []byte {
	if b := d.take(d.uint()); len(b) > 0 {
		return append([]byte(nil), b...)
	}
	return nil
}

func (d *dec) time(base int64) time.Time {
	v := d.uint()
	if v == 0 {
		return time.Time{}
	}
	v--
	return time.Unix(0, base*1000+(int64(v>>1)^-int64(v&1))).UTC()
}

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

func (d *dec) trigger() store.Trigger {
	i := int(d.byte())
	if i >= len(triggers) {
		d.bad = true
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
	e := enc{b[:0]}
	e.byte(progVersion)
	e.b = append(e.b, n.NotifyID[store.NotifyIDChars-randomChars:]...)
	e.u32(r.bodySum)
	var flags byte
	for i, on := range []bool{n.ResendForce, n.Blocked, n.Shrunk} {
		if on {
			flags |= 1 << i
		}
	}
	e.byte(flags)
	e.byte(number(triggers, n.Resend))
	e.uint(uint64(n.NotifyCount))  //nolint:gosec // counts
	e.uint(uint64(n.AttemptCount)) //nolint:gosec // counts
	e.uint(uint64(r.lastSeq))      //nolint:gosec // never negative
	e.uint(uint64(n.Streak.Count)) //nolint:gosec // counts
	if n.Streak.Count != 0 || n.Streak.Reason != "" {
		e.uint(uint64(w.id("", n.Streak.Reason))) //nolint:gosec // never negative
		e.time(n.Streak.Since, r.id)
	} else {
		e.byte(0)
		e.byte(0)
	}
	for _, t := range [...]time.Time{n.NextAt, n.PlannedAt, n.LastAt, n.SpentAt, n.ResendAt, r.finalAt} {
		e.time(t, r.id)
	}
	e.u32(r.sum(e.b))
	return e.b
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
	sum := crc32.Update(crc32.Checksum(prog, castagnoli), castagnoli, cols[:])
	return crc32.Update(sum, castagnoli, []byte(r.n.OutTradeNo))
}

// unpack reads prog into the row, whose columns are set. A row that is not what was written is errDamaged,
// with as much of it as could be read.
func (r *row) unpack(prog []byte, w *words) error {
	if len(prog) < 4 || prog[0] != progVersion {
		return errDamaged
	}
	d := dec{b: prog[1 : len(prog)-4]}
	n := &r.n
	n.CreatedAt = time.UnixMicro(r.id).UTC()
	n.NotifyID = notifyID(r.id, string(d.take(randomChars)))
	r.bodySum = d.u32()
	flags := d.byte()
	n.ResendForce, n.Blocked, n.Shrunk = flags&1 != 0, flags&2 != 0, flags&4 != 0
	n.Resend = d.trigger()
	n.NotifyCount, n.AttemptCount = d.count(), d.count()
	r.lastSeq = int64(d.uint()) //nolint:gosec // checked by the sum
	n.Streak.Count = d.count()
	_, n.Streak.Reason = w.text(int64(d.uint())) //nolint:gosec // checked by the sum
	n.Streak.Since = d.time(r.id)
	for _, t := range [...]*time.Time{&n.NextAt, &n.PlannedAt, &n.LastAt, &n.SpentAt, &n.ResendAt, &r.finalAt} {
		*t = d.time(r.id)
	}
	n.LastVerdict, n.LastReason = w.text(r.said)
	want := binary.BigEndian.Uint32(prog[len(prog)-4:])
	if d.bad || len(d.b) != 0 || r.sum(prog[:len(prog)-4]) != want {
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
	e := enc{make([]byte, 0, size)}
	e.byte(bodyVersion)
	e.text(n.Profile)
	e.text(n.NotifyType)
	e.text(n.NotifyURL)
	e.text(n.Schedule)
	e.text(n.TraceParent)
	e.bool(n.ContentDigest != nil)
	e.bytes(n.ContentDigest)
	e.b = append(e.b, n.Params...)
	return e.b
}

// unpackBody fills in what packBody packed.
func unpackBody(b []byte, n *store.Notification) error {
	d := dec{b: b}
	if d.byte() != bodyVersion {
		return errDamaged
	}
	n.Profile, n.NotifyType, n.NotifyURL = d.text(), d.text(), d.text()
	n.Schedule, n.TraceParent = d.text(), d.text()
	known := d.bool()
	n.ContentDigest = d.bytes()
	if known && n.ContentDigest == nil {
		n.ContentDigest = []byte{}
	}
	if len(d.b) > 0 {
		n.Params = d.b
	}
	if d.bad {
		return errDamaged
	}
	return nil
}

// bodySum covers everything that a merchant is sent: the packed body (its sum comes first, so that it can
// be computed before the id is known), the notify_id, the merchant and the order number.
func bodySum(ofBody uint32, n *store.Notification) uint32 {
	sum := crc32.Update(ofBody, castagnoli, []byte(n.NotifyID))
	sum = crc32.Update(sum, castagnoli, []byte(n.MchID))
	sum = crc32.Update(sum, castagnoli, []byte{0})
	sum = crc32.Update(sum, castagnoli, []byte(n.OutTradeNo))
	sum = crc32.Update(sum, castagnoli, []byte{0})
	return crc32.Update(sum, castagnoli, []byte(n.IdempotencyKey))
}

func sumOf(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
