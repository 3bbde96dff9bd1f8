package console

import (
	"testing"
	"time"

	"paynotify/api"
	"paynotify/store"
)

func TestOverview(t *testing.T) {
	w := newWorld(t)
	w.get("").want(200, "There are no notifications yet.")
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","notify_url":"https://shop.test.com/n"}`)
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`)
	w.settle("m1", acked)
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`)
	w.settle("m1", refused(store.AckCase, "SUCCESS"))
	w.get("").want(200, "does not count: 1.", "pending",
		"/console/notifications?notify_state=pending",
		"Due and not started", "Acknowledged by the first send", "50.0 %",
		"/console/merchants/m1", "1 of 2", "ack_case")
	w.call("PUT", "/v1/sending", `{"paused":true,"reason":"<b>flood</b>"}`)
	w.get("").want(200, "All sending is stopped: &lt;b&gt;flood&lt;/b&gt;.").wantNone("<b>flood")
	w.get("", "Accept-Language: zh-CN").want(200, "所有发送已停止")
}

func TestNewest(t *testing.T) {
	at := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	spent := func(mchID string, count int, after time.Duration) api.NotificationSummary {
		return api.NotificationSummary{
			MchID: mchID, NotifyState: store.Spent, NotifyCount: count, CreatedAt: api.Time{Time: at},
			SpentAt: &api.Time{Time: at.Add(after)}, LastVerdict: new(store.Acked), LastReason: new(store.AckExact),
		}
	}
	failed := api.NotificationSummary{
		MchID: "bad", NotifyState: store.Pending, NotifyCount: 1, LastVerdict: new(store.Timeout),
		LastReason: new(store.TimeoutHeaders), CreatedAt: api.Time{Time: at},
	}
	d := (&request{words: english}).newest([]api.NotificationSummary{
		spent("a", 1, 20*time.Millisecond), spent("a", 9, 25*time.Hour), spent("b", 2, 4*time.Minute),
		failed, failed,
		{MchID: "c", NotifyState: store.Pending},
	})
	if d.Count != 6 || d.FirstAcked != "20.0 %" || d.HalfWithin != "4 m 0 s" || d.MostWithin != "1 d 1 h" {
		t.Errorf("newest %+v", d)
	}
	if len(d.Failing) != 1 || d.Failing[0].MchID != "bad" || d.Failing[0].Failed != 2 || d.NearMissing != 0 {
		t.Errorf("failing %+v", d.Failing)
	}
	if got := d.Sends[7]; got.Send != "8+" || got.Count != "1" {
		t.Errorf("the last row of sends is %+v", got)
	}
}
