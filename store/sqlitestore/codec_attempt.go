package sqlitestore

import (
	"encoding/hex"
	"time"

	"paynotify/store"
	"paynotify/store/packed"
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
	e := packed.Writer{B: b[:0]}
	e.Byte(attemptVersion)
	e.Uint(uint64(a.prev)) //nolint:gosec // never negative
	e.Byte(number(states, a.state))
	e.Time(a.next, nid)
	e.Uint(uint64(a.N))    //nolint:gosec // counts
	e.Uint(uint64(a.Send)) //nolint:gosec // counts
	e.Bool(a.Charged)
	e.Byte(number(triggers, a.Trigger))
	e.Time(a.ScheduledAt, nid)
	e.Time(a.StartedAt, nid)
	e.Int(int64(a.Duration))
	e.Uint(uint64(w.id(a.Verdict, a.Reason))) //nolint:gosec // never negative
	e.Text(a.Detail)
	e.Int(int64(a.Status))
	e.Bytes(a.Reply)
	e.Text(a.RemoteAddr)
	raw, err := hex.DecodeString(a.RequestSHA256)
	if err == nil && hex.EncodeToString(raw) == a.RequestSHA256 {
		e.Byte(1)
		e.Bytes(raw)
	} else {
		e.Byte(0)
		e.Text(a.RequestSHA256)
	}
	p := a.Phases
	for _, d := range [...]time.Duration{p.DNS, p.Connect, p.TLS, p.FirstByte, p.Body} {
		e.Int(int64(d))
	}
	// What follows may be missing; each field stands behind its number.
	if t := a.TLS; t != nil {
		e.Byte(fieldTLS)
		e.Text(t.Version)
		e.Text(t.Subject[:min(len(t.Subject), store.TLSSubjectBytesMax)])
		e.Int(t.NotAfter.Unix())
	}
	return packed.Seal(e.B)
}

// fieldTLS is the first field of an attempt that may be missing: records of older versions end before it.
const fieldTLS = 1

// unpackRecord reads attempts.data.
func unpackRecord(b []byte, nid int64, w *words) (a record, err error) {
	if len(b) < 5 || b[0] != attemptVersion {
		return a, errDamaged
	}
	if b, err = opened(b); err != nil {
		return a, err
	}
	d := packed.Reader{B: b[1:]}
	a.prev = int64(d.Uint()) //nolint:gosec // checked by the sum
	a.state = states[min(int(d.Byte()), len(states)-1)]
	a.next = d.Time(nid)
	a.N, a.Send = d.Count(), d.Count()
	a.Charged = d.Bool()
	a.Trigger = readTrigger(&d)
	a.ScheduledAt, a.StartedAt = d.Time(nid), d.Time(nid)
	a.Duration = time.Duration(d.Int())
	a.Verdict, a.Reason = w.text(int64(d.Uint())) //nolint:gosec // checked by the sum
	a.Detail = d.Text()
	a.Status = int(d.Int())
	a.Reply = d.Bytes()
	a.RemoteAddr = d.Text()
	if d.Byte() == 1 {
		a.RequestSHA256 = hex.EncodeToString(d.Take(d.Uint()))
	} else {
		a.RequestSHA256 = d.Text()
	}
	p := &a.Phases
	for _, t := range [...]*time.Duration{&p.DNS, &p.Connect, &p.TLS, &p.FirstByte, &p.Body} {
		*t = time.Duration(d.Int())
	}
	if len(d.B) > 0 && d.Byte() == fieldTLS {
		a.TLS = &store.TLSInfo{Version: d.Text(), Subject: d.Text(), NotAfter: time.Unix(d.Int(), 0).UTC()}
	}
	if d.Bad {
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

func packClaim(e *packed.Writer, c *liveClaim) {
	e.Uint(uint64(c.id))   //nolint:gosec // never negative
	e.Uint(uint64(c.send)) //nolint:gosec // counts
	e.Byte(number(triggers, c.trigger))
	e.Time(c.scheduled, c.id)
	e.Time(c.claimed, c.id)
}

func readClaim(d *packed.Reader) (c liveClaim) {
	c.id = int64(d.Uint()) //nolint:gosec // checked by the sum
	c.send, c.trigger = d.Count(), readTrigger(d)
	c.scheduled, c.claimed = d.Time(c.id), d.Time(c.id)
	return c
}

// opened is packed.Open with an error.
func opened(b []byte) ([]byte, error) {
	b, whole := packed.Open(b)
	if !whole {
		return nil, errDamaged
	}
	return b, nil
}
