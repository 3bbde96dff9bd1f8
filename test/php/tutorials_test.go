package php

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"paynotify/profile"
	"paynotify/store"
)

// TestTutorialForm: profile form sends what the tutorial's own sender makes of its data, behind the identity.
func TestTutorialForm(t *testing.T) {
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("php is not installed")
	}
	out, err := exec.Command(php, "-r", `
$data = array(
    'order_id' => 001, // 订单号
    'amount' => 100, // 金额
    'status' => 1, // 状态码
);
echo http_build_query($data);`).Output()
	if err != nil {
		t.Fatal(err)
	}
	p, _ := profile.ByName("form")
	n := &store.Notification{NotifyID: "id1", Params: json.RawMessage(`{"order_id":1,"amount":100,"status":1}`)}
	msg, err := profile.Encode(p, profile.Input{Notification: n, Merchant: &store.Merchant{MchID: "m1"}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(msg.Body), "notify_id=id1&"+string(out); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestChecks: a merchant that checks in the order of Alipay's guides refuses a rightly signed notification
// for the first thing that is not its own, and a forged one before it looks at anything else.
func TestChecks(t *testing.T) {
	php := startPHP(t)
	const mine = `{"trade_no":"2026112122001","trade_status":"TRADE_SUCCESS","total_amount":"88.88",` +
		`"seller_id":"2088101106499364","app_id":"2021000000000001"}`
	s := newShop(t, alipayMerchant("utf-8", "body"), json.RawMessage(mine))
	php.addKeys(t, "m1", s.public)
	for _, c := range []struct {
		change []string // pairs
		order  string
		why    string // empty = acknowledged
	}{
		{nil, "20261121-1", ""},
		{[]string{"TRADE_SUCCESS", "TRADE_FINISHED"}, "20261121-1", ""},
		{[]string{"2088101106499364", "2088101106499365"}, "20261121-1", "seller_id"},
		{[]string{"2088101106499364", "2088101106499365", "88.88", "0.01"}, "20261121-1", "total_amount"},
		{[]string{"88.88", "0.01"}, "20261121-2", "out_trade_no"},
		{[]string{"TRADE_SUCCESS", "WAIT_BUYER_PAY", "88.88", "0.01"}, "20261121-2", "trade_status"},
		{[]string{"2021000000000001", "2021000000000002", "88.88", "0.01"}, "20261121-1", "app_id"},
	} {
		s.notification.Params = json.RawMessage(strings.NewReplacer(c.change...).Replace(mine))
		s.notification.OutTradeNo = c.order
		msg := s.encode(t)
		got, why := s.ask(t, php.url+"/checks/m1", msg)
		if (got.Verdict == store.Acked) != (c.why == "") || why != c.why {
			t.Errorf("%v %s: %+v for %q, want %q", c.change, c.order, got, why, c.why)
		}
		forged := strings.Replace(string(msg.Body), "TRADE_", "TRADF_", 1)
		forged = strings.Replace(forged, "WAIT_", "WAIU_", 1)
		msg.Body = []byte(forged)
		if got, why := s.ask(t, php.url+"/checks/m1", msg); got.Verdict != store.Refused || why != "signature" {
			t.Errorf("forged: %+v for %q", got, why)
		}
	}
}
