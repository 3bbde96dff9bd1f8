package console

import (
	"net/url"
	"strings"
	"testing"
)

func TestFrame(t *testing.T) {
	w := newWorld(t)
	r := w.get("").want(200, `<html lang="en">`, "<h1>Overview</h1>", "admin (admin)")
	if got := r.header.Get("Content-Security-Policy"); got != contentPolicy || strings.Contains(got, "unsafe") {
		t.Errorf("policy %q", got)
	}
	w.get("", "Accept-Language: zh-CN").want(200, `<html lang="zh-CN">`, "概览")
	w.get("no-such-page").want(404, "There is no such page.")
	w.get("", "Authorization: Bearer wrong").want(303)
	w.post("", url.Values{}).want(404)
}

func TestStaticFiles(t *testing.T) {
	w := newWorld(t)
	for name, kind := range map[string]string{
		"console.css": "text/css; charset=utf-8", "console.js": "text/javascript; charset=utf-8",
		"htmx.min.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml",
	} {
		r := w.get("static/" + name).want(200)
		if got := r.header.Get("Content-Type"); got != kind {
			t.Errorf("%s has type %q, want %q", name, got, kind)
		}
		w.get("static/"+name, "If-None-Match: "+r.header.Get("ETag")).want(304)
	}
	w.get("static/no.js").want(404)
}
