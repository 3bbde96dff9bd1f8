package console

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

func TestNotification(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "order-1")
	at := "notifications/" + id
	w.get(at).want(200, `hx-trigger="every 2s"`, "pending", "It is owed", "Send 1 of 8", "now",
		`action="/console/`+at+`/resend"`, ">Resend</button>", ">Cancel</button>", "Timeline", "Send 1", "next",
		"Send 8", "planned", "&#43;1 d 0 h", "No attempt has ended yet.", "order-1",
		"&#34;total_fee&#34;: &#34;1.00&#34;", "Nobody has done anything with it lately.")
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := refused(store.AckHTML, "<html>success</html>")(c)
		o.Attempt.Detail = "a page"
		o.Attempt.Phases = store.Phases{DNS: time.Millisecond, FirstByte: 5 * time.Millisecond}
		o.Attempt.TLS = &store.TLSInfo{Version: "TLS 1.3", Subject: "CN=shop", NotAfter: time.Unix(4e9, 0)}
		return o
	})
	w.get(at).want(200, "Send 2 of 8", `class="countdown" data-until="20`, `data-done="now">`,
		`<details class="panel attempt" id="attempt-1" open>`, "refused ack_html", "status 200",
		escaped(profile.Explain(store.AckHTML).Hint()), "Expected",
		`<ins class="same">success</ins>`, "Received", `<ins class="extra">&lt;html&gt;</ins>`,
		`<ins class="same">success</ins>`, `<ins class="extra">&lt;/html&gt;</ins>`,
		"{&#34;ack&#34;:{&#34;lenient&#34;:[&#34;ack_html&#34;]}}",
		"paynotify merchant set m1 --ack-lenient ack_html", "Reply", "&lt;html&gt;success&lt;/html&gt;",
		"DNS 1.0 ms, wait 5.0 ms", "a page", "192.0.2.1:443", "TLS 1.3",
		"CN=shop", "2096-10-02 07:06:40")
	w.get(at, "Accept-Language: zh-CN").want(200, "pending", "第 2 次发送，共 8 次", "refused ack_html",
		escaped(profile.Explain(store.AckHTML).Hint()), `<span lang="zh-CN">确认内容写在 HTML 页面里面。`)
	w.get("notifications/nobody").want(404)
	w.get(at+"?attempt=9").want(422, "query.attempt")
	w.get(at + "?attempt=x").want(422)
}

// escaped is a text as a page has it.
func escaped(text string) string {
	return strings.NewReplacer(
		"&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;", "+", "&#43;",
	).Replace(text)
}

func TestResendAndCancel(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "order-1")
	at := "notifications/" + id
	w.settle("m1", refused(store.AckHTML, "<html>success</html>"))

	r := w.post(at+"/resend", url.Values{"reason": {"the shop is <b>back</b>"}}).want(303)
	if got := r.header.Get("Location"); got != root+at+"?done=resend" {
		t.Errorf("the form leads to %s", got)
	}
	w.get(at+"?done=resend").want(200, `hx-trigger="every 2s"`, "It goes out again now")
	c := w.settle("m1", acked)
	if c.NotifyID != id || c.Trigger != store.Resend {
		t.Fatalf("sent is %s, %s", c.NotifyID, c.Trigger)
	}
	w.get(at).want(200, "spent", "The merchant has acknowledged it", `name="force" value="true" required`,
		"resend", "ack_exact", "Until it was spent").wantNone(">Cancel</button>", "countdown")
	w.post(at+"/resend", url.Values{"reason": {"again"}}).want(409, "/console/"+at, "Back")
	w.post(at+"/resend", url.Values{"reason": {"again"}, "force": {"true"}}).want(303)
	w.post(at+"/cancel", url.Values{"reason": {"x"}}).want(409)

	other := w.send("m1", "order-2")
	at = "notifications/" + other
	w.post(at+"/cancel", url.Values{"reason": {strings.Repeat("x", 257)}}).want(422, "body.reason")
	w.post(at+"/cancel", url.Values{"reason": {"wrong amount"}}).want(303)
	w.get(at).want(200, "canceled", "A person took it back.")
	w.post("notifications/nobody/resend", url.Values{}).want(404)
	w.post(at+"/resend", url.Values{}, "Sec-Fetch-Site: cross-site").want(403, "page of another site")
}

// TestComparison shows replies of several kinds beside the ones that were expected.
func TestComparison(t *testing.T) {
	w := newWorld(t)
	for i, tt := range []struct {
		merchant string
		reason   store.Reason
		status   int
		reply    string
		says     []string
		none     string
	}{
		{
			`"profile":"alipay_mapi"`, store.AckCase, 200, "SUCCESS",
			[]string{
				`<ins class="missing">success</ins>`, `<ins class="extra">SUCCESS</ins>`, "--ack-lenient ack_case",
			},
			"",
		},
		{
			`"profile":"alipay_mapi","ack":{"lenient":["ack_json"]}`, store.AckQuoted, 200, `"success"`,
			[]string{
				`<ins class="extra">&#34;</ins><ins class="same">success</ins>`,
				"[&#34;ack_json&#34;,&#34;ack_quoted&#34;]}}", "--ack-lenient ack_json,ack_quoted",
			},
			"",
		},
		{
			`"profile":"alipay_mapi"`, store.AckTrimmed, 200, "\ufeff success\r\n",
			[]string{`<ins class="ignored">⟨BOM⟩·</ins><ins class="same">success</ins><ins class="ignored">␍↵</ins>`},
			"this setting accepts",
		},
		{
			`"profile":"alipay_mapi"`, store.AckStatus, 201, "success",
			[]string{
				"The status is 201; what counts is 200.", "status&#34;:[200,201]}}", "m3 --ack-status 200,201",
			},
			"",
		},
		{
			`"profile":"standard"`, store.HTTPStatus, 500, "oops",
			[]string{"The status is 500; what counts is 2xx.", "oops"},
			"Expected and received",
		},
		{
			`"profile":"alipay_mapi"`, store.AckEmpty, 200, "",
			[]string{`<ins class="missing">success</ins>`, "(nothing)", "Reply", "(nothing)"},
			"this setting accepts",
		},
		{
			`"profile":"form","ack":{"match":"json_path","path":"code","text":"0"}`, store.AckMismatch, 200, "{}",
			[]string{"&#34;code&#34;"},
			"this setting accepts",
		},
	} {
		mchID := "m" + strconv.Itoa(i)
		w.call("POST", "/v1/merchants", `{"mch_id":"`+mchID+`","notify_url":"https://shop.example.com/n",`+
			tt.merchant+`}`)
		id := w.send(mchID, "order")
		w.settle(mchID, func(c store.Claim) store.Outcome {
			o := refused(tt.reason, tt.reply)(c)
			if o.Attempt.Status = tt.status; tt.reason == store.HTTPStatus {
				o.Attempt.Verdict = store.HTTP5xx
			}
			return o
		})
		r := w.get("notifications/"+id).want(200, tt.says...)
		if tt.none != "" {
			r.wantNone(tt.none)
		}
	}
}

func TestHeld(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "order-1")
	w.call("POST", "/v1/merchants/m1/pause", `{}`)
	w.get("notifications/"+id).want(200, "pending", "‖", "merchant_paused", "Its merchant is paused").
		wantNone("countdown")
	w.get("notifications?held=true").want(200, "merchant_paused", id)
}
