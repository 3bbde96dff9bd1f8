package console

import (
	"fmt"
	"strings"
	"testing"
)

// portalWorld has two merchants, of which one follows its link.
type portalWorld struct {
	*world
	*tab
	mine, theirs string // a notification of each
	secrets      []string
}

func newPortalWorld(t *testing.T) *portalWorld {
	t.Helper()
	w := newWorld(t)
	w.merchant("m1", newShop(t, "<html>success"), answer{"name": "The first shop"})
	w.merchant("m2", newShop(t, "another-one's reply"), answer{"name": "The second shop"})
	mine, theirs := w.send("m1", "order-of-m1", nil), w.send("m2", "order-of-m2", nil)
	w.untilSent(mine, 1)
	w.untilSent(theirs, 1)
	b := newTab(w)
	b.follow(w.call("POST", "/v1/merchants/m1/portal-link", answer{}).text("url"))
	b.until(`location.pathname === "/console/"`)
	return &portalWorld{w, b, mine, theirs, []string{
		theirs, "order-of-m2", "The second shop", "another-one's reply", "merchants/m2",
	}}
}

// TestPortal walks through what a merchant may see, and through what it may not.
func TestPortal(t *testing.T) {
	t.Parallel()
	p := newPortalWorld(t)
	p.lacks(p.secrets...)
	for _, path := range []string{
		"notifications", "notifications?notify_state=pending", "merchants", "merchants/m1", "schedule", "exhausted",
		"near-misses", "notifications/" + p.mine,
	} {
		p.open(path)
		if status := p.status(); status != 200 {
			t.Errorf("%s: status %d", path, status)
		}
		p.lacks(p.secrets...)
	}
	p.sees("pending", "refused ack_html", "order-of-m1")
	p.open("notifications")
	p.sees("order-of-m1", p.mine)
	for _, path := range []string{
		"merchants/m2", "notifications/" + p.theirs, "notifications/" + p.theirs + "?attempt=1", "audit",
		"audit?object=merchant/m2", "system",
	} {
		p.open(path)
		if status := p.status(); status != 403 && status != 404 {
			t.Errorf("%s: status %d", path, status)
		}
		p.lacks(p.secrets[1:4]...)
	}
}

// TestPortalAsksForMore asks, from the portal's own pages, for what no link of theirs leads to.
func TestPortalAsksForMore(t *testing.T) {
	t.Parallel()
	p := newPortalWorld(t)
	for _, path := range []string{
		"notifications?mch_id=m2", "notifications?out_trade_no=order-of-m2", "notifications?q=order-of-m2",
		"notifications?q=" + p.theirs, "notifications?q=m2", "schedule?mch_id=m2", "merchants?q=m2",
		"exhausted?plan=1&mch_id=m2", "notifications.csv?mch_id=m2", "notifications.jsonl?mch_id=m2",
		"notifications.csv", "notifications.jsonl",
	} {
		got := p.fetch(path, "")
		for i, secret := range p.secrets {
			said := i < 2 && strings.Contains(path, secret) // then the page may say what was asked for
			if !said && strings.Contains(got, secret) {
				t.Errorf("%s shows %q", path, secret)
			}
		}
	}
	for _, path := range []string{
		"notifications/" + p.theirs + "/resend", "notifications/" + p.theirs + "/cancel", "merchants/m2/pause",
		"merchants/m1/pause", "merchants/m2/portal-link", "system/sending", "exhausted/replay",
	} {
		got := p.fetch(path, `{method: "POST", body: new URLSearchParams({reason: "why not", paused: "true"})}`)
		if status, _, _ := strings.Cut(got, " "); status != "403" && status != "404" {
			t.Errorf("POST %s: %s", path, got)
		}
	}
	if got := p.fetch("../v1/notifications", ""); !strings.HasPrefix(got, "401 ") {
		t.Errorf("the session opens the API: %s", got)
	}
	if made := p.call("GET", "/v1/notifications/"+p.theirs, nil)["attempts"].([]any); len(made) != 1 {
		t.Errorf("the other merchant's notification was sent %d times", len(made))
	}
}

// fetch asks for something as a script of the page would, and returns the status and what came.
func (b *tab) fetch(path, options string) string {
	b.t.Helper()
	if options == "" {
		options = "{}"
	}
	got := promised(b, fmt.Sprintf(`fetch("/console/%s", %s).then(async (r) => r.status + " " + await r.text())`,
		path, options))
	b.forgive()
	return got
}
