package dispatcher

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// errLate stops a request between the connection and its first byte.
var errLate = errors.New("the claim is too old to send on")

// errGate stops a request because results cannot be recorded now.
var errGate = errors.New("the store cannot record results")

// Deliver makes one attempt: gate, sign, POST, judge. It cannot fail: whatever happens is an Outcome. First
// send and retry are the same function. ctx done means "stop now": the attempt becomes an interrupted one.
func (d *Dispatcher) Deliver(ctx context.Context, h *held) store.Outcome {
	if err := d.mayStillSend(h); err != nil {
		return d.unsent(h, err)
	}
	card, err := d.cards.get(ctx, h)
	if err != nil {
		return d.internal(h, err)
	}
	started := h.now()
	d.metrics.lag(h, started)
	target, refused := d.target(h, card)
	if refused != nil {
		return d.plan(h, store.Attempt{
			StartedAt: started, Verdict: store.Blocked, Reason: store.AddressBlocked, Detail: refused.Error(),
		}, false, 0)
	}
	req, err := d.build(h, card, target, started)
	if err != nil {
		return d.internal(h, err)
	}
	result := d.Client.Do(ctx, &req.Request)
	var stale *store.Attempt
	if result.Fault == egress.Fault(store.ConnStale) && ctx.Err() == nil {
		stale = new(d.record(h, card, req, result, started))
		h.place(stale)
		started = h.now()
		req.Fresh = true
		result = d.Client.Do(ctx, &req.Request)
	}
	o := d.outcome(ctx, h, card, req, result, started)
	o.Stale = stale
	return o
}

// outcome is what the end of a request asks the store to do.
func (d *Dispatcher) outcome(
	ctx context.Context, h *held, c *card, req *request, r egress.Result, started time.Time,
) store.Outcome {
	switch {
	case !r.Wrote && (errors.Is(r.Err, errLate) || errors.Is(r.Err, errGate)):
		return d.unsent(h, r.Err)
	case ctx.Err() != nil && r.Fault != "":
		return h.Interrupt(h.now(), "interrupted by the shutdown of this process")
	}
	return d.plan(h, d.record(h, c, req, r, started), r.Ours, retryAfter(r, started))
}

// mayStillSend is asked before the dial and again when the connection is ready.
func (d *Dispatcher) mayStillSend(h *held) error {
	switch {
	case h.age() >= d.Timeout:
		return errLate
	case !d.gate.open(h.MchID):
		return errGate
	}
	return nil
}

// unsent is the outcome of a claim that came to nothing before the first byte.
func (d *Dispatcher) unsent(h *held, why error) store.Outcome {
	d.metrics.suppressed.staleLease.Inc()
	return h.Interrupt(h.now(), why.Error())
}

func (d *Dispatcher) internal(h *held, err error) store.Outcome {
	return d.plan(h, store.Attempt{
		StartedAt: h.now(), Verdict: store.InternalError, Reason: store.Internal, Detail: err.Error(),
	}, false, 0)
}

// request is an encoded send on its way out.
type request struct {
	egress.Request

	sha256 string
}

// target is where the send goes, or why it must not.
func (d *Dispatcher) target(h *held, c *card) (*egress.Target, *egress.URLError) {
	if h.NotifyURL != "" {
		return d.Rules.CheckURL(h.NotifyURL)
	}
	return c.target, c.refused
}

// build encodes and signs, immediately before the dial: receivers reject old timestamps.
func (d *Dispatcher) build(h *held, c *card, target *egress.Target, now time.Time) (*request, error) {
	began := time.Now()
	msg, err := profile.Encode(c.profile, profile.Input{
		Notification: &h.Notification, Merchant: &c.merchant, Keys: c.keys, Now: now,
	})
	d.metrics.signed(c.signType, time.Since(began), err)
	if err != nil {
		return nil, err
	}
	r := &request{Request: egress.Request{
		Pool: h.MchID, Target: target, TLS: c.tls, Query: msg.Query, Method: msg.Method, Body: msg.Body,
		Deadline: h.asked.Add(d.Timeout), HeadOnly: c.ack.Match == "status",
		BeforeWrite: func() error { return d.mayStillSend(h) },
	}}
	own := c.headersFor(target)
	r.Header = make([]egress.Header, 0, len(msg.Header)+len(own))
	for _, lines := range [...][]profile.Header{msg.Header, own} {
		for _, line := range lines {
			r.Header = append(r.Header, egress.Header(line))
		}
	}
	if faultPoints {
		r.Point = point
	}
	r.sha256 = msg.Digest(&r.Request)
	return r, nil
}

// record is the attempt as the timeline keeps it, but for its place in the schedule.
func (d *Dispatcher) record(
	h *held, c *card, req *request, r egress.Result, started time.Time,
) store.Attempt {
	a := store.Attempt{
		StartedAt: started, Duration: max(0, h.now().Sub(started)), Status: r.Status, RemoteAddr: r.RemoteAddr,
		RequestSHA256: req.sha256, Detail: r.Detail, Phases: store.Phases(r.Phases), TLS: tlsInfo(r.TLS),
	}
	j := profile.Judge(c.ack, profile.Reply{
		Status: r.Status, ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, Body: r.Body,
		Fault: store.Reason(r.Fault),
	})
	a.Verdict, a.Reason = j.Verdict, j.Reason
	if j.Detail != "" {
		a.Detail = j.Detail
	}
	// The reply has been judged as it came; what is kept holds no card number, as no store and no log may.
	reply := profile.MaskPAN(r.Body)
	a.Reply, a.Detail = reply[:min(len(reply), store.ReplyBytesKept)], profile.MaskPAN(a.Detail)
	return a
}

// tlsInfo is what the timeline keeps of the server's certificate, whose subject may say anything.
func tlsInfo(t *egress.TLSInfo) *store.TLSInfo {
	if t == nil {
		return nil
	}
	subject := strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(t.Subject, string(utf8.RuneError)))
	for len(subject) > store.TLSSubjectBytesMax {
		_, size := utf8.DecodeLastRuneInString(subject)
		subject = subject[:len(subject)-size]
	}
	return &store.TLSInfo{Version: t.Version, Subject: subject, NotAfter: t.NotAfter.UTC().Truncate(time.Second)}
}

// place gives an attempt its place in the schedule.
func (h *held) place(a *store.Attempt) {
	a.Send, a.Trigger, a.ScheduledAt = h.Send, h.Trigger, h.ScheduledAt
}

// retryAfterMax bounds what a header can say before it is compared with the schedule's own wait.
const retryAfterMax = 168 * time.Hour

// retryAfter is how long a 429 or 503 asks us to wait from the given instant; zero for none.
func retryAfter(r egress.Result, now time.Time) time.Duration {
	if r.RetryAfter == "" || (r.Status != 429 && r.Status != 503) {
		return 0
	}
	if s, err := strconv.ParseUint(r.RetryAfter, 10, 32); err == nil {
		return min(time.Duration(s)*time.Second, retryAfterMax)
	}
	for _, layout := range []string{time.RFC1123, time.RFC850, time.ANSIC} {
		if at, err := time.Parse(layout, r.RetryAfter); err == nil {
			return min(max(0, at.Sub(now)), retryAfterMax)
		}
	}
	return 0
}
