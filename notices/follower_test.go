package notices

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// world is a real store in which attempts are settled by hand, and followers on it.
type world struct {
	*testing.T

	store *sqlitestore.Store
	now   time.Time
	log   bytes.Buffer
	// What goes wrong on the way: nil = nothing.
	accept func() error
	mark   func(name string) error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{T: t, now: noon}
	s, err := sqlitestore.Open(t.Context(), sqlitestore.Options{
		Path: filepath.Join(t.TempDir(), "world.db"), Now: func() time.Time { return w.now },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	w.store = s
	for _, id := range []string{store.CallbackMerchant, store.NoticesMerchant, "m1", "m2"} {
		if _, err := s.CreateMerchant(t.Context(), store.Merchant{
			MchID: id, Profile: "form", NotifyURL: "https://shop.example/", MaxInflight: 1000,
		}); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// broken is the store as a follower sees it that may die between two steps.
type broken struct {
	*sqlitestore.Store

	w *world
}

func (b broken) SetMark(ctx context.Context, name, was, value string) (bool, error) {
	if b.w.mark != nil {
		if err := b.w.mark(name); err != nil {
			return false, err
		}
	}
	return b.Store.SetMark(ctx, name, was, value)
}

// Accept accepts as the dispatcher does, without sending.
func (w *world) Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
	if w.accept != nil {
		if err := w.accept(); err != nil {
			return nil, err
		}
	}
	items := make([]store.Incoming, len(ns))
	for i := range ns {
		items[i].Notification = ns[i]
	}
	return w.store.Accept(ctx, items, time.Minute)
}

func (w *world) follower(node string) *Follower {
	return New(Options{
		Store: broken{w.store, w}, Intake: w, Callback: true, Notices: true, Node: node,
		Log: slog.New(slog.NewTextHandler(&w.log, nil)),
	})
}

// turns lets a follower look until it has nothing more to do.
func (w *world) turns(f *Follower) error {
	for range 100 {
		if wait, err := f.turn(w.Context()); err != nil || wait > 0 {
			return err
		}
	}
	w.Fatal("it never rests")
	return nil
}

func (w *world) must(f *Follower) {
	w.Helper()
	if err := w.turns(f); err != nil {
		w.Fatal(err)
	}
}

// settle accepts a notification and settles its first send with this outcome.
func (w *world) settle(
	mchID string, v store.Verdict, r store.Reason, after store.State, change ...func(*store.Outcome),
) string {
	w.Helper()
	answers, err := w.store.Accept(w.Context(), []store.Incoming{{Notification: store.Notification{
		MchID: mchID, Profile: "form", Schedule: "standard", OutTradeNo: "T-<1>", NotifyType: "refund",
		Params: []byte(`{}`),
	}}}, time.Minute)
	if err != nil {
		w.Fatal(err)
	}
	w.now = w.now.Add(time.Millisecond)
	cs, err := w.store.Claim(w.Context(), mchID, 1, time.Minute)
	if err != nil || len(cs.Items) != 1 {
		w.Fatalf("claim: %d, %v", len(cs.Items), err)
	}
	c := cs.Items[0]
	o := store.Outcome{State: after, Attempt: store.Attempt{
		Send: c.Send, Charged: true, Trigger: c.Trigger, ScheduledAt: c.ScheduledAt, StartedAt: w.now,
		Duration: time.Millisecond, Verdict: v, Reason: r, Status: 200,
	}}
	if after == store.Pending {
		o.NextAt, o.PlannedAt = w.now.Add(time.Hour), w.now.Add(time.Hour)
	}
	for _, c := range change {
		c(&o)
	}
	w.settleClaim(&c, o)
	return answers[0].NotifyID
}

func (w *world) settleClaim(c *store.Claim, o store.Outcome) {
	w.Helper()
	if _, err := w.store.Settle(w.Context(), []store.Settlement{{
		NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: o,
	}}); err != nil {
		w.Fatal(err)
	}
}

func (w *world) spend(mchID string) string {
	return w.settle(mchID, store.Acked, store.AckExact, store.Spent)
}

// told lists what was accepted for one of the engine's own merchants, in order: type and whom it is about.
func (w *world) told(mchID string) (list []string) {
	w.Helper()
	ns, _, err := w.store.List(w.Context(), store.Query{MchID: mchID, Limit: 500})
	if err != nil {
		w.Fatal(err)
	}
	slices.Reverse(ns)
	for _, n := range ns {
		var data struct {
			NotifyID string `json:"notify_id"`
			MchID    string `json:"mch_id"`
		}
		if err := json.Unmarshal(n.Params, &data); err != nil {
			w.Fatalf("%s: %v", n.Params, err)
		}
		about := data.NotifyID
		if mchID == store.NoticesMerchant || about == "" {
			about = data.MchID
		}
		list = append(list, strings.TrimPrefix(n.NotifyType, "notification.")+" "+about)
	}
	return list
}

func (w *world) wantTold(mchID string, want ...string) {
	w.Helper()
	if got := w.told(mchID); !slices.Equal(got, want) {
		w.Errorf("%s was told %q, want %q", mchID, got, want)
	}
}

func TestEventsAreToldOnce(t *testing.T) {
	w := newWorld(t)
	before := w.spend("m1")
	f := w.follower("a")
	w.must(f)
	w.wantTold(store.CallbackMerchant) // what was settled before anybody asked is not told
	a := w.spend("m1")
	b := w.settle("m2", store.HTTP5xx, store.HTTPStatus, store.Exhausted)
	w.settle("m2", store.HTTP5xx, store.HTTPStatus, store.Pending)
	w.must(f)
	w.must(f)
	w.wantTold(store.CallbackMerchant, "spent "+a, "exhausted "+b)
	w.must(w.follower("a")) // a restart
	w.wantTold(store.CallbackMerchant, "spent "+a, "exhausted "+b)

	// A person's send to one that was exhausted makes it spent: that is told. Again to a spent one: it was.
	for range 2 {
		if _, err := w.store.Resend(t.Context(), b, store.Resend, true); err != nil {
			t.Fatal(err)
		}
		cs, err := w.store.Claim(t.Context(), "m2", 1, time.Minute)
		if err != nil || len(cs.Items) != 1 {
			t.Fatal(len(cs.Items), err)
		}
		w.settleClaim(&cs.Items[0], store.Outcome{Attempt: store.Attempt{
			Trigger: store.Resend, StartedAt: w.now, Verdict: store.Acked, Reason: store.AckExact,
		}})
		w.now = w.now.Add(time.Second)
	}
	w.must(f)
	w.wantTold(store.CallbackMerchant, "spent "+a, "exhausted "+b, "spent "+b)
	ns, _, err := w.store.List(t.Context(), store.Query{MchID: store.CallbackMerchant, Limit: 1})
	if err != nil || !bytes.Contains(ns[0].Params, []byte(`"notify_count":1,`)) {
		t.Errorf("%s, %v: a person's send has its count of the record", ns[0].Params, err)
	}
	if slices.Contains(w.told(store.CallbackMerchant), "spent "+before) {
		t.Error("what was before the first start was told")
	}
}

// TestOwnAttemptsMakeNoEvents: an event of an event would never end.
func TestOwnAttemptsMakeNoEvents(t *testing.T) {
	w := newWorld(t)
	f := w.follower("a")
	w.must(f)
	for range 2 * windowMin {
		w.settle(store.CallbackMerchant, store.HTTP5xx, store.HTTPStatus, store.Exhausted)
	}
	before := len(w.told(store.CallbackMerchant))
	w.now = w.now.Add(time.Minute)
	w.must(f)
	if got := len(w.told(store.CallbackMerchant)); got != before {
		t.Errorf("%d events of events", got-before)
	}
	w.wantTold(store.NoticesMerchant)
	if !strings.Contains(w.log.String(), "Merchant _callback fails") {
		t.Error("the log does not say that the platform's own merchant fails")
	}
}

// TestCrashes: the process dies before and after every step, and another goes on.
func TestCrashes(t *testing.T) {
	died := errors.New("died")
	for step := 1; ; step++ {
		w := newWorld(t)
		w.must(w.follower("a"))
		a := w.spend("m1")
		w.settle("m2", store.Blocked, store.AddressBlocked, store.Pending, func(o *store.Outcome) {
			o.Attempt.Charged, o.Hold, o.Again = false, true, true
		})
		w.now = w.now.Add(leaseFor)
		steps := 0
		die := func() error {
			if steps++; steps == step {
				return died
			}
			return nil
		}
		w.accept, w.mark = die, func(string) error { return die() }
		f := w.follower("b")
		err := w.turns(f)
		w.now = w.now.Add(time.Second)
		if err == nil {
			err = w.turns(f)
		}
		finished := err == nil
		w.accept, w.mark = nil, nil
		w.now = w.now.Add(leaseFor)
		other := w.follower("c")
		w.must(other)
		w.now = w.now.Add(time.Second)
		w.must(other)
		w.wantTold(store.CallbackMerchant, "spent "+a, "merchant.held m2")
		w.wantTold(store.NoticesMerchant, "merchant.held m2")
		if finished {
			if step < 7 {
				t.Errorf("only %d steps: what is crashed between?", steps)
			}
			return
		}
	}
}

// TestAnswersThatAreLost: the store has done what was asked, and nobody hears of it.
func TestAnswersThatAreLost(t *testing.T) {
	w := newWorld(t)
	f := w.follower("a")
	w.must(f)
	a := w.spend("m1")
	lost := false
	inner := f.Intake
	f.Intake = intakeFunc(func(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
		as, err := inner.Accept(ctx, ns)
		if err == nil && !lost {
			lost, as, err = true, nil, store.ErrUnavailable
		}
		return as, err
	})
	if err := w.turns(f); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	w.must(f)
	w.wantTold(store.CallbackMerchant, "spent "+a)
}

type intakeFunc func(ctx context.Context, ns []store.Notification) ([]store.Accepted, error)

func (f intakeFunc) Accept(ctx context.Context, ns []store.Notification) ([]store.Accepted, error) {
	return f(ctx, ns)
}

// TestOneFollows: two processes take turns, and one that was frozen does nothing when it wakes.
func TestOneFollows(t *testing.T) {
	w := newWorld(t)
	a, b := w.follower("a"), w.follower("b")
	w.must(a)
	w.must(b)
	if !a.leads || b.leads {
		t.Fatalf("a leads %v, b leads %v", a.leads, b.leads)
	}
	first := w.spend("m1")
	w.must(b)
	w.wantTold(store.CallbackMerchant)
	w.must(a)
	w.wantTold(store.CallbackMerchant, "spent "+first)
	for range 10 { // a renews its lease though nothing happens
		w.now = w.now.Add(leaseFor / 2)
		w.must(a)
		w.must(b)
	}
	if b.leads {
		t.Fatal("b follows beside a")
	}
	w.now = w.now.Add(leaseFor)
	second := w.spend("m1")
	w.must(b)
	if !b.leads {
		t.Fatal("nobody follows after a lease")
	}
	if err := w.turns(a); !errors.Is(err, errDeposed) || a.leads {
		t.Errorf("a that wakes up: %v, leads %v", err, a.leads)
	}
	w.wantTold(store.CallbackMerchant, "spent "+first, "spent "+second)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	third := w.spend("m1")
	b.Run(ctx) // told to stop: it tells what is there, and gives the lease back
	w.wantTold(store.CallbackMerchant, "spent "+first, "spent "+second, "spent "+third)
	w.must(a)
	if !a.leads {
		t.Error("the lease was not given back")
	}
}

// TestFeedIsCut: what cannot be told any more is counted and said, and following goes on.
func TestFeedIsCut(t *testing.T) {
	w := newWorld(t)
	p, err := readPosition(t.Context(), w.store)
	if err == nil {
		err = p.write(t.Context(), w.store, position{Cursor: "of another store"})
	}
	if err != nil {
		t.Fatal(err)
	}
	w.spend("m1")
	f := w.follower("a")
	w.must(f)
	a := w.spend("m1")
	w.must(f)
	w.wantTold(store.CallbackMerchant, "spent "+a)
	w.wantTold(store.NoticesMerchant, "events.missed ")
	status, err := StatusOf(t.Context(), w.store, w.now)
	if err != nil || status.Missed != 1 || status.Owner != "a" {
		t.Errorf("%+v, %v", status, err)
	}

	f.Store = forgetful{f.Store}
	b := w.spend("m1")
	w.now = w.now.Add(time.Hour)
	w.must(f)
	w.wantTold(store.CallbackMerchant, "spent "+a, "spent "+b)
	if status, err = StatusOf(t.Context(), w.store, w.now); err != nil || status.Missed != 2 {
		t.Errorf("%+v, %v", status, err)
	}
	if !strings.Contains(w.log.String(), "Events for the platform are missing") {
		t.Error("the log does not say so")
	}
}

type forgetful struct{ Store }

func (forgetful) Forgot(context.Context, string) (bool, error) { return true, nil }

// TestManyPages: a long feed is told in order, and the sweep meets all merchants.
func TestManyPages(t *testing.T) {
	w := newWorld(t)
	f := w.follower("a")
	w.must(f)
	var want []string
	for i := range followPage/4 + 7 {
		want = append(want, "spent "+w.spend([]string{"m1", "m2"}[i%2]))
	}
	w.must(f)
	w.wantTold(store.CallbackMerchant, want...)
}

// TestEventsEncode: what is told can be sent, signed and verified, and out_trade_no is the same in and out.
func TestEventsEncode(t *testing.T) {
	p, known := profile.ByName(dialect)
	if !known {
		t.Fatal("no profile standard")
	}
	s := attempt("m1", 4, store.HTTP5xx, store.HTTPStatus)
	s.OutTradeNo, s.NotifyType = "T-<1>&\u2028", "refund"
	end, told := endOf(s)
	if !told {
		t.Fatal("exhausted is not told")
	}
	notice := heldNotice("m1", hold{Reason: store.HeldAddressBlocked, Since: noon}, noon)
	held := heldEvent("m1", hold{Reason: store.HeldBreakerOpen, Since: noon})
	for _, e := range []event{end, held, notice.event()} {
		n, err := e.notification()
		if err != nil {
			t.Fatal(err)
		}
		m := store.Merchant{MchID: e.to, Profile: dialect}
		for _, f := range profile.Check(p, &m, &n) {
			if f.Location != "body.params.notify_id" && f.Location != "body.params.notify_type" {
				t.Errorf("%s: %s %s", e.kind, f.Location, f.Message)
			}
		}
		n.NotifyID, n.CreatedAt = "0123456789abcdefghijklmnop", noon
		material, faults := profile.NewMaterial(p, &m, profile.Material{}, profile.Material{})
		keys, err := profile.LoadKeys(p, &m, []profile.Material{material})
		if err != nil || len(faults) > 0 {
			t.Fatal(err, faults)
		}
		message, err := p.Encode(profile.Input{Notification: &n, Merchant: &m, Keys: keys, Now: noon})
		if err != nil {
			t.Fatal(err)
		}
		v, err := profile.Verify(p, profile.CapturedRequest{
			Method: message.Method, Header: message.Header, Body: message.Body,
		}, profile.VerifyKeys{Secret: material.Secret})
		if err != nil || v.OutTradeNo != e.outTradeNo {
			t.Errorf("%s: %q, %v", e.kind, v.OutTradeNo, err)
		}
		var body struct {
			Type, Timestamp string
			Data            map[string]any
		}
		err = json.Unmarshal(message.Body, &body)
		if err != nil || body.Type != e.kind || body.Data["mch_id"] != "m1" ||
			!strings.HasPrefix(body.Timestamp, "2026-11-21T12:00:00") {
			t.Errorf("%s, %v", message.Body, err)
		}
	}
}

// TestWatchWithoutFeed: where nobody is to be told, notices are lines of the log.
func TestWatchWithoutFeed(t *testing.T) {
	w := newWorld(t)
	if _, err := w.store.UpdateMerchant(t.Context(), "m2", func(m *store.Merchant) error {
		m.Blocked = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	f := New(Options{Store: w.store, Intake: w, Log: slog.New(slog.NewTextHandler(&w.log, nil))})
	for range windowMin {
		f.See(failure("m1", 4))
	}
	f.See(attempt("m2", 1, store.Blocked, store.AddressBlocked))
	f.glance(t.Context())
	w.now = w.now.Add(time.Minute)
	f.glance(t.Context())
	f.glance(t.Context())
	for _, line := range []string{
		"Merchant m1 fails: 10 of its last 10 sends", "Merchant m2 is held (address_blocked)",
		fmt.Sprintf("Merchant m1: %d notifications are exhausted", windowMin),
	} {
		if strings.Count(w.log.String(), line) != 1 {
			t.Errorf("%q is not there once:\n%s", line, w.log.String())
		}
	}
	w.wantTold(store.NoticesMerchant)
	if text, err := w.store.Mark(t.Context(), positionMark); err != nil || text != "" {
		t.Errorf("a position is kept: %s, %v", text, err)
	}
}
