package console

import (
	"bytes"
	"context"
	"encoding/json"
	"html/template"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/console/tmpl"
	"paynotify/dispatcher/egress"
	"paynotify/signer/keyring"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// world is a console over a real store. Nothing is sent by itself: tests settle attempts by hand. Every page
// that a test asks for is written with html/template too, and must be the same; see oracle.
type world struct {
	t       *testing.T
	store   store.Store
	ring    *keyring.Ring
	api     *api.API
	console *Console
	handler http.Handler
}

const adminKey = "test-admin-key"

// newWorld starts one; change may alter the options of the API.
func newWorld(t *testing.T, change ...func(o *api.Options)) *world {
	t.Helper()
	ring, err := keyring.Load(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Path: filepath.Join(t.TempDir(), "console.db")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	w := &world{t: t, store: s, ring: ring}
	o := api.Options{
		Store: s, Intake: intake{s}, Ring: ring, Rules: &egress.Rules{}, AdminKey: adminKey, MaxInflightDefault: 16,
		Log: slog.New(slog.DiscardHandler), Version: "test",
	}
	for _, c := range change {
		c(&o)
	}
	w.api = api.New(o)
	w.console = New(Options{API: w.api, Version: "test"})
	w.console.pages = &oracle{t, w.console.pages}
	w.handler = w.console.Handler()
	return w
}

// intake is the dispatcher's front door without a dispatcher behind it.
type intake struct{ store store.Store }

func (i intake) Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
	items := make([]store.Incoming, len(ns))
	for k := range ns {
		items[k].Notification = ns[k]
	}
	return i.store.Accept(ctx, items, time.Minute)
}

func (intake) Nudge() {}

// oracle executes every page with html/template too and demands the same bytes: package tmpl must not know
// anything better.
type oracle struct {
	t   *testing.T
	own renderer
}

// model is html/template with all templates. It is made once, because reading and judging them takes
// longer than most tests; what its function t does is said for each page.
var model struct {
	sync.Mutex

	all *template.Template
	t   tmpl.Func
}

// modelOf reads the templates; the lock is held.
func modelOf(t *testing.T) *template.Template {
	t.Helper()
	if model.all != nil {
		return model.all
	}
	all := template.New("").Funcs(template.FuncMap{"t": func(args ...any) (any, error) { return model.t(args) }})
	entries, err := fs.ReadDir(templates, "templates")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := fs.ReadFile(templates, "templates/"+e.Name())
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if _, err := all.New(name).Parse(string(text)); err != nil {
			t.Fatal(err)
		}
	}
	model.all = all
	return all
}

func (o *oracle) Execute(w *bytes.Buffer, name string, data any, funcs map[string]tmpl.Func) error {
	if err := o.own.Execute(w, name, data, funcs); err != nil {
		o.t.Errorf("%s: %v", name, err)
		return err
	}
	model.Lock()
	defer model.Unlock()
	all := modelOf(o.t)
	model.t = funcs["t"]
	var want bytes.Buffer
	if err := all.ExecuteTemplate(&want, name, data); err != nil {
		o.t.Errorf("%s: html/template: %v", name, err)
	} else if got, want := differ(w.String(), want.String()); got != want {
		o.t.Errorf("%s is not what html/template makes of it:\n got …%q\nwant …%q", name, got, want)
	}
	return nil
}

// differ is where two texts begin to differ.
func differ(a, b string) (string, string) {
	at := 0
	for at < len(a) && at < len(b) && a[at] == b[at] {
		at++
	}
	from := max(0, at-80)
	return a[from:min(len(a), at+80)], b[from:min(len(b), at+80)]
}

// reply is what the console answered.
type reply struct {
	t      *testing.T
	status int
	header http.Header
	body   string
}

// get asks for a path under /console/ with the admin key; head lines are "Name: value".
func (w *world) get(path string, head ...string) reply {
	w.t.Helper()
	return w.do(http.MethodGet, root+path, "", head)
}

// post sends a form.
func (w *world) post(path string, form url.Values, head ...string) reply {
	w.t.Helper()
	return w.do(http.MethodPost, root+path, form.Encode(),
		append([]string{"Content-Type: application/x-www-form-urlencoded"}, head...))
}

