package console

import (
	"net/url"
	"strings"
	"testing"

	"paynotify/store"
)

func TestDeeds(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "order-1")
	at := "notifications/" + id
	w.get(at).want(200, "Nobody has done anything with it lately.")
	w.post(at+"/resend", url.Values{"reason": {"the shop is <b>back</b>"}}).want(303)
	w.post(at+"/cancel", url.Values{"reason": {"wrong amount"}}).want(303)
	w.post(at+"/cancel", url.Values{"reason": {strings.Repeat("x", 257)}}).want(422)
	w.get(at).want(200, "Who did what", "admin", "notification.cancel", "validation-failed", "admin",
		"notification.cancel", "wrong amount", "ok", "admin", "notification.resend",
		"the shop is &lt;b&gt;back&lt;/b&gt;", "ok", "audit?object=notification%2F"+id)
	w.get(at, "HX-Request: true").want(200, "canceled").wantNone("Who did what")
}

// TestSeenBy asks as those whose keys see less.
func TestSeenBy(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	mine, other := w.send("m1", "order-1"), w.send("m2", "order-2")
	w.settle("m1", refused(store.AckCase, "SUCCESS"))
	key := func(role, mchID string) string {
		v := w.call("POST", "/v1/keys", `{"name":"k","role":"`+role+`","mch_id":`+mchID+`}`)
		return "Authorization: Bearer " + v["key"].(string)
	}
	bound := key("read", `"m1"`)
	w.get("notifications", bound).want(200, mine).wantNone(other, `name="mch_id"`, "order-2")
	w.get("notifications/"+other, bound).want(404)
	w.get("notifications?mch_id=m2", bound).want(200).wantNone(other)
	w.get("notifications?q=order-2", bound).want(200, "Nothing is known")
	w.get("notifications.csv?mch_id=m2", bound).want(200).wantNone(other)
	w.get("notifications/"+mine, bound).want(200, "refused ack_case").
		wantNone(`<form class="act"`, "Resend", ">Cancel", "Who did what", "as sent")
	w.post("notifications/"+mine+"/resend", url.Values{"reason": {"x"}}, bound).want(403)
	w.get("notifications/"+mine, key("operator", "null")).want(200, ">Resend<").wantNone("Who did what")
	w.get("notifications", key("auditor", "null")).want(403)
}

// TestNotificationInPortal looks with a merchant's own link.
func TestNotificationInPortal(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	mine, other := w.send("m1", "order-1"), w.send("m2", "order-2")
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := w.sent(c)
		o.Attempt.Detail = "for operators"
		return o
	})
	b := w.browser()
	b.ask(w.linked("/v1/merchants/m1/portal-link"), nil).goes("/console/")
	look := func(path string) reply { return b.ask(root+path, nil) }
	look("notifications").want(200, mine).wantNone(other)
	look("notifications/"+mine).want(200, "refused ack_mismatch", "fail", "The request of attempt 1, as sent",
		"What was signed", "(portal)").
		wantNone("for operators", "192.0.2.1", ">Resend<", ">Cancel<", "Who did what", "merchant set")
	look("notifications/" + other).want(404)
	look("notifications?q=order-2").want(200, "Nothing is known")
	b.ask(root+"notifications/"+mine+"/resend", url.Values{"reason": {"x"}}).want(403)
}
