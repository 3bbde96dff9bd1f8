package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"paynotify/store"
)

// benchReceiver is the merchant of the benchmark: an ordinary net/http server that answers at once.
//
//	/ok     acknowledges
//	/twice  refuses the first POST of a notify_id and acknowledges the second
//	/refuse never acknowledges
//	/hang   never answers
//	/bomb /redirect /drip   misbehave, see receiveHostile
type benchReceiver struct {
	url      string
	server   *http.Server
	received atomic.Int64
	hostile  atomic.Int64 // POSTs to the paths that never acknowledge

	mu       sync.Mutex
	watching bool
	seen     map[string]bool // notify_ids that /twice refused
	first    []time.Duration // from accept to the first POST
	second   []time.Duration // how late the second POST of /twice was
	wait     time.Duration   // the schedule of /twice
}

// benchBodyBytesMax bounds what the receiver reads; the benchmark sends about 600 bytes.
const benchBodyBytesMax = 64 << 10

func newBenchReceiver() (*benchReceiver, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &benchReceiver{url: "http://" + l.Addr().String(), seen: make(map[string]bool)}
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", func(w http.ResponseWriter, q *http.Request) { r.receive(w, q, false) })
	mux.HandleFunc("/twice", func(w http.ResponseWriter, q *http.Request) { r.receive(w, q, true) })
	mux.HandleFunc("/refuse", r.refuse)
	for _, path := range []string{"/hang", "/bomb", "/redirect", "/drip"} {
		mux.HandleFunc(path, r.receiveHostile)
	}
	r.server = &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	go r.server.Serve(l) //nolint:errcheck // ends with Close
	return r, nil
}

func (r *benchReceiver) close() { _ = r.server.Close() }

func (r *benchReceiver) receive(w http.ResponseWriter, q *http.Request, twice bool) {
	now := time.Now()
	body, err := io.ReadAll(io.LimitReader(q.Body, benchBodyBytesMax))
	if err != nil {
		return
	}
	answer := "success"
	if r.watches() && !r.watch(now, string(body), twice) {
		answer = "fail"
	}
	w.Header().Set("Content-Type", "text/plain")
	_, _ = io.WriteString(w, answer)
	r.received.Add(1)
}

func (r *benchReceiver) refuse(w http.ResponseWriter, q *http.Request) {
	if _, err := io.Copy(io.Discard, io.LimitReader(q.Body, benchBodyBytesMax)); err != nil {
		return
	}
	_, _ = io.WriteString(w, "fail")
	r.received.Add(1)
}

// receiveHostile does what broken merchants do: it hangs, answers with a bomb that nobody asked to have
// compressed, sends the POST elsewhere, or drips a byte at a time.
func (r *benchReceiver) receiveHostile(w http.ResponseWriter, q *http.Request) {
	r.hostile.Add(1)
	if _, err := io.Copy(io.Discard, io.LimitReader(q.Body, benchBodyBytesMax)); err != nil {
		return
	}
	switch q.URL.Path {
	case "/bomb":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb())
	case "/redirect":
		http.Redirect(w, q, r.url+"/ok", http.StatusFound)
	case "/drip":
		for q.Context().Err() == nil {
			if _, err := w.Write([]byte("s")); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-q.Context().Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	default:
		<-q.Context().Done()
	}
}

// bomb is 64 MB of zeros in 64 KB of gzip.
var bomb = sync.OnceValue(func() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros) // into memory
	}
	_ = z.Close()
	return b.Bytes()
})

func (r *benchReceiver) watches() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.watching
}

// watch notes how long a POST took to come; it reports whether to acknowledge it. The notify_id carries the
// instant of acceptance.
func (r *benchReceiver) watch(now time.Time, body string, twice bool) bool {
	id := formValue(body, "notify_id")
	accepted, _, err := store.ParseID(id)
	if err != nil {
		return true
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	again := r.seen[id]
	switch {
	case !twice:
		r.first = append(r.first, now.Sub(accepted))
	case again:
		delete(r.seen, id)
		r.second = append(r.second, now.Sub(accepted.Add(r.wait)))
	default:
		r.seen[id] = true
		r.first = append(r.first, now.Sub(accepted))
	}
	return !twice || again
}

// formValue reads one parameter without parsing the rest.
func formValue(body, name string) string {
	_, rest, found := strings.Cut("&"+body, "&"+name+"=")
	if !found {
		return ""
	}
	raw, _, _ := strings.Cut(rest, "&")
	value, err := url.QueryUnescape(raw)
	if err != nil {
		return ""
	}
	return value
}

// observe starts (or ends) noting delays; starting forgets the old ones.
func (r *benchReceiver) observe(on bool, wait time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.watching, r.wait = on, wait
	if on {
		r.first, r.second = nil, nil
		clear(r.seen)
	}
}

func (r *benchReceiver) delays() (first, second []time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]time.Duration(nil), r.first...), append([]time.Duration(nil), r.second...)
}

// await waits until the receiver has had n more POSTs than before, or the limit is over; it returns how many.
func (r *benchReceiver) await(before, n int64, limit time.Duration) int64 {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		if got := r.received.Load() - before; got >= n {
			return got
		}
	}
	return r.received.Load() - before
}

// orderNo makes the benchmark's order numbers look like real ones: a date and a running number.
func orderNo(i int64) string { return "20261121" + strconv.FormatInt(100000000+i, 10) }
