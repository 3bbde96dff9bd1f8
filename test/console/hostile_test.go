package console

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// hostile are texts that a page must show and never act on. Each would set window.ran, or open a dialog.
var hostile = []string{
	`<script>window.ran=1;alert(1)</script>`, `"><img src=x onerror=window.ran=1>`,
	`' autofocus onfocus='window.ran=1`, `</pre><svg onload=window.ran=1>`,
	`</textarea><script>window.ran=1</script>`, `</title><script>window.ran=1</script>`,
	`<!--><script>window.ran=1//-->`, `javascript:window.ran=1`, `&lt;script&gt;window.ran=1&lt;/script&gt;`,
	`{{.Title}}{{template "top" .}}`, `<a hx-get="/x" hx-trigger="load" hx-on:load="window.ran=1">x</a>`,
	`<div hx-on::load="window.ran=1" data-live hx-get="/console/">`, "`${window.ran=1}`",
	`<details open ontoggle=window.ran=1>`, `]]><script>window.ran=1</script>`,
	`<form action="//evil.example"><button>Resend</button>`, `<base href="https://evil.example/">`,
	`<style>*{display:none}</style>`, `<meta http-equiv=refresh content="0;url=//evil.example">`,
	`<math><mtext><img src=x onerror=window.ran=1>`, `<iframe srcdoc="<script>top.ran=1</script>">`,
	`<input autofocus onfocus=window.ran=1>`, `<template><script>window.ran=1</script></template>`,
	`<link rel=stylesheet href=//evil.example>`,
}

// TestHostileTexts puts hostile texts wherever a merchant, a caller or an operator may put one, and opens
// every page that shows them. One text that became HTML would run, or be stopped by the content policy, which
// the browser tells, or stand in the page as an element that none of our templates has.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	paths := spread(w)
	b := newTab(w)
	b.logIn()
	for _, path := range paths {
		b.open(path)
		b.inert()
	}
	b.open("notifications")
	b.click("System")
	b.write(`input[name=reason]`, hostile[0])
	b.press("Stop all sending")
	b.until(`document.querySelector("button.primary").textContent === "Start sending"`)
	for _, path := range []string{"system", "", "audit"} {
		b.open(path)
		b.inert()
	}
	b.follow(w.call("POST", "/v1/merchants/m1/portal-link", answer{}).text("url"))
	for _, path := range []string{"", "notifications", "merchants/m1", "exhausted", "near-misses"} {
		b.open(path)
		b.inert()
	}
}

// spread puts the texts everywhere, and returns the pages that have them.
func spread(w *world) (paths []string) {
	shop := newShop(w.t, "")
	ack := answer{"match": "trim", "text": "success", "status": []int{200}}
	w.merchant("m1", shop, answer{"name": hostile[0], "schedule": "1h", "profile": "standard", "ack": ack})
	w.merchant("m2", shop, answer{"name": hostile[1]})
	w.call("POST", "/v1/merchants/m2/pause", answer{"reason": hostile[0]})
	key := w.call("POST", "/v1/keys", answer{"name": hostile[0], "role": "operator"}).text("key")
	somebody := &world{t: w.t, url: w.url, key: key}
	for i, text := range hostile {
		switch i % 3 { // a near-miss, another refusal, and a status that no ack has
		case 0:
			shop.says(text + "success" + text)
		case 1:
			shop.says(text)
		case 2:
			shop.status(500, text)
		}
		id := w.send("m1", text, answer{"notify_type": text, "params": answer{
			"total_amount": text, text: text, "nested": []any{text, answer{text: text}},
		}})
		w.untilSent(id, 1)
		somebody.call("POST", "/v1/notifications/"+id+"/resend", answer{"reason": text})
		w.untilSent(id, 2)
		w.call("POST", "/v1/notifications/"+id+"/cancel", answer{"reason": text})
		paths = append(paths, "notifications/"+id)
		if i%4 == 0 {
			q := url.QueryEscape(text)
			paths = append(paths, "notifications?q="+q, "notifications?out_trade_no="+q, "notifications?mch_id="+q,
				"audit?actor="+q+"&action="+q+"&object="+q, "exhausted?plan=1&mch_id="+q+"&reason="+q,
				"merchants?q="+q, "schedule?mch_id="+q, "login?next="+q, "notifications?verdict="+q, url.PathEscape(text))
		}
	}
	w.call("POST", "/v1/merchants/m1/pause", answer{"reason": hostile[3]})
	replay := w.call("POST", "/v1/notifications/replay", answer{
		"mch_id": "m1", "notify_state": "canceled", "reason": hostile[3],
	}).text("replay_id")
	w.until("/v1/replays/"+replay, func(a answer) bool { return a.text("state") == "done" })
	return append(paths, "", "notifications", "merchants", "merchants/m1", "merchants/m2", "schedule",
		"exhausted", "near-misses", "audit", "audit?object=merchant/m2", "system", "replays/"+replay)
}

