package egress

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestOthersBytes: twenty merchants share one host, and for half of them the server leaves bytes behind its
// replies: in the same segment, or a moment later. Nobody ever reads what was meant for, or left by, another.
func TestOthersBytes(t *testing.T) {
	s := newServer(t, func(_ *server, _ int, c net.Conn) {
		for br := bufio.NewReader(c); strayReply(c, br); {
		}
	})
	c := devClient(t, Options{})
	kinds := []string{"good", "good", "together", "late"}
	var wg sync.WaitGroup
	for m := range 20 {
		kind, pool := kinds[m%len(kinds)], "m"+strconv.Itoa(m)
		wg.Go(func() {
			for i := range 100 {
				r := post(t, c, s.url()+"?"+kind)
				r.Pool = pool
				r.Body = []byte(strconv.Itoa(i) + " of " + pool)
				res := c.Do(t.Context(), r)
				if res.Fault == "" && !strings.HasSuffix(string(res.Body), " of "+pool) {
					t.Errorf("%s (%s) read another's reply: %q", pool, kind, res.Body)
				}
				// Bytes that arrive between the look and the write cannot be told from a reply: they may hurt
				// the merchant whose server sent them, and nobody else.
				if kind == "late" {
					continue
				}
				if res.Fault != "" || !bytes.Equal(res.Body, r.Body) {
					t.Errorf("%s (%s): sent %q, got %q, %q (%s)", pool, kind, r.Body, res.Body, res.Fault, res.Detail)
				}
				if kind == "together" && res.Reused {
					t.Errorf("%s: a connection with bytes behind a reply was reused", pool)
				}
			}
		})
	}
	wg.Wait()
}

// strayReply answers one request with its own body and, where the query asks for it, with bytes behind the
// reply that look like another one.
func strayReply(c net.Conn, br *bufio.Reader) bool {
	req, err := http.ReadRequest(br)
	if err != nil {
		return false
	}
	body, _ := io.ReadAll(req.Body)
	_, owner, _ := strings.Cut(string(body), " of ")
	whole := func(text string) string {
		return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(text), text)
	}
	reply, late := whole(string(body)), ""
	switch req.URL.RawQuery {
	case "together":
		reply += whole("stray of " + owner)
	case "late":
		late = whole("stray of " + owner)
	}
	_, _ = c.Write([]byte(reply))
	_, err = c.Write([]byte(late))
	return err == nil
}

// TestPoolsAreApart: an idle connection serves its own merchant only.
func TestPoolsAreApart(t *testing.T) {
	s := newServer(t, func(s *server, _ int, c net.Conn) {
		for br := bufio.NewReader(c); s.request(br); {
			_, _ = c.Write([]byte(ok))
		}
	})
	c := devClient(t, Options{})
	for i, want := range []struct {
		pool   string
		fresh  bool
		reused bool
	}{
		{"m1", false, false},
		{"m1", false, true},
		{"m2", false, false},
		{"m1", false, true},
		{"m2", false, true},
		{"m1", true, false},
	} {
		r := post(t, c, s.url())
		r.Pool, r.Fresh = want.pool, want.fresh
		if res := c.Do(t.Context(), r); res.Fault != "" || res.Reused != want.reused {
			t.Errorf("%d: reused %v (%s), want %v", i, res.Reused, res.Detail, want.reused)
		}
	}
	if conns, _ := s.count(); conns != 3 {
		t.Errorf("%d connections, want 3", conns)
	}
}

// TestStale: a reused connection that dies without one reply byte is told as such, once; the request is never
// repeated by the client, and the caller's fresh re-send arrives.
func TestStale(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(net.Conn)
	}{{"closed", func(c net.Conn) { c.Close() }}, {"reset", reset}} {
		t.Run(tt.name, func(t *testing.T) {
			s := newServer(t, func(s *server, n int, c net.Conn) {
				br := bufio.NewReader(c)
				for s.request(br) {
					if _, requests := s.count(); n == 1 && requests == 2 {
						tt.end(c)
						return
					}
					_, _ = c.Write([]byte(ok))
				}
			})
			c := devClient(t, Options{})
			var faults []Fault
			for _, fresh := range []bool{false, false, true} {
				r := post(t, c, s.url())
				r.Fresh = fresh
				res := c.Do(t.Context(), r)
				faults = append(faults, res.Fault)
				if res.Fault == ConnStale && (!res.Reused || !res.Wrote || res.Ours) {
					t.Errorf("stale: %+v", res)
				}
			}
			if faults[0] != "" || faults[1] != ConnStale || faults[2] != "" {
				t.Errorf("faults %q", faults)
			}
			if conns, requests := s.count(); conns != 2 || requests != 3 {
				t.Errorf("%d connections and %d requests, want 2 and 3", conns, requests)
			}
		})
	}
}

