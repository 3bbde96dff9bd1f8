package sqlitestore

import (
	"encoding/binary"
	"encoding/hex"
	"time"

	"paynotify/store"
)

// record is an attempt with what the disk keeps beside it.
type record struct {
	store.Attempt

	prev  int64 // seq of the notification's attempt before; 0 = none
	state store.State
	next  time.Time // the notification's state and next instant after it
}

// pack packs attempts.data; times count from the notification's id.
func (a *record) pack(b []byte, nid int64, w *words) []byte {
	e := enc{b[:0]}
	e.byte(attemptVersion)
	e.uint(uint64(a.prev)) //nolint:gosec // never negative
	e.byte(number(states, a.state))
	e.time(a.next, nid)
	e.uint(uint64(a.N))    //nolint:gosec // counts
	e.uint(uint64(a.Send)) //nolint:gosec // counts
	e.bool(a.Charged)
	e.byte(number(triggers, a.Trigger))
	e.time(a.ScheduledAt, nid)
	e.time(a.StartedAt, nid)
	e.int(int64(a.Duration))
	e.uint(uint64(w.id(a.Verdict, a.Reason))) //nolint:gosec // never negative
	e.text(a.Detail)
	e.int(int64(a.Status))
	e.bytes(a.Reply)
	e.text(a.RemoteAddr)
	raw, err := hex.DecodeString(a.RequestSHA256)
	if err == nil && hex.EncodeToString(raw) == a.RequestSHA256 {
		e.byte(1)
		e.bytes(raw)
	} else {
		e.byte(0)
		e.text(a.RequestSHA256)
	}
	p := a.Phases
	for _, d := range [...]time.Duration{p.DNS, p.Connect, p.TLS, p.FirstByte, p.Body} {
		e.int(int64(d))
	}
	e.u32(sumOf(e.b))
	return e.b
}

// unpackRecord reads attempts.data.
func unpackRecord(b []byte, nid int64, w *words) (a record, err error) {
	if len(b) < 5 || b[0] != attemptVersion || sumOf(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return a, errDamaged
	}
	d := dec{b: b[1 : len(b)-4]}
	a.prev = int64(d.uint()) //nolint:gosec // checked by the sum
	a.state = states[min(int(d.byte()), len(states)-1)]
	a.next = d.time(nid)
	a.N, a.Send = d.count(), d.count()
	a.Charged = d.bool()
	a.Trigger = d.trigger()
	a.ScheduledAt, a.StartedAt = d.time(nid), d.time(nid)
	a.Duration = time.Duration(d.int())
	a.Verdict, a.Reason = w.text(int64(d.uint())) //nolint:gosec // checked by the sum
	a.Detail = d.text()
	a.Status = int(d.int())
	a.Reply = d.bytes()
	a.RemoteAddr = d.text()
	if d.byte() == 1 {
		a.RequestSHA256 = hex.EncodeToString(d.take(d.uint()))
	} else {
		a.RequestSHA256 = d.text()
	}
	p := &a.Phases
	for _, t := range [...]*time.Duration{&p.DNS, &p.Connect, &p.TLS, &p.FirstByte, &p.Body} {
		*t = time.Duration(d.int())
	}
	if d.bad {
		return a, errDamaged
	}
	return a, nil
}

// liveClaim is what the disk knows of a claim: enough to record it as an interrupted attempt.
type liveClaim struct {
	id        int64
	send      int
	trigger   store.Trigger
	scheduled time.Time
	claimed   time.Time
}

func (e *enc) claim(c *liveClaim) {
	e.uint(uint64(c.id))   //nolint:gosec // never negative
	e.uint(uint64(c.send)) //nolint:gosec // counts
	e.byte(number(triggers, c.trigger))
	e.time(c.scheduled, c.id)
	e.time(c.claimed, c.id)
}

func (d *dec) claim() (c liveClaim) {
	c.id = int64(d.uint()) //nolint:gosec // checked by the sum
	c.send, c.trigger = d.count(), d.trigger()
	c.scheduled, c.claimed = d.time(c.id), d.time(c.id)
	return c
}

// sealed closes a packed record with its checksum, opened checks it and takes it off.
func sealed(b []byte) []byte { return binary.BigEndian.AppendUint32(b, sumOf(b)) }

func opened(b []byte) ([]byte, error) {
	if len(b) < 4 || sumOf(b[:len(b)-4]) != binary.BigEndian.Uint32(b[len(b)-4:]) {
		return nil, errDamaged
	}
	return b[:len(b)-4], nil
}
