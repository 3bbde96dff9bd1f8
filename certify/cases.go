package certify

import (
	"bytes"
	"context"
	"fmt"

	"paynotify/profile"
	"paynotify/store"
)

// A testCase sends one request or more, one after the other, until one of them is not answered as it must
// be.
type testCase struct {
	name    string
	about   string
	forgery bool // it asks whether signatures are verified
	topic   topic
	steps   []func(*session) (profile.Message, error)
	wants   func(*session, answer) bool
	why     string // what a wrong answer does to the merchant
}

// caseGood is named elsewhere: what the others mean depends on it.
const caseGood = "good"

// Where each case's payment stands in the run, at the end of its order number.
const (
	orderGood = 1 + iota
	orderTampered
	orderWrongKey
	orderCharset
	orderLate
	orderProbe
)

var cases = []testCase{
	{
		name: caseGood, about: "a rightly signed payment must be acknowledged", topic: topicAnswer,
		steps: steps(func(s *session) (profile.Message, error) {
			s.good = s.payment(orderGood, paid)
			return s.encode(s.good, s.keys)
		}),
		wants: takes,
		why:   "A rightly signed payment was not acknowledged: it would be sent again until the schedule ends.",
	},
	{
		name: "duplicate", about: "the same payment again must be acknowledged again", topic: topicOnce,
		steps: steps(func(s *session) (profile.Message, error) { return s.encode(s.good, s.keys) }),
		wants: takes,
		why: "A payment that is booked already was not acknowledged: whenever an acknowledgement is lost on its" +
			" way, the same notification comes again and again until the schedule ends.",
	},
	{
		name: "tampered", about: "a payment whose amount was changed must not be acknowledged", forgery: true,
		topic: topicVerify,
		steps: steps(func(s *session) (profile.Message, error) {
			msg, err := s.encode(s.payment(orderTampered, paid), s.keys)
			if err != nil {
				return msg, err
			}
			return tamper(msg, profile.SampleOf(s.Profile).Amount)
		}),
		wants: refuses,
		why: "The amount was changed after signing, and the payment was taken: whoever touches a notification" +
			" on its way sets the price.",
	},
	{
		name: "wrong_key", about: "a payment signed with another key must not be acknowledged", forgery: true,
		topic: topicVerify,
		steps: steps(func(s *session) (profile.Message, error) {
			return s.encode(s.payment(orderWrongKey, paid), s.others)
		}),
		wants: refuses,
		why:   "A stranger's signature was taken for the provider's: who learns the address can forge payments.",
	},
	{
		name: "wrong_charset", about: "bytes that are no UTF-8 must be answered cleanly", topic: topicCharset,
		steps: steps(func(s *session) (profile.Message, error) { return s.misspelt(orderCharset) }),
		wants: staysCalm,
		why: "Bytes of another charset brought the receiver down: such a notification is neither booked nor" +
			" refused, and comes again until the schedule ends.",
	},
	{
		name: "out_of_order", about: "a later state, then the earlier one: both must be acknowledged",
		topic: topicOrder,
		steps: steps(
			func(s *session) (profile.Message, error) { return s.encode(s.payment(orderLate, later), s.keys) },
			func(s *session) (profile.Message, error) { return s.encode(s.payment(orderLate, paid), s.keys) },
		),
		wants: takes,
		why: "Notifications of one order overtake each other, above all when one of them is retried. One was" +
			" not acknowledged, so it comes again until the schedule ends.",
	},
	{
		name: "probe", about: "a wrong signature must not be acknowledged", forgery: true, topic: topicVerify,
		steps: steps(func(s *session) (profile.Message, error) {
			return s.encode(s.payment(orderProbe, paid), s.keys.Probe())
		}),
		wants: refuses,
		why:   "A well-formed signature that fits nothing was taken: the signature is not verified.",
	},
}

func steps(list ...func(*session) (profile.Message, error)) []func(*session) (profile.Message, error) {
	return list
}

