package redisstore

import (
	"errors"
	"slices"
	"time"

	"paynotify/store"
	"paynotify/store/packed"
)

// A record is one string: the front, which scripts read and write as well, then three parts that only Go
// knows, each behind its length: the header (progress, written with every change), the body (frozen at
// accept, with a checksum) and the attempts, oldest first.
//
//	 0      version, 1
//	 1– 4   revision of the record, big end first
//	 5–10   token of the live claim, 0 without one
//	11–17   when it was claimed, microseconds since 1970
//	18      its store.Class as a digit, 0 without a claim
const (
	recordVersion = 1
	frontBytes    = 19

	revAt, tokenAt, claimedAt, classAt = 1, 5, 11, 18

	idRandomAt = store.NotifyIDChars - 15 // where the random part of a notify_id begins
)

var (
	// errDamaged says that a record cannot be what was written.
	errDamaged = errors.New("damaged record")
	// errNewer says that a record was written by a version after this one. It is left alone.
	errNewer = errors.New("record of a newer version of paynotify")
)

// record is a notification as Redis keeps it.
type record struct {
	n        store.Notification
	rev      uint32
	front    string // as read
	token    uint64 // of the live claim; 0 = not in flight
	claimed  int64  // microsecond of the live claim
	class    byte   // of the live claim, as a digit
	claim    claimed
	revision int64     // of the merchant when it was claimed; 0 = not known here
	finalAt  time.Time // when it became final; zero while pending
	attempts []entry
	bodyAt   int // where the body's length stands in raw
	raw      string
}

// claimed is what the live claim of a record is for. It is derived from the record, unless that was changed
// during the attempt.
type claimed struct {
	trigger   store.Trigger
	send      int
	scheduled time.Time
}

// entry is an attempt, with the notification's state and next instant after it.
type entry struct {
	store.Attempt

	state store.State
	next  time.Time
}

// Words by their number in records. Only ever appended to: a number that is not known was written by a
// newer version.
var (
	states   = []store.State{store.Pending, store.Spent, store.Exhausted, store.Canceled, store.Quarantined}
	triggers = []store.Trigger{"", store.First, store.Retry, store.Resend, store.Replay}
	verdicts = append([]store.Verdict{""}, store.Verdicts...)
	reasons  = append([]store.Reason{""}, store.Reasons...)
)

const base62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

func number[T comparable](list []T, v T) byte {
	return byte(max(0, slices.Index(list, v))) //nolint:gosec // the lists are short
}

func word[T any](r *packed.Reader, list []T) (v T) {
	i := int(r.Byte())
	if i >= len(list) {
		r.Bad = true
		return v
	}
	return list[i]
}

// Flags of a header.
const (
	flagForce = 1 << iota
	flagBlocked
	flagShrunk
	flagStreak
	flagClaim // the claim is written down, because the record was changed during the attempt
	flagFinalAt
)

func createdOf(notifyID string) int64 {
	at, _, err := store.ParseID(notifyID)
	if err != nil {
		return 0
	}
	return at.UnixMicro()
}

// header packs the progress of the notification, behind its length. Instants count from base, the
// microsecond of acceptance.
func (r *record) header(base int64) []byte {
	n := &r.n
	w := packed.Writer{B: make([]byte, 2, 96)}
	var flags byte
	for i, on := range []bool{
		n.ResendForce, n.Blocked, n.Shrunk, n.Streak != store.Streak{}, r.token != 0 && r.claim.trigger != "",
		!r.finalAt.IsZero(),
	} {
		if on {
			flags |= 1 << i
		}
	}
	w.Byte(flags)
	w.Byte(number(states, n.State))
	w.Byte(number(triggers, n.Resend))
	w.Byte(number(verdicts, n.LastVerdict))
	w.Byte(number(reasons, n.LastReason))
	w.Count(n.NotifyCount)
	w.Count(n.AttemptCount)
	for _, t := range [...]time.Time{n.NextAt, n.PlannedAt, n.LastAt, n.SpentAt, n.ResendAt} {
		w.Time(t, base)
	}
	if flags&flagFinalAt != 0 {
		w.Time(r.finalAt, base)
	}
	if flags&flagStreak != 0 {
		w.Byte(number(reasons, n.Streak.Reason))
		w.Count(n.Streak.Count)
		w.Time(n.Streak.Since, base)
	}
	if flags&flagClaim != 0 {
		w.Byte(number(triggers, r.claim.trigger))
		w.Count(r.claim.send)
		w.Time(r.claim.scheduled, base)
	}
	return lengthFirst(w.B)
}

// lengthFirst writes the length of what stands behind the first two bytes into them, as a varint.
func lengthFirst(b []byte) []byte {
	size := len(b) - 2
	if size < 0x80 {
		b[1] = byte(size) //nolint:gosec // 7 bits
		return b[1:]
	}
	b[0], b[1] = byte(size)|0x80, byte(size>>7) //nolint:gosec // 14 bits: records are far below 16 KiB
	return b
}

func (r *record) readHeader(h *packed.Reader, base int64) {
	n := &r.n
	flags := h.Byte()
	n.ResendForce, n.Blocked, n.Shrunk = flags&flagForce != 0, flags&flagBlocked != 0, flags&flagShrunk != 0
	n.State, n.Resend = word(h, states), word(h, triggers)
	n.LastVerdict, n.LastReason = word(h, verdicts), word(h, reasons)
	n.NotifyCount, n.AttemptCount = h.Count(), h.Count()
	for _, t := range [...]*time.Time{&n.NextAt, &n.PlannedAt, &n.LastAt, &n.SpentAt, &n.ResendAt} {
		*t = h.Time(base)
	}
	if flags&flagFinalAt != 0 {
		r.finalAt = h.Time(base)
	}
	if flags&flagStreak != 0 {
		n.Streak = store.Streak{Reason: word(h, reasons), Count: h.Count(), Since: h.Time(base)}
	}
	if flags&flagClaim != 0 {
		r.claim = claimed{trigger: word(h, triggers), send: h.Count(), scheduled: h.Time(base)}
	}
}

