package egress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

// reply is one row of the table: what a merchant's server does with a request, and what comes of it.
type reply struct {
	name   string
	raw    string                             // written as it is; then the connection is closed
	act    func(c net.Conn, br *bufio.Reader) // instead of raw
	limit  time.Duration                      // of the exchange; 0 = 10 s
	fault  Fault
	or     Fault // a second fault that the kernel may make of it
	status int
	body   string
	kept   bool // the connection may carry another exchange
}

const ok = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nsuccess"

func with(header string) string { return "HTTP/1.1 200 OK\r\n" + header + "\r\n" }

func status(line string) string {
	return "HTTP/1.1 " + line + "\r\nContent-Length: 7\r\n\r\nsuccess"
}

// hang writes and then waits until the client gives up.
func hang(raw string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) {
		_, _ = c.Write([]byte(raw))
		waitClosed(c)
	}
}

// endless writes head once, then again and again the same piece.
func endless(head, again string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) {
		_, _ = c.Write([]byte(head))
		piece := bytes.Repeat([]byte(again), 1+4096/len(again))
		for {
			if _, err := c.Write(piece); err != nil {
				return
			}
		}
	}
}

// drip writes one byte at a time, until the client gives up.
func drip(head, again string) func(net.Conn, *bufio.Reader) {
	return func(c net.Conn, _ *bufio.Reader) {
		_, _ = c.Write([]byte(head))
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			<-tick.C
			if _, err := c.Write([]byte{again[i%len(again)]}); err != nil {
				return
			}
		}
	}
}

func bomb() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.String()
}

const short = 150 * time.Millisecond

