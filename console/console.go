package console

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"paynotify/api"
	"paynotify/console/tmpl"
)

//go:embed templates
var templates embed.FS

// Options is what the console needs. API is required.
type Options struct {
	API     *api.API
	Log     *slog.Logger     // nil = silent
	Now     func() time.Time // nil = time.Now
	Version string           // shown; empty = "dev"
	// Doctor makes the checks that the system page shows; nil = it shows none.
	Doctor func(ctx context.Context) []Check
}

// Check is one thing that was looked at, and how it is.
type Check struct {
	Name   string
	State  string // "ok", "warning" or "fault"
	Detail string
	Cure   string // empty when nothing is to be done
}

// Console is the handler of everything under /console/. Use New.
type Console struct {
	api     *api.API
	service *api.Service
	log     *slog.Logger
	now     func() time.Time
	version string
	doctor  func(ctx context.Context) []Check
	chain   chain

	pages  renderer
	assets map[string]asset
	mux    *http.ServeMux
	origin *http.CrossOriginProtection
}

// renderer makes pages of templates; see tmpl.Set, which is the one.
type renderer interface {
	Execute(w *bytes.Buffer, name string, data any, funcs map[string]tmpl.Func) error
}

// New prepares the console. It panics when a template or a route is wrong, which no configuration can cause.
func New(o Options) *Console {
	c := &Console{
		api: o.API, service: o.API.Service, log: o.Log, now: o.Now, version: o.Version, doctor: o.Doctor,
		mux: http.NewServeMux(), origin: http.NewCrossOriginProtection(),
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.version == "" {
		c.version = "dev"
	}
	var err error
	if c.pages, err = tmpl.Parse(templates, "templates", "t"); err != nil {
		panic(err)
	}
	if c.assets, err = loadAssets(); err != nil {
		panic(err)
	}
	for _, r := range c.routes() {
		c.mux.Handle(r.pattern, c.guarded(r))
	}
	c.openRoutes()
	c.mux.HandleFunc("/console/", c.missing)
	return c
}

// route is one page or one form of the console.
type route struct {
	pattern string
	// needs is the route of the API whose rights this one takes. A form is recorded in the audit log as that
	// route's action.
	needs string
	// show is of a GET, or of a POST whose answer is shown this once and stands nowhere else.
	show func(r *request) (page, error)
	do   func(r *request) (to string, err error) // of a POST; to is the path under /console/ to go on with
	// serve is of a GET that answers something else than a page. Its error is shown only when it has written
	// nothing.
	serve func(w http.ResponseWriter, r *request) error
}

// routes lists every page and form but those of logging in and out.
func (c *Console) routes() []route {
	return slices.Concat(
		c.overviewRoutes(), c.notificationRoutes(), c.merchantRoutes(), c.scheduleRoutes(), c.exhaustedRoutes(),
		c.nearMissRoutes(), c.auditRoutes(), c.systemRoutes(),
	)
}

// contentPolicy lets a page load what is ours, and run nothing that stands in it.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Handler answers what lies under /console/ with the console and everything else with the API.
func (c *Console) Handler() http.Handler {
	pages := c.api.Beside(c)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasPrefix(r.URL.Path, root):
			pages.ServeHTTP(w, r)
		case r.URL.Path == strings.TrimSuffix(root, "/"):
			http.Redirect(w, r, root, http.StatusPermanentRedirect)
		default:
			c.api.ServeHTTP(w, r)
		}
	})
}

// ServeHTTP answers a request under /console/.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	h.Add("Vary", "Accept-Language, Cookie")
	c.mux.ServeHTTP(w, r)
}

// guarded puts in front of a route who asks and whether that one may.
func (c *Console) guarded(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, raw *http.Request) {
		who, p := c.who(raw)
		if p == nil {
			p = permit(who, rt.needs)
		}
		if p != nil && raw.Method == http.MethodPost {
			c.api.Denied(w, raw, rt.needs, who, p)
		}
		if p != nil && p.Status == http.StatusUnauthorized {
			c.toLogin(w, raw)
			return
		}
		r := c.request(w, raw, who)
		switch {
		case p != nil:
			c.fail(w, r, p)
		case raw.Method == http.MethodPost:
			c.act(w, r, rt)
		case rt.serve != nil:
			if err := rt.serve(w, r); err != nil {
				c.fail(w, r, err)
			}
		default:
			next, err := rt.show(r)
			c.goOn(w, r, next, err)
		}
	})
}

// goOn shows a page, goes on with another one, or says what went wrong.
func (c *Console) goOn(w http.ResponseWriter, r *request, p page, err error) {
	switch {
	case err != nil:
		c.fail(w, r, err)
	case p.to != "":
		http.Redirect(w, r.Request, root+p.to, http.StatusSeeOther)
	default:
		c.show(w, r, http.StatusOK, p)
	}
}

// act does what a form asks for, in the audit log, and goes on with a page.
func (c *Console) act(w http.ResponseWriter, r *request, rt route) {
	if c.origin.Check(r.Request) != nil {
		c.fail(w, r, api.NewProblem(api.SlugMissingScope, "This form was sent by a page of another site."))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, formBytesMax)
	if err := r.ParseForm(); err != nil {
		c.fail(w, r, api.NewProblem(api.SlugInvalid, "The form cannot be read."))
		return
	}
	var p page
	action := actionOf(rt.needs)
	do := func(ctx context.Context) (err error) {
		if rt.show != nil {
			p, err = rt.show(r.with(ctx))
			return err
		}
		p.to, err = rt.do(r.with(ctx))
		return err
	}
	var err error
	if action == "" {
		err = do(r.Context())
	} else {
		err = c.service.Record(r.Context(), action, api.ObjectOf(r.Request), do)
	}
	c.goOn(w, r, p, err)
}

// formBytesMax bounds a form. The largest has a list of order numbers.
const formBytesMax = 1 << 20

// root is where the console lies.
const root = "/console/"

// missing answers for every path that no route has.
func (c *Console) missing(w http.ResponseWriter, raw *http.Request) {
	who, p := c.who(raw)
	if p != nil && p.Status == http.StatusUnauthorized {
		c.toLogin(w, raw)
		return
	}
	if p == nil {
		p = api.NewProblem(api.SlugNotFound, "There is no such page.")
	}
	c.fail(w, c.request(w, raw, who), p)
}

// inside is all that is told of a fault of ours.
const inside = "Something went wrong inside; the log of the server says what."

// fail shows what went wrong.
func (c *Console) fail(w http.ResponseWriter, r *request, err error) {
	var p *api.Problem
	if !errors.As(err, &p) {
		c.log.Error("console page failed", "path", r.URL.Path, "error", err)
		p = api.NewProblem(api.SlugInternal, inside)
	}
	maps.Copy(w.Header(), p.Header())
	data := problemData{Detail: p.Detail, Errors: p.Errors}
	if r.Method == http.MethodPost { // a form's address lies under that of its page
		data.Back = (&url.URL{Path: path.Dir(r.URL.Path)}).EscapedPath()
	}
	c.show(w, r, p.Status, page{name: "problem", title: r.t(p.Title), data: data})
}

// problemData is what a page says that is none.
type problemData struct {
	Detail string
	Errors []api.FieldError
	Back   string // the page with the form that was sent
}

// show writes a page.
func (c *Console) show(w http.ResponseWriter, r *request, status int, p page) {
	var out bytes.Buffer
	if err := c.pages.Execute(&out, p.name, c.shown(r, p), r.funcs()); err != nil {
		c.log.Error("console page cannot be written", "path", r.URL.Path, "error", err)
		http.Error(w, inside, http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(out.Bytes())
	}
}