// packBody packs what is frozen at accept, behind its length and with its checksum at the end. A shrunk one
// has no parameters any more, nor what only a send needs.
func packBody(n *store.Notification) []byte {
	w := packed.Writer{B: make([]byte, 0, 96+len(n.Params))}
	w.Text(n.MchID)
	w.Text(n.OutTradeNo)
	w.Text(n.IdempotencyKey)
	w.Text(n.Profile)
	w.Text(n.NotifyType)
	w.Text(n.NotifyURL)
	w.Text(n.Schedule)
	w.Text(n.TraceParent)
	w.Bool(n.ContentDigest != nil)
	w.Bytes(n.ContentDigest)
	w.B = append(w.B, n.Params...)
	w.U32(packed.Extend(packed.Sum(w.B), n.NotifyID[idRandomAt:]))
	out := packed.Writer{B: make([]byte, 0, len(w.B)+3)}
	out.Bytes(w.B)
	return out.B
}

// readBody reads a body; a damaged one is read as far as it can be.
func (r *record) readBody(body []byte) error {
	n := &r.n
	if len(body) < 4 {
		return errDamaged
	}
	end := len(body) - 4
	sum := packed.Reader{B: body[end:]}
	whole := sum.U32() == packed.Extend(packed.Sum(body[:end]), n.NotifyID[idRandomAt:])
	b := packed.Reader{B: body[:end]}
	n.MchID, n.OutTradeNo, n.IdempotencyKey = b.Text(), b.Text(), b.Text()
	n.Profile, n.NotifyType, n.NotifyURL = b.Text(), b.Text(), b.Text()
	n.Schedule, n.TraceParent = b.Text(), b.Text()
	known := b.Bool()
	n.ContentDigest = b.Bytes()
	if known && n.ContentDigest == nil {
		n.ContentDigest = []byte{}
	}
	if len(b.B) > 0 {
		n.Params = b.B
	}
	if b.Bad || !whole {
		return errDamaged
	}
	return nil
}

// parseRecord reads a record. A damaged body is errDamaged, with as much of it as could be read.
func parseRecord(id, raw string) (*record, error) {
	if len(id) != store.NotifyIDChars || len(raw) < frontBytes {
		return nil, errDamaged
	}
	switch {
	case raw[0] > recordVersion:
		return nil, errNewer
	case raw[0] == 0:
		return nil, errDamaged
	}
	r := &record{
		rev: uint32(bigEndian(raw[revAt:tokenAt])), front: raw[:frontBytes], //nolint:gosec // four bytes
		token:   bigEndian(raw[tokenAt:claimedAt]),
		claimed: int64(bigEndian(raw[claimedAt:classAt])), //nolint:gosec // seven bytes
		class:   raw[classAt], raw: raw,
	}
	n := &r.n
	n.NotifyID = id
	base := createdOf(id)
	n.CreatedAt = time.UnixMicro(base).UTC()
	p := packed.Reader{B: []byte(raw[frontBytes:])}
	head := packed.Reader{B: p.Take(p.Uint())}
	r.readHeader(&head, base)
	r.bodyAt = len(raw) - len(p.B)
	body := p.Take(p.Uint())
	err := r.readBody(body)
	n.InFlight = r.token != 0
	if r.token != 0 && r.claim.trigger == "" {
		r.claim = r.purpose()
	}
	for len(p.B) > 0 && !p.Bad {
		a := packed.Reader{B: p.Take(p.Uint())}
		e := readEntry(&a, base)
		e.N = len(r.attempts) + 1
		r.attempts = append(r.attempts, e)
		p.Bad = p.Bad || a.Bad
	}
	if p.Bad || head.Bad {
		return r, errDamaged
	}
	return r, err
}

// purpose is what a claim of the record as it stands is for.
func (r *record) purpose() claimed {
	n := &r.n
	switch {
	case r.class == '0':
		return claimed{trigger: n.Resend, scheduled: n.ResendAt}
	case n.NotifyCount == 0:
		return claimed{trigger: store.First, send: 1, scheduled: n.PlannedAt}
	}
	return claimed{trigger: store.Retry, send: n.Send(), scheduled: n.PlannedAt}
}

// given is the live claim of the record, as it was given out.
func (r *record) given(lease time.Duration) store.Claim {
	at := time.UnixMicro(r.claimed).UTC()
	c := store.Claim{
		Notification: r.n, Token: r.token, MerchantRevision: r.revision, Send: r.claim.send,
		Trigger: r.claim.trigger, ScheduledAt: r.claim.scheduled, ClaimedAt: at, LeaseUntil: at.Add(lease),
	}
	return c
}

func bigEndian(b string) (v uint64) {
	for i := range len(b) {
		v = v<<8 | uint64(b[i])
	}
	return v
}

// frontOf writes a front.
func frontOf(rev uint32, token uint64, claimed int64, class byte) string {
	b := make([]byte, frontBytes)
	b[0] = recordVersion
	put := func(from, to int, v uint64) {
		for i := to - 1; i >= from; i-- {
			b[i] = byte(v)
			v >>= 8
		}
	}
	put(revAt, tokenAt, uint64(rev))
	put(tokenAt, claimedAt, token)
	put(claimedAt, classAt, uint64(claimed)) //nolint:gosec // microseconds since 1970
	b[classAt] = class
	return string(b)
}

// unclaimed is the front of a new record that nobody has claimed.
var unclaimed = frontOf(0, 0, 0, 0)
