package egress

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestVirtualTime: the limits, to the second, over pipes.
func TestVirtualTime(t *testing.T) {
	const tls = "https://shop.example.com/"
	deaf := func(c net.Conn) { _, _ = io.Copy(io.Discard, c) }
	for _, tt := range []limit{
		{name: "connect", serve: nil, fault: TimeoutConnect, took: 5 * time.Second},
		{name: "connect, total first", total: 3 * time.Second, fault: TimeoutConnect, took: 3 * time.Second},
		{name: "TLS", url: tls, serve: deaf, fault: TimeoutTLS, took: 5 * time.Second},
		{
			name: "TLS, total first", url: tls, serve: deaf, total: 2 * time.Second,
			fault: TimeoutTLS, took: 2 * time.Second,
		},
		{
			name: "write", serve: func(net.Conn) { time.Sleep(time.Minute) },
			fault: TimeoutHeaders, took: 10 * time.Second,
		},
		{name: "head", serve: replying(""), fault: TimeoutHeaders, took: 10 * time.Second},
		{name: "part of a head", serve: replying("HTTP/1.1 200"), fault: TimeoutHeaders, took: 10 * time.Second},
		{
			name: "head, total first", total: 4 * time.Second, serve: replying(""),
			fault: TimeoutHeaders, took: 4 * time.Second,
		},
		{
			name: "body", serve: replying(with("Content-Length: 9\r\n") + "succ"),
			fault: TimeoutBody, took: 15 * time.Second,
		},
		{
			name: "body, total first", total: 12 * time.Second, serve: replying(with("")),
			fault: TimeoutBody, took: 12 * time.Second,
		},
		{name: "whole", serve: replying(ok), took: 0},
	} {
		t.Run(tt.name, func(t *testing.T) { synctest.Test(t, tt.check) })
	}
}

// limit is one row of TestVirtualTime: a server that stops somewhere, and when we stop waiting.
type limit struct {
	name  string
	url   string         // "" = over plain HTTP
	serve func(net.Conn) // nil = nobody accepts
	total time.Duration  // of the request; 0 = the default
	fault Fault
	took  time.Duration
}

// replying reads a request, writes the given bytes and waits for the client to go.
func replying(text string) func(net.Conn) {
	return func(c net.Conn) {
		br := bufio.NewReader(c)
		if req, err := http.ReadRequest(br); err == nil {
			_, _ = io.Copy(io.Discard, req.Body)
			_, _ = c.Write([]byte(text))
			_, _ = io.Copy(io.Discard, br)
		}
	}
}

func (l limit) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if l.serve == nil {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
	}
	client, merchant := net.Pipe()
	go func() {
		l.serve(merchant)
		merchant.Close()
	}()
	return client, nil
}

func (l limit) check(t *testing.T) {
	c := New(Options{Dial: l.dial})
	url := l.url
	if url == "" {
		url = "http://shop.example.com/"
	}
	r := &Request{Target: target(t, New(Options{Rules: Rules{Dev: true}}), url), Body: []byte("a=1")}
	if l.total > 0 {
		r.Deadline = time.Now().Add(l.total)
	}
	start := time.Now()
	res := c.Do(t.Context(), r)
	if took := time.Since(start); res.Fault != l.fault || took != l.took {
		t.Errorf("got %q (%s) after %v, want %q after %v", res.Fault, res.Detail, took, l.fault, l.took)
	}
	c.Close()
	time.Sleep(2 * time.Minute) // the server ends, too
}

// TestPipesAreReused: a connection that is no socket cannot be looked at and counts as silent.
func TestPipesAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		c := New(Options{Dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			client, merchant := net.Pipe()
			go func() {
				defer merchant.Close()
				for br := bufio.NewReader(merchant); ; {
					req, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					_, _ = io.Copy(io.Discard, req.Body)
					_, _ = merchant.Write([]byte(ok))
				}
			}()
			return client, nil
		}})
		defer c.Close()
		send := func() Result {
			return c.Do(t.Context(), &Request{Target: target(t, c, "http://shop.example.com/"), Body: []byte("a=1")})
		}
		send()
		time.Sleep(59 * time.Second) // the last exchange's deadlines have long passed
		if res := send(); res.Fault != "" || !res.Reused || dials != 1 {
			t.Errorf("after 59 s: fault %q, reused %v, %d dials", res.Fault, res.Reused, dials)
		}
		time.Sleep(61 * time.Second)
		if res := send(); res.Fault != "" || res.Reused || dials != 2 {
			t.Errorf("after 61 s: fault %q, reused %v, %d dials", res.Fault, res.Reused, dials)
		}
	})
}
