package dispatcher_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/queue"
	"paynotify/queue/localqueue"
	"paynotify/signer/keyring"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// pair is a store with its queue. open may be called again after both were closed: it finds what was there.
type pair struct {
	open func(w *world) (store.Store, queue.Queue)
}

// embedded is the pair of one process.
var embedded = pair{func(w *world) (store.Store, queue.Queue) {
	s, err := sqlitestore.Open(context.Background(), sqlitestore.Options{Path: filepath.Join(w.dir, "world.db")})
	if err != nil {
		w.t.Fatal(err)
	}
	return s, localqueue.New()
}}

// world is the whole engine in virtual time: the real store, queue, dispatcher and HTTP client; only the wire
// is a net.Pipe, behind which a merchant answers as it is told.
type world struct {
	t     *testing.T
	dir   string
	ring  *keyring.Ring
	began time.Time
	// Replacements of parts, for tests of what the parts do wrong; nil keeps the real one.
	withStore  func(store.Store) store.Store
	withClient func(dispatcher.Poster) dispatcher.Poster
	traced     dispatcher.Traced

	registry       *prometheus.Registry
	merchantSeries int // as in dispatcher.Options

	pair    pair
	store   store.Store
	closers []func() // of what the pair needs besides, the last one first
	d       *dispatcher.Dispatcher
	client  *egress.Client
	stop    context.CancelFunc
	ended   chan error
	conns   sync.WaitGroup

	mu    sync.Mutex
	posts []post
	// answer says how merchant mch answers its nth POST of this notification.
	answer func(w *world, mch string, nth int, p post) reply
	counts map[string]int
}

// post is what a merchant received.
type post struct {
	at   time.Duration // since the world began
	mch  string
	id   string
	form url.Values
}

// reply is what a merchant says; raw wins over status and body.
type reply struct {
	status int
	body   string
	header string        // further lines, each with CRLF
	raw    string        // bytes for the wire
	hang   bool          // never
	after  time.Duration // thinks first
	close  bool          // hangs up afterwards
}

func success() reply         { return reply{status: 200, body: "success"} }
func says(body string) reply { return reply{status: 200, body: body} }
func status(code int) reply  { return reply{status: code, body: "-"} }
func (r reply) bytes() string {
	if r.raw != "" {
		return r.raw
	}
	return fmt.Sprintf("HTTP/1.1 %d %s\r\nContent-Length: %d\r\n%s\r\n%s",
		r.status, http.StatusText(r.status), len(r.body), r.header, r.body)
}

// inVirtualTime runs the test in a bubble with a fresh world.
func inVirtualTime(t *testing.T, test func(t *testing.T, w *world)) {
	t.Helper()
	inVirtualTimeWith(t, nil, test)
}

// inVirtualTimeWith prepares the world before it starts.
func inVirtualTimeWith(t *testing.T, prepare func(w *world), test func(t *testing.T, w *world)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ring, err := keyring.Load(keyring.Generate())
		if err != nil {
			t.Fatal(err)
		}
		w := &world{t: t, dir: dir, pair: embedded, ring: ring, began: time.Now(), counts: make(map[string]int)}
		w.answer = func(*world, string, int, post) reply { return success() }
		if prepare != nil {
			prepare(w)
		}
		w.start()
		defer func() {
			w.shutdown()
			w.conns.Wait()
			for _, c := range slices.Backward(w.closers) {
				c()
			}
		}()
		test(t, w)
	})
}

// start opens the store and runs a dispatcher on it.
func (w *world) start() {
	w.t.Helper()
	s, q := w.pair.open(w)
	w.store = s
	rules := egress.Rules{}
	w.client = egress.New(egress.Options{Rules: rules, Dial: w.dial})
	var parts struct {
		store  store.Store
		client dispatcher.Poster
	}
	parts.store, parts.client = s, w.client
	if w.withStore != nil {
		parts.store = w.withStore(s)
	}
	if w.withClient != nil {
		parts.client = w.withClient(w.client)
	}
	w.registry = prometheus.NewRegistry()
	w.d = dispatcher.New(dispatcher.Options{
		Store: parts.store, Queue: q, Ring: w.ring, Rules: &rules, Client: parts.client,
		Registerer:     w.registry,
		MerchantSeries: w.merchantSeries, Traced: w.traced,
		Workers: 64, Drain: 5 * time.Second, Log: slog.New(slog.DiscardHandler),
		PollMax: 12 * time.Hour, // nothing may depend on polling
	})
	ctx, stop := context.WithCancel(context.Background())
	w.stop, w.ended = stop, make(chan error, 1)
	go func() { w.ended <- w.d.Run(ctx) }()
}

