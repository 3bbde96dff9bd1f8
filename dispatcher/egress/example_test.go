package egress_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"

	"paynotify/dispatcher/egress"
)

func ExampleRules_CheckURL() {
	var rules egress.Rules
	for _, raw := range []string{
		"https://Pay.Example.COM:443/notify?from=us",
		"http://127。0。0。1/",
		"http://0x7f.1/",
		"https://pay.example.com:22/",
	} {
		target, err := rules.CheckURL(raw)
		if err != nil {
			fmt.Println(err.Rule)
			continue
		}
		fmt.Println(target.HostHeader, target.Port, target.RequestURI)
	}
	// Output:
	// pay.example.com 443 /notify?from=us
	// ip-denied
	// numeric-host
	// port-not-allowed
}

func ExampleClient_Do() {
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "success")
	}))
	defer merchant.Close()

	rules := egress.Rules{Dev: true} // the merchant of this example is on loopback
	client := egress.New(egress.Options{Rules: rules})
	defer client.Close()
	target, uerr := rules.CheckURL(merchant.URL + "/notify")
	if uerr != nil {
		fmt.Println(uerr)
		return
	}
	req := &egress.Request{
		Pool:   "m1",
		Target: target,
		Header: []egress.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}},
		Body:   []byte("notify_id=1&trade_status=TRADE_SUCCESS"),
	}
	res := client.Do(context.Background(), req)
	if res.Fault == egress.ConnStale { // once, and recorded as an attempt of its own
		req.Fresh = true
		res = client.Do(context.Background(), req)
	}
	_, _, err := net.SplitHostPort(res.RemoteAddr)
	fmt.Println(res.Status, string(res.Body), res.Fault == "", err == nil)
	// Output: 200 success true true
}
