package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"

	"paynotify/dispatcher/egress"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// Options is what the API needs. Store, Intake, Prober, Ring and Rules are required.
type Options struct {
	Store  store.Store
	Intake Intake
	Prober Prober
	Ring   *keyring.Ring // seals merchants' keys
	Rules  *egress.Rules // judges notify_urls

	AdminKey           string                              // empty = see Authenticator
	RatePerSecond      float64                             // requests of each key; 0 = no limit
	UserAgent          string                              // as requests have it; empty = "paynotify"
	MaxInflightDefault int                                 // shown for merchants that set none; 0 = 16
	Ready              func() (reasons, warnings []string) // besides what the store says; nil = nothing
	NotYet             func() error                        // why the store may not be used yet; nil = it may
	Metrics            http.Handler                        // of /metrics; nil = there is none here
	Registerer         prometheus.Registerer               // for the metrics of accepting; nil = not shown
	Log                *slog.Logger                        // nil = silent
	Version            string                              // for the OpenAPI document; empty = "dev"
	Now                func() time.Time                    // nil = time.Now

	// Following tells how telling the platform and operators what happens stands; nil = nobody does.
	Following func(context.Context) (Following, error)
	// ReplayBegun is told when a replay was begun; nil = whoever carries them out finds it in the store.
	ReplayBegun func()
}

// maxInflightDefault is the configuration's default of max_inflight_per_merchant.
const maxInflightDefault = 16

// API is the handler of everything but the console. Use New.
type API struct {
	// Service does the work; the console shares it.
	Service *Service
	// Auth decides who may use /v1; the console shares it.
	Auth *Authenticator

	mux      *http.ServeMux
	rates    *limits[string]
	logins   *limits[netip.Addr]
	requests *requestIDs

	doc     *huma.OpenAPI
	ready   func() (reasons, warnings []string)
	notYet  func() error
	metrics http.Handler
	ingest  *ingest
	askers  askers
	spec    []byte

	trouble rate.Sometimes // logs a store that is down once a second, not once a request
	drain   sync.Once
	done    chan struct{} // closed: waiting requests answer now
}

// New prepares the API. It panics when a route is declared twice, which no configuration can cause.
func New(o Options) *API {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxInflightDefault == 0 {
		o.MaxInflightDefault = maxInflightDefault
	}
	if o.Ready == nil {
		o.Ready = func() (reasons, warnings []string) { return nil, nil }
	}
	if o.NotYet == nil {
		o.NotYet = func() error { return nil }
	}
	if o.Version == "" {
		o.Version = "dev"
	}
	a := &API{
		Service: &Service{
			Store: o.Store, Intake: o.Intake, Prober: o.Prober, Ring: o.Ring, Rules: o.Rules,
			UserAgent: o.UserAgent, MaxInflightDefault: o.MaxInflightDefault, Log: o.Log, Now: o.Now,
			Following: o.Following, ReplayBegun: o.ReplayBegun,
		},
		Auth: newAuthenticator(&o),
		mux:  http.NewServeMux(), rates: newRates(&o), logins: newLogins(o.Now), requests: newRequestIDs(),
		ready: o.Ready, notYet: o.NotYet, metrics: o.Metrics,
		ingest: newIngest(o.Registerer), askers: newAskers(o.Now), done: make(chan struct{}),
		trouble: rate.Sometimes{First: 100, Interval: time.Second},
	}
	a.Service.auth, a.Service.denials = a.Auth, newDenials(o.Now)
	a.declare(o.Version)
	return a
}

// NewServer is an http.Server with the limits that the API is meant to run under; set Addr or Serve a
// listener. It has no WriteTimeout: a backup takes as long as it takes.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		MaxHeaderBytes:    32 << 10,
		IdleTimeout:       2 * time.Minute,
	}
}

// Drain makes requests that wait for something answer at once; call it before http.Server.Shutdown, which
// would wait for them.
func (a *API) Drain() { a.drain.Do(func() { close(a.done) }) }

// OpenAPI is the OpenAPI 3.1 document as /openapi.json serves it.
func (a *API) OpenAPI() []byte { return a.spec }

// ServeHTTP answers a request. A panic becomes a 500 and a log line, never a dead process.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.serve(a.mux, w, r) }

// Beside serves something else as the API is served: with a request id, with the headers of an answer that is
// no page, which it may replace, and with panics that become a 500.
func (a *API) Beside(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.serve(h, w, r) })
}

// serve answers a request of one of our listeners.
func (a *API) serve(h http.Handler, w http.ResponseWriter, r *http.Request) {
	defer func() {
		switch v := recover(); v {
		case nil:
		case http.ErrAbortHandler:
			panic(v)
		default:
			a.Service.Log.Error("panic in a request", "method", r.Method, "path", r.URL.Path, "panic", fmt.Sprint(v),
				"stack", string(debug.Stack()))
			problem(SlugInternal, "Something went wrong inside; the log of the server says what.").write(w)
		}
	}()
	a.setHeaders(w.Header(), r)
	h.ServeHTTP(w, r)
}