// inert checks that a page is one of ours, whatever texts it shows.
func (b *tab) inert() {
	b.t.Helper()
	at := eval[string](b, `location.href`)
	b.status() // forgives the noise of those that say what is wrong with the address
	strict := strings.Contains(b.policy, "default-src 'none'; script-src 'self'; style-src 'self';")
	if !strict || strings.Contains(b.policy, "unsafe-") {
		b.t.Errorf("%s has the policy %q", at, b.policy)
	}
	found := eval[[]string](b, `(() => {
		const wrong = [];
		if (window.ran !== undefined) wrong.push("a script ran");
		if (document.querySelectorAll("main, footer").length !== 2) wrong.push("this is no page");
		for (const e of document.querySelectorAll("*")) {
			if (["IFRAME", "BASE", "STYLE", "IMG", "MATH", "OBJECT", "TEMPLATE"].includes(e.tagName.toUpperCase()))
				wrong.push(e.outerHTML);
			if (e.tagName === "SCRIPT" && (e.text || !e.src.startsWith(location.origin + "/console/static/")))
				wrong.push(e.outerHTML);
			for (const a of e.attributes) {
				if (a.name.startsWith("on") || a.name.startsWith("hx-on")) wrong.push(e.outerHTML);
				if (["href", "action", "src", "hx-get"].includes(a.name) &&
					!new URL(a.value, location.href).href.startsWith(location.origin + "/console/"))
					wrong.push(e.outerHTML);
			}
		}
		return wrong;
	})()`)
	if len(found) > 0 {
		b.t.Errorf("%s: %q", at, found)
	}
	if heard := b.noises(); len(heard) > 0 {
		b.t.Errorf("%s: the browser heard %q", at, heard)
	}
}

// TestHearing shows pages that do what ours must not: what the other tests rely on hearing is heard.
func TestHearing(t *testing.T) {
	t.Parallel()
	const page = `<!doctype html><title>x</title><main></main><footer></footer><img src="data:," onerror="1">`
	for _, c := range []struct{ policy, page, heard string }{
		{"", page + `<script>alert("here I am")</script>`, "dialog: here I am"},
		{"", page + `<script>throw new Error("broken")</script>`, "broken"},
		{"", page + `<script>console.log("a word")</script>`, "a word"},
		{"script-src 'self'", page + `<script>alert(1)</script>`, "Content Security Policy"},
		{"script-src 'self'", page, "Content Security Policy"},
		{"default-src 'none'", page + `<link rel="stylesheet" href="/x">`, "Content Security Policy"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Content-Security-Policy", c.policy)
			fmt.Fprint(w, c.page)
		}))
		b := openTab(t, server.URL)
		b.open("")
		heard := b.noises()
		if !slices.ContainsFunc(heard, func(text string) bool { return strings.Contains(text, c.heard) }) {
			t.Errorf("%s: %q is not heard in %q", c.page, c.heard, heard)
		}
		server.Close()
	}
}
