package console

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"paynotify/api"
)

// browser is somebody with cookies, on another machine and without a key.
type browser struct {
	w       *world
	peer    string
	host    string
	cookies map[string]*http.Cookie
}

func (w *world) browser() *browser {
	return &browser{w, "203.0.113.9:5000", "pay.example.com", map[string]*http.Cookie{}}
}

// ask sends a request and keeps the cookies of the answer; form is nil for a GET.
func (b *browser) ask(target string, form url.Values, head ...string) reply {
	b.w.t.Helper()
	method, body := http.MethodGet, ""
	if form != nil {
		method, body = http.MethodPost, form.Encode()
	}
	r := httptest.NewRequest(method, "http://"+b.host+target, strings.NewReader(body))
	r.RemoteAddr = b.peer
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for _, line := range head {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	if strings.HasPrefix(target, root) {
		for _, c := range b.cookies {
			r.AddCookie(c)
		}
	}
	rec := httptest.NewRecorder()
	b.w.handler.ServeHTTP(rec, r)
	for _, c := range rec.Result().Cookies() {
		if b.cookies[c.Name] = c; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
	return reply{b.w.t, rec.Code, rec.Header(), rec.Body.String()}
}

// goes checks that an answer leads to another page.
func (r reply) goes(to string) {
	r.t.Helper()
	if r.status != http.StatusSeeOther || r.header.Get("Location") != to {
		r.t.Errorf("status %d to %q, want 303 to %q: %s", r.status, r.header.Get("Location"), to, r.body)
	}
}

func (w *world) key(role api.Role, mchID string) string {
	w.t.Helper()
	return w.call("POST", "/v1/keys", `{"role":"`+string(role)+`","mch_id":"`+mchID+`"}`)["key"].(string)
}

// linked makes a link and returns its path with query.
func (w *world) linked(target string) string {
	w.t.Helper()
	u, err := url.Parse(w.call("POST", target, "")["url"].(string))
	if err != nil {
		w.t.Fatal(err)
	}
	return u.RequestURI()
}

func TestLogInAndOut(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.ask("/console/audit?limit=2", nil).goes("/console/login?next=%2Fconsole%2Faudit%3Flimit%3D2")
	b.ask("/console/", nil).goes("/console/login")
	b.ask("/console/no-such-page", nil).goes("/console/login?next=%2Fconsole%2Fno-such-page")
	b.ask("/console/login?next=%2Fconsole%2Faudit", nil).
		want(200, `name="next" value="/console/audit"`, `name="key"`, "Log in").wantNone("Log out", "<nav")
	b.ask("/console/login", url.Values{"key": {"wrong"}, "next": {"/console/audit"}}).
		want(401, "This key is not one of ours.", `value="/console/audit"`)
	if len(b.cookies) != 0 {
		t.Fatalf("cookies %v", b.cookies)
	}
	b.ask("/console/login", url.Values{"key": {adminKey}, "next": {"/console/audit"}}).goes("/console/audit")
	c := b.cookies[cookieName]
	if c == nil || !c.HttpOnly || c.Secure || c.SameSite != http.SameSiteLaxMode || c.Path != "/console/" ||
		c.MaxAge < 43100 || c.MaxAge > 43200 || strings.Contains(c.Value, adminKey) {
		t.Fatalf("cookie %+v", c)
	}
	b.ask("/console/audit", nil).want(200, "Log out", "admin (admin)")
	b.ask("/console/login", nil).goes("/console/")
	b.ask("/v1/merchants", nil, "Cookie: "+c.String()).want(401)

	stolen := w.browser()
	stolen.cookies[cookieName] = c
	b.ask("/console/logout", url.Values{}).goes("/console/login")
	if len(b.cookies) != 0 {
		t.Errorf("cookies %v", b.cookies)
	}
	stolen.ask("/console/audit", nil).goes("/console/login?next=%2Fconsole%2Faudit")
	b.ask("/console/logout", url.Values{}).goes("/console/login")
	b.ask("/console/logout", nil).want(303) // nobody logs out by a link
}

func TestSecureCookie(t *testing.T) {
	b := newWorld(t).browser()
	b.ask("/console/login", url.Values{"key": {adminKey}}, "X-Forwarded-Proto: https").goes("/console/")
	if !b.cookies[cookieName].Secure {
		t.Error("the cookie of a request that came by TLS is not secure")
	}
}

// TestNext: a login leads on to pages of ours and to nothing else.
func TestNext(t *testing.T) {
	for given, want := range map[string]string{
		"":                                     "/console/",
		"/console/notifications?state=pending": "/console/notifications?state=pending",
		"/console/notifications/abc#x":         "/console/notifications/abc",
		"https://evil.example/console/":        "/console/",
		"//evil.example/console/":              "/console/",
		"/console//evil.example":               "/console/",
		"///console/":                          "/console/",
		`/\evil.example/console/`:              "/console/",
		"/v1/keys":                             "/console/",
		"/console":                             "/console/",
		"/consolex/":                           "/console/",
		"/%63onsole/":                          "/console/",
		"javascript:alert(1)":                  "/console/",
		"console/":                             "/console/",
		"/console/\r\nSet-Cookie: a=b":         "/console/",
		"/console/login?next=/console/login":   "/console/",
		"/console/login?token=x":               "/console/",
		"/console/%zz":                         "/console/",
	} {
		if got := goOnTo(given); got != want {
			t.Errorf("%q goes to %q, want %q", given, got, want)
		}
	}
}

// TestOtherSites: a page of another origin can send no form.
func TestOtherSites(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.ask("/console/login", url.Values{"key": {adminKey}}).goes("/console/")
	for _, head := range []string{
		"Origin: https://evil.example", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Site: same-site",
	} {
		for _, target := range []string{"/console/login", "/console/logout", "/console/system/sending"} {
			b.ask(target, url.Values{"key": {adminKey}}, head).want(403, "by a page of another site")
		}
	}
	b.ask("/console/audit", nil).want(200)
	b.ask("/console/logout", url.Values{}, "Origin: http://pay.example.com").goes("/console/login")
}

func TestLinks(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	link := w.linked("/v1/login-links")
	b.ask(link, nil, "Sec-Purpose: prefetch;prerender").want(503)
	b.ask(link, nil).goes("/console/")
	b.ask("/console/audit", nil).want(200, "admin (admin)")
	other := w.browser()
	other.ask(link, nil).want(401, "used already")
	other.ask("/console/login?token=pnp_x.y", nil).want(401, "not one of ours")
	other.ask("/console/portal", nil).want(401, "not one of ours")
	if len(other.cookies) != 0 {
		t.Errorf("cookies %v", other.cookies)
	}
}

// TestPortal: a merchant sees what is its own, on every page that it may see at all, and does nothing.
func TestPortal(t *testing.T) {
	w := newWorld(t)
	w.mapi("m-1")
	w.mapi("m-2")
	mine, other := w.send("m-1", "order-1"), w.send("m-2", "order-2")
	b := w.browser()
	b.ask(w.linked("/v1/merchants/m-1/portal-link"), nil).goes("/console/")
	for _, p := range places {
		r := b.ask(root+p.path, nil)
		if api.Permit(api.Principal{Role: api.RolePortal, MchID: "m-1"}, p.needs) != nil {
			r.want(403)
			r.wantNone(`href="` + root + p.path + `"`)
		} else {
			r.want(w.get(p.path).status)
		}
		r.wantNone("m-2", "order-2", other)
	}
	for _, target := range []string{"merchants/m-2", "notifications/" + other} {
		if r := b.ask(root+target, nil); r.status != 404 {
			t.Errorf("%s: %d", target, r.status)
		}
	}
	b.ask("/console/notifications/"+mine+"/resend", url.Values{"reason": {"x"}}).wantNone("order-1")
	b.ask("/console/system/sending", url.Values{"paused": {"true"}}).want(403)
	if v := w.call("GET", "/v1/sending", ""); v["paused"] != false {
		t.Error("a merchant has stopped all sending")
	}
}

// TestWithoutAKey: this machine's own users need none, everybody else is refused, or brings one.
func TestWithoutAKey(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.AdminKey = "" })
	local := w.browser()
	local.peer, local.host = "127.0.0.1:5000", "127.0.0.1:8080"
	local.ask("/console/", nil).want(200, "local (admin)").wantNone("Log out")
	local.ask("/console/login?next=%2Fconsole%2Faudit", nil).goes("/console/audit")
	b := w.browser()
	b.ask("/console/", nil).want(401, "the peer is another machine", `name="key"`)
	b.ask("/console/login", nil).want(401, "the peer is another machine", `name="key"`)
	local.ask("/console/", nil, "X-Forwarded-For: 203.0.113.9").want(401, "a proxy forwarded the request")
	local.ask("/console/system/sending", url.Values{"paused": {"true"}}, "Sec-Fetch-Site: cross-site").
		want(401, "another origin")

	rec := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "http://127.0.0.1/v1/keys", strings.NewReader(`{"role":"admin"}`))
	r.RemoteAddr = "127.0.0.1:5000"
	w.handler.ServeHTTP(rec, r)
	_, rest, _ := strings.Cut(rec.Body.String(), `"key":"`)
	key, _, _ := strings.Cut(rest, `"`)
	b.ask("/console/login", url.Values{"key": {key}}).goes("/console/")
	b.ask("/console/audit", nil).want(200, "Log out")
	local.ask("/console/", nil).goes("/console/login")
}

// TestRefusedFormsAreAudited: as the API's own.
func TestRefusedFormsAreAudited(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.ask("/console/login", url.Values{"key": {w.key(api.RoleRead, "")}}).goes("/console/")
	b.ask("/console/system/sending", url.Values{"paused": {"true"}}).want(403, "needs operator or admin")
	w.browser().ask("/console/system/sending", url.Values{"paused": {"true"}}).goes("/console/login")
	page, err := w.api.Service.AuditLog(t.Context(), -2, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"missing-scope", "unauthorized"} {
		if e := page.Entries[i]; e.Action != "sending.switch" || e.Result != want || e.Object != "system/sending" {
			t.Errorf("entry %+v, want %s", e, want)
		}
	}
}

func TestRateOfTheConsole(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.RatePerSecond = 3 })
	statuses := map[int]int{}
	for range 10 {
		statuses[w.get("no-such-page").status]++
	}
	if statuses[404] != 3 || statuses[429] != 7 {
		t.Errorf("statuses %v", statuses)
	}
}
