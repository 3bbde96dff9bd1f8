package api_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/signer/keyring"
)

// browser asks from afar, as whoever has a token does.
func browser(target string) (*httptest.ResponseRecorder, *http.Request) {
	r := httptest.NewRequest("GET", "http://pay.example.com"+target, nil)
	r.RemoteAddr = "203.0.113.9:5000"
	return httptest.NewRecorder(), r
}

// who is the principal of a session's token, or the slug of the problem.
func (w *world) who(token string) (api.Principal, string) {
	w.t.Helper()
	_, r := browser("/console/")
	s, p := w.api.Auth.SessionOf(r, token)
	if p != nil {
		return api.Principal{}, p.Slug()
	}
	return s.Principal, ""
}

func (w *world) logIn(key string) (api.Session, string) {
	w.t.Helper()
	rec, r := browser("/console/login")
	s, p := w.api.LogIn(rec, r, key)
	if p != nil {
		return s, p.Slug()
	}
	return s, ""
}

func (w *world) follow(token string) (api.Session, string) {
	w.t.Helper()
	rec, r := browser("/console/login")
	s, p := w.api.LogInByLink(rec, r, token)
	if p != nil {
		return s, p.Slug()
	}
	return s, ""
}

func (w *world) enterPortal(token string) (api.Session, string) {
	w.t.Helper()
	rec, r := browser("/console/portal")
	s, p := w.api.LogInByPortal(rec, r, token)
	if p != nil {
		return s, p.Slug()
	}
	return s, ""
}

func (w *world) logOut(token string) {
	w.t.Helper()
	rec, r := browser("/console/logout")
	if p := w.api.LogOut(rec, r, token); p != nil {
		w.t.Fatal(p)
	}
}

// link makes a link and returns its token.
func (w *world) link(target, body, key string) string {
	w.t.Helper()
	v := w.call("POST", target, body, as(key)...).want(200)
	u, err := url.Parse(v["url"].(string))
	if err != nil {
		w.t.Fatal(err)
	}
	return u.Query().Get("token")
}

// audited lists the actions of the audit log with object and result, but for those of making links and keys.
func (w *world) audited() (lines []string) {
	w.t.Helper()
	entries, err := w.store.AuditLog(context.Background(), 0, 500)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Object, "/")
		if strings.HasPrefix(e.Action, "session.") {
			lines = append(lines, e.Actor+" "+e.Action+" "+kind+" "+e.Result)
		}
	}
	return lines
}

// clocked is a world with a clock that the test moves.
func clocked(t *testing.T) (*world, *clock) {
	t.Helper()
	c := &clock{time.Now()}
	return newWorld(t, func(o *api.Options) { o.Now = c.read }), c
}

func TestSession(t *testing.T) {
	w, c := clocked(t)
	id, key := w.key(api.RoleRead, "")
	s, refused := w.logIn(" " + key + "\n") // as people paste it
	if refused != "" {
		t.Fatal(refused)
	}
	if strings.Contains(s.Token, key) || s.Expires.Sub(c.now).Round(time.Second) != 12*time.Hour {
		t.Errorf("token %q until %s", s.Token, s.Expires)
	}
	want := api.Principal{Name: id, Role: api.RoleRead}
	if who, slug := w.who(s.Token); who != want {
		t.Errorf("%+v, %s", who, slug)
	}
	w.call("GET", "/v1/merchants", "", as(s.Token)...).problem(401, "unauthorized")
	for name, wrong := range map[string]string{
		"cut": s.Token[:len(s.Token)-1], "empty": "", "key": key, "prefix": "pnp_", "dot": "pnp_.",
		"long": s.Token + strings.Repeat("A", 5000), "mac": s.Token[:len(s.Token)-4] + "AAAA",
	} {
		if _, slug := w.who(wrong); slug != "unauthorized" {
			t.Errorf("%s: %q", name, slug)
		}
	}
	other, _ := w.logIn(key)
	w.logOut(s.Token)
	w.logOut(s.Token)
	w.logOut("nonsense")
	if _, slug := w.who(s.Token); slug != "unauthorized" {
		t.Errorf("after logout: %q", slug)
	}
	if who, slug := w.who(other.Token); who != want {
		t.Errorf("the other session: %+v %s", who, slug)
	}
	c.now = c.now.Add(12*time.Hour + time.Second)
	if _, slug := w.who(other.Token); slug != "token-expired" {
		t.Errorf("after its time: %q", slug)
	}
	got := strings.Join(w.audited(), "\n")
	if want := id + " session.begin session ok\n" + id + " session.begin session ok\n" +
		id + " session.end session ok"; got != want {
		t.Errorf("audited:\n%s\nwant:\n%s", got, want)
	}
}

