package replay

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// world is a real store, in which notifications are made and sent by hand.
type world struct {
	*testing.T

	store store.Store
	// answers says what a merchant makes of a send; it acknowledges when nil.
	answers func(c *store.Claim) store.Outcome
	asleep  map[string]bool // merchants to whom nothing is sent

	mu    sync.Mutex
	asked []time.Time // when a send was asked for
	posts map[string]int
}

// inVirtualTime runs a test on an embedded store.
func inVirtualTime(t *testing.T, test func(w *world)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "world.db")
	synctest.Test(t, func(t *testing.T) {
		s, err := sqlitestore.Open(t.Context(), sqlitestore.Options{Path: path})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		test(newWorld(t, s))
	})
}

func newWorld(t *testing.T, s store.Store) *world {
	t.Helper()
	return &world{T: t, store: s, posts: map[string]int{}, asleep: map[string]bool{}}
}

func (w *world) merchant(mchID string, inflight int) {
	w.Helper()
	if _, err := w.store.CreateMerchant(w.Context(), store.Merchant{
		MchID: mchID, Profile: "form", NotifyURL: "https://shop.example/", MaxInflight: inflight,
	}); err != nil {
		w.Fatal(err)
	}
}

// make makes notifications of a merchant in a state.
func (w *world) make(mchID string, n int, state store.State) (ids []string) {
	w.Helper()
	items := make([]store.Incoming, n)
	for i := range items {
		items[i].Notification = store.Notification{
			MchID: mchID, Profile: "form", Schedule: "24h", Params: []byte(`{}`),
		}
	}
	answers, err := w.store.Accept(w.Context(), items, time.Minute)
	if err != nil {
		w.Fatal(err)
	}
	for _, a := range answers {
		ids = append(ids, a.NotifyID)
	}
	if state == store.Canceled {
		for _, id := range ids {
			if _, err := w.store.Cancel(w.Context(), id); err != nil {
				w.Fatal(err)
			}
		}
		return ids
	}
	w.send(func(c *store.Claim) store.Outcome {
		o := outcome(c, store.Refused, state)
		if state == store.Spent {
			o = outcome(c, store.Acked, state)
		}
		return o
	})
	clear(w.posts)
	return ids
}

// outcome is that of an attempt.
func outcome(c *store.Claim, v store.Verdict, after store.State) store.Outcome {
	o := store.Outcome{State: after, Attempt: store.Attempt{
		Send: c.Send, Charged: !c.Trigger.Manual(), Trigger: c.Trigger, ScheduledAt: c.ScheduledAt,
		StartedAt: c.ClaimedAt, Duration: time.Millisecond, Verdict: v, Reason: store.AckHTML, Status: 200,
	}}
	if v == store.Acked {
		o.Attempt.Reason = store.AckExact
	}
	if after == store.Pending {
		o.NextAt, o.PlannedAt = c.ClaimedAt.Add(24*time.Hour), c.ClaimedAt.Add(24*time.Hour)
	}
	return o
}

// send makes everything that is due.
func (w *world) send(answers func(c *store.Claim) store.Outcome) {
	w.Helper()
	ms, _, err := w.store.Merchants(w.Context(), "", 100)
	if err != nil {
		w.Fatal(err)
	}
	for _, m := range ms {
		for !w.asleep[m.MchID] {
			cs, err := w.store.Claim(w.Context(), m.MchID, 100, time.Minute)
			if err != nil {
				w.Fatal(err)
			}
			if len(cs.Items) == 0 {
				break
			}
			var ss []store.Settlement
			for i := range cs.Items {
				c := &cs.Items[i]
				w.posts[c.NotifyID]++
				ss = append(ss, store.Settlement{
					NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: answers(c),
				})
			}
			if _, err := w.store.Settle(w.Context(), ss); err != nil {
				w.Fatal(err)
			}
		}
	}
}

// pump makes what is due as merchants have been told to answer.
func (w *world) pump() {
	w.Helper()
	answers := w.answers
	if answers == nil {
		answers = func(c *store.Claim) store.Outcome { return outcome(c, store.Acked, store.Spent) }
	}
	w.send(answers)
}

// begin begins a replay of what is exhausted.
func (w *world) begin(change ...func(*Job)) Job {
	w.Helper()
	j := Job{State: store.Exhausted}
	for _, c := range change {
		c(&j)
	}
	j, err := Start(w.Context(), w.store, j, w.store.Now())
	if err != nil {
		w.Fatal(err)
	}
	return j
}

func (w *world) job(id string) Job {
	w.Helper()
	j, err := Find(w.Context(), w.store, id)
	if err != nil {
		w.Fatal(err)
	}
	return j
}

