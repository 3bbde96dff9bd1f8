package api_test

import (
	"testing"
	"time"

	"paynotify/store"
)

// TestNotifyVerify is what legacy merchants ask: exactly one word, without a newline.
func TestNotifyVerify(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2", `"options":{"partner":"2088101106499364"}`)
	pending, spent, canceled := w.send("m1", "1"), w.send("m1", "2"), w.send("m1", "3")
	partners := w.send("m2", "1")
	w.call("POST", "/v1/notifications/"+canceled+"/cancel", "").want(200)
	w.call("POST", "/v1/notifications/"+spent+"/resend", "").want(202)
	ask := func(query string) string {
		t.Helper()
		for _, path := range []string{"/gateway.do?service=notify_verify&", "/trade/notify_query.do?"} {
			r := w.ask("GET", "http://pay.example.com"+path+query, "203.0.113.9:5000")
			if r.status != 200 || r.header.Get("Content-Type") != "text/plain; charset=utf-8" {
				t.Errorf("%s%s: %d %v", path, query, r.status, r.header)
			}
			if path != "/trade/notify_query.do?" {
				continue
			}
			return r.body
		}
		return ""
	}
	check := func(query, want string) {
		t.Helper()
		if got := ask(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	check("partner=m1&notify_id="+spent, "true")
	w.settle("m1", func(c store.Claim) store.Outcome {
		check("partner=m1&notify_id="+c.NotifyID, "true") // from inside the merchant's handler
		return acked(c)
	})
	check("partner=m1&notify_id="+spent, "false")
	check("partner=m1&notify_id="+pending, "true")
	check("partner=m1&notify_id="+pending+"&sign=x&anything=else", "true")
	check("partner=m1&notify_id="+canceled, "false")
	check("partner=m2&notify_id="+pending, "false")
	check("partner=2088101106499364&notify_id="+partners, "true")
	check("partner=m2&notify_id="+partners, "true")
	check("partner=m1&notify_id="+partners, "false")
	check("partner=m1&notify_id="+store.NewID(time.Now(), 0), "false")
	check("partner=m1&notify_id=2018110200222140503089861023731266", "false")
	for _, invalid := range []string{
		"", "partner=m1", "notify_id=" + pending, "partner=&notify_id=" + pending, "partner=m1&notify_id=",
	} {
		check(invalid, "invalid")
	}
	for _, query := range []string{
		"partner=m1&notify_id=" + pending, "service=&partner=m1&notify_id=" + pending,
		"service=trade_query&partner=m1&notify_id=" + pending,
	} {
		if r := w.ask("GET", "http://pay.example.com/gateway.do?"+query, "203.0.113.9:5000"); r.body != "invalid" {
			t.Errorf("%s: %q", query, r.body)
		}
	}
	// A forced send of a spent one is in flight.
	w.call("POST", "/v1/notifications/"+spent+"/resend", `{"force":true}`).want(202)
	w.settle("m1", func(c store.Claim) store.Outcome {
		check("partner=m1&notify_id="+spent, "true")
		return refused(c)
	})
	check("partner=m1&notify_id="+spent, "false")
}

// TestNotifyVerifyExhausted checks that a merchant who never acknowledged may still ask.
func TestNotifyVerifyExhausted(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1", `"schedule":"0"`)
	id := w.send("m1", "1")
	for range 2 {
		w.settle("m1", func(c store.Claim) store.Outcome {
			o := refused(c)
			o.NextAt, o.PlannedAt = c.ClaimedAt, c.ClaimedAt
			if c.Send == 2 {
				o.State = store.Exhausted
			}
			return o
		})
	}
	if v := w.call("GET", "/v1/notifications/"+id, "").want(200); v["notify_state"] != "exhausted" {
		t.Fatalf("%v", v)
	}
	r := w.ask("GET", "http://x/trade/notify_query.do?partner=m1&notify_id="+id, "203.0.113.9:1")
	if r.body != "true" {
		t.Errorf("%q", r.body)
	}
}

func TestNotifyVerifyIsLimited(t *testing.T) {
	w := newWorld(t)
	const url = "http://x/trade/notify_query.do?partner=m1&notify_id=0"
	limited := 0
	for range 2000 {
		switch r := w.ask("GET", url, "203.0.113.9:5000"); {
		case r.status == 429 && r.body == "" && r.header.Get("Retry-After") != "":
			limited++
		case r.status != 200 || r.body != "false":
			t.Fatalf("%d %q", r.status, r.body)
		}
	}
	if limited == 0 {
		t.Error("nobody was limited")
	}
	if r := w.ask("GET", url, "203.0.113.10:5000"); r.status != 200 {
		t.Errorf("another peer is limited: %d", r.status)
	}
	// An IPv6 peer has all of its /64.
	for i := range 2000 {
		w.ask("GET", url, "[2001:db8::"+string("0123456789abcdef"[i%16])+"]:5000")
	}
	if r := w.ask("GET", url, "[2001:db8::ffff]:5000"); r.status != 429 {
		t.Errorf("another address of the same /64: %d", r.status)
	}
}

// TestNotifyVerifyNeverLies checks that a store in trouble gives no answer rather than a false one.
func TestNotifyVerifyNeverLies(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "1")
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	r := w.ask("GET", "http://x/trade/notify_query.do?partner=m1&notify_id="+id, "203.0.113.9:1")
	if r.status != 503 || r.body != "" {
		t.Errorf("%d %q", r.status, r.body)
	}
}