// TestPassesCannotBeChanged changes each member of a payload, keeping the signature.
func TestPassesCannotBeChanged(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	token := w.link("/v1/merchants/m1/portal-link", "", adminKey)
	s, refused := w.enterPortal(token)
	if refused != "" {
		t.Fatal(refused)
	}
	encoded, mac, _ := strings.Cut(strings.TrimPrefix(s.Token, "pnp_"), ".")
	payload, err := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	for member, value := range map[string]any{
		"kind": "portal", "id": "aaaaaaaaaaaa", "by": "local", "mch": "", "iat": 1, "exp": 1 << 52, "new": 1,
	} {
		var p map[string]any
		if err := json.Unmarshal(payload, &p); err != nil {
			t.Fatal(err)
		}
		p[member] = value
		forged, _ := json.Marshal(p)
		if _, slug := w.who("pnp_" + base64.RawURLEncoding.EncodeToString(forged) + "." + mac); slug == "" {
			t.Errorf("with another %s it is taken", member)
		}
	}
	// Each kind is good for one thing.
	login := w.link("/v1/login-links", "", adminKey)
	for name, refused := range map[string]func() (api.Session, string){
		"a session as login link":  func() (api.Session, string) { return w.follow(s.Token) },
		"a session as portal link": func() (api.Session, string) { return w.enterPortal(s.Token) },
		"a portal link as login":   func() (api.Session, string) { return w.follow(token) },
		"a login link as portal":   func() (api.Session, string) { return w.enterPortal(login) },
	} {
		if _, slug := refused(); slug != "unauthorized" {
			t.Errorf("%s: %q", name, slug)
		}
	}
	for _, link := range []string{token, login} {
		if _, slug := w.who(link); slug != "unauthorized" {
			t.Errorf("a link as session: %q", slug)
		}
	}
}

// TestPassesDieWithTheirKey: with a key of the store, and with the configured one.
func TestPassesDieWithTheirKey(t *testing.T) {
	w, c := clocked(t)
	w.mapi("m1")
	tokens := func(key string) (session, login, portal string) {
		s, refused := w.logIn(key)
		if refused != "" {
			t.Fatal(refused)
		}
		return s.Token, w.link("/v1/login-links", "", key), w.link("/v1/merchants/m1/portal-link", "", key)
	}
	dead := func(why, session, login, portal string) {
		t.Helper()
		if _, slug := w.who(session); slug != "unauthorized" {
			t.Errorf("%s: session: %q", why, slug)
		}
		if _, slug := w.follow(login); slug != "unauthorized" {
			t.Errorf("%s: login link: %q", why, slug)
		}
		if _, slug := w.enterPortal(portal); slug != "unauthorized" {
			t.Errorf("%s: portal link: %q", why, slug)
		}
	}
	id, key := w.key(api.RoleOperator, "")
	session, login, portal := tokens(key)
	w.call("DELETE", "/v1/keys/"+id, "").want(204)
	dead("revoked", session, login, portal)

	until := c.now.Add(2 * time.Minute).UTC().Format(time.RFC3339)
	v := w.call("POST", "/v1/keys", `{"role":"operator","expires_at":"`+until+`"}`).want(201)
	session, login, portal = tokens(v["key"].(string))
	c.now = c.now.Add(3 * time.Minute)
	dead("expired", session, login, portal)

	session, login, portal = tokens(adminKey)
	old := w.api
	w.options.AdminKey = "another admin key"
	w.api = api.New(w.options)
	dead("another configured key", session, login, portal)
	w.options.AdminKey = ""
	w.api = api.New(w.options)
	dead("none configured", session, login, portal)
	w.api, w.options.AdminKey = old, adminKey
	if _, slug := w.who(session); slug != "" {
		t.Errorf("as before: %q", slug)
	}
}

