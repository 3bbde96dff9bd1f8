package certify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"paynotify/profile"
	"paynotify/store"
)

// moment picks one of a payment's states.
type moment int

const (
	paid moment = iota
	later
)

// payment makes the notification of an order of this run. Every call is a notification of its own.
func (s *session) payment(order int, at moment) *store.Notification {
	now := s.now()
	p := profile.SampleOf(s.Profile)
	state, notifyType := p.Paid, s.Profile.NotifyType
	if at == later {
		state = p.Later
		if p.LaterType != "" {
			notifyType = p.LaterType
		}
	}
	return &store.Notification{
		NotifyID: store.NewID(now, order), MchID: s.Merchant.MchID, Profile: s.Profile.Name,
		NotifyType: notifyType, OutTradeNo: s.outTradeNo(order),
		Params: p.Params(state, s.began, order), CreatedAt: now,
	}
}

func (s *session) outTradeNo(order int) string { return fmt.Sprintf("certify-%s-%d", s.id, order) }

// mark stands in an order number where bytes of another charset will be; they are 订单 in GBK.
const (
	mark     = "GBKGBK"
	gbkBytes = "\xb6\xa9\xb5\xa5"
)

// misspelt is a payment whose order number holds GBK where everything else says UTF-8, rightly signed. Where
// the encoder will not have it, it is put in behind the signature.
func (s *session) misspelt(order int) (profile.Message, error) {
	n := s.payment(order, paid)
	n.OutTradeNo = s.outTradeNo(order) + gbkBytes
	if msg, err := s.encode(n, s.keys); err == nil {
		return msg, nil
	}
	n.OutTradeNo = s.outTradeNo(order) + mark
	msg, err := s.encode(n, s.keys)
	if err != nil {
		return msg, err
	}
	bytesOnWire := gbkBytes
	if !bytes.ContainsAny(msg.Body, "{<") { // a form or a query
		bytesOnWire = "%B6%A9%B5%A5"
	}
	msg.Body = bytes.ReplaceAll(msg.Body, []byte(mark), []byte(bytesOnWire))
	msg.Query = strings.ReplaceAll(msg.Query, mark, bytesOnWire)
	return msg, nil
}

var errNoAmount = errors.New("there is no amount to change")

// tamper changes one digit of the amount, so that everything stays well-formed: the first digit behind its
// name. An amount that is encrypted is changed by a character of the ciphertext.
func tamper(msg profile.Message, amount string) (profile.Message, error) {
	if msg.Method == "GET" {
		query, err := tamperText([]byte(msg.Query), amount)
		msg.Query = string(query)
		return msg, err
	}
	var err error
	msg.Body, err = tamperText(msg.Body, amount)
	return msg, err
}

func tamperText(text []byte, amount string) ([]byte, error) {
	if amount == "" {
		amount = `"ciphertext":"`
	}
	at := bytes.Index(text, []byte(amount))
	if at < 0 {
		return nil, errNoAmount
	}
	at += len(amount)
	digit := bytes.IndexFunc(text[at:], func(r rune) bool { return r >= '1' && r <= '9' })
	if digit < 0 {
		return nil, errNoAmount
	}
	changed := bytes.Clone(text)
	if c := &changed[at+digit]; *c == '9' {
		*c = '8'
	} else {
		*c++
	}
	return changed, nil
}
