package console

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"paynotify/api"
)

// cookieName is the cookie of a session. It goes to the console alone.
const cookieName = "paynotify_session"

// who tells who a request comes from, or why it is refused; a 401 is for somebody who has not logged in. A
// key counts before a session, and a session before the right of this machine's own users.
func (c *Console) who(r *http.Request) (api.Principal, *api.Problem) {
	who, p := c.session(r)
	if p != nil && p.Status == http.StatusUnauthorized {
		who, p = c.api.Auth.Authenticate(r)
	}
	if p == nil {
		p = c.api.Paced(who)
	}
	if p == nil {
		p = c.api.NotYet()
	}
	return who, p
}

// session tells whose session a request has.
func (c *Console) session(r *http.Request) (api.Principal, *api.Problem) {
	if !loggedIn(r) || len(r.Header["Authorization"]) > 0 {
		return api.Principal{}, api.NewProblem(api.SlugUnauthorized, "There is no session.")
	}
	s, p := c.api.Auth.SessionOf(r, tokenOf(r))
	return s.Principal, p
}

// tokenOf is the session's, empty without one.
func tokenOf(r *http.Request) string {
	cookie, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// loggedIn reports whether a request has a session, perhaps one that has ended.
func loggedIn(r *http.Request) bool { return tokenOf(r) != "" }

// keep gives the browser its session.
func keep(w http.ResponseWriter, r *http.Request, s api.Session, now time.Time) {
	setCookie(w, r, s.Token, max(1, int(s.Expires.Sub(now).Seconds())))
}

// forget takes the session from the browser.
func forget(w http.ResponseWriter, r *http.Request) { setCookie(w, r, "", -1) }

// setCookie sets the session's cookie. It comes with requests from other sites only when a person follows a
// link, and forms of other sites are refused besides.
func setCookie(w http.ResponseWriter, r *http.Request, value string, seconds int) {
	http.SetCookie(w, &http.Cookie{ //nolint:gosec // Secure would lose it where there is no TLS
		Name: cookieName, Value: value, Path: root, MaxAge: seconds,
		HttpOnly: true, Secure: api.Secure(r), SameSite: http.SameSiteLaxMode,
	})
}

// permit is why somebody may not use a route of the API, nil when it may.
func permit(who api.Principal, route string) *api.Problem { return api.Permit(who, route) }

// actionOf is how the use of a route of the API stands in the audit log; empty when it does not.
func actionOf(route string) string { return api.Action(route) }

// openRoutes registers what needs no session: logging in and out, and static files.
func (c *Console) openRoutes() {
	c.mux.HandleFunc("GET /console/static/{file}", c.static)
	c.mux.HandleFunc("GET /console/login", c.login)
	c.mux.HandleFunc("POST /console/login", c.logIn)
	c.mux.HandleFunc("POST /console/logout", c.logOut)
	c.mux.HandleFunc("GET /console/portal", c.portal)
}

// loginData is what the login page shows.
type loginData struct {
	Next   string // where to go on
	Wrong  string // why the last try was refused
	Closed string // why this browser is not let in as it is, on a server that needs no key
}

// toLogin sends somebody to the login page who has not logged in. On a server that needs no key that is
// nobody's way in but of those who have one, so that it is refused, with the page.
func (c *Console) toLogin(w http.ResponseWriter, r *http.Request) {
	var next string
	if r.Method == http.MethodGet || r.Method == http.MethodHead { // what a form does is not done by a link
		next = r.URL.RequestURI()
	}
	switch needed, p := c.api.Auth.KeyNeeded(r.Context()); {
	case p != nil:
		c.fail(w, c.request(w, r, api.Principal{}), p)
	case needed:
		to := root + "login"
		if next = goOnTo(next); next != root {
			to += "?next=" + url.QueryEscape(next)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	default:
		c.showLogin(w, r, loginData{Next: goOnTo(next)}, http.StatusUnauthorized)
	}
}

// goOnTo is a path of ours to go on with after a login, whatever somebody has put into a link.
func goOnTo(given string) string {
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || strings.Contains(given, "\\") ||
		!strings.HasPrefix(u.EscapedPath(), root) || strings.Contains(u.Path, "//") {
		return root
	}
	for _, never := range []string{"login", "logout", "portal"} {
		if u.Path == root+never {
			return root
		}
	}
	return u.RequestURI()
}

// showLogin shows the login page.
func (c *Console) showLogin(w http.ResponseWriter, raw *http.Request, data loginData, status int) {
	needed, p := c.api.Auth.KeyNeeded(raw.Context())
	if p == nil && !needed {
		_, closed := c.api.Auth.Authenticate(raw)
		if closed != nil {
			data.Closed = closed.Detail
		}
	}
	r := c.request(w, raw, api.Principal{})
	c.show(w, r, status, page{name: "login", title: r.t("Log in"), data: data})
}

// login shows the login page, or logs in who follows a one-time link.
func (c *Console) login(w http.ResponseWriter, r *http.Request) {
	if given := r.URL.Query().Get("token"); given != "" {
		c.follow(w, r, given, c.api.LogInByLink)
		return
	}
	next := goOnTo(r.URL.Query().Get("next"))
	status := http.StatusOK
	switch _, p := c.who(r); {
	case p == nil:
		http.Redirect(w, r, next, http.StatusSeeOther) //nolint:gosec // goOnTo lets through paths of ours alone
		return
	case p.Status != http.StatusUnauthorized:
		c.fail(w, c.request(w, r, api.Principal{}), p)
		return
	}
	if needed, p := c.api.Auth.KeyNeeded(r.Context()); p == nil && !needed {
		status = http.StatusUnauthorized
	}
	c.showLogin(w, r, loginData{Next: next}, status)
}

// portal lets in a merchant that follows its portal link.
func (c *Console) portal(w http.ResponseWriter, r *http.Request) {
	c.follow(w, r, r.URL.Query().Get("token"), c.api.LogInByPortal)
}

// follow begins a session for who follows a link. What only looks ahead must not use it up.
func (c *Console) follow(
	w http.ResponseWriter, r *http.Request, given string,
	logIn func(http.ResponseWriter, *http.Request, string) (api.Session, *api.Problem),
) {
	if r.Method == http.MethodHead || strings.Contains(r.Header.Get("Sec-Purpose"), "prefetch") {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s, p := logIn(w, r, given)
	if p != nil {
		c.fail(w, c.request(w, r, api.Principal{}), p)
		return
	}
	keep(w, r, s, c.now())
	http.Redirect(w, r, root, http.StatusSeeOther)
}

// loginBytesMax bounds the form of the login page.
const loginBytesMax = 16 << 10

// logIn begins a session for who shows a key.
func (c *Console) logIn(w http.ResponseWriter, r *http.Request) {
	if !c.ours(w, r) {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, loginBytesMax)
	if err := r.ParseForm(); err != nil {
		c.fail(w, c.request(w, r, api.Principal{}), api.NewProblem(api.SlugInvalid, "The form cannot be read."))
		return
	}
	data := loginData{Next: goOnTo(r.PostForm.Get("next"))}
	s, p := c.api.LogIn(w, r, r.PostForm.Get("key"))
	switch {
	case p == nil:
		keep(w, r, s, c.now())
		http.Redirect(w, r, data.Next, http.StatusSeeOther)
	case p.Status >= http.StatusInternalServerError:
		c.fail(w, c.request(w, r, api.Principal{}), p)
	default:
		data.Wrong = p.Detail
		maps.Copy(w.Header(), p.Header())
		c.showLogin(w, r, data, p.Status)
	}
}

// logOut ends the session.
func (c *Console) logOut(w http.ResponseWriter, r *http.Request) {
	if !c.ours(w, r) {
		return
	}
	forget(w, r) // also when it cannot be ended for everybody else who has its cookie
	if p := c.api.LogOut(w, r, tokenOf(r)); p != nil {
		c.fail(w, c.request(w, r, api.Principal{}), p)
		return
	}
	http.Redirect(w, r, root+"login", http.StatusSeeOther)
}

// ours refuses what a page of another site sends.
func (c *Console) ours(w http.ResponseWriter, r *http.Request) bool {
	if c.origin.Check(r) == nil {
		return true
	}
	c.fail(w, c.request(w, r, api.Principal{}),
		api.NewProblem(api.SlugMissingScope, "This form was sent by a page of another site."))
	return false
}
