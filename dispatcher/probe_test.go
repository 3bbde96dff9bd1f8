package dispatcher_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// probed writes what a probe found in one line.
func probed(p store.Probe) string {
	verifies := "unknown"
	if p.Verifies != nil {
		verifies = fmt.Sprint(*p.Verifies)
	}
	return fmt.Sprintf("%s %s %s %d %q", verifies, p.Verdict, p.Reason, p.Status, p.Reply)
}

func TestProbeJudgesAsSendsAreJudged(t *testing.T) {
	lenient := store.Ack{
		Match: "trim", Text: "success", Status: []string{"200"}, Lenient: []store.Reason{store.AckCase},
	}
	for _, c := range []struct {
		name  string
		ack   store.Ack
		reply reply
		want  string
	}{
		{name: "acknowledged", reply: success(), want: `false acked ack_exact 200 "success"`},
		{name: "trimmed", reply: says("\nsuccess"), want: `false acked ack_trimmed 200 "\nsuccess"`},
		{name: "lenient", ack: lenient, reply: says("SUCCESS"), want: `false acked ack_trimmed 200 "SUCCESS"`},
		{name: "refused", reply: says("fail"), want: `true refused ack_mismatch 200 "fail"`},
		{name: "empty", reply: says(""), want: `true refused ack_empty 200 ""`},
		{name: "4xx", reply: status(401), want: `true http_4xx http_status 401 "-"`},
		{name: "5xx", reply: status(500), want: `true http_5xx http_status 500 "-"`},
		{name: "near-miss", reply: says("SUCCESS"), want: `unknown refused ack_case 200 "SUCCESS"`},
		{name: "too many", reply: status(429), want: `unknown http_4xx http_status 429 "-"`},
		{name: "overload", reply: status(503), want: `unknown http_5xx http_status 503 "-"`},
		{
			name: "redirect", reply: reply{status: 302, header: "Location: /login\r\n"},
			want: `unknown http_3xx redirect 302 ""`,
		},
		{name: "nonsense", reply: reply{raw: "hello\r\n\r\n"}, want: `unknown bad_reply malformed 0 ""`},
		{name: "silence", reply: reply{hang: true}, want: `unknown timeout timeout_headers 0 ""`},
	} {
		t.Run(c.name, func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, w *world) {
				w.answer = func(*world, string, int, post) reply { return c.reply }
				m := w.merchant(store.Merchant{MchID: "m1", Ack: c.ack})
				p, err := w.d.Probe(context.Background(), m)
				if err != nil {
					t.Fatal(err)
				}
				if got := probed(p); got != c.want {
					t.Errorf("%s, want %s", got, c.want)
				}
				if time.Since(p.At) > dispatcher.TimeoutDefault || p.At.After(time.Now()) {
					t.Errorf("at %v, now %v", p.At, time.Now())
				}
			})
		})
	}
}

// TestProbeIsNoNotification checks that a probe leaves nothing behind: no record, no attempt, no change.
func TestProbeIsNoNotification(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *world) {
		m := w.merchant(store.Merchant{MchID: "m1"})
		before := w.counter("paynotify_attempts_total", "alipay_mapi")
		for range 2 {
			if _, err := w.d.Probe(context.Background(), m); err != nil {
				t.Fatal(err)
			}
		}
		posts := w.seen()
		if len(posts) != 2 {
			t.Fatalf("%d POSTs, want 2", len(posts))
		}
		form := posts[0].form
		if err := verifyMAPI(form); err == nil || len(form.Get("sign")) != 32 {
			t.Errorf("sign %q: %v; want one that is well-formed and wrong", form.Get("sign"), err)
		}
		order := form.Get("out_trade_no")
		if !strings.HasPrefix(order, "probe-") || len(order) > 32 || order == posts[1].form.Get("out_trade_no") {
			t.Errorf("orders %q and %q", order, posts[1].form.Get("out_trade_no"))
		}
		if form.Get("notify_type") != "trade_status_sync" || posts[0].id == posts[1].id {
			t.Errorf("notify_type %q, notify_ids %q and %q", form.Get("notify_type"), posts[0].id, posts[1].id)
		}
		if _, _, err := w.store.Get(context.Background(), posts[0].id); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("the probe's notify_id is in the store: %v", err)
		}
		if after := w.counter("paynotify_attempts_total", "alipay_mapi"); after != before {
			t.Errorf("%v attempts counted", after-before)
		}
		now, err := w.store.Merchant(context.Background(), "m1")
		if diff := gocmp.Diff(m, now); err != nil || diff != "" {
			t.Errorf("the merchant changed: %v\n%s", err, diff)
		}
		// What is owed is sent as ever, rightly signed.
		id := w.accept("m1", "20261121-1")[0]
		w.pass(time.Second)
		if n, _ := w.get(id); n.State != store.Spent {
			t.Errorf("the notification is %s", n.State)
		}
		if posts = w.seen(); verifyMAPI(posts[len(posts)-1].form) != nil {
			t.Error("a send after a probe is wrongly signed")
		}
	})
}

