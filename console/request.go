package console

import (
	"context"
	"net/http"
	"strings"
	"time"

	"paynotify/api"
	"paynotify/console/tmpl"
)

// request is one request of somebody who may make it. Its context has the caller, so that api.Service shows
// and does what that caller may see and do.
type request struct {
	*http.Request

	who   api.Principal
	words *words
	now   time.Time
}

// request prepares what pages need to know of a request.
func (c *Console) request(w http.ResponseWriter, raw *http.Request, who api.Principal) *request {
	raw = raw.WithContext(api.WithCaller(raw.Context(), c.api.CallerOf(w, raw, who)))
	return &request{Request: raw, who: who, words: wordsFor(raw.Header.Get("Accept-Language")), now: c.now()}
}

// with is the request in another context.
func (r *request) with(ctx context.Context) *request {
	other := *r
	other.Request = r.WithContext(ctx)
	return &other
}

// t is a text in the language of whoever asks; see words.
func (r *request) t(text string, args ...any) string { return r.words.t(text, args...) }

// funcs are the functions that templates may call, beside the built-in ones.
func (r *request) funcs() map[string]tmpl.Func {
	return map[string]tmpl.Func{"t": func(args []any) (any, error) { return r.words.call(args) }}
}

// may reports whether whoever asks has the rights of a route of the API: what it may not do it need not see.
func (r *request) may(route string) bool { return permit(r.who, route) == nil }

// page is what is shown: a template, which gets data as .Data; see shown for the rest.
type page struct {
	name  string
	title string // translated
	data  any
	to    string // instead of showing anything: the path under /console/ to go on with
}

// shown is what every template gets.
type shown struct {
	Title    string
	Lang     string
	Path     string // of this page, under /console/
	Who      string
	Role     string
	MchID    string // the only merchant that is shown; empty = all
	Nav      []link
	Version  string
	Now      string // RFC 3339, UTC; scripts count from it
	LoggedIn bool   // there is a session to log out of
	Data     any
}

// link is one entry of the navigation.
type link struct {
	Text, Href string
	Here       bool
}

// places are the pages of the navigation, with the route of the API that each needs.
var places = []struct{ text, path, needs string }{
	{phrase("Overview"), "", "GET /v1/notifications"},
	{phrase("Notifications"), "notifications", "GET /v1/notifications"},
	{phrase("Merchants"), "merchants", "GET /v1/merchants"},
	{phrase("Schedule"), "schedule", "GET /v1/notifications"},
	{phrase("Exhausted and held"), "exhausted", "GET /v1/notifications"},
	{phrase("Near-misses"), "near-misses", "GET /v1/notifications"},
	{phrase("Audit"), "audit", "GET /v1/audit"},
	{phrase("System"), "system", "GET /v1/stats"},
}

func (c *Console) shown(r *request, p page) shown {
	v := shown{
		Title: p.title, Lang: r.words.lang, Path: r.URL.Path, Who: r.who.Name, Role: string(r.who.Role),
		MchID: r.who.MchID, Version: c.version, Now: r.now.UTC().Format(time.RFC3339), Data: p.data,
		LoggedIn: loggedIn(r.Request),
	}
	for _, place := range places {
		if r.who.Name != "" && r.may(place.needs) {
			v.Nav = append(v.Nav, link{
				Text: r.t(place.text), Href: root + place.path, Here: here(r.URL.Path, root+place.path),
			})
		}
	}
	return v
}

// here reports whether a page is the one of the navigation, or one below it.
func here(path, place string) bool {
	return path == place || place != root && strings.HasPrefix(path, place+"/")
}
