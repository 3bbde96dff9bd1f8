package profile

import (
	"bytes"
	"fmt"
	"slices"

	"paynotify/store"
)

// Reply is what came back from a merchant, or what came instead.
type Reply struct {
	Status          int // 0 without a reply
	ContentType     string
	ContentEncoding string
	Body            []byte       // at most ReplyBytesMax
	Fault           store.Reason // what cut the exchange short; empty for a whole, clean reply
}

// ReplyBytesMax is how much of a reply is read. An acknowledgement has tens of bytes; what is longer is a
// page, and judging pages is how false acknowledgements come about.
const ReplyBytesMax = 4 << 10

// Judgement is what came of an attempt.
type Judgement struct {
	Verdict store.Verdict
	Reason  store.Reason
	Detail  string // one sentence about this very reply; may be empty
}

// Judge decides whether a reply is the acknowledgement that the merchant's rule (AckPolicy) waits for. The
// rule is strict, because a wrong yes loses a payment notice and a wrong no costs one duplicate: the status
// must be listed and the whole body must be the text. A text that merely occurs in a body never counts;
// where it was meant as an acknowledgement the reason says what went wrong.
func Judge(ack store.Ack, r Reply) Judgement {
	if ack.Match == matchStatus {
		return judgeStatus(ack, r)
	}
	if j, done := judgeTransport(ack, r); done {
		return j
	}
	listed := statusIn(ack.Status, r.Status)
	switch {
	case r.Status >= 300 && r.Status < 400:
		detail := fmt.Sprintf("status %d; redirects are not followed", r.Status)
		return Judgement{store.HTTP3xx, store.Redirect, detail}
	case r.Status == 204 || r.Status == 205:
		return Judgement{store.Refused, store.AckEmpty, fmt.Sprintf("status %d carries no body", r.Status)}
	case encoded(r.ContentEncoding) && len(r.Body) > 0:
		if r.Status >= 400 {
			return Judgement{store.StatusVerdict(r.Status), store.HTTPStatus, fmt.Sprintf("status %d", r.Status)}
		}
		return Judgement{store.Refused, store.Encoded, encodedDetail(ack, r)}
	}
	switch matchBody(ack, r.Body) {
	case bodyExact:
		if listed {
			return Judgement{Verdict: store.Acked, Reason: store.AckExact}
		}
		return wrongStatus(ack, r)
	case bodyTrimmed:
		if listed {
			return Judgement{store.Acked, store.AckTrimmed, trimmedDetail(r.Body)}
		}
		return wrongStatus(ack, r)
	}
	return judgeMiss(ack, r, listed)
}

// judgeTransport judges what is no whole reply of a sensible status.
func judgeTransport(ack store.Ack, r Reply) (Judgement, bool) {
	switch {
	case r.Fault != "":
		verdict := store.VerdictOf(r.Fault)
		if verdict == "" || verdict == store.Acked { // not one of ours: a bug, and never an acknowledgement
			return Judgement{store.InternalError, store.Internal, "unknown fault " + quote(string(r.Fault))}, true
		}
		j := Judgement{Verdict: verdict, Reason: r.Fault}
		if len(r.Body) > 0 && matchBody(ack, r.Body) != bodyOther {
			j.Detail = "what came of the body is the acknowledgement, but the reply did not end cleanly"
		}
		return j, true
	case r.Status == 101:
		return Judgement{Verdict: store.BadReply, Reason: store.Upgrade}, true
	case r.Status < 200 || r.Status > 599:
		return Judgement{store.BadReply, store.Malformed, fmt.Sprintf("status %d", r.Status)}, true
	case len(r.Body) > ReplyBytesMax:
		return Judgement{Verdict: store.BadReply, Reason: store.TooLarge}, true
	}
	return Judgement{}, false
}

// judgeStatus judges by the head alone: a body that came broken does not matter once the head was whole.
func judgeStatus(ack store.Ack, r Reply) Judgement {
	switch r.Fault {
	case "", store.Truncated, store.TooLarge, store.TimeoutBody, store.Malformed:
		if r.Status >= 200 && r.Status <= 599 {
			break
		}
		fallthrough
	default:
		r.Body = nil
		j, _ := judgeTransport(ack, r)
		return j
	}
	detail := ""
	if !statusIn(ack.Status, r.Status) {
		detail = fmt.Sprintf("status %d; the merchant's rule takes %v", r.Status, ack.Status)
	}
	switch {
	case r.Status >= 300 && r.Status < 400:
		return Judgement{store.HTTP3xx, store.Redirect, detail}
	case detail == "":
		return Judgement{Verdict: store.Acked, Reason: store.AckExact}
	case r.Status < 300:
		return Judgement{store.Refused, store.AckStatus, detail}
	}
	return Judgement{store.StatusVerdict(r.Status), store.HTTPStatus, detail}
}

