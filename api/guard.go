package api

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// What every request passes before its handler: who asks, may it, how often, and the audit log around what
// changes something.

// guard puts in front of a handler what the row of its route says.
func (a *API) guard(route string, rule access, handle http.HandlerFunc) http.HandlerFunc {
	if rule.open {
		return handle
	}
	if rule.action != "" && !rule.volume && !strings.HasPrefix(route, http.MethodGet) {
		handle = a.recorded(rule.action, handle)
	}
	return func(w http.ResponseWriter, r *http.Request) {
		if rule.loopback && loopbackPeer(r) && !forwarded(r.Header) {
			handle(w, r)
			return
		}
		who, p := a.enter(r)
		if p == nil {
			p = rule.judge(&who, route)
		}
		if p != nil {
			a.deny(w, r, rule, who, p)
			return
		}
		if p = checkQuery(r); p == nil {
			p = a.NotYet()
		}
		if p != nil {
			p.write(w)
			return
		}
		// The hot path does without what nobody asks for there.
		if !rule.volume || who.MchID != "" {
			r = r.WithContext(WithCaller(r.Context(), a.CallerOf(w, r, who)))
		}
		handle(w, r)
	}
}

// enter tells who a request comes from, if its key has requests left.
func (a *API) enter(r *http.Request) (Principal, *Problem) {
	who, p := a.Auth.Authenticate(r)
	if p == nil {
		p = a.Paced(who)
	}
	return who, p
}

// NotYet is why nothing can be served yet, nil when it can.
func (a *API) NotYet() *Problem {
	if err := a.notYet(); err != nil {
		return tooEarly(err)
	}
	return nil
}

// Paced counts a request of somebody, and is why it comes too soon, nil when it does not.
func (a *API) Paced(who Principal) *Problem {
	if a.rates == nil {
		return nil
	}
	wait, ok := a.rates.take(who.Name)
	if ok {
		return nil
	}
	return slowDown("This key makes more requests than auth.rate_per_second allows; slow down.", wait)
}

// slowDown asks for patience.
func slowDown(detail string, wait time.Duration) *Problem {
	p := problem(SlugRateLimited, detail)
	return p.with("Retry-After", strconv.Itoa(max(1, int(math.Ceil(wait.Seconds())))))
}

// CallerOf is who a request comes from, for Service; the console has it from a session instead of a key.
func (a *API) CallerOf(w http.ResponseWriter, r *http.Request, who Principal) Caller {
	c := Caller{Principal: who, Source: peer(r), Origin: originOf(r)}
	if id := w.Header()[requestIDHeader]; len(id) > 0 {
		c.RequestID = id[0]
	}
	return c
}

// deny refuses a request.
func (a *API) deny(w http.ResponseWriter, r *http.Request, rule access, who Principal, p *Problem) {
	a.denied(w, r, rule, who, p)
	a.refuse(w, r, p)
}

// Denied is for a request that was refused and would have used a route in another way, such as a form: it is
// put into the audit log if the route changes something.
func (a *API) Denied(w http.ResponseWriter, r *http.Request, route string, who Principal, p *Problem) {
	a.denied(w, r, *row(route), who, p)
}

func (a *API) denied(w http.ResponseWriter, r *http.Request, rule access, who Principal, p *Problem) {
	refused := p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden
	if rule.action != "" && refused && a.notYet() == nil {
		if who.Name == "" {
			who.Name = nobody
		}
		ctx := WithCaller(r.Context(), a.CallerOf(w, r, who))
		a.Service.seldom(ctx, rule.action, ObjectOf(r), p.Slug(), nil)
	}
}

// ObjectOf is what a request is about, as far as its path says.
func ObjectOf(r *http.Request) string {
	for _, kind := range []struct{ name, value string }{
		{"merchant", r.PathValue("mch_id")},
		{"notification", r.PathValue("notify_id")},
		{"key", r.PathValue("id")},
		{"replay", r.PathValue("replay_id")},
	} {
		if kind.name == "key" && len(kind.value) > keyIDChars {
			kind.value = "?" // a whole key, given by mistake, must not stay in a log
		}
		if id := kind.value; id != "" {
			return kind.name + "/" + EscapeReply([]byte(id[:min(len(id), auditTextMax)]))
		}
	}
	path := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/v1/"), "/console/")
	return EscapeReply([]byte(path[:min(len(path), auditTextMax)]))
}

