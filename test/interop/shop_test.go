package interop

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
)

// shop is the web server of all merchants: a path each, named after its mch_id.
var shop = openShop()

type shops struct {
	server *httptest.Server

	mu       sync.Mutex
	handlers map[string]http.Handler
	received map[string][]received
}

// received is a request as it came.
type received struct {
	method, target string
	header         http.Header
	body           []byte
}

func openShop() *shops {
	s := &shops{handlers: map[string]http.Handler{}, received: map[string][]received{}}
	s.server = httptest.NewServer(s)
	return s
}

// serve gives a merchant its handler.
func (s *shops) serve(m known, h http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handlers[m.MchID] = h
}

// of lists the requests that a merchant has received.
func (s *shops) of(m known) []received {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.received[m.MchID]
}

// ServeHTTP keeps the request and gives it to the merchant.
func (s *shops) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	mchID, got := strings.TrimPrefix(r.URL.Path, "/"), receive(r)
	s.mu.Lock()
	h := s.handlers[mchID]
	s.received[mchID] = append(s.received[mchID], got)
	s.mu.Unlock()
	if h == nil {
		http.NotFound(w, r)
		return
	}
	status, reply := got.replay(h)
	w.WriteHeader(status)
	io.WriteString(w, reply)
}

// receive reads a request. One that is cut off has the body that came.
func receive(r *http.Request) received {
	body, _ := io.ReadAll(r.Body)
	return received{method: r.Method, target: r.URL.RequestURI(), header: r.Header.Clone(), body: body}
}

// request is the request again, to be read from its beginning.
func (r received) request() *http.Request {
	req := httptest.NewRequest(r.method, r.target, bytes.NewReader(r.body))
	req.Header = r.header.Clone()
	return req
}

// replay gives the request to a handler and returns its reply. A handler that panics, as SDKs do over a
// request that lacks what they look for, has refused: net/http would cut the connection.
func (r received) replay(h http.Handler) (status int, reply string) {
	defer func() {
		if err := recover(); err != nil {
			status, reply = http.StatusInternalServerError, fmt.Sprintf("panic: %v", err)
		}
	}()
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r.request())
	return rec.Code, rec.Body.String()
}