// wrongStatus judges the acknowledgement under a status that the rule does not list.
func wrongStatus(ack store.Ack, r Reply) Judgement {
	if lenient(ack, store.AckStatus) {
		return forgiven(store.AckStatus)
	}
	detail := fmt.Sprintf("the body is the acknowledgement, but the status is %d", r.Status)
	return Judgement{store.StatusVerdict(r.Status), store.AckStatus, detail}
}

// judgeMiss judges a body that is not the acknowledgement.
func judgeMiss(ack store.Ack, r Reply, listed bool) Judgement {
	if r.Status >= 400 && len(ack.Lenient) == 0 {
		return Judgement{store.StatusVerdict(r.Status), store.HTTPStatus, fmt.Sprintf("status %d", r.Status)}
	}
	reason, detail := classify(ack, r.Body)
	switch {
	case reason.NearMiss() && lenient(ack, reason):
		if listed {
			return forgiven(reason)
		}
		return wrongStatus(ack, r)
	case r.Status >= 400:
		return Judgement{store.StatusVerdict(r.Status), store.HTTPStatus, fmt.Sprintf("status %d", r.Status)}
	}
	return Judgement{store.Refused, reason, detail}
}

// forgiven is an acknowledgement by ack.lenient. Its reason is the one that acked has for replies that were
// not quite the text; the detail says which.
func forgiven(reason store.Reason) Judgement {
	return Judgement{store.Acked, store.AckTrimmed, "accepted by ack.lenient although it is " + string(reason)}
}

func lenient(ack store.Ack, reason store.Reason) bool {
	return slices.Contains(ack.Lenient, reason)
}

// bodyMatch says how a body compares with the acknowledgement.
type bodyMatch int

const (
	bodyOther   bodyMatch = iota
	bodyExact             // it is the acknowledgement
	bodyTrimmed           // with something forgiven round it
)

func matchBody(ack store.Ack, body []byte) bodyMatch {
	inner := trimAck(body)
	yes := false
	switch ack.Match {
	case matchExact:
		inner, yes = body, string(body) == ack.Text
	case matchTrim:
		yes = string(inner) == ack.Text
	case matchTrimFold:
		yes = equalFoldASCII(inner, ack.Text)
	case matchXML:
		code, err := returnCodeOf(inner)
		yes = err == nil && code == returnCode
	case matchJSONPath:
		text, ok := jsonAt(inner, ack.Path)
		yes = ok && text == ack.Text
	}
	switch {
	case !yes || len(inner) == 0:
		return bodyOther
	case len(inner) == len(body):
		return bodyExact
	}
	return bodyTrimmed
}

var utf8BOM = []byte("\xef\xbb\xbf")

// trimAck takes one UTF-8 byte order mark off the beginning, and ASCII white space off both ends, before and
// behind the mark: a PHP file saved with a BOM, or with a blank line before `<?php`, prints these first.
func trimAck(body []byte) []byte {
	body = trimSpace(body)
	if bytes.HasPrefix(body, utf8BOM) {
		body = trimSpace(body[len(utf8BOM):])
	}
	return body
}

// trimSpace takes ASCII white space off both ends, and nothing else: bytes.TrimSpace would take Unicode's.
func trimSpace(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// equalFoldASCII compares without regard to the case of ASCII letters. Unicode's folding would take ſ for s.
func equalFoldASCII(b []byte, text string) bool {
	if len(b) != len(text) {
		return false
	}
	for i, c := range b {
		if lower(c) != lower(text[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// trimmedDetail says what was forgiven. It allocates nothing: half of all merchants print a line end.
func trimmedDetail(body []byte) string {
	before := body[:len(body)-len(bytes.TrimLeft(body, "\xef\xbb\xbf \t\n\v\f\r"))]
	switch {
	case bytes.Contains(before, utf8BOM):
		return "a byte order mark stands before the acknowledgement"
	case len(before) > 0:
		return "white space stands before the acknowledgement"
	}
	return "white space stands behind the acknowledgement"
}
