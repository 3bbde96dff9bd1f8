package console

import (
	"strings"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestNearMiss is a support engineer's errand: a merchant says that it was never told of an order.
func TestNearMiss(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tea := newShop(t, "<html>success")
	w.merchant("tea", tea, answer{"profile": "alipay"})
	id := w.send("tea", "20261121-0042", nil)
	w.untilSent(id, 1)

	b := newTab(w)
	b.open("notifications?mch_id=tea")
	b.until(`location.pathname === "/console/login"`)
	b.write(`input[name=key]`, "a-wrong-key")
	b.press("Log in")
	b.until(`document.querySelector("[role=alert]")`)
	b.refused(401)
	b.write(`input[name=key]`, adminKey)
	b.press("Log in")
	b.until(`location.href.endsWith("/console/notifications?mch_id=tea")`)

	b.find("20261121-0042")
	b.until(`location.pathname === "/console/notifications/` + id + `"`)
	b.sees("pending", "refused ack_html", "Expected", "Received", "<html>success", "status 200")
	b.until(`document.querySelector(".attempt .hint").innerText.length > 20`)
	if same := eval[string](b, `document.querySelector(".diff .same").textContent`); same != "success" {
		t.Errorf("what is right about the reply is %q", same)
	}
	if extra := eval[string](b, `document.querySelector(".diff .extra").textContent`); extra != "<html>" {
		t.Errorf("what is wrong with the reply is %q", extra)
	}

	release := tea.hangs("success")
	b.write(`form[action$="/resend"] input[name=reason]`, "they have repaired it")
	b.press("Resend")
	b.sees("being sent") // the page after the form, and the send is under way
	eval[bool](b, `window.stayed = true`)
	release()
	b.until(`document.querySelector(".headline .chip").textContent.includes("spent")`)
	b.sees("acked")
	if !eval[bool](b, `window.stayed === true`) {
		t.Error("the page was loaded again, and not kept fresh")
	}

	b.open("notifications/" + id)
	b.sees("Who did what", "notification.resend", "they have repaired it", "admin")

	jar := set(b, network.GetCookies, network.GetCookiesParams{}).Cookies
	if len(jar) != 1 || !jar[0].HTTPOnly || jar[0].SameSite != network.CookieSameSiteLax {
		t.Fatalf("the browser has the cookies %+v", jar)
	}
	old := jar[0]
	b.press("Log out")
	b.until(`location.pathname === "/console/login"`)
	for _, path := range []string{"", "notifications/" + id, "audit", "system", "no-such-page"} {
		b.open(path)
		if at := get(b, chromedp.Location()); !strings.HasPrefix(at, w.url+"/console/login") {
			t.Errorf("logged out, %q leads to %s", path, at)
		}
	}
	set(b, network.SetCookie, network.SetCookieParams{Name: old.Name, Value: old.Value, URL: w.url + old.Path})
	b.open("notifications/" + id)
	if at := get(b, chromedp.Location()); !strings.HasPrefix(at, w.url+"/console/login") {
		t.Errorf("the cookie of the session that was ended leads to %s", at)
	}
}

// TestPause pauses and resumes a merchant.
func TestPause(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	bikes := newShop(t, "success")
	w.merchant("bikes", bikes, answer{"name": "Bikes for rent"})
	b := newTab(w)
	b.logIn()

	b.open("merchants")
	b.click("bikes")
	b.sees("Merchant bikes", "active")
	b.write(`form[action$="/pause"] input[name=reason]`, "their database is down")
	b.press("Pause")
	b.sees("paused", "their database is down")
	id := w.send("bikes", "20261121-0043", nil)
	b.open("notifications/" + id)
	b.sees("pending", "merchant_paused")
	b.open("notifications?held=merchant_paused")
	b.sees(id)
	b.open("exhausted")
	b.sees("merchant_paused")

	b.open("merchants/bikes")
	b.write(`form[action$="/resume"] input[name=reason]`, "they are back")
	b.press("Resume")
	b.sees("active")
	w.untilState(id, "spent")
	b.open("notifications/" + id)
	b.sees("spent", "acked")
	b.lacks("merchant_paused")
}