var replies = []reply{
	{name: "ack", raw: ok, status: 200, body: "success", kept: true},
	{
		name: "chunked", raw: with("Transfer-Encoding: chunked\r\n") + "3\r\nsuc\r\n4\r\ncess\r\n0\r\n\r\n",
		status: 200, body: "success", kept: true,
	},
	{
		name: "chunked with a trailer",
		raw:  with("Transfer-Encoding: chunked\r\n") + "7;x=y\r\nsuccess\r\n0\r\nA: b\r\n\r\n", status: 200,
		body: "success", kept: true,
	},
	{name: "empty", raw: with("Content-Length: 0\r\n"), status: 200, kept: true},
	{name: "201", raw: status("201 Created"), status: 201, body: "success", kept: true},
	{name: "204", raw: "HTTP/1.1 204 No Content\r\n\r\n", status: 204, kept: true},
	{name: "204 with a body", raw: status("204 No Content"), status: 204},
	{name: "205", raw: "HTTP/1.1 205 Reset Content\r\nContent-Length: 0\r\n\r\n", status: 205, kept: true},
	{name: "206", raw: status("206 Partial Content"), status: 206, body: "success", kept: true},
	{name: "no reason phrase", raw: status("200"), status: 200, body: "success", kept: true},
	{
		name:   "302",
		raw:    "HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 7\r\n\r\nsuccess",
		status: 302, body: "success", kept: true,
	},
	{
		name: "307 to a file", raw: "HTTP/1.1 307 T\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
		status: 307, kept: true,
	},
	{name: "304", raw: "HTTP/1.1 304 Not Modified\r\n\r\n", status: 304, kept: true},
	{name: "100 first", raw: "HTTP/1.1 100 Continue\r\n\r\n" + ok, status: 200, body: "success", kept: true},
	{
		name: "102 and 103 first", raw: "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + ok,
		status: 200, body: "success", kept: true,
	},
	{name: "1xx without end", act: endless("", "HTTP/1.1 100 Continue\r\n\r\n"), fault: Malformed},
	{
		name:  "101",
		act:   hang("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nsuccess"),
		fault: Upgrade, status: 101,
	},
	{
		name: "101 after 100", act: hang("HTTP/1.1 100 C\r\n\r\nHTTP/1.1 101 S\r\n\r\n"), fault: Upgrade,
		status: 101,
	},
	{name: "404", raw: status("404 Not Found"), status: 404, body: "success", kept: true},
	{name: "500", raw: status("500 Oops"), status: 500, body: "success", kept: true},
	{name: "599", raw: status("599 X"), status: 599, body: "success", kept: true},
	{name: "status 99", raw: status("99 X"), fault: Malformed},
	{name: "status 099", raw: status("099 X"), fault: Malformed, status: 99},
	{name: "status 000", raw: status("000 X"), fault: Malformed},
	{name: "status abc", raw: status("abc X"), fault: Malformed},
	{name: "status 2000", raw: status("2000 X"), fault: Malformed},
	{name: "status 600", raw: status("600 X"), fault: Malformed, status: 600},
	{name: "status 999", raw: status("999 X"), fault: Malformed, status: 999},
	{
		name: "HTTP/2.0 in text", raw: "HTTP/2.0 200 OK\r\nContent-Length: 7\r\n\r\nsuccess", fault: Malformed,
		status: 200,
	},
	{name: "junk behind the length", raw: ok + "<html>", status: 200, body: "success"},
	{name: "a second reply behind the first", raw: ok + ok, status: 200, body: "success"},
	{
		name: "length not reached", raw: with("Content-Length: 100\r\n") + "success", fault: Truncated,
		status: 200, body: "success",
	},
	{
		name: "length not reached, hanging",
		act:  hang(with("Content-Length: 9223372036854775807\r\n") + "success"), limit: short, fault: TimeoutBody,
		status: 200, body: "success",
	},
	{
		name: "largest length, cut", raw: with("Content-Length: 9223372036854775807\r\n") + "success",
		fault: Truncated, status: 200, body: "success",
	},
	{
		name: "length overflow", raw: with("Content-Length: 9223372036854775808\r\n") + "success",
		fault: Malformed,
	},
	{name: "ended by closing", raw: with("") + "success", status: 200, body: "success"},
	{name: "HTTP/1.0 ended by closing", raw: "HTTP/1.0 200 OK\r\n\r\nsuccess", status: 200, body: "success"},
	{
		name: "HTTP/1.0 with a length", raw: "HTTP/1.0 200 OK\r\nContent-Length: 7\r\n\r\nsuccess", status: 200,
		body: "success",
	},
	{
		name: "HTTP/1.0 keep-alive",
		raw:  "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 7\r\n\r\nsuccess", status: 200,
		body: "success", kept: true,
	},
	{
		name: "Connection: close", raw: with("Connection: close\r\nContent-Length: 7\r\n") + "success",
		status: 200, body: "success",
	},
	{
		name: "no length, never closes", act: hang(with("") + "success"), limit: short, fault: TimeoutBody,
		status: 200, body: "success",
	},
	{name: "HTTP/0.9", raw: "success", fault: Malformed},
	{name: "HTML without a head", raw: "<html>success</html>", fault: Malformed},
	{name: "SSH banner", act: hang("SSH-2.0-OpenSSH_9.6\r\n"), fault: Malformed},
	{name: "TLS alert", act: hang("\x15\x03\x01\x00\x02\x02\x28"), fault: Malformed},
	{name: "HTTP/2 SETTINGS", act: hang("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), fault: Malformed},
	{
		name: "equal lengths", raw: with("Content-Length: 7\r\nContent-Length: 7\r\n") + "success", status: 200,
		body: "success", kept: true,
	},
	{
		name:   "length and chunked",
		raw:    with("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "7\r\nsuccess\r\n0\r\n\r\n",
		status: 200, body: "success", kept: true,
	},
	{
		name: "bare line feeds", raw: "HTTP/1.1 200 OK\nContent-Length: 7\n\nsuccess", status: 200,
		body: "success", kept: true,
	},
	{
		name: "different lengths", raw: with("Content-Length: 7\r\nContent-Length: 8\r\n") + "success",
		fault: Malformed,
	},
	{name: "negative length", raw: with("Content-Length: -7\r\n") + "success", fault: Malformed},
	{name: "header without a colon", raw: with("Content-Length 7\r\n") + "success", fault: Malformed},
	{name: "NUL in a header name", raw: with("A\x00: 7\r\n") + "success", fault: Malformed},
	{
		name: "gzip, chunked", raw: with("Transfer-Encoding: gzip, chunked\r\n") + "7\r\nsuccess\r\n0\r\n\r\n",
		fault: Malformed,
	},
	{
		name: "chunked without its end", raw: with("Transfer-Encoding: chunked\r\n") + "7\r\nsuccess\r\n",
		fault: Truncated, status: 200, body: "success",
	},
	{
		name: "garbage chunk size", raw: with("Transfer-Encoding: chunked\r\n") + "7\r\nsuccess\r\nzz\r\n",
		fault: Malformed, status: 200, body: "success",
	},
	{
		name: "chunk size overflow", raw: with("Transfer-Encoding: chunked\r\n") + "fffffffffffffffff\r\nsuccess",
		fault: Malformed, status: 200,
	},
	{
		name:  "chunks of one byte with endless extensions",
		act:   endless(with("Transfer-Encoding: chunked\r\n"), "1;"+strings.Repeat("x", 500)+"\r\ns\r\n"),
		fault: Malformed, status: 200, or: TooLarge,
	},
	{
		name: "endless trailer",
		act:  endless(with("Transfer-Encoding: chunked\r\n")+"7\r\nsuccess\r\n0\r\n", "X: y\r\n"), fault: Malformed,
		or: TooLarge, status: 200, body: "success",
	},
	{
		name: "gzip not asked for", raw: with("Content-Encoding: gzip\r\nContent-Length: 7\r\n") + "\x1f\x8b56789",
		status: 200, body: "\x1f\x8b56789", kept: true,
	},
	{name: "gzip bomb", raw: with("Content-Encoding: gzip\r\n") + bomb(), fault: TooLarge, status: 200},
	{
		name: "4096 bytes", raw: with("Content-Length: 4096\r\n") + strings.Repeat("s", 4096), status: 200,
		body: strings.Repeat("s", 4096), kept: true,
	},
	{
		name: "4097 bytes", raw: with("Content-Length: 4097\r\n") + strings.Repeat("s", 4097), fault: TooLarge,
		status: 200,
	},
	{
		name: "4096 bytes ended by closing", raw: with("") + strings.Repeat("s", 4096), status: 200,
		body: strings.Repeat("s", 4096),
	},
	{name: "endless body", act: endless(with(""), "success"), fault: TooLarge, status: 200},
	{
		name: "endless chunks", act: endless(with("Transfer-Encoding: chunked\r\n"), "7\r\nsuccess\r\n"),
		fault: TooLarge, status: 200,
	},
	{name: "endless status line", act: endless("HTTP/1.1 200 ", "x"), fault: Malformed},
	{name: "endless header line", act: endless("HTTP/1.1 200 OK\r\nX: ", "x"), fault: Malformed},
	{name: "endless headers", act: endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"), fault: Malformed},
	{
		name: "head of 31 KiB",
		raw:  with("X: "+strings.Repeat("x", 31<<10)+"\r\nContent-Length: 7\r\n") + "success", status: 200,
		body: "success", kept: true,
	},
	{
		name: "head over 32 KiB",
		raw:  with("X: "+strings.Repeat("x", 32<<10)+"\r\nContent-Length: 7\r\n") + "success", fault: Malformed,
	},
	{name: "dripping head", act: drip("HTTP/1.1 200 OK\r\n", "X: y\r\n"), limit: short, fault: TimeoutHeaders},
	{name: "dripping body", act: drip(with(""), "success"), limit: short, fault: TimeoutBody, status: 200},
	{name: "no reply", act: hang(""), limit: short, fault: TimeoutHeaders},
	{name: "close after the request", raw: "", fault: ConnClosed},
	{name: "reset after the request", act: func(c net.Conn, _ *bufio.Reader) { reset(c) }, fault: ConnReset},
	{name: "close inside the head", raw: "HTTP/1.1 200 OK\r\nContent-Le", fault: Truncated},
	{name: "close after the first byte", raw: "H", fault: Truncated},
	{
		name: "control characters", raw: with("Content-Length: 7\r\n") + "\x1b[2J\x00\xff\xfe", status: 200,
		body: "\x1b[2J\x00\xff\xfe", kept: true,
	},
}

// TestReplies is the bad-input matrix over real sockets: every reply a merchant's server may give.
func TestReplies(t *testing.T) {
	for _, tt := range replies {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(s *server, _ int, c net.Conn) {
				br := bufio.NewReader(c)
				if !s.request(br) {
					t.Error("the request did not arrive whole")
					return
				}
				if tt.act != nil {
					tt.act(c, br)
					return
				}
				_, _ = c.Write([]byte(tt.raw))
				if tt.kept {
					waitClosed(c)
				}
			})
			c := devClient(t, Options{})
			r := post(t, c, s.url())
			if tt.limit > 0 {
				r.Deadline = time.Now().Add(tt.limit)
			}
			start := time.Now()
			res := c.Do(t.Context(), r)
			checkReply(t, &tt, res)
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("took %v", took)
			}
			if got := c.idle() == 1; got != tt.kept {
				t.Errorf("connection kept: %v, want %v", got, tt.kept)
			}
			if _, n := s.count(); n != 1 {
				t.Errorf("%d requests left, want 1", n)
			}
		})
	}
}