// TestPassesOutliveARotation: a master key that comes first signs from then on, and the old one verifies.
func TestPassesOutliveARotation(t *testing.T) {
	first, second := keyring.Generate(), keyring.Generate()
	ring := func(text string) *keyring.Ring {
		r, err := keyring.Load(text)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	w := newWorld(t, func(o *api.Options) { o.Ring = ring(first) })
	s, _ := w.logIn(adminKey)
	w.options.Ring = ring(second + "\n" + first)
	w.api = api.New(w.options)
	if _, slug := w.who(s.Token); slug != "" {
		t.Errorf("with both: %q", slug)
	}
	w.options.Ring = ring(second)
	w.api = api.New(w.options)
	if _, slug := w.who(s.Token); slug != "unauthorized" {
		t.Errorf("with the new one alone: %q", slug)
	}
}

func TestLoginLink(t *testing.T) {
	w, c := clocked(t)
	id, key := w.key(api.RoleAuditor, "")
	token := w.link("/v1/login-links", "", key)
	s, refused := w.follow(token)
	if refused != "" {
		t.Fatal(refused)
	}
	if who, _ := w.who(s.Token); who != (api.Principal{Name: id, Role: api.RoleAuditor}) {
		t.Errorf("%+v", who)
	}
	if _, slug := w.follow(token); slug != "unauthorized" {
		t.Errorf("the second time: %q", slug)
	}
	// Another node of the same store knows.
	node := api.New(w.options)
	rec, r := browser("/console/login")
	if _, p := node.LogInByLink(rec, r, token); p == nil || p.Slug() != "unauthorized" {
		t.Errorf("on another node: %v", p)
	}
	token = w.link("/v1/login-links", "", key)
	c.now = c.now.Add(5*time.Minute + time.Second)
	if _, slug := w.follow(token); slug != "token-expired" {
		t.Errorf("after five minutes: %q", slug)
	}
	mark, err := w.store.Mark(t.Context(), "passes")
	if err != nil || strings.Contains(mark, key) || !strings.Contains(mark, `"spent"`) {
		t.Errorf("mark %q, %v", mark, err)
	}
	v := w.call("POST", "/v1/login-links", "", "X-Forwarded-Proto: https").want(200)
	if !strings.HasPrefix(v["url"].(string), "https://127.0.0.1/console/login?token=pnp_") {
		t.Errorf("url %v", v["url"])
	}
}

// TestOneLinkOneSession follows one link on many nodes at once.
func TestOneLinkOneSession(t *testing.T) {
	w := newWorld(t)
	token := w.link("/v1/login-links", "", adminKey)
	const nodes = 8
	begun := make(chan bool, nodes)
	for range nodes {
		node := api.New(w.options)
		go func() {
			rec, r := browser("/console/login")
			_, p := node.LogInByLink(rec, r, token)
			begun <- p == nil
		}()
	}
	sessions := 0
	for range nodes {
		if <-begun {
			sessions++
		}
	}
	if sessions != 1 {
		t.Errorf("%d sessions of one link", sessions)
	}
}

// TestLogoutIsKnownEverywhere: on another node within a second, on this one at once.
func TestLogoutIsKnownEverywhere(t *testing.T) {
	w, c := clocked(t)
	s, _ := w.logIn(adminKey)
	node := api.New(w.options)
	_, r := browser("/console/")
	if _, p := node.Auth.SessionOf(r, s.Token); p != nil {
		t.Fatal(p)
	}
	w.logOut(s.Token)
	c.now = c.now.Add(time.Second)
	if _, p := node.Auth.SessionOf(r, s.Token); p == nil {
		t.Error("another node takes it a second after")
	}
}

func TestFailedLogins(t *testing.T) {
	w := newWorld(t)
	id, key := w.key(api.RoleRead, "")
	w.call("DELETE", "/v1/keys/"+id, "").want(204)
	for _, wrong := range []string{"", "wrong", key, api.ForgeKey(id)} {
		if _, slug := w.logIn(wrong); slug != "unauthorized" {
			t.Errorf("%.4s: %q", wrong, slug)
		}
	}
	if log := w.audited(); strings.Join(log, "\n") != strings.Join([]string{
		"anonymous session.begin session unauthorized", "anonymous session.begin session unauthorized",
		id + " session.begin session unauthorized", "anonymous session.begin session unauthorized",
	}, "\n") {
		t.Errorf("audited %q", log)
	}
	var slug string
	for range 30 {
		_, slug = w.logIn("wrong")
	}
	if slug != "rate-limited" {
		t.Errorf("after many: %q", slug)
	}
	if _, slug = w.logIn(adminKey); slug != "rate-limited" {
		t.Errorf("the right key, from the same address: %q", slug)
	}
	rec, r := browser("/console/login")
	r.RemoteAddr = "203.0.113.10:5000"
	if _, p := w.api.LogIn(rec, r, adminKey); p != nil {
		t.Errorf("from another address: %v", p)
	}
}

// TestManySpentPasses: the ledger stays within a mark, and nothing in it comes back to life.
func TestManySpentPasses(t *testing.T) {
	w, c := clocked(t)
	w.mapi("m1")
	portal := w.link("/v1/merchants/m1/portal-link", "", adminKey)
	kept, _ := w.logIn(adminKey)
	first, _ := w.logIn(adminKey)
	w.logOut(first.Token)
	full := map[string]any{}
	for range api.SpentMax - 1 {
		full[w.fresh("pass")] = c.now.Add(time.Hour).UnixMilli()
	}
	was, err := w.store.Mark(t.Context(), "passes")
	if err != nil {
		t.Fatal(err)
	}
	var have struct{ Spent map[string]any }
	if err := json.Unmarshal([]byte(was), &have); err != nil {
		t.Fatal(err)
	}
	maps.Copy(full, have.Spent)
	text, _ := json.Marshal(map[string]any{"spent": full})
	if done, err := w.store.SetMark(t.Context(), "passes", was, string(text)); !done || err != nil {
		t.Fatal(done, err)
	}
	c.now = c.now.Add(2 * time.Second)
	if _, slug := w.who(kept.Token); slug != "" {
		t.Fatalf("with a full ledger: %q", slug)
	}
	last, _ := w.logIn(adminKey)
	w.logOut(last.Token)
	for name, token := range map[string]string{"first": first.Token, "last": last.Token, "kept": kept.Token} {
		if _, slug := w.who(token); slug != "unauthorized" {
			t.Errorf("%s, after the cut: %q", name, slug)
		}
	}
	if _, slug := w.enterPortal(portal); slug != "" {
		t.Errorf("a portal link after the cut: %q", slug)
	}
	c.now = c.now.Add(time.Millisecond)
	fresh, _ := w.logIn(adminKey)
	if _, slug := w.who(fresh.Token); slug != "" {
		t.Errorf("a session after the cut: %q", slug)
	}
}
