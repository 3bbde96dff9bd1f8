package profile_test

import (
	"encoding/json"
	"fmt"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// A merchant's reply is judged by the merchant's rule, and a refusal says what to do about it.
func ExampleJudge() {
	p, _ := profile.ByName("alipay")
	ack := profile.AckPolicy(p, &store.Merchant{MchID: "m1"})
	for _, body := range []string{"success", "\nsuccess", "SUCCESS", `{"success":false}`} {
		j := profile.Judge(ack, profile.Reply{Status: 200, Body: []byte(body)})
		fmt.Printf("%q: %s %s\n", body, j.Verdict, j.Reason)
	}
	fmt.Println(profile.Explain(store.AckQuoted).Cause)
	// Output:
	// "success": acked ack_exact
	// "\nsuccess": acked ack_trimmed
	// "SUCCESS": refused ack_case
	// "{\"success\":false}": refused ack_mismatch
	// The reply is the acknowledgement in quotes, because a framework wrote the returned string as JSON.
}

// A notification is checked once, when it is accepted, and encoded anew for every send.
func ExampleProfile() {
	p, _ := profile.ByName("alipay_mapi")
	m := &store.Merchant{MchID: "m1"}
	keys, err := profile.LoadKeys(p, m, []profile.Material{{Secret: "testonly0123456789abcdefghijklmn"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := &store.Notification{
		NotifyID: "id1", OutTradeNo: "1", Params: json.RawMessage(`{"total_fee":88.80,"sign":"mine"}`),
	}
	for _, f := range profile.Check(p, m, n) {
		fmt.Printf("%s: %s; %s\n", f.Location, f.Message, f.Cure)
	}
	n.Params = json.RawMessage(`{"total_fee":88.80}`)
	at := time.Date(2026, 11, 21, 5, 5, 6, 0, time.UTC)
	msg, err := p.Encode(profile.Input{Notification: n, Merchant: m, Keys: keys, Now: at})
	fmt.Println(err, msg.Method)
	fmt.Println(string(msg.StringToSign))
	fmt.Println(string(msg.Body[len(msg.Body)-37:]))
	// Output:
	// body.params.sign: parameter sign is paynotify's own; leave it out: every send writes it
	// <nil> POST
	// notify_id=id1&notify_time=2026-11-21 13:05:06&notify_type=trade_status_sync&out_trade_no=1&total_fee=88.80
	// sign=7fb2bac640a9dfc9320236859a637d63
}