// refuse answers with a problem and logs what an operator must know.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, p *Problem) {
	a.logProblem(r.Context(), r.Method+" "+r.URL.Path, p)
	p.write(w)
}

func (a *API) logProblem(ctx context.Context, operation string, p *Problem) {
	if p.Status < 500 || errors.Is(p.cause, ctx.Err()) {
		return // theirs, or they have gone
	}
	a.trouble.Do(func() {
		a.Service.Log.Error("request failed", "operation", operation, "problem", p.Slug(), "error", p.cause)
	})
}

// health answers /healthz: the process lives.
func (a *API) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ReadyView tells whether this process can accept and send.
type ReadyView struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons" nullable:"false" doc:"Why it is not ready"`
	Warnings []string `json:"warnings" nullable:"false" doc:"What works and should not stay"`
}

// readiness answers /readyz.
func (a *API) readiness(w http.ResponseWriter, r *http.Request) {
	v := a.Ready(r.Context())
	status := http.StatusOK
	if !v.Ready {
		status = http.StatusServiceUnavailable
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, status, v)
}

// Ready tells what the store says of itself and what the process knows besides.
func (a *API) Ready(ctx context.Context) ReadyView {
	ctx, cancel := bounded(ctx)
	defer cancel()
	v := ReadyView{Reasons: []string{}, Warnings: []string{}}
	switch h := a.Service.Store.Health(ctx); {
	case errors.Is(h.Err, store.ErrFull):
		v.Reasons = append(v.Reasons, "the store is full")
	case h.Err != nil:
		v.Reasons = append(v.Reasons, "the store cannot commit: "+h.Err.Error())
	default:
		v.Warnings = append(v.Warnings, h.Warnings...)
		if sending, err := a.Service.Store.Sending(ctx); err == nil && sending.Paused {
			v.Warnings = append(v.Warnings, "sending is paused: "+sending.Reason)
		}
	}
	reasons, warnings := a.ready()
	v.Reasons, v.Warnings = append(v.Reasons, reasons...), append(v.Warnings, warnings...)
	v.Ready = len(v.Reasons) == 0
	return v
}

// scrape answers /metrics.
func (a *API) scrape(w http.ResponseWriter, r *http.Request) {
	if a.metrics == nil {
		problem(SlugNotFound, "Metrics have a listener of their own; metrics.listen says where.").write(w)
		return
	}
	a.metrics.ServeHTTP(w, r)
}

// backup streams a copy of the store.
func (a *API) backup(w http.ResponseWriter, r *http.Request) {
	// The copy cannot be held back until it is whole, so that its entry in the audit log says that it begins.
	out := &firstByte{w: w, begin: func() error {
		err := a.Service.Record(r.Context(), "store.backup", "store", func(context.Context) error { return nil })
		if err == nil {
			download(w, "application/vnd.sqlite3", "paynotify-backup.db")
		}
		return err
	}}
	err := a.Service.Backup(r.Context(), out)
	if err != nil && !out.begun && out.refused == nil {
		_ = a.Service.Record(r.Context(), "store.backup", "store", func(context.Context) error { return err })
	}
	a.endStream(w, r, out, err)
}

// endStream ends an answer that was written by way of out.
func (a *API) endStream(w http.ResponseWriter, r *http.Request, out *firstByte, err error) {
	switch {
	case out.refused != nil:
		a.refuse(w, r, asProblem(out.refused))
	case err == nil:
	case !out.begun:
		a.refuse(w, r, asProblem(err))
	default:
		a.logProblem(r.Context(), r.Method+" "+r.URL.Path, asProblem(err))
		panic(http.ErrAbortHandler) // half an answer must not look like a whole one
	}
}

// firstByte begins an answer with its first byte.
type firstByte struct {
	w       http.ResponseWriter
	begin   func() error // what comes before it
	begun   bool
	refused error // by begin
}

// Write writes part of the answer.
func (f *firstByte) Write(b []byte) (int, error) {
	if !f.begun {
		if f.refused == nil {
			f.refused = f.begin()
		}
		if f.refused != nil {
			return 0, f.refused
		}
		f.begun = true
	}
	return f.w.Write(b)
}

// download says that an answer is a file to keep.
func download(w http.ResponseWriter, media, name string) {
	w.Header().Set("Content-Type", media)
	w.Header().Set("Content-Disposition", `attachment; filename="`+name+`"`)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header()["Content-Type"] = mediaJSON
	w.WriteHeader(status)
	_ = encodeJSON(w, v)
}

// encodeJSON writes a value without turning <, > and & into escapes: replies of merchants are full of them.
func encodeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