// Names lists the cases in their order.
func Names() []string {
	names := make([]string, len(cases))
	for i, c := range cases {
		names[i] = c.name
	}
	return names
}

// make makes one case.
func (s *session) make(ctx context.Context, c testCase) (Result, error) {
	res := Result{Case: c.name, About: c.about}
	switch {
	case c.forgery && !s.signed:
		res.Passed = true
		res.Skipped = "profile " + s.Profile.Name + " signs nothing, so nothing can be verified"
		res.Cure.Why = "Nothing is signed: whoever learns the address can forge a payment." +
			" Set options.header_signature to true, or take a profile that signs."
		return res, nil
	case s.unreachable != "":
		res.Skipped = "not sent: " + s.unreachable
		return res, nil
	}
	for i, build := range c.steps {
		msg, err := build(s)
		if err != nil {
			return res, fmt.Errorf("case %s: %w", c.name, err)
		}
		a := s.send(ctx, msg)
		if err := context.Cause(ctx); err != nil {
			return res, err
		}
		res.Verdict, res.Reason, res.Detail = a.Verdict, a.Reason, a.Detail
		res.Status, res.Reply = a.status, a.body[:min(len(a.body), store.ReplyBytesKept)]
		if res.Passed = c.wants(s, a); !res.Passed {
			if len(c.steps) > 1 {
				res.Detail = fmt.Sprintf("request %d of %d: %s", i+1, len(c.steps), res.Detail)
			}
			res.Cure = cureOf(s.Profile, c, a)
			break
		}
	}
	if c.name == caseGood {
		s.taken, s.unreachable = taken(res.Verdict, res.Reason), unreachable(res)
	}
	return res, nil
}

// unreachable says why there is no use in sending more; empty when there is.
func unreachable(res Result) string {
	switch res.Verdict {
	case store.DNSError, store.TLSError, store.Blocked:
		return "the address cannot be reached"
	case store.ConnectError, store.Timeout:
		switch res.Reason {
		case store.ConnRefused, store.Unreachable, store.TimeoutConnect, store.TimeoutTLS:
			return "the address cannot be reached"
		}
	}
	return ""
}

// taken reports whether a reply was meant as an acknowledgement, understood or not.
func taken(v store.Verdict, r store.Reason) bool {
	return v == store.Acked || v == store.Refused && r.NearMiss()
}

func takes(_ *session, a answer) bool { return a.Verdict == store.Acked }

// refuses wants a reply, and no yes: a merchant that hangs or breaks the connection has not refused.
func refuses(_ *session, a answer) bool {
	return a.status != 0 && a.Verdict != store.BadReply && !taken(a.Verdict, a.Reason)
}

// staysCalm wants any clean answer.
func staysCalm(s *session, a answer) bool {
	switch a.Verdict {
	case store.Acked, store.HTTP4xx, store.Refused:
		return !isPage(a.body)
	case store.HTTP5xx:
		return byStatus(s.ack) && !isPage(a.body)
	}
	return false
}

// byStatus reports whether merchants of the dialect say yes and no by the status alone.
func byStatus(ack store.Ack) bool { return ack.Match == "status" }

// pageMarks tell a page, a notice or a stack trace, in lower case.
var pageMarks = [][]byte{
	[]byte("<!doctype"), []byte("<html"), []byte("<body"),
	[]byte("<b>warning</b>"), []byte("<b>notice</b>"), []byte("<b>fatal error</b>"), []byte("<b>deprecated</b>"),
	[]byte("fatal error:"), []byte("stack trace"), []byte("traceback (most recent call last)"),
	[]byte("exception in thread"), []byte("\tat "), []byte("\n    at "), []byte("goroutine "),
}

// isPage reports whether a body is what a framework shows to people when something broke.
func isPage(body []byte) bool {
	low := bytes.ToLower(body)
	for _, mark := range pageMarks {
		if bytes.Contains(low, mark) {
			return true
		}
	}
	return false
}
