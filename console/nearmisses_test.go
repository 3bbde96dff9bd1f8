package console

import (
	"testing"

	"paynotify/profile"
	"paynotify/store"
)

func TestNearMisses(t *testing.T) {
	w := newWorld(t)
	w.get("near-misses").want(200, "No merchant has answered almost right.")
	for _, mchID := range []string{"m1", "m2"} {
		w.call("POST", "/v1/merchants",
			`{"mch_id":"`+mchID+`","profile":"form","notify_url":"https://shop.test.com/n"}`)
	}
	for _, mchID := range []string{"m1", "m1", "m2"} {
		w.call("POST", "/v1/notifications", `{"mch_id":"`+mchID+`","params":{}}`)
		w.settle(mchID, refused(store.AckCase, "SUCCESS\r\n"))
	}
	w.call("POST", "/v1/notifications", `{"mch_id":"m2","params":{}}`)
	c := w.settle("m2", refused(store.AckHTML, "<script>alert(1)</script>success"))
	w.call("POST", "/v1/notifications", `{"mch_id":"m2","params":{}}`)
	w.settle("m2", refused(store.AckMismatch, "nonsense"))
	r := w.get("near-misses").want(200,
		"ack_case", "3 notifications", profile.Explain(store.AckCase).Cause, "SUCCESS␍↵",
		`&#34;lenient&#34;: [&#34;ack_case&#34;]`, ">m1</a> (2)", ">m2</a> (1)",
		"ack_html", "1 notifications", c.NotifyID, "&lt;script&gt;alert(1)&lt;/script&gt;success")
	r.wantNone("ack_mismatch", "<script>alert")
	w.get("near-misses", "Accept-Language: zh-CN").want(200, "3 条通知")
}