// TestDeadIdle: a connection that is seen to be closed, or to have spoken unasked, is not used; nothing is
// stale.
func TestDeadIdle(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  func(net.Conn)
	}{
		{"closed", func(c net.Conn) { c.Close() }},
		{"reset", reset},
		{"spoke", func(c net.Conn) { _, _ = c.Write([]byte("HTTP/1.1 408 Timeout\r\n\r\n")); waitClosed(c) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			end := make(chan struct{})
			s := newServer(t, func(s *server, n int, c net.Conn) {
				for br := bufio.NewReader(c); s.request(br); {
					_, _ = c.Write([]byte(ok))
					if n == 1 {
						<-end
						tt.end(c)
						return
					}
				}
			})
			c := devClient(t, Options{})
			if res := c.Do(t.Context(), post(t, c, s.url())); res.Fault != "" {
				t.Fatal(res.Detail)
			}
			idle := c.pool.newest
			if idle == nil || !idle.silent() {
				t.Fatal("the first connection is not idle and silent")
			}
			close(end)
			for until := time.Now().Add(5 * time.Second); idle.silent() && time.Now().Before(until); {
				runtime.Gosched()
			}
			if res := c.Do(t.Context(), post(t, c, s.url())); res.Fault != "" || res.Reused {
				t.Errorf("fault %q, reused %v", res.Fault, res.Reused)
			}
			if conns, requests := s.count(); conns != 2 || requests != 2 {
				t.Errorf("%d connections and %d requests, want 2 and 2", conns, requests)
			}
		})
	}
}

// fakeConn is an idle connection of the pool tests; it only knows whether it was closed.
type fakeConn struct {
	net.Conn
	closed atomic.Bool
}

func (f *fakeConn) Close() error { f.closed.Store(true); return nil }

func idleConn(owner string) (*conn, *fakeConn) {
	f := &fakeConn{}
	return &conn{key: poolKey{owner: owner, server: "http://h:80"}, raw: f, stream: f}, f
}

func TestPoolLimits(t *testing.T) {
	p := &pool{perKeyMax: 3, totalMax: 5, ttl: time.Hour}
	defer p.shed(true)
	var all []*fakeConn
	put := func(owner string) {
		c, f := idleConn(owner)
		all = append(all, f)
		p.put(c, time.Now())
	}
	for range 4 { // 0, 1, 2 stay; 3 is over the limit of its key
		put("a")
	}
	for range 3 { // 4, 5, 6: the total pushes out the oldest, 0
		put("b")
	}
	want := []bool{true, false, false, true, false, false, false}
	for i, f := range all {
		if f.closed.Load() != want[i] {
			t.Errorf("connection %d closed: %v, want %v", i, f.closed.Load(), want[i])
		}
	}
	for _, i := range []int{2, 1} { // the warmest first
		if c := p.take(poolKey{owner: "a", server: "http://h:80"}); c == nil || c.raw != all[i] {
			t.Errorf("take did not return connection %d", i)
		}
	}
	if c := p.take(poolKey{owner: "a", server: "http://h:80"}); c != nil {
		t.Error("the empty stack gave a connection")
	}
	if len(p.stacks) != 1 || p.total != 3 {
		t.Errorf("%d stacks, %d idle, want 1 and 3", len(p.stacks), p.total)
	}
	p.shed(true)
	put("b")
	for _, i := range []int{4, 5, 6, 7} {
		if !all[i].closed.Load() {
			t.Errorf("connection %d is open after the end", i)
		}
	}
}

// TestPoolExpiry runs in virtual time: every connection goes after its own minute, and the timer stops.
func TestPoolExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pool{perKeyMax: 9, totalMax: 9, ttl: time.Minute}
		var all []*fakeConn
		for range 3 {
			c, f := idleConn("a")
			all = append(all, f)
			p.put(c, time.Now())
			time.Sleep(20 * time.Second)
		}
		for i, f := range all { // now is 60 s
			synctest.Wait()
			if !f.closed.Load() || (i < 2 && all[i+1].closed.Load()) {
				t.Errorf("connection %d: not closed after its minute, or the next one too early", i)
			}
			time.Sleep(20 * time.Second)
		}
		if p.timer != nil || p.total != 0 || len(p.stacks) != 0 {
			t.Errorf("left over: timer %v, %d idle, %d stacks", p.timer != nil, p.total, len(p.stacks))
		}
	})
}

// TestClose: connections end with the client, those in flight when their exchange ends.
func TestClose(t *testing.T) {
	inFlight, goOn := make(chan struct{}, 2), make(chan struct{})
	s := newServer(t, func(s *server, _ int, c net.Conn) {
		for br := bufio.NewReader(c); s.request(br); {
			inFlight <- struct{}{}
			<-goOn
			_, _ = c.Write([]byte(ok))
		}
	})
	c := New(Options{Rules: Rules{Dev: true}})
	got := make(chan Result, 1)
	go func() { got <- c.Do(context.Background(), post(t, c, s.url())) }()
	<-inFlight
	c.Close()
	close(goOn)
	if res := <-got; res.Fault != "" {
		t.Errorf("the exchange in flight got %q", res.Fault)
	}
	if c.idle() != 0 {
		t.Error("a closed client keeps a connection")
	}
}