func checkReply(t *testing.T, tt *reply, res Result) {
	t.Helper()
	if res.Fault != tt.fault && (tt.or == "" || res.Fault != tt.or) {
		t.Errorf("fault %q (%s), want %q", res.Fault, res.Detail, tt.fault)
	}
	if res.Status != tt.status {
		t.Errorf("status %d, want %d", res.Status, tt.status)
	}
	if tt.body != "" && string(res.Body) != tt.body || len(res.Body) > ReplyBytesMax {
		t.Errorf("body %q, want %q", res.Body, tt.body)
	}
	if (res.Fault == "") != (res.Detail == "") || res.Ours || !res.Wrote || res.Reused || res.RemoteAddr == "" {
		t.Errorf("detail %q, ours %v, wrote %v, reused %v, remote %q",
			res.Detail, res.Ours, res.Wrote, res.Reused, res.RemoteAddr)
	}
	if len(res.Detail) > detailMax+len("…") {
		t.Errorf("detail has %d bytes", len(res.Detail))
	}
}

// TestResetInsideBody: a reset, not an end, after the first reply byte is a truncated reply all the same.
func TestResetInsideBody(t *testing.T) {
	read := make(chan struct{})
	s := newServer(t, func(s *server, _ int, c net.Conn) {
		if !s.request(bufio.NewReader(c)) {
			return
		}
		_, _ = c.Write([]byte(with("Content-Length: 100\r\n") + "succ"))
		<-read
		reset(c)
	})
	// The reset follows once the client has the first bytes: a reset may overtake what the kernel still holds.
	c := devClient(t, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &tapped{Conn: raw, read: read}, err
	}})
	res := c.Do(t.Context(), post(t, c, s.url()))
	if res.Fault != Truncated || string(res.Body) != "succ" || res.Status != 200 {
		t.Errorf("got %+v", res)
	}
}