// shutdown stops as SIGTERM does.
func (w *world) shutdown() {
	w.t.Helper()
	w.stop()
	if err := <-w.ended; err != nil {
		w.t.Errorf("Run: %v", err)
	}
	w.client.Close()
	if err := w.store.Close(); err != nil {
		w.t.Errorf("Close: %v", err)
	}
}

// dial is the wire: one end for the client, the other for the merchant.
func (w *world) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	w.conns.Go(func() { w.serve(theirs) })
	return ours, nil
}

// serve is the merchant's end of one connection.
func (w *world) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		q, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		body, err := io.ReadAll(q.Body)
		if err != nil {
			return
		}
		form, _ := url.ParseQuery(string(body))
		mch := strings.TrimPrefix(q.URL.Path, "/")
		r := w.received(mch, form)
		time.Sleep(r.after)
		if r.hang {
			_, _ = in.ReadByte() // until the client gives up
			return
		}
		if _, err := io.WriteString(c, r.bytes()); err != nil || r.close {
			return
		}
	}
}

func (w *world) received(mch string, form url.Values) reply {
	w.mu.Lock()
	id := form.Get("notify_id")
	p := post{at: time.Since(w.began), mch: mch, id: id, form: form}
	w.posts = append(w.posts, p)
	w.counts[id]++
	nth := w.counts[id]
	w.mu.Unlock()
	return w.answer(w, mch, nth, p)
}

// seen are the POSTs so far.
func (w *world) seen() []post {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]post(nil), w.posts...)
}

const worldSecret = "worldworldworldworldworldworld00"

// merchant registers a merchant as the API does.
func (w *world) merchant(m store.Merchant) store.Merchant {
	w.t.Helper()
	if m.Profile == "" {
		m.Profile = "alipay_mapi"
	}
	if m.NotifyURL == "" {
		m.NotifyURL = "http://shop.example.com/" + m.MchID
	}
	p, ok := profile.ByName(m.Profile)
	if !ok {
		w.t.Fatalf("no profile %q", m.Profile)
	}
	if p.Key != profile.KeyNone {
		plain, err := json.Marshal(profile.Material{Secret: worldSecret})
		if err != nil {
			w.t.Fatal(err)
		}
		sealed, err := w.ring.Seal(m.MchID, "k1", plain)
		if err != nil {
			w.t.Fatal(err)
		}
		m.Keys = []store.Key{{ID: "k1", Sealed: sealed}}
	}
	created, err := w.d.Store.CreateMerchant(context.Background(), m)
	if err != nil {
		w.t.Fatal(err)
	}
	return created
}

// accept takes notifications in through the dispatcher and returns their notify_ids.
func (w *world) accept(mch string, orders ...string) []string {
	w.t.Helper()
	m, err := w.store.Merchant(context.Background(), mch)
	if err != nil {
		w.t.Fatal(err)
	}
	schedule := m.Schedule
	if schedule == "" {
		schedule = "alipay"
	}
	ns := make([]store.Notification, len(orders))
	for i, order := range orders {
		ns[i] = store.Notification{
			MchID: mch, Profile: m.Profile, NotifyType: "trade_status_sync", OutTradeNo: order, Schedule: schedule,
			Params: json.RawMessage(`{"trade_status":"TRADE_SUCCESS","total_fee":"88.88"}`),
		}
	}
	answers, err := w.d.Accept(context.Background(), ns)
	if err != nil {
		w.t.Fatal(err)
	}
	ids := make([]string, len(answers))
	for i, a := range answers {
		ids[i] = a.NotifyID
	}
	return ids
}

// get reads a notification.
func (w *world) get(id string) (store.Notification, []store.Attempt) {
	w.t.Helper()
	n, attempts, err := w.store.Get(context.Background(), id)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		w.t.Fatal(err)
	}
	return n, attempts
}

// counter sums the series of a counter that have this label value; all of them when it is empty.
func (w *world) counter(name, label string) (sum float64) {
	w.t.Helper()
	families, err := w.registry.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			labels := []string{""}
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetValue())
			}
			if f.GetName() == name && slices.Contains(labels, label) {
				sum += m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// pass lets virtual time pass.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
