package api

import (
	"net/http"
	"runtime/pprof"
	"runtime/trace"
	"strconv"
	"strings"
	"time"

	"paynotify/profile"
)

// What the listener of the metrics answers beside them: profiles of this process, in the form and under the
// paths of net/http/pprof, which "go tool pprof" knows. That package is not used, because it also registers
// itself on a mux that anybody may serve, and because it shows the command line, which may hold a password.

// Diagnostics is the handler of a listener of its own for metrics and profiles. Who gave the metrics a
// listener has said by its address who reaches it, so that a scraper needs no key there. Profiles are for
// users of this machine, and for keys of admins.
func (a *API) Diagnostics(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	t := routes{a, mux}
	mux.Handle("GET /metrics", metrics)
	t.HandleFunc("GET /debug/pprof/", a.profiles)
	t.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		problem(SlugNotFound, "There is nothing at this path; here are /metrics and /debug/pprof/.").write(w)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(mux, w, r) })
}

const (
	profileSeconds    = 30  // of a CPU profile, when nobody says
	traceSeconds      = 1   // of a trace, which grows fast
	profileSecondsMax = 300 // one at a time: a forgotten one must end
)

// profiles answers /debug/pprof/NAME?seconds=N.
func (a *API) profiles(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/debug/pprof/")
	seconds := 0
	if given := r.URL.Query().Get("seconds"); given != "" {
		var err error
		if seconds, err = strconv.Atoi(given); err != nil || seconds < 1 || seconds > profileSecondsMax {
			invalid([]profile.Fault{{
				Location: "query.seconds", Message: "is no whole number from 1 to " + itoa(profileSecondsMax),
				Cure: "give one",
			}}).write(w)
			return
		}
	}
	download := func() {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
	}
	failed := func(err error) {
		w.Header().Del("Content-Disposition")
		problem(SlugProfiling, "It cannot begin: "+err.Error()+". Wait for the other one.").write(w)
	}
	switch found := pprof.Lookup(name); {
	case name == "profile":
		download()
		if err := pprof.StartCPUProfile(w); err != nil {
			failed(err)
			return
		}
		a.pause(r, seconds, profileSeconds)
		pprof.StopCPUProfile()
	case name == "trace":
		download()
		if err := trace.Start(w); err != nil {
			failed(err)
			return
		}
		a.pause(r, seconds, traceSeconds)
		trace.Stop()
	case found != nil:
		debug, _ := strconv.Atoi(r.URL.Query().Get("debug")) // as go tool pprof asks; anything else is 0
		if debug > 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		} else {
			download()
		}
		_ = found.WriteTo(w, debug) // fails only when the reader has gone
	case name == "":
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = w.Write([]byte("profile?seconds=30\ntrace?seconds=1\n"))
		for _, p := range pprof.Profiles() {
			_, _ = w.Write([]byte(p.Name() + "?debug=1\n"))
		}
	default:
		problem(SlugNotFound, "There is no profile of this name; /debug/pprof/ lists them.").write(w)
	}
}

// pause lets time go by while something is measured, until the caller goes or the server stops.
func (a *API) pause(r *http.Request, seconds, usual int) {
	if seconds == 0 {
		seconds = usual
	}
	over := time.NewTimer(time.Duration(seconds) * time.Second)
	defer over.Stop()
	select {
	case <-over.C:
	case <-r.Context().Done():
	case <-a.done:
	}
}
