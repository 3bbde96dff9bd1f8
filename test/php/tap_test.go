package php

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// tap stands between the engine and PHP: it hands on every byte and keeps those of the requests, so that a
// request can be sent once more, but for one byte.
type tap struct {
	url     string // http://127.0.0.1:PORT
	backend string // HOST:PORT of PHP

	mu       sync.Mutex
	requests []*bytes.Buffer // one a connection: PHP's server closes after each
}

func startTap(t *testing.T, php *phpServer) *tap {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{url: "http://" + listener.Addr().String(), backend: strings.TrimPrefix(php.url, "http://")}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // closed below
			}
			go p.serve(conn)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return p
}

// serve hands on one connection until PHP closes it.
func (p *tap) serve(conn net.Conn) {
	defer conn.Close()
	back, err := net.Dial("tcp", p.backend)
	if err != nil {
		return // the engine sees a closed connection, and the test its verdict
	}
	defer back.Close()
	request := new(bytes.Buffer)
	p.mu.Lock()
	p.requests = append(p.requests, request)
	p.mu.Unlock()
	go func() {
		buf := make([]byte, 32<<10)
		for {
			n, err := conn.Read(buf)
			p.mu.Lock()
			request.Write(buf[:n])
			p.mu.Unlock()
			if n > 0 {
				back.Write(buf[:n]) // PHP gone: the reply below ends
			}
			if err != nil {
				return // closed on return of serve, at the latest
			}
		}
	}()
	io.Copy(conn, back) // what came is what the engine judges
}

// request is the captured request to a path.
func (p *tap) request(t *testing.T, path string) []byte {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, r := range p.requests {
		line, _, _ := bytes.Cut(r.Bytes(), []byte("\r\n"))
		if fields := strings.Fields(string(line)); len(fields) == 3 {
			if target, _, _ := strings.Cut(fields[1], "?"); target == path {
				return bytes.Clone(r.Bytes())
			}
		}
	}
	t.Fatalf("nothing came for %s", path)
	return nil
}

// replay sends a request as it stands and returns the reply.
func (p *tap) replay(t *testing.T, request []byte) (*http.Response, []byte) {
	t.Helper()
	conn, err := net.Dial("tcp", p.backend)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, request)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, body
}
