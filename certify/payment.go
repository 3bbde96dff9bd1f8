package certify

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// payment is what a dialect says about one: realistic enough for a receiver that looks at it. In params,
// {trade_no}, {time}, {ms}, {digits} and {rfc3339} are filled in, and {state} as the case needs it.
type payment struct {
	params string
	amount string // the name before the amount on the wire; empty where the amount is encrypted
	states states
}

// states are what {state} and notify_type are for a payment just made, and for something that happens to it
// later. An empty notify_type is the profile's default.
type states struct{ paid, later, laterType string }

// moment picks one of a payment's states.
type moment int

const (
	paid moment = iota
	later
)

var tradeStates = states{paid: "TRADE_SUCCESS", later: "TRADE_FINISHED"}

// simple is a payment of a dialect that has no word of its own here.
var simple = payment{
	params: `{"trade_no":"{trade_no}","trade_status":"{state}","total_amount":"88.88",` +
		`"subject":"测试订单 A&B","gmt_payment":"{time}"}`,
	amount: "total_amount", states: tradeStates,
}

// event is a payment of a dialect that sends typed events.
var event = payment{
	params: `{"trade_no":"{trade_no}","status":"{state}","amount":8888,"currency":"cny",` +
		`"subject":"测试订单 A&B"}`,
	amount: `"amount"`, states: states{paid: "succeeded", later: "refunded", laterType: "payment.refunded"},
}

// payments by profile; whoever is missing sends the simple one.
var payments = map[string]payment{
	"alipay": {
		params: `{"trade_no":"{trade_no}","out_biz_no":"","buyer_id":"2088102116773037",` +
			`"seller_id":"2088102119685838","trade_status":"{state}","total_amount":"88.88",` +
			`"receipt_amount":"88.88","invoice_amount":"88.88","buyer_pay_amount":"88.88","point_amount":"0.00",` +
			`"subject":"测试订单 A&B","body":"certify","gmt_create":"{time}","gmt_payment":"{time}"}`,
		amount: "total_amount", states: tradeStates,
	},
	"alipay_mapi": {
		params: `{"trade_no":"{trade_no}","payment_type":"1","subject":"测试订单 A&B","total_fee":"88.88",` +
			`"quantity":"1","seller_id":"2088102119685838","seller_email":"shop@example.com",` +
			`"buyer_id":"2088102116773037","buyer_email":"buyer@example.com","trade_status":"{state}",` +
			`"gmt_create":"{time}","gmt_payment":"{time}"}`,
		amount: "total_fee", states: tradeStates,
	},
	// WeChat Pay v2 and epay know only the payment made: their late notification is the same payment, told
	// by a second notification.
	"wechat_v2": {
		params: `{"transaction_id":"{trade_no}","openid":"oUpF8uMEb4qRXf22hE3X68TekukE","is_subscribe":"N",` +
			`"trade_type":"JSAPI","bank_type":"OTHERS","total_fee":8888,"fee_type":"CNY","cash_fee":8888,` +
			`"attach":"测试订单","time_end":"{digits}"}`,
		amount: "total_fee",
	},
	"epay": {
		params: `{"trade_no":"{trade_no}","type":"alipay","name":"测试订单 A&B","money":"88.88"}`,
		amount: "money",
	},
	"wechat_v3": {
		params: `{"transaction_id":"{trade_no}","trade_type":"JSAPI","trade_state":"{state}",` +
			`"trade_state_desc":"支付成功","bank_type":"OTHERS","attach":"测试订单","success_time":"{rfc3339}",` +
			`"payer":{"openid":"oUpF8uMEb4qRXf22hE3X68TekukE"},"amount":{"total":8888,"payer_total":8888,` +
			`"currency":"CNY","payer_currency":"CNY"}}`,
		states: states{paid: "SUCCESS", later: "REFUND"},
	},
	"jeepay": {
		params: `{"payOrderId":"P{trade_no}","ifCode":"alipay","wayCode":"ALI_QR","amount":8888,` +
			`"currency":"cny","state":"{state}","clientIp":"127.0.0.1","subject":"测试订单 A&B",` +
			`"channelOrderNo":"{trade_no}","createdAt":{ms},"successTime":{ms}}`,
		amount: "amount", states: states{paid: "2", later: "5"}, // paid, refunded
	},
	"standard": event,
	"stripe":   event,
}

func paymentOf(p *profile.Profile) payment {
	if own, ok := payments[p.Name]; ok {
		return own
	}
	return simple
}

// beijing is where the providers' clocks stand.
var beijing = time.FixedZone("CST", 8*60*60)

// payment makes the notification of an order of this run. Every call is a notification of its own.
func (s *session) payment(order int, at moment) *store.Notification {
	now := s.now()
	p := paymentOf(s.Profile)
	state, notifyType := p.states.paid, s.Profile.NotifyType
	if at == later {
		state = p.states.later
		if p.states.laterType != "" {
			notifyType = p.states.laterType
		}
	}
	local := s.began.In(beijing)
	params := strings.NewReplacer(
		"{trade_no}", fmt.Sprintf("%s22001%013d%02d", local.Format("20060102"), s.began.UnixMilli(), order),
		"{state}", state,
		"{time}", local.Format(time.DateTime),
		"{ms}", fmt.Sprint(s.began.UnixMilli()),
		"{digits}", local.Format("20060102150405"),
		"{rfc3339}", local.Format(time.RFC3339),
	).Replace(p.params)
	return &store.Notification{
		NotifyID: store.NewID(now, order), MchID: s.Merchant.MchID, Profile: s.Profile.Name,
		NotifyType: notifyType, OutTradeNo: s.outTradeNo(order), Params: []byte(params), CreatedAt: now,
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
