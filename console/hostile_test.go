package console

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"paynotify/store"
)

// hostile are texts that a page must show and never act on.
var hostile = []string{
	`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `' onmouseover='alert(1)`,
	`</pre><svg onload=alert(1)>`, `</textarea><script>alert(1)</script>`, `<!--><script>alert(1)//-->`,
	`javascript:alert(1)`, `&lt;script&gt;alert(1)&lt;/script&gt;`, `{{.Title}}{{template "top" .}}`,
	`<a href="javascript:alert(1)" hx-get="/x" hx-trigger="load" data-hx-on:load="alert(1)">x</a>`,
	"`${alert(1)}`", "<b\x00onclick=alert(1)>", "\u2028</script>", "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
	"<scr\xffipt>alert(1)</scr\xffipt>", `<details open ontoggle=alert(1)>`, `]]><script>alert(1)</script>`,
	`<form action="https://evil.example"><button>Resend</button></form>`, `<base href="https://evil.example/">`,
	`<style>*{display:none}</style>`, `<meta http-equiv="refresh" content="0;url=https://evil.example">`,
	`<math><mtext><img src=x onerror=alert(1)>`, `%3Cscript%3Ealert(1)%3C/script%3E`,
}

// TestHostileTexts stores hostile texts wherever a caller or a merchant may put one, and looks at every page
// that shows them. The oracle compares each with what html/template makes of it.
func TestHostileTexts(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"standard","name":`+quoted(hostile[1])+
		`,"notify_url":"https://shop.example.com/n?a=%27%22%3Cscript%3E"}`)
	for i, text := range hostile {
		short := strings.ToValidUTF8(text[:min(len(text), 60)], "")
		for _, c := range []string{"\x00", "\u2028"} {
			short = strings.ReplaceAll(short, c, "")
		}
		clean := strings.ReplaceAll(strings.ToValidUTF8(text, ""), "\x00", "")
		v := w.call("POST", "/v1/notifications", `{"mch_id":"m1","out_trade_no":`+quoted(short)+`,"notify_type":`+
			quoted(short)+`,"params":{`+quoted("p"+short)+`:`+quoted(clean)+`}}`)
		id := v["notify_id"].(string)
		w.settle("m1", func(c store.Claim) store.Outcome {
			o := refused(store.AckExtraText, text+"success"+text)(c)
			if i%2 == 1 { // the comparison of another kind of reply
				o = refused(store.HTTPStatus, text)(c)
				o.Attempt.Status = 500
			}
			o.Attempt.Detail = text
			o.Attempt.TLS = &store.TLSInfo{Version: "TLS 1.3", Subject: text}
			o.Attempt.RemoteAddr = text
			return o
		})
		w.post("notifications/"+id+"/resend", url.Values{"reason": {clean}}).want(303)
		for _, lang := range []string{"en", "zh-CN"} {
			inert(t, w.get("notifications/"+id, "Accept-Language: "+lang).want(200, escaped(short)))
		}
		inert(t, w.get("notifications?q="+url.QueryEscape("no "+text)).want(200, "Nothing is known of"))
		inert(t, w.get("notifications?out_trade_no="+url.QueryEscape(text)).want(200))
		inert(t, w.get("notifications?mch_id="+url.QueryEscape(text)).want(200))
		inert(t, w.get("notifications?verdict="+url.QueryEscape(text)).want(422))
		inert(t, w.get("notifications/"+url.PathEscape(text)).want(404))
		inert(t, w.get(url.PathEscape(text)).want(404))
		inert(t, w.get("notifications/"+id+"?attempt="+url.QueryEscape(text)+"&x="+url.QueryEscape(text)).want(422))
		inert(t, w.get("notifications/"+id+"?x="+url.QueryEscape(text)).want(200))
	}
	inert(t, w.get("notifications").want(200, "ack_extra_text"))
}

// elements are those that pages are made of.
var elements = strings.Fields("html head meta title link script body a header nav div form input button " +
	"main h1 h2 h3 p span footer dialog dl dt dd kbd section details summary label select option table thead " +
	"tbody tr th td caption textarea time pre code svg line circle rect ol ul li strong br ins")

// inert checks that a page is made of our elements, and leads nowhere else: that no text in it became HTML.
func inert(t *testing.T, r reply) {
	t.Helper()
	if got := r.header.Get("Content-Security-Policy"); got != contentPolicy {
		t.Errorf("policy %q", got)
	}
	doc, err := html.Parse(strings.NewReader(r.body))
	if err != nil {
		t.Fatal(err)
	}
	for n := range doc.Descendants() {
		switch {
		case n.Type == html.CommentNode:
			t.Errorf("a comment: %q", n.Data)
		case n.Type == html.ElementNode && !slices.Contains(elements, n.Data):
			t.Errorf("an element %s", n.Data)
		case n.Type == html.ElementNode && n.Data == "script" && n.FirstChild != nil:
			t.Errorf("a script: %q", n.FirstChild.Data)
		}
		for _, a := range n.Attr {
			leads := slices.Contains([]string{"href", "src", "action", "formaction", "hx-get"}, a.Key)
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", strings.HasPrefix(a.Key, "data-hx"),
				strings.HasPrefix(a.Key, "hx-") && attr(n, "id") != "live":
				t.Errorf("%s has an attribute %s=%q", n.Data, a.Key, a.Val)
			case leads && !strings.HasPrefix(a.Val, root) && !strings.HasPrefix(a.Val, "#"):
				t.Errorf("%s leads to %q", n.Data, a.Val)
			}
		}
	}
	if t.Failed() {
		t.Log(r.body)
		t.FailNow()
	}
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err)
	}
	return string(b)
}
