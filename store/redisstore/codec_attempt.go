package redisstore

import (
	"encoding/hex"
	"time"

	"paynotify/store"
	"paynotify/store/packed"
)

// detailBytesKept of the technical sentence of an attempt: a length of two bytes must do for the whole.
const detailBytesKept = 2 << 10

// pack packs an attempt behind its length; instants count from base. Its number is its place.
func (a *entry) pack(base int64) []byte {
	w := packed.Writer{B: make([]byte, 2, 160+len(a.Reply)+len(a.Detail))}
	w.Byte(number(states, a.state))
	w.Time(a.next, base)
	w.Count(a.Send)
	w.Bool(a.Charged)
	w.Byte(number(triggers, a.Trigger))
	w.Time(a.ScheduledAt, base)
	w.Time(a.StartedAt, base)
	w.Int(int64(a.Duration))
	w.Byte(number(verdicts, a.Verdict))
	w.Byte(number(reasons, a.Reason))
	w.Text(a.Detail[:min(len(a.Detail), detailBytesKept)])
	w.Int(int64(a.Status))
	w.Bytes(a.Reply[:min(len(a.Reply), store.ReplyBytesKept)])
	w.Text(a.RemoteAddr)
	raw, err := hex.DecodeString(a.RequestSHA256)
	if err == nil && hex.EncodeToString(raw) == a.RequestSHA256 {
		w.Bool(true)
		w.Bytes(raw)
	} else {
		w.Bool(false)
		w.Text(a.RequestSHA256)
	}
	p := a.Phases
	for _, d := range [...]time.Duration{p.DNS, p.Connect, p.TLS, p.FirstByte, p.Body} {
		w.Int(int64(d))
	}
	// What follows may be missing; each field stands behind its number.
	if t := a.TLS; t != nil {
		w.Byte(fieldTLS)
		w.Text(t.Version)
		w.Text(t.Subject[:min(len(t.Subject), store.TLSSubjectBytesMax)])
		w.Int(t.NotAfter.Unix())
	}
	return lengthFirst(w.B)
}

// fieldTLS is the first field of an attempt that may be missing: records of older versions end before it.
const fieldTLS = 1

func readEntry(r *packed.Reader, base int64) (a entry) {
	a.state = word(r, states)
	a.next = r.Time(base)
	a.Send, a.Charged, a.Trigger = r.Count(), r.Bool(), word(r, triggers)
	a.ScheduledAt, a.StartedAt = r.Time(base), r.Time(base)
	a.Duration = time.Duration(r.Int())
	a.Verdict, a.Reason = word(r, verdicts), word(r, reasons)
	a.Detail, a.Status = r.Text(), int(r.Int())
	a.Reply, a.RemoteAddr = r.Bytes(), r.Text()
	if r.Bool() {
		a.RequestSHA256 = hex.EncodeToString(r.Take(r.Uint()))
	} else {
		a.RequestSHA256 = r.Text()
	}
	p := &a.Phases
	for _, d := range [...]*time.Duration{&p.DNS, &p.Connect, &p.TLS, &p.FirstByte, &p.Body} {
		*d = time.Duration(r.Int())
	}
	if len(r.B) > 0 && r.Byte() == fieldTLS {
		a.TLS = &store.TLSInfo{Version: r.Text(), Subject: r.Text(), NotAfter: time.Unix(r.Int(), 0).UTC()}
	}
	return a
}
