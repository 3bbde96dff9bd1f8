package console

import (
	"net/http"
	"net/url"

	"paynotify/api"
)

// who tells who a request comes from, or why it is refused; a 401 is for somebody who has not logged in.
func (c *Console) who(r *http.Request) (api.Principal, *api.Problem) {
	return c.api.Auth.Authenticate(r)
}

// loggedIn reports whether a request has a session.
func loggedIn(*http.Request) bool { return false }

// permit is why somebody may not use a route of the API, nil when it may.
func permit(api.Principal, string) *api.Problem { return nil }

// actionOf is how the use of a route of the API stands in the audit log; empty when it does not.
func actionOf(string) string { return "" }

// toLogin sends somebody to the login page who has not logged in.
func (c *Console) toLogin(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, root+"login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
}

// openRoutes registers what needs no session: logging in and out, and static files.
func (c *Console) openRoutes() {
	c.mux.HandleFunc("GET /console/static/{file}", c.static)
}
