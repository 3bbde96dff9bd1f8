package api

import (
	"mime"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"time"

	"paynotify/profile"
)

// routes is the mux with what all routes have in common. Every route is registered through it, so that none
// can miss its guard.
type routes struct {
	a   *API
	mux *http.ServeMux
}

// slowRoutes answer for longer than a server's WriteTimeout may allow.
var slowRoutes = []string{"GET /v1/attempts", "GET /v1/backup", "GET /v1/merchants/{mch_id}/statement"}

// HandleFunc registers a route.
func (t routes) HandleFunc(pattern string, handle func(http.ResponseWriter, *http.Request)) {
	method, _, _ := strings.Cut(pattern, " ")
	if method == http.MethodPost || method == http.MethodPut || method == http.MethodPatch {
		handle = jsonOnly(handle)
	}
	if slices.Contains(slowRoutes, pattern) {
		handle = unhurried(handle)
	}
	t.mux.HandleFunc(pattern, t.a.guard(pattern, *row(pattern), handle))
}

// unhurried lifts the server's deadline for answers.
func unhurried(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // where there is no connection, no deadline
		handle(w, r)
	}
}

// checkQuery refuses a query that others would read differently: net/url drops what it cannot decode, and of
// a parameter that is there twice some take the first and some the last.
func checkQuery(r *http.Request) *Problem {
	if r.URL.RawQuery == "" {
		return nil
	}
	q, err := url.ParseQuery(r.URL.RawQuery)
	var faults []profile.Fault
	if err != nil {
		faults = append(faults, profile.Fault{
			Location: "query", Message: "cannot be decoded", Cure: "percent-encode the values, separate them by &",
		})
	}
	for name, values := range q {
		if len(values) > 1 {
			faults = append(faults, profile.Fault{
				Location: "query." + name, Message: "is there twice", Cure: "give it once",
			})
		}
	}
	return invalid(faults)
}

// jsonOnly refuses bodies that are not plain JSON.
func jsonOnly(handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 {
			if p := checkMedia(r); p != nil {
				p.write(w)
				return
			}
		}
		handle(w, r)
	}
}

func checkMedia(r *http.Request) *Problem {
	encoding := r.Header["Content-Encoding"]
	if len(encoding) > 0 && !strings.EqualFold(encoding[0], "identity") {
		return problem(SlugUnsupportedMedia, "The body is compressed; send it as it is, without Content-Encoding.")
	}
	given := r.Header["Content-Type"]
	if len(given) == 0 || given[0] == "application/json" {
		return nil // nothing said: the reader finds out
	}
	media, params, err := mime.ParseMediaType(given[0])
	merge := media == "application/merge-patch+json" && r.Method == http.MethodPatch
	if err != nil || media != "application/json" && !merge {
		return problem(SlugUnsupportedMedia, "The body must be JSON; send Content-Type: application/json.")
	}
	if charset, set := params["charset"]; set && !strings.EqualFold(charset, "utf-8") {
		return problem(SlugUnsupportedMedia, "JSON is UTF-8; send Content-Type: application/json.")
	}
	return nil
}

// missing answers for everything that no route matches: 401 under /v1 without a key, 405 where another method
// would do, else 404.
func (a *API) missing(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/v1" || strings.HasPrefix(r.URL.Path, "/v1/") {
		if _, p := a.enter(r); p != nil {
			a.refuse(w, r, p)
			return
		}
	}
	if allow := a.allowed(r); len(allow) > 0 {
		methods := strings.Join(allow, ", ")
		problem(SlugMethodNotAllowed, "This path answers "+methods+".").with("Allow", methods).write(w)
		return
	}
	problem(SlugNotFound, "There is nothing at this path; /openapi.json lists what there is.").write(w)
}

// allowed lists the methods that the path of a request answers.
func (a *API) allowed(r *http.Request) (methods []string) {
	probe := *r
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		probe.Method = m
		if _, pattern := a.mux.Handler(&probe); pattern != "" && pattern != "/" {
			methods = append(methods, m)
		}
	}
	return methods
}

// unknownParameters refuses query parameters that are not among the known ones.
func unknownParameters(q url.Values, known []string) *Problem {
	faults := unknownIn(q, known)
	sortFaults(faults)
	return invalid(faults)
}

// unknownIn finds the query parameters that are not among the known ones.
func unknownIn(q url.Values, known []string) (faults []profile.Fault) {
	for name := range q {
		if !slices.Contains(known, name) {
			faults = append(faults, unknownName("query", name, "query parameter", known))
		}
	}
	return faults
}

// sortFaults puts faults into the order of their places. (slices.SortFunc is compiled for each type, at up to
// 20 KB; where little is sorted, sort.Slice does.)
func sortFaults(faults []profile.Fault) {
	sort.Slice(faults, func(i, j int) bool { return faults[i].Location < faults[j].Location })
}
