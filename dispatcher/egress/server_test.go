package egress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a merchant that does whatever a test writes down, on a raw connection.
type server struct {
	tb    testing.TB
	l     net.Listener
	serve func(s *server, n int, c net.Conn) // n counts connections from 1
	wg    sync.WaitGroup

	mu       sync.Mutex
	conns    []net.Conn
	requests int // whole requests read by request
}

// newServer serves every connection with serve and closes it afterwards. Its cleanup ends all of them.
func newServer(tb testing.TB, serve func(s *server, n int, c net.Conn)) *server {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &server{tb: tb, l: l, serve: serve}
	s.wg.Go(s.accept)
	tb.Cleanup(s.close)
	return s
}

func (s *server) accept() {
	for n := 1; ; n++ {
		c, err := s.l.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.conns = append(s.conns, c)
		s.mu.Unlock()
		s.wg.Go(func() {
			defer c.Close()
			s.serve(s, n, c)
		})
	}
}

func (s *server) close() {
	s.l.Close()
	s.mu.Lock()
	for _, c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *server) url() string { return "http://" + s.l.Addr().String() + "/notify" }

// request reads one whole request; it reports false when the client is gone.
func (s *server) request(br *bufio.Reader) bool {
	req, err := http.ReadRequest(br)
	if err != nil {
		return false
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return false
	}
	s.mu.Lock()
	s.requests++
	s.mu.Unlock()
	return true
}

func (s *server) count() (conns, requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns), s.requests
}

// reset closes a connection with a RST.
func reset(c net.Conn) {
	_ = c.(*net.TCPConn).SetLinger(0)
	c.Close()
}

// waitClosed returns when the client has closed its side.
func waitClosed(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func devClient(tb testing.TB, o Options) *Client {
	tb.Helper()
	o.Rules.Dev = true
	c := New(o)
	tb.Cleanup(c.Close)
	return c
}

func target(tb testing.TB, c *Client, raw string) *Target {
	tb.Helper()
	t, err := c.opts.Rules.CheckURL(raw)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// post is the request of most tests.
func post(tb testing.TB, c *Client, url string) *Request {
	return &Request{
		Pool: "m1", Target: target(tb, c, url), Body: []byte("a=1&b=2"), Deadline: time.Now().Add(10 * time.Second),
		Header: []Header{{"Content-Type", "application/x-www-form-urlencoded"}},
	}
}

// idle counts the connections in the pool.
func (c *Client) idle() int {
	c.pool.mu.Lock()
	defer c.pool.mu.Unlock()
	return c.pool.total
}

// tapped tells when the client has read its first bytes.
type tapped struct {
	net.Conn
	read chan struct{}
	once sync.Once
}

func (c *tapped) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.once.Do(func() { close(c.read) })
	return n, err
}
