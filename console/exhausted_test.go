package console

import (
	"net/url"
	"strings"
	"testing"

	"paynotify/store"
)

// exhaust makes a notification of a merchant that has used up its schedule of one send.
func (w *world) exhaust(mchID string) store.Claim {
	w.t.Helper()
	w.call("POST", "/v1/notifications",
		`{"mch_id":"`+mchID+`","params":{"total_amount":"1.50"},"schedule":"1s"}`)
	return w.settle(mchID, func(c store.Claim) store.Outcome {
		o := refused(store.AckMismatch, "no")(c)
		o.State = store.Exhausted
		return o
	})
}

func TestExhausted(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","notify_url":"https://shop.test.com/n"}`)
	w.get("exhausted").want(200, "Exhausted", "There are none.", "Plan replay").wantNone("Start replay")
	w.exhaust("m1")
	w.exhaust("m1")
	w.get("exhausted").want(200, ">2</a>", "Of the newest 2", "/console/merchants/m1", "ack_mismatch",
		"mch_id=m1&amp;notify_state=exhausted&amp;reason=ack_mismatch")
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`)
	w.call("POST", "/v1/merchants/m1/pause", `{"reason":"test"}`)
	w.get("exhausted").want(200, "merchant_paused", "held=merchant_paused")
	w.get("exhausted?plan=1&mch_id=m1&rate_per_second=0.1").want(200,
		"2 notifications would be sent again", "at least 20 s", ">m1</a> (2)",
		"total_amount", "3.00", "Start replay")
	w.get("exhausted?plan=1&mch_id=none").want(404)
	w.get("exhausted?plan=1&rate_per_second=fast").want(422, "rate_per_second")
	w.get("exhausted?plan=1&notify_state=spent").want(422)
}

func TestReplayPages(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","notify_url":"https://shop.test.com/n"}`)
	w.exhaust("m1")
	r := w.post("exhausted/replay", url.Values{
		"mch_id": {"m1"}, "notify_state": {"exhausted"}, "reason": {"<i>outage</i>"},
	}).want(303)
	to := strings.TrimPrefix(r.header.Get("Location"), root)
	if !strings.HasPrefix(to, "replays/") {
		t.Fatalf("it goes on with %s", to)
	}
	w.get(to).want(200, "running", "0.0 %", "Matched", ">1</p>", "&lt;i&gt;outage&lt;/i&gt;", "Cancel replay")
	w.get("exhausted").want(200, "The last replays", "/console/"+to)
	w.post(to+"/cancel", url.Values{"reason": {"enough"}}).want(303)
	w.get(to).want(200, "canceled").wantNone("Cancel replay", "hx-get")
	w.get("replays/none").want(404)
	w.get(to, "Accept-Language: zh-CN").want(200, "重放")
}
