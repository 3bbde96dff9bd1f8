package sandbox

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"paynotify/profile"
)

// Limits of one sandbox merchant. A test receiver must not be what fills the memory of a test.
const (
	BodyBytesMax = 1 << 20  // of one request; more is answered with 413. The engine sends at most 256 KiB.
	HitsMax      = 1024     // remembered by Hits
	HitBytesMax  = 32 << 20 // of request bodies remembered by Hits
	KnownMax     = 100_000  // notify_ids remembered for telling duplicates
	connsMax     = 1024     // served at once; more wait in the listener's backlog

	readHeadMax = 10 * time.Second
	idleMax     = 2 * time.Minute
)

// Merchant is one sandbox merchant. Its exported fields are options, to be set before Start; the zero value
// acknowledges everything with `success` and verifies nothing.
type Merchant struct {
	// Reply is what `listen --reply` takes, see Replies; empty means success.
	Reply string
	// Profile names the dialect whose signatures are verified and whose acknowledgement is given; empty
	// means that nothing is verified and that the acknowledgement is `success`.
	Profile string
	// PublicKey verifies RSA signatures (PEM, a certificate or one line of base64), or Ed25519 ones
	// (whpk_…).
	PublicKey string
	// Secret verifies signatures made with a shared key, and opens what is encrypted with one.
	Secret string
	// SignType is the only one accepted; empty means what the request says, or the profile's default.
	SignType string
	// Options are the sender's, where they change what is on the wire: header_signature, signature_header, …
	Options map[string]string
	// Log is told of every request, on the connection's goroutine and before the reply is written, so that
	// it can do what a merchant does while the POST is in flight. Calls may overlap.
	Log func(Hit)

	reply   reply
	profile *profile.Profile
	check   checker
	book    book

	server  *http.Server
	url     string
	end     context.CancelFunc
	running sync.WaitGroup // the server and every handler

	mu     sync.Mutex
	closed bool
	raw    map[net.Conn]struct{} // taken over from net/http, so closed by us
}

// Start checks the options and serves on the listener, which it owns from then on; nil means a free port of
// 127.0.0.1. It returns at once and is called once.
func (m *Merchant) Start(ln net.Listener) error {
	if err := m.prepare(); err != nil {
		if ln != nil {
			ln.Close()
		}
		return err
	}
	if ln == nil {
		var err error
		if ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return fmt.Errorf("sandbox merchant: %w", err)
		}
	}
	ctx, end := context.WithCancel(context.Background())
	m.end, m.url, m.raw = end, "http://"+ln.Addr().String()+"/", map[net.Conn]struct{}{}
	m.server = &http.Server{
		Handler:           m,
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: readHeadMax,
		IdleTimeout:       idleMax,
		// Broken connections are this package's trade.
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug),
	}
	m.running.Go(func() {
		m.server.Serve(limit(ln, connsMax)) //nolint:errcheck // ends with Close
	})
	return nil
}

// prepare resolves the options.
func (m *Merchant) prepare() (err error) {
	if m.reply, err = parseReply(m.Reply); err != nil {
		return err
	}
	if m.Profile != "" {
		p, ok := profile.ByName(m.Profile)
		if !ok {
			return fmt.Errorf("profile %q is unknown: take one of %s", m.Profile, profileNames())
		}
		m.profile = p
	}
	m.check, err = m.newChecker()
	return err
}

// URL is where the merchant listens, with a final slash; any path below it is the same merchant.
func (m *Merchant) URL() string { return m.url }

// Close ends the listener and every connection, also those that hang on purpose, and waits for the handlers.
func (m *Merchant) Close() error {
	m.mu.Lock()
	if m.closed || m.server == nil {
		m.mu.Unlock()
		return nil
	}
	m.closed = true
	raw := m.raw
	m.raw = nil
	m.mu.Unlock()

	m.end()
	err := m.server.Close()
	for c := range raw {
		c.Close()
	}
	m.running.Wait()
	return err
}

// Hits returns the requests seen so far, oldest first; of many, the last HitsMax or HitBytesMax of body.
func (m *Merchant) Hits() []Hit { return m.book.recent() }

// Count is the number of requests seen since Start.
func (m *Merchant) Count() int64 { return m.book.count() }

// Booked reports whether the merchant took the notification for paid: it was verified and answered with a
// yes, if only a yes that the sender does not accept.
func (m *Merchant) Booked(notifyID string) bool { return m.book.look(notifyID).booked }

// Posts is how many times the merchant was sent the notification.
func (m *Merchant) Posts(notifyID string) int { return m.book.look(notifyID).posts }

// ServeHTTP takes one notification. It is for Start, and for tests after it.
func (m *Merchant) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !m.enter() {
		return
	}
	defer m.running.Done()

	body, err := io.ReadAll(io.LimitReader(r.Body, BodyBytesMax+1))
	switch {
	case err != nil:
		return // the sender has gone
	case len(body) > BodyBytesMax:
		http.Error(w, "fail", http.StatusRequestEntityTooLarge)
		return
	}
	h := newHit(r, body)
	m.check(&h, r.Header)
	mode := m.reply
	known := m.book.see(h.identity(), func(posts int) (yes bool) {
		mode = mode.at(posts)
		if h.Signature == Rejected {
			mode = replyTo("fail")
		}
		return mode.yes
	})
	h.Posts, h.Duplicate, h.Reply = known.posts, known.booked, mode.name
	m.book.keep(h)
	if m.Log != nil {
		m.Log(h)
	}
	mode.write(&exchange{m: m, w: w, r: r})
}

// enter counts a handler in, unless the merchant is closing.
func (m *Merchant) enter() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.running.Add(1)
	return true
}

// Success acknowledges every request with `success` and does nothing else: the cheapest merchant there is on
// net/http, for measuring.
var Success http.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body) //nolint:errcheck // a sender that breaks off is not answered anyway
	h := w.Header()
	h["Content-Type"], h["Date"] = plainText, nil
	w.Write(successBody) //nolint:errcheck // nobody to tell
})

var (
	plainText   = []string{"text/plain"}
	successBody = []byte("success")
)