// call is a request to the API, which must succeed.
func (w *world) call(method, path, body string) map[string]any {
	w.t.Helper()
	r := w.do(method, path, body, []string{"Content-Type: application/json"})
	if r.status >= 300 {
		w.t.Fatalf("%s %s: %d %s", method, path, r.status, r.body)
	}
	var v map[string]any
	if err := json.Unmarshal([]byte(r.body), &v); err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return v
}

func (w *world) do(method, target, body string, head []string) reply {
	w.t.Helper()
	r := httptest.NewRequest(method, "http://127.0.0.1"+target, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+adminKey)
	for _, line := range head {
		name, value, _ := strings.Cut(line, ":")
		r.Header.Set(name, strings.TrimSpace(value))
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return reply{w.t, rec.Code, rec.Header(), rec.Body.String()}
}

// want checks the status and that the page says each of these, in this order. They are texts of HTML.
func (r reply) want(status int, says ...string) reply {
	r.t.Helper()
	if r.status != status {
		r.t.Fatalf("status %d, want %d: %s", r.status, status, r.body)
	}
	rest := r.body
	for _, text := range says {
		at := strings.Index(rest, text)
		if at < 0 {
			r.t.Fatalf("the page does not say %q (there):\n%s", text, rest)
		}
		rest = rest[at+len(text):]
	}
	return r
}

// wantNone checks that a page says none of these.
func (r reply) wantNone(says ...string) reply {
	r.t.Helper()
	for _, text := range says {
		if at := strings.Index(r.body, text); at >= 0 {
			r.t.Errorf("the page says %q: …%s…", text, r.body[max(0, at-80):min(len(r.body), at+80)])
		}
	}
	return r
}

// mapi creates a merchant that needs no RSA key, which is slow to make; more are members of the body.
func (w *world) mapi(mchID string, more ...string) {
	w.t.Helper()
	w.call("POST", "/v1/merchants", `{"mch_id":"`+mchID+`","profile":"alipay_mapi",`+
		`"notify_url":"https://shop.example.com/n"`+strings.Join(append([]string{""}, more...), ",")+`}`)
}

// send accepts one notification and returns its notify_id.
func (w *world) send(mchID, outTradeNo string) string {
	w.t.Helper()
	v := w.call("POST", "/v1/notifications",
		`{"mch_id":"`+mchID+`","out_trade_no":"`+outTradeNo+`","params":{"total_fee":"1.00"}}`)
	return v["notify_id"].(string)
}

// settle makes the attempt of a merchant that is due and settles it as told.
func (w *world) settle(mchID string, outcome func(c store.Claim) store.Outcome) store.Claim {
	w.t.Helper()
	claims, err := w.store.Claim(w.t.Context(), mchID, 1, time.Minute)
	if err != nil || len(claims.Items) != 1 {
		w.t.Fatalf("claims %+v, error %v", claims, err)
	}
	c := claims.Items[0]
	_, err = w.store.Settle(w.t.Context(), []store.Settlement{{
		NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: outcome(c),
	}})
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// acked is the outcome of an acknowledged attempt.
func acked(c store.Claim) store.Outcome {
	return store.Outcome{Attempt: store.Attempt{
		Send: c.Send, Charged: !c.Trigger.Manual(), Trigger: c.Trigger, ScheduledAt: c.ScheduledAt,
		StartedAt: c.ClaimedAt, Duration: 12345 * time.Microsecond, Verdict: store.Acked, Reason: store.AckExact,
		Status: 200, Reply: []byte("success"), RemoteAddr: "192.0.2.1:443", RequestSHA256: strings.Repeat("ab", 32),
	}}
}

// refused is the outcome of an attempt with a reply that does not count; the next send is in four minutes.
func refused(reason store.Reason, body string) func(c store.Claim) store.Outcome {
	return func(c store.Claim) store.Outcome {
		o := acked(c)
		o.Attempt.Verdict, o.Attempt.Reason, o.Attempt.Reply = store.VerdictOf(reason), reason, []byte(body)
		o.State, o.NextAt = store.Pending, c.ClaimedAt.Add(4*time.Minute)
		o.PlannedAt = o.NextAt
		return o
	}
}
