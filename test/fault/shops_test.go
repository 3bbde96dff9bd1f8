package fault

import (
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"paynotify/signer"
)

// merchant is how a merchant answers, and what is sent to it.
type merchant struct {
	acksFrom int           // the POST of a notify_id from which on it acknowledges; 0 = never
	takes    time.Duration // before it answers
	schedule string
	inflight int    // max_inflight; 0 = the product's own
	body     string // a parameter to make notifications long; empty = none
	mu       sync.Mutex
	had      map[string]int
}

// answersAfter changes how long a merchant takes.
func (m *merchant) answersAfter(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.takes = d
}

// openShops starts the server that is every merchant.
func (r *rig) openShops() {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	r.shopsURL = "http://" + l.Addr().String()
	r.shops = &http.Server{
		Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: time.Minute,
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state != http.StateNew {
				return
			}
			if f := r.onConn.Swap(nil); f != nil {
				(*f)()
			}
		},
	}
	go r.shops.Serve(l)
	r.t.Cleanup(func() { _ = r.shops.Close() })
	for _, m := range r.merchants {
		m.had = make(map[string]int)
	}
}

// receive is every merchant: it writes the POST down before it answers.
func (r *rig) receive(w http.ResponseWriter, q *http.Request) {
	received := time.Now()
	mch := strings.TrimPrefix(q.URL.Path, "/")
	m := r.merchants[mch]
	body, err := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	if err != nil || m == nil {
		return // cut off by the kill: the request did not arrive whole
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		r.t.Errorf("unreadable form: %v", err)
		return
	}
	id := form.Get("notify_id")
	m.mu.Lock()
	m.had[id]++
	acks := m.acksFrom > 0 && m.had[id] >= m.acksFrom
	takes := m.takes
	m.mu.Unlock()
	r.mu.Lock()
	r.h.Posts = append(r.h.Posts, Post{
		NotifyID: id, MchID: mch, Business: business(form), Verified: verified(form), Received: received,
		Acked: acks,
	})
	r.mu.Unlock()
	select {
	case <-time.After(takes):
	case <-q.Context().Done():
		return
	}
	answer := "fail"
	if acks {
		answer = "success"
	}
	_, _ = io.WriteString(w, answer)
}

// canonical joins the parameters as the legacy Alipay merchant does, leaving some out.
func canonical(form url.Values, leave ...string) string {
	var names []string
	for name := range form {
		if !slices.Contains(leave, name) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	pairs := make([]string, len(names))
	for i, name := range names {
		pairs[i] = name + "=" + form.Get(name)
	}
	return strings.Join(pairs, "&")
}

func business(form url.Values) string { return canonical(form, "sign", "sign_type", "notify_time") }

func verified(form url.Values) bool {
	return signer.MD5Key([]byte(canonical(form, "sign", "sign_type")), []byte(secret)) == form.Get("sign")
}

// posts is a copy of what merchants have received since an instant.
func (r *rig) posts(since time.Time) []Post {
	r.mu.Lock()
	defer r.mu.Unlock()
	var some []Post
	for _, p := range r.h.Posts {
		if !p.Received.Before(since) {
			some = append(some, p)
		}
	}
	return some
}
