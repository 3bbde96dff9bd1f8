package api_test

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/store"
)

func TestPortalLink(t *testing.T) {
	w, c := clocked(t)
	w.mapi("m1", `"headers":{"X-Secret-Route":"blue"}`)
	w.mapi("m2")
	v := w.call("POST", "/v1/merchants/m1/portal-link", `{"expires_in":"36h"}`).want(200)
	link, err := url.Parse(v["url"].(string))
	if err != nil || link.Scheme != "http" || link.Host != "127.0.0.1" || link.Path != "/console/portal" {
		t.Fatalf("url %v, %v", v["url"], err)
	}
	ends, _ := time.Parse(time.RFC3339, v["expires_at"].(string))
	if ends.Sub(c.now).Round(time.Second) != 36*time.Hour {
		t.Errorf("expires_at %v", v["expires_at"])
	}
	token := link.Query().Get("token")
	first, refused := w.enterPortal(token)
	if refused != "" {
		t.Fatal(refused)
	}
	if first.Expires.Sub(c.now).Round(time.Second) != 12*time.Hour {
		t.Errorf("the session ends at %s", first.Expires)
	}
	want := api.Principal{Name: "portal/m1", Role: api.RolePortal, MchID: "m1"}
	if who, _ := w.who(first.Token); who != want {
		t.Errorf("%+v", who)
	}
	w.logOut(first.Token)
	c.now = c.now.Add(30 * time.Hour)
	second, refused := w.enterPortal(token)
	if refused != "" {
		t.Fatalf("the second time: %s", refused)
	}
	if second.Expires.Sub(c.now).Round(time.Second) != 6*time.Hour {
		t.Errorf("the session outlives its link: %s", second.Expires)
	}
	c.now = c.now.Add(7 * time.Hour)
	if _, slug := w.enterPortal(token); slug != "token-expired" {
		t.Errorf("after its time: %q", slug)
	}
	for _, wrong := range []string{"59s", "721h", "-1h", "soon", "30d"} {
		at(t, w.call("POST", "/v1/merchants/m1/portal-link", `{"expires_in":"`+wrong+`"}`).
			problem(422, "validation-failed"), "body.expires_in")
	}
	w.call("POST", "/v1/merchants/m9/portal-link", "").problem(404, "merchant-not-found")
	log, err := w.store.AuditLog(t.Context(), 0, 500)
	if err != nil {
		t.Fatal(err)
	}
	made := false
	for _, e := range log {
		made = made || e.Action == "merchant.portal-link" && e.Object == "merchant/m1" && e.Result == "ok"
		if strings.Contains(string(e.After)+e.Object, "pnp_") {
			t.Errorf("a token is in the audit log: %s", e.After)
		}
	}
	if !made || strings.Contains(w.log.String(), "pnp_") {
		t.Error("the link is not in the audit log, or in another one")
	}
}

// TestPortalSees: what operators know of a merchant's attempts is not for the merchant.
func TestPortalSees(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1", `"headers":{"X-Secret-Route":"blue"}`)
	w.mapi("m2")
	id, other := w.send("m1", "o1"), w.send("m2", "o2")
	w.settle("m1", func(c store.Claim) store.Outcome {
		o := acked(c)
		o.Attempt.Detail, o.Attempt.RemoteAddr = "our resolver 10.0.0.2", "203.0.113.7:443"
		return o
	})
	w.call("POST", "/v1/merchants/m1/pause", `{"reason":"between us"}`).want(200)
	ask := func(key string, secrets bool) {
		t.Helper()
		for _, target := range []string{
			"/v1/notifications/" + id, "/v1/notifications/" + id + "/evidence", "/v1/merchants/m1", "/v1/merchants",
		} {
			r := w.call("GET", target, "", as(key)...)
			r.want(200)
			found := false
			for _, secret := range []string{"10.0.0.2", "203.0.113.7", "X-Secret-Route", "between us"} {
				found = found || strings.Contains(r.body, secret)
			}
			if found != secrets {
				t.Errorf("%s: secrets %v, want %v: %s", target, found, secrets, r.body)
			}
		}
	}
	ask(adminKey, true)
	_, key := w.key(api.RolePortal, "m1")
	ask(key, false)
	w.call("GET", "/v1/notifications/"+other, "", as(key)...).
		problem(404, "notification-not-found")
}

// TestLocalPasses: where this machine's users need no key, a session of theirs is worth nothing elsewhere,
// and what they handed out ends when a key is needed.
func TestLocalPasses(t *testing.T) {
	w, c := clocked(t)
	w.options.AdminKey = ""
	w.api = api.New(w.options)
	ask := func(target string) string {
		t.Helper()
		r := httptest.NewRequest("POST", "http://127.0.0.1"+target, nil)
		r.RemoteAddr = "127.0.0.1:5000"
		v := w.do(r).want(200)
		u, err := url.Parse(v["url"].(string))
		if err != nil {
			t.Fatal(err)
		}
		return u.Query().Get("token")
	}
	r := httptest.NewRequest("POST", "http://127.0.0.1/v1/merchants",
		strings.NewReader(`{"mch_id":"m1","profile":"form","notify_url":"https://shop.example.com/n"}`))
	r.RemoteAddr = "127.0.0.1:5000"
	w.do(r).want(201)
	login, portal := ask("/v1/login-links"), ask("/v1/merchants/m1/portal-link")
	if _, slug := w.follow(login); slug != "unauthorized" {
		t.Errorf("a login link of a local user, from afar: %q", slug)
	}
	s, slug := w.enterPortal(portal)
	if slug != "" {
		t.Fatalf("a portal link: %q", slug)
	}
	if _, slug = w.who(s.Token); slug != "" {
		t.Fatalf("a portal session: %q", slug)
	}
	w.key(api.RoleAdmin, "")
	c.now = c.now.Add(2 * time.Second)
	if _, slug = w.who(s.Token); slug != "unauthorized" {
		t.Errorf("a portal session, when a key is needed: %q", slug)
	}
}

func TestPermit(t *testing.T) {
	portal := api.Principal{Role: api.RolePortal, MchID: "m1"}
	for _, c := range []struct {
		who   api.Principal
		route string
		slug  string
	}{
		{api.Principal{Role: api.RoleAdmin}, "GET /v1/audit", ""},
		{api.Principal{Role: api.RoleRead}, "GET /v1/audit", "missing-scope"},
		{api.Principal{Role: api.RoleRead, MchID: "m1"}, "GET /v1/stats", "missing-scope"},
		{portal, "GET /v1/notifications", ""},
		{portal, "POST /v1/notifications/{notify_id}/resend", "missing-scope"},
		{api.Principal{}, "GET /healthz", ""},
		{api.Principal{}, "GET /v1/stats", "missing-scope"},
	} {
		slug := ""
		if p := api.Permit(c.who, c.route); p != nil {
			slug = p.Slug()
		}
		if slug != c.slug {
			t.Errorf("%+v: %q", c, slug)
		}
	}
	if got := api.Action("POST /v1/notifications/{notify_id}/resend"); got != "notification.resend" {
		t.Errorf("action %q", got)
	}
	defer func() {
		if recover() == nil {
			t.Error("a route without a row does not panic")
		}
	}()
	api.Permit(portal, "GET /v1/nothing")
}