// recorded puts what a handler does into the audit log, before its answer leaves.
func (a *API) recorded(action string, handle http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		answer := &heldAnswer{ResponseWriter: w, header: http.Header{}}
		err := a.Service.Record(r.Context(), action, ObjectOf(r), func(ctx context.Context) error {
			handle(answer, r.WithContext(ctx))
			return answer.problem()
		})
		if p := (*Problem)(nil); errors.As(err, &p) && p != answer.said {
			a.refuse(w, r, p)
			return
		}
		answer.release()
	}
}

// heldAnswer keeps an answer back until it may leave. It holds answers that change something, which are one
// object each.
type heldAnswer struct {
	http.ResponseWriter // for what is asked of the connection

	header http.Header
	status int
	body   bytes.Buffer
	said   *Problem // what it answers, if it is a problem
}

// Header is the header of the answer.
func (h *heldAnswer) Header() http.Header { return h.header }

// WriteHeader notes the status.
func (h *heldAnswer) WriteHeader(status int) {
	if h.status == 0 {
		h.status = status
	}
}

// Write notes part of the body.
func (h *heldAnswer) Write(b []byte) (int, error) {
	h.WriteHeader(http.StatusOK)
	return h.body.Write(b)
}

// Unwrap gives http.ResponseController the connection.
func (h *heldAnswer) Unwrap() http.ResponseWriter { return h.ResponseWriter }

// problem is what the answer says went wrong, nil when nothing did.
func (h *heldAnswer) problem() error {
	if h.status < http.StatusBadRequest {
		return nil
	}
	h.said = new(Problem)
	if json.Unmarshal(h.body.Bytes(), h.said) != nil || h.said.Type == "" {
		h.said = problem(SlugInternal, "")
	}
	return h.said
}

// release sends the answer.
func (h *heldAnswer) release() {
	to := h.ResponseWriter.Header()
	maps.Copy(to, h.header)
	if h.status == 0 {
		h.status = http.StatusOK
	}
	h.ResponseWriter.WriteHeader(h.status)
	_, _ = h.ResponseWriter.Write(h.body.Bytes())
}

const (
	requestIDHeader = "X-Request-Id"
	requestIDMax    = 128 // characters of one that a caller gives
)

// requestIDs names requests that their callers have not named.
type requestIDs struct {
	process string // of this process, so that the nodes of a store do not name alike
	count   atomic.Uint64
}

func newRequestIDs() *requestIDs { return &requestIDs{process: strings.ToLower(rand.Text()[:12])} }

// of is the name of a request, as the value of a header: the caller's, where it is fit to stand in logs.
func (ids *requestIDs) of(r *http.Request) []string {
	if given := r.Header[requestIDHeader]; len(given) == 1 && visible(given[0], requestIDMax) {
		return given
	}
	id := make([]byte, 0, 26)
	id = append(id, ids.process...)
	id = append(id, '-')
	return []string{string(strconv.AppendUint(id, ids.count.Add(1), 36))}
}

// visible reports a text of 1 to most visible ASCII characters.
func visible(text string, most int) bool {
	if text == "" || len(text) > most {
		return false
	}
	for i := range len(text) {
		if text[i] <= 0x20 || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

// The headers that every answer has. None of ours is a page: nothing may be run, framed or kept. The console
// sets its own.
var (
	nosniff    = []string{"nosniff"}
	noStore    = []string{"no-store"}
	noContent  = []string{"default-src 'none'; frame-ancestors 'none'"}
	noReferrer = []string{"no-referrer"}
)

func (a *API) setHeaders(h http.Header, r *http.Request) {
	h["X-Content-Type-Options"] = nosniff
	h["Content-Security-Policy"] = noContent
	h["Referrer-Policy"] = noReferrer
	h["Cache-Control"] = noStore
	h[requestIDHeader] = a.requests.of(r)
}

// ratesMax bounds the callers whose rate is remembered: all keys there can be, and those that need none.
const ratesMax = store.KeysMax + 2

// newRates is the rate of each key, with a burst of one second's; nil without a limit.
func newRates(o *Options) *limits[string] {
	if o.RatePerSecond <= 0 {
		return nil
	}
	return newLimits[string](o.RatePerSecond, max(1, int(math.Ceil(o.RatePerSecond))), ratesMax, o.Now)
}
