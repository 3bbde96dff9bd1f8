package hostile

import (
	"strconv"
	"strings"

	"paynotify/store"
)

func itoa(n int) string { return strconv.Itoa(n) }

// framing are replies that are wrong, or odd, as HTTP.
var framing = []row{
	{name: "junk behind the length", raw: body("success") + "<html>", verdict: store.Acked, reason: store.AckExact},
	{name: "length not reached", raw: head("Content-Length: 100\r\n") + "success", verdict: store.BadReply, reason: store.Truncated},
	{
		name: "largest length", raw: head("Content-Length: 9223372036854775807\r\n") + "success",
		verdict: store.BadReply, reason: store.Truncated,
	},
	{
		name: "largest length, hanging", act: hang(head("Content-Length: 9223372036854775807\r\n") + "success"), limit: soon,
		verdict: store.Timeout, reason: store.TimeoutBody,
	},
	{name: "no length, closed", raw: head("") + "success", verdict: store.Acked, reason: store.AckExact},
	{name: "HTTP/1.0, closed", raw: "HTTP/1.0 200 OK\r\n\r\nsuccess", verdict: store.Acked, reason: store.AckExact},
	{name: "no length, open", act: hang(head("") + "success"), limit: soon, verdict: store.Timeout, reason: store.TimeoutBody},
	{name: "HTTP/0.9", raw: "success", verdict: store.BadReply, reason: store.Malformed},
	{name: "SSH", act: hang("SSH-2.0-OpenSSH_9.6\r\n"), verdict: store.BadReply, reason: store.Malformed},
	{name: "TLS alert", act: hang("\x15\x03\x01\x00\x02\x02\x28"), verdict: store.BadReply, reason: store.Malformed},
	{name: "HTTP/2", act: hang("\x00\x00\x00\x04\x00\x00\x00\x00\x00"), verdict: store.BadReply, reason: store.Malformed},
	{name: "equal lengths", raw: head("Content-Length: 7\r\nContent-Length: 7\r\n") + "success", verdict: store.Acked, reason: store.AckExact},
	{
		name: "length and chunked", raw: head("Content-Length: 3\r\n"+chunked) + "7\r\nsuccess\r\n0\r\n\r\n",
		verdict: store.Acked, reason: store.AckExact,
	},
	{name: "bare line feeds", raw: "HTTP/1.1 200 OK\nContent-Length: 7\n\nsuccess", verdict: store.Acked, reason: store.AckExact},
	{
		name: "different lengths", raw: head("Content-Length: 7\r\nContent-Length: 8\r\n") + "success",
		verdict: store.BadReply, reason: store.Malformed,
	},
	{name: "negative length", raw: head("Content-Length: -7\r\n") + "success", verdict: store.BadReply, reason: store.Malformed},
	{name: "no colon", raw: head("Content-Length 7\r\n") + "success", verdict: store.BadReply, reason: store.Malformed},
	{name: "NUL in a name", raw: head("A\x00: 7\r\n") + "success", verdict: store.BadReply, reason: store.Malformed},
	{name: "NUL in a value", raw: head("A: \x007\r\nContent-Length: 7\r\n") + "success", verdict: store.BadReply, reason: store.Malformed},
	{name: "gzip, chunked", raw: head("Transfer-Encoding: gzip, chunked\r\n") + "7\r\nsuccess\r\n0\r\n\r\n", verdict: store.BadReply, reason: store.Malformed},
	{name: "two chunks", raw: head(chunked) + "3\r\nsuc\r\n4\r\ncess\r\n0\r\n\r\n", verdict: store.Acked, reason: store.AckExact},
	{name: "no last chunk", raw: head(chunked) + "7\r\nsuccess\r\n", verdict: store.BadReply, reason: store.Truncated},
	{name: "garbage size", raw: head(chunked) + "7\r\nsuccess\r\nzz\r\n", verdict: store.BadReply, reason: store.Malformed},
	{name: "size overflow", raw: head(chunked) + "fffffffffffffffff\r\nsuccess", verdict: store.BadReply, reason: store.Malformed},
	{name: "gzip", raw: says("200 OK", "Content-Encoding: gzip\r\n", zipped("success")), verdict: store.Refused, reason: store.Encoded},
	{name: "gzip bomb", act: func(c conn) { c.say(says("200 OK", "Content-Encoding: gzip\r\n", bomb())) }, verdict: store.BadReply, reason: store.TooLarge},
	{name: "4097 bytes", raw: body(strings.Repeat("s", 4097)), verdict: store.BadReply, reason: store.TooLarge},
	{name: "endless body", act: endless(head(""), "success"), verdict: store.BadReply, reason: store.TooLarge},
	{name: "endless chunks", act: endless(head(chunked), "7\r\nsuccess\r\n"), verdict: store.BadReply, reason: store.TooLarge},
	{name: "endless header line", act: endless("HTTP/1.1 200 OK\r\nX: ", "x"), verdict: store.BadReply, reason: store.Malformed},
	{name: "endless headers", act: endless("HTTP/1.1 200 OK\r\n", "X: y\r\n"), verdict: store.BadReply, reason: store.Malformed},
	{name: "head over 32 KiB", raw: head("X: "+strings.Repeat("x", 32<<10)+"\r\n") + "success", verdict: store.BadReply, reason: store.Malformed},
}

// timing are replies that come slowly, or not, or before they should, and connections that end.
var timing = []row{
	{name: "slow head", act: drip("HTTP/1.1 200 OK\r\n", "X: y\r\n", -1), limit: soon, verdict: store.Timeout, reason: store.TimeoutHeaders},
	{name: "slow body", act: drip(head("Content-Length: 7\r\n"), "success", 7), verdict: store.Acked, reason: store.AckExact},
	{name: "slow body for ever", act: drip(head(""), "success", -1), limit: soon, verdict: store.Timeout, reason: store.TimeoutBody},
	{name: "no reply", act: hang(""), limit: soon, verdict: store.Timeout, reason: store.TimeoutHeaders},
	{name: "closed after the request", act: func(conn) {}, verdict: store.ConnectError, reason: store.ConnClosed},
	{name: "reset after the request", act: conn.reset, verdict: store.ConnectError, reason: store.ConnReset},
	{
		name: "reset inside the body", verdict: store.BadReply, reason: store.Truncated,
		act: func(c conn) {
			c.say(head("Content-Length: 100\r\n") + "succ")
			drip("", "x", 20)(c) // a reset may overtake what the receiver has not read: it has read some of these
			c.reset()
		},
	},
	{name: "cut inside the head", raw: "HTTP/1.1 200 OK\r\nContent-Le", verdict: store.BadReply, reason: store.Truncated},
	{
		name: "reply before the request was read", verdict: store.Acked, reason: store.AckExact,
		unasked: func(c conn) {
			c.say(body("success"))
			c.wait()
		},
	},
	{
		name: "closed before the request was read", verdict: store.ConnectError, reason: store.ConnReset, or: store.ConnClosed,
		unasked: func(conn) {},
	},
}