func TestProbeOfAForbiddenAddress(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *world) {
		m := w.merchant(store.Merchant{MchID: "m1", NotifyURL: "http://10.0.0.1/n"})
		p, err := w.d.Probe(context.Background(), m)
		if want := `unknown blocked address_blocked 0 ""`; err != nil || probed(p) != want {
			t.Errorf("%s %v, want %s", probed(p), err, want)
		}
		if n := len(w.seen()); n > 0 {
			t.Errorf("%d POSTs", n)
		}
	})
}

// TestProbeThatIsCutShort checks that nothing is said about a merchant that was not waited for.
func TestProbeThatIsCutShort(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *world) {
		w.answer = func(*world, string, int, post) reply { return reply{hang: true} }
		m := w.merchant(store.Merchant{MchID: "m1"})
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		time.AfterFunc(time.Second, cancel)
		if p, err := w.d.Probe(ctx, m); !errors.Is(err, context.Canceled) {
			t.Errorf("its caller left: %s %v", probed(p), err)
		}
		failed := make(chan error, 1)
		go func() {
			_, err := w.d.Probe(context.Background(), m)
			failed <- err
		}()
		synctest.Wait()
		w.stop() // it drains at once: a probe is no attempt in flight
		if err := <-failed; !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the process stops: %v", err)
		}
		if _, err := w.d.Probe(context.Background(), m); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("the process has stopped: %v", err)
		}
		if n := len(w.seen()); n != 2 {
			t.Errorf("%d POSTs, want 2", n)
		}
	})
}

// TestProbeNeedsAStoreThatRecords: like every send, it does not leave while its result could not be kept.
func TestProbeNeedsAStoreThatRecords(t *testing.T) {
	var broken atomic.Bool
	prepare := func(w *world) {
		w.withStore = func(s store.Store) store.Store { return deaf{s, &broken} }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		m := w.merchant(store.Merchant{MchID: "m1"})
		broken.Store(true)
		w.accept("m1", "1")
		w.pass(10 * time.Millisecond)
		if _, err := w.d.Probe(context.Background(), m); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%v, want ErrUnavailable", err)
		}
		broken.Store(false)
		w.pass(5 * time.Second)
		if p, err := w.d.Probe(context.Background(), m); err != nil || p.Verdict != store.Acked {
			t.Errorf("%s %v", probed(p), err)
		}
	})
}

// catcher keeps the requests that would leave.
type catcher struct{ requests []*egress.Request }

func (c *catcher) Do(_ context.Context, r *egress.Request) egress.Result {
	c.requests = append(c.requests, r)
	return egress.Result{Status: 200, Body: []byte("fail"), Wrote: true}
}

// TestProbeOfEveryProfile checks for every dialect, also with the header signature, that the request of a
// probe is one that a merchant would take but for its signature, and that nothing else about it is wrong.
func TestProbeOfEveryProfile(t *testing.T) {
	caught := &catcher{}
	prepare := func(w *world) {
		w.withClient = func(dispatcher.Poster) dispatcher.Poster { return caught }
	}
	inVirtualTimeWith(t, prepare, func(t *testing.T, w *world) {
		for _, p := range profile.All() {
			for _, signType := range append([]string{""}, p.SignTypes...) {
				w.probeProfile(t, caught, p, store.Merchant{
					MchID: "p", AppID: "wx1", Profile: p.Name, SignType: signType,
				})
			}
			w.probeProfile(t, caught, p, store.Merchant{
				MchID: "p", AppID: "wx1", Profile: p.Name, Options: map[string]any{"header_signature": true},
			})
		}
	})
}

func (w *world) probeProfile(t *testing.T, caught *catcher, p *profile.Profile, m store.Merchant) {
	t.Helper()
	name := fmt.Sprintf("profile %s, sign_type %q, options %v", p.Name, m.SignType, m.Options)
	m.NotifyURL = "http://shop.example.com/n"
	material, faults := profile.NewMaterial(p, &m, profile.Material{}, profile.Material{})
	if len(faults) > 0 {
		t.Fatalf("%s: %+v", name, faults)
	}
	public, err := material.Public(m.MchID, time.Now())
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	plain, err := json.Marshal(material)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := w.ring.Seal(m.MchID, "k1", plain)
	if err != nil {
		t.Fatal(err)
	}
	m.Keys = []store.Key{{ID: "k1", Sealed: sealed, PublicKey: public.PEM, Whpk: public.Whpk}}
	if _, err = w.d.Probe(context.Background(), m); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	r := caught.requests[len(caught.requests)-1]
	got := profile.CapturedRequest{Method: r.Method, Query: r.Query, Body: r.Body}
	for _, line := range r.Header {
		got.Header = append(got.Header, profile.Header(line))
	}
	keys, err := profile.ParseVerifyKeys(cmp.Or(public.PEM, public.Whpk), material.Secret, "")
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if p.SignTypes != nil {
		keys.SignType = m.SignType
	}
	if m.Options["header_signature"] != nil {
		keys.Options = map[string]string{"header_signature": "true"}
	}
	_, err = profile.Verify(p, got, keys)
	switch wrong := (*profile.VerifyError)(nil); {
	case !profile.Signs(p, &m):
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	case !errors.As(err, &wrong) || wrong.Rule != profile.RuleSignature:
		t.Errorf("%s: the probe's request breaks %v, want rule signature alone\n%s\n%s", name, err, r.Query, r.Body)
	}
}