// TestReplyHeaders: what a judge and a scheduler need of the head, and no more of it than that.
func TestReplyHeaders(t *testing.T) {
	long := strings.Repeat("x", 9<<10)
	s := newServer(t, func(s *server, _ int, c net.Conn) {
		if s.request(bufio.NewReader(c)) {
			_, _ = c.Write([]byte("HTTP/1.1 503 X\r\ncontent-type: text/html\r\nContent-Type: second\r\n" +
				"RETRY-AFTER: 120\r\nContent-Encoding: br\r\nLocation: /" + long + "\r\n" +
				"Alt-Svc: h3=\":443\"\r\nRefresh: 0; url=/\r\nContent-Length: 0\r\n\r\n"))
		}
	})
	c := devClient(t, Options{})
	res := c.Do(t.Context(), post(t, c, s.url()))
	if res.Status != 503 || res.ContentType != "text/html" || res.RetryAfter != "120" ||
		res.ContentEncoding != "br" {
		t.Errorf("got %+v", res)
	}
	if len(res.Location) != headerBytesKept || !strings.HasPrefix(res.Location, "/xxx") {
		t.Errorf("location has %d bytes", len(res.Location))
	}
}

// TestReplyBeforeRequestWasRead: a server may answer and close although it has not read the body.
func TestReplyBeforeRequestWasRead(t *testing.T) {
	s := newServer(t, func(_ *server, _ int, c net.Conn) {
		_, _ = c.Write([]byte(ok))
		_ = c.(*net.TCPConn).CloseWrite()
		waitClosed(c)
	})
	c := devClient(t, Options{})
	r := post(t, c, s.url())
	r.Body = bytes.Repeat([]byte("a"), 200<<10)
	if res := c.Do(t.Context(), r); res.Fault != "" || string(res.Body) != "success" {
		t.Errorf("got %+v", res)
	}
}

// TestHeadOnly: the head decides; what is wrong with the body is no fault and is not waited for.
func TestHeadOnly(t *testing.T) {
	for _, tt := range []struct {
		name string
		act  func(net.Conn, *bufio.Reader)
		body string
		kept bool
	}{
		{"whole", hang(ok), "success", true},
		{"hanging", hang(with("Content-Length: 100\r\n") + "succ"), "succ", false},
		{"endless", endless(with(""), "s"), strings.Repeat("s", ReplyBytesMax), false},
		{
			"cut",
			func(c net.Conn, _ *bufio.Reader) { _, _ = c.Write([]byte(with("Content-Length: 100\r\n") + "s")) }, "s",
			false,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, func(s *server, _ int, c net.Conn) {
				if br := bufio.NewReader(c); s.request(br) {
					tt.act(c, br)
				}
			})
			c := devClient(t, Options{})
			r := post(t, c, s.url())
			r.HeadOnly = true
			res := c.Do(t.Context(), r)
			if res.Fault != "" || res.Status != 200 || string(res.Body) != tt.body || (c.idle() == 1) != tt.kept {
				t.Errorf("got fault %q, status %d, body %q, kept %d", res.Fault, res.Status, res.Body, c.idle())
			}
		})
	}
}