// until sends what is due again and again, until a replay is as told.
func (w *world) until(id, what string, ok func(j *Job) bool) Job {
	w.Helper()
	for range 4000 {
		w.pump()
		time.Sleep(10 * time.Millisecond)
		if j := w.job(id); ok(&j) {
			return j
		}
	}
	j := w.job(id)
	j.Window = nil
	w.Fatalf("the replay is never %s: %+v", what, j)
	return j
}

func (w *world) untilDone(id string) Job {
	w.Helper()
	return w.until(id, "done", func(j *Job) bool { return j.Phase == Done && w.retired(id) })
}

// retired reports whether nobody has to work on a replay any more.
func (w *world) retired(id string) bool {
	w.Helper()
	x, _, err := readIndex(w.Context(), w.store)
	if err != nil {
		w.Fatal(err)
	}
	return !slices.Contains(x.Active, id)
}

// node is a process that carries out replays. It may die.
type node struct {
	w     *world
	stop  context.CancelFunc
	ended chan struct{}

	mu     sync.Mutex
	steps  int // calls that change something
	dieAt  int // the call at which it dies; 0 = never
	before bool
	dead   bool
}

var errDead = errors.New("dead")

// start starts a process; die makes it one that dies at a call.
func (w *world) start(name string, sole bool, die ...func(*node)) *node {
	n := &node{w: w, ended: make(chan struct{})}
	for _, d := range die {
		d(n)
	}
	ctx, stop := context.WithCancel(w.Context())
	n.stop = stop
	r := New(Options{Store: mortal{w.store, n}, Node: name, Sole: sole})
	go func() {
		defer close(n.ended)
		r.Run(ctx)
	}()
	return n
}

// kill is kill -9.
func (n *node) kill() {
	n.mu.Lock()
	n.dead = true
	n.mu.Unlock()
	n.end()
}

// end is SIGTERM.
func (n *node) end() {
	n.stop()
	<-n.ended
}

func (n *node) gone() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.dead
}

// step counts a call, and reports whether the process dies before it or behind it.
func (n *node) step() (before, behind error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.dead {
		return errDead, errDead
	}
	if n.steps++; n.steps != n.dieAt {
		return nil, nil
	}
	n.dead = true
	if n.before {
		return errDead, errDead
	}
	return nil, errDead
}

// mortal is the store as a process sees it that dies.
type mortal struct {
	store.Store

	n *node
}

func (m mortal) SetMark(ctx context.Context, name, was, value string) (done bool, err error) {
	before, behind := m.n.step()
	if before != nil {
		return false, before
	}
	if done, err = m.Store.SetMark(ctx, name, was, value); err == nil && behind != nil {
		return false, behind
	}
	return done, err
}

func (m mortal) Resend(
	ctx context.Context, id string, t store.Trigger, force bool,
) (n store.Notification, err error) {
	before, behind := m.n.step()
	if before != nil {
		return n, before
	}
	m.n.w.mu.Lock()
	m.n.w.asked = append(m.n.w.asked, time.Now())
	m.n.w.mu.Unlock()
	if n, err = m.Store.Resend(ctx, id, t, force); err == nil {
		err = behind
	}
	return n, err
}

func (m mortal) Mark(ctx context.Context, name string) (string, error) {
	if m.n.gone() {
		return "", errDead
	}
	return m.Store.Mark(ctx, name)
}

// asks are the instants at which sends were asked for, in order.
func (w *world) asks() []time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.SortedFunc(slices.Values(w.asked), time.Time.Compare)
}

// replays is how often a notification was sent by a replay.
func (w *world) replays(id string) (n int) {
	w.Helper()
	_, attempts, err := w.store.Get(w.Context(), id)
	if err != nil {
		w.Fatal(err)
	}
	for i := range attempts {
		if attempts[i].Trigger == store.Replay {
			n++
		}
	}
	return n
}

// wantReplays wants each to have been sent so often by a replay.
func (w *world) wantReplays(ids []string, want int) {
	w.Helper()
	for i, id := range ids {
		if got := w.replays(id); got != want {
			w.Errorf("notification %d of %d: %d sends by a replay, want %d", i, len(ids), got, want)
			return
		}
	}
}

// wantCounts checks the counters of a replay: asked, sent, spent, skipped, held.
func (w *world) wantCounts(j *Job, want ...int) {
	w.Helper()
	got := []int{j.Asked, j.Sent, j.Spent, j.Skipped, j.Held}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		w.Errorf("asked, sent, spent, skipped, held: %v, want %v", got, want)
	}
}
