package profile

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Sample is a payment as a dialect tells of it: realistic enough for a receiver that looks at it.
type Sample struct {
	// Amount is the name before the amount on the wire; empty where the amount is encrypted.
	Amount string
	// Paid and Later are the states of a payment just made, and of what happens to it later.
	Paid, Later string
	// LaterType is the notify_type of the later one; empty = the profile's default.
	LaterType string

	// params have {trade_no}, {time}, {ms}, {digits} and {rfc3339} to be filled in, and {state}.
	params string
}

// SampleOf is the sample of a profile.
func SampleOf(p *Profile) Sample {
	if own, ok := samples[p.Name]; ok {
		return own
	}
	return simpleSample
}

// Params are the parameters of the n-th sample payment of a run that began at an instant; n is 0 to 99.
func (s *Sample) Params(state string, began time.Time, n int) json.RawMessage {
	local := began.In(beijing)
	return []byte(strings.NewReplacer(
		"{trade_no}", fmt.Sprintf("%s22001%013d%02d", local.Format("20060102"), began.UnixMilli(), n),
		"{state}", state,
		"{time}", local.Format(time.DateTime),
		"{ms}", fmt.Sprint(began.UnixMilli()),
		"{digits}", local.Format("20060102150405"),
		"{rfc3339}", local.Format(time.RFC3339),
	).Replace(s.params))
}

// simpleSample is a payment of a dialect that has no word of its own here.
var simpleSample = Sample{
	params: `{"trade_no":"{trade_no}","trade_status":"{state}","total_amount":"88.88",` +
		`"subject":"测试订单 A&B","gmt_payment":"{time}"}`,
	Amount: "total_amount", Paid: "TRADE_SUCCESS", Later: "TRADE_FINISHED",
}

// eventSample is a payment of a dialect that sends typed events.
var eventSample = Sample{
	params: `{"trade_no":"{trade_no}","status":"{state}","amount":8888,"currency":"cny",` +
		`"subject":"测试订单 A&B"}`,
	Amount: `"amount"`, Paid: "succeeded", Later: "refunded", LaterType: "payment.refunded",
}

// samples by profile; whoever is missing sends the simple one.
var samples = map[string]Sample{
	"alipay": {
		params: `{"trade_no":"{trade_no}","out_biz_no":"","buyer_id":"2088102116773037",` +
			`"seller_id":"2088102119685838","trade_status":"{state}","total_amount":"88.88",` +
			`"receipt_amount":"88.88","invoice_amount":"88.88","buyer_pay_amount":"88.88","point_amount":"0.00",` +
			`"subject":"测试订单 A&B","body":"sample","gmt_create":"{time}","gmt_payment":"{time}"}`,
		Amount: "total_amount", Paid: "TRADE_SUCCESS", Later: "TRADE_FINISHED",
	},
	"alipay_mapi": {
		params: `{"trade_no":"{trade_no}","payment_type":"1","subject":"测试订单 A&B","total_fee":"88.88",` +
			`"quantity":"1","seller_id":"2088102119685838","seller_email":"shop@example.com",` +
			`"buyer_id":"2088102116773037","buyer_email":"buyer@example.com","trade_status":"{state}",` +
			`"gmt_create":"{time}","gmt_payment":"{time}"}`,
		Amount: "total_fee", Paid: "TRADE_SUCCESS", Later: "TRADE_FINISHED",
	},
	// WeChat Pay v2 and epay know only the payment made: their late notification is the same payment, told
	// by a second notification.
	"wechat_v2": {
		params: `{"transaction_id":"{trade_no}","openid":"oUpF8uMEb4qRXf22hE3X68TekukE","is_subscribe":"N",` +
			`"trade_type":"JSAPI","bank_type":"OTHERS","total_fee":8888,"fee_type":"CNY","cash_fee":8888,` +
			`"attach":"测试订单","time_end":"{digits}"}`,
		Amount: "total_fee",
	},
	"epay": {
		params: `{"trade_no":"{trade_no}","type":"alipay","name":"测试订单 A&B","money":"88.88"}`,
		Amount: "money",
	},
	"wechat_v3": {
		params: `{"transaction_id":"{trade_no}","trade_type":"JSAPI","trade_state":"{state}",` +
			`"trade_state_desc":"支付成功","bank_type":"OTHERS","attach":"测试订单","success_time":"{rfc3339}",` +
			`"payer":{"openid":"oUpF8uMEb4qRXf22hE3X68TekukE"},"amount":{"total":8888,"payer_total":8888,` +
			`"currency":"CNY","payer_currency":"CNY"}}`,
		Paid: "SUCCESS", Later: "REFUND",
	},
	"jeepay": {
		params: `{"payOrderId":"P{trade_no}","ifCode":"alipay","wayCode":"ALI_QR","amount":8888,` +
			`"currency":"cny","state":"{state}","clientIp":"127.0.0.1","subject":"测试订单 A&B",` +
			`"channelOrderNo":"{trade_no}","createdAt":{ms},"successTime":{ms}}`,
		Amount: "amount", Paid: "2", Later: "5", // paid, refunded
	},
	"standard": eventSample,
	"stripe":   eventSample,
}
