package hostile

import (
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// framing are replies that are wrong, or odd, as HTTP.
var framing = []row{
	{name: "junk behind the length", raw: body("success") + "<html>", want: "acked ack_exact"},
	{name: "length not reached", raw: head("Content-Length: 100\r\n") + "success", want: "bad_reply truncated"},
	{
		name: "largest length", raw: head("Content-Length: 9223372036854775807\r\n") + "success",
		want: "bad_reply truncated",
	},
	{
		name: "largest length, hanging", act: hang(head("Content-Length: 9223372036854775807\r\n") + "success"),
		limit: soon,
		want:  "timeout timeout_body",
	},
	{name: "no length, closed", raw: head("") + "success", want: "acked ack_exact"},
	{name: "HTTP/1.0, closed", raw: "HTTP/1.0 200 OK\r\n\r\nsuccess", want: "acked ack_exact"},
	{name: "no length, open", act: hang(head("") + "success"), limit: soon, want: "timeout timeout_body"},
	{name: "HTTP/0.9", raw: "success", want: "bad_reply malformed"},
	{name: "SSH", act: hang("SSH-2.0-OpenSSH_9.6\r\n"), want: "bad_reply malformed"},
	{name: "TLS alert", act: hang("\x15\x03\x01\x00\x02\x02\x28"), want: "bad_reply malformed"},
	{name: "HTTP/2", act: hang("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), want: "bad_reply malformed"},
	{
		name: "equal lengths", raw: head("Content-Length: 7\r\nContent-Length: 7\r\n") + "success",
		want: "acked ack_exact",
	},
	{
		name: "length and chunked", raw: head("Content-Length: 3\r\n"+chunked) + "7\r\nsuccess\r\n0\r\n\r\n",
		want: "acked ack_exact",
	},
	{name: "bare line feeds", raw: "HTTP/1.1 200 OK\nContent-Length: 7\n\nsuccess", want: "acked ack_exact"},
	{
		name: "different lengths", raw: head("Content-Length: 7\r\nContent-Length: 8\r\n") + "success",
		want: "bad_reply malformed",
	},
	{name: "negative length", raw: head("Content-Length: -7\r\n") + "success", want: "bad_reply malformed"},
	{name: "no colon", raw: head("Content-Length 7\r\n") + "success", want: "bad_reply malformed"},
	{name: "NUL in a name", raw: head("A\x00: 7\r\n") + "success", want: "bad_reply malformed"},
	{
		name: "NUL in a value", raw: head("A: \x007\r\nContent-Length: 7\r\n") + "success",
		want: "bad_reply malformed",
	},
	{
		name: "gzip, chunked", raw: head("Transfer-Encoding: gzip, chunked\r\n") + "7\r\nsuccess\r\n0\r\n\r\n",
		want: "bad_reply malformed",
	},
	{name: "two chunks", raw: head(chunked) + "3\r\nsuc\r\n4\r\ncess\r\n0\r\n\r\n", want: "acked ack_exact"},
	{name: "no last chunk", raw: head(chunked) + "7\r\nsuccess\r\n", want: "bad_reply truncated"},
	{name: "garbage size", raw: head(chunked) + "7\r\nsuccess\r\nzz\r\n", want: "bad_reply malformed"},
	{name: "size overflow", raw: head(chunked) + "fffffffffffffffff\r\nsuccess", want: "bad_reply malformed"},
	{
		name: "gzip", raw: says("200 OK", "Content-Encoding: gzip\r\n", zipped("success")), want: "refused encoded",
	},
	{
		name: "gzip bomb", act: func(c conn) { c.say(says("200 OK", "Content-Encoding: gzip\r\n", bomb())) },
		want: "bad_reply too_large",
	},
	{name: "4097 bytes", raw: body(strings.Repeat("s", 4097)), want: "bad_reply too_large"},
	{name: "endless body", act: endless(head(""), "success"), want: "bad_reply too_large"},
	{name: "endless chunks", act: endless(head(chunked), "7\r\nsuccess\r\n"), want: "bad_reply too_large"},
	{name: "endless header line", act: endless("HTTP/1.1 200 OK\r\nX: ", "x"), want: "bad_reply malformed"},
	{name: "endless headers", act: endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"), want: "bad_reply malformed"},
	{
		name: "head over 32 KiB", raw: head("X: "+strings.Repeat("x", 32<<10)+"\r\n") + "success",
		want: "bad_reply malformed",
	},
}

// timing are replies that come slowly, or not, or before they should, and connections that end.
var timing = []row{
	{
		name: "slow head", act: drip("HTTP/1.1 200 OK\r\n", "X: y\r\n", -1), limit: soon,
		want: "timeout timeout_headers",
	},
	{name: "slow body", act: drip(head("Content-Length: 7\r\n"), "success", 7), want: "acked ack_exact"},
	{name: "slow body for ever", act: drip(head(""), "success", -1), limit: soon, want: "timeout timeout_body"},
	{name: "no reply", act: hang(""), limit: soon, want: "timeout timeout_headers"},
	{name: "closed after the request", act: func(conn) {}, want: "connect_error conn_closed"},
	{name: "reset after the request", act: conn.reset, want: "connect_error conn_reset"},
	{
		name: "reset inside the body", want: "bad_reply truncated",
		act: func(c conn) {
			c.say(head("Content-Length: 100\r\n") + "succ")
			drip("", "x", 20)(c) // a reset may overtake what the receiver has not read: it has read some of these
			c.reset()
		},
	},
	{name: "cut inside the head", raw: "HTTP/1.1 200 OK\r\nContent-Le", want: "bad_reply truncated"},
	{
		name: "reply before the request was read", want: "acked ack_exact",
		unasked: func(c conn) {
			c.say(body("success"))
			c.wait()
		},
	},
	{
		name: "closed before the request was read", want: "connect_error conn_reset",
		or:      "connect_error conn_closed",
		unasked: func(conn) {},
	},
}
