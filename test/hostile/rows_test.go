package hostile

import (
	"bytes"
	"compress/gzip"
	"strings"
	"sync"
	"time"

	"paynotify/store"
)

// row is one reply of the bad-input matrix and what has to come of it.
type row struct {
	name    string
	raw     string     // what the server says to the request, before it closes
	act     func(conn) // instead of raw, after the request has been read
	unasked func(conn) // instead of both, before it is
	ack     store.Ack  // zero: trim of "success" at 200
	limit   time.Duration
	verdict store.Verdict
	reason  store.Reason
	or      store.Reason // what the kernel may make of it instead; same verdict
}

// soon is a deadline for what hangs: long enough for a handshake on a busy machine.
const soon = 2000 * time.Millisecond

var (
	trimAck = store.Ack{Match: "trim", Text: "success", Status: []string{"200"}}
	wideAck = store.Ack{Match: "trim", Text: "success", Status: []string{"2xx"}}
	xmlAck  = store.Ack{Match: "xml_return_code", Text: "SUCCESS", Status: []string{"200"}}
)

// says is a whole reply.
func says(status, header, body string) string {
	return "HTTP/1.1 " + status + "\r\n" + header + "Content-Length: " + itoa(len(body)) + "\r\n\r\n" + body
}

func body(text string) string { return says("200 OK", "", text) }

// head is a reply's head without a length of ours.
func head(header string) string { return "HTTP/1.1 200 OK\r\n" + header + "\r\n" }

const chunked = "Transfer-Encoding: chunked\r\n"

// hang says something and then nothing.
func hang(text string) func(conn) {
	return func(c conn) {
		c.say(text)
		c.wait()
	}
}

// endless says something, and then the same again and again.
func endless(text, again string) func(conn) {
	return func(c conn) {
		piece := strings.Repeat(again, 1+4096/len(again))
		for ok := c.say(text); ok; {
			ok = c.say(piece)
		}
	}
}

// drip says something, and then n bytes of the same again and again, one at a time; n < 0 means without end.
func drip(text, again string, n int) func(conn) {
	return func(c conn) {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for i, ok := 0, c.say(text); ok && i != n; i++ {
			<-tick.C
			ok = c.say(again[i%len(again):][:1])
		}
	}
}

// bomb is 64 MiB in 64 KiB.
var bomb = sync.OnceValue(func() string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	zeros := make([]byte, 1<<20)
	for range 64 {
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	return b.String()
})

func zipped(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(text))
	_ = z.Close()
	return b.String()
}

// utf16 is a text in UTF-16, in either byte order.
func utf16(text string, little bool) string {
	var b strings.Builder
	for _, c := range []byte(text) {
		if little {
			b.Write([]byte{c, 0})
		} else {
			b.Write([]byte{0, c})
		}
	}
	return b.String()
}

// words are whole replies of status 200: bodies that are, or are like, an acknowledgement.
var words = []row{
	{name: "success", raw: body("success"), verdict: store.Acked, reason: store.AckExact},
	{name: "newline", raw: body("success\n"), verdict: store.Acked, reason: store.AckTrimmed},
	{name: "line end", raw: body("success\r\n"), verdict: store.Acked, reason: store.AckTrimmed},
	{name: "spaces and tab", raw: body(" \tsuccess\t "), verdict: store.Acked, reason: store.AckTrimmed},
	{name: "BOM", raw: body("\ufeffsuccess"), verdict: store.Acked, reason: store.AckTrimmed},
	{name: "upper case", raw: body("SUCCESS"), verdict: store.Refused, reason: store.AckCase},
	{name: "title case", raw: body("Success"), verdict: store.Refused, reason: store.AckCase},
	{name: "JSON string", raw: body(`"success"`), verdict: store.Refused, reason: store.AckQuoted},
	{name: "JSON code", raw: body(`{"code":"success"}`), verdict: store.Refused, reason: store.AckJSON},
	{name: "JSON msg", raw: body(`{"msg":"success"}`), verdict: store.Refused, reason: store.AckJSON},
	{name: "page", raw: body("<html>success</html>"), verdict: store.Refused, reason: store.AckHTML},
	{name: "debug bar", raw: body("success<script>x()</script>"), verdict: store.Refused, reason: store.AckHTML},
	{
		name: "PHP notice", verdict: store.Refused, reason: store.AckPHPNotice,
		raw: body("<br />\n<b>Notice</b>: Undefined index: a in <b>/n.php</b> on line <b>3</b><br />\nsuccess"),
	},
	{name: "longer word", raw: body("successfully"), verdict: store.Refused, reason: store.AckExtraText},
	{name: "its contrary", raw: body("unsuccess"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "two words", raw: body("success success"), verdict: store.Refused, reason: store.AckExtraText},
	{name: "twice", raw: body("successsuccess"), verdict: store.Refused, reason: store.AckRepeated},
	{name: "misspelt", raw: body("succes"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "UTF-16LE", raw: body(utf16("success", true)), verdict: store.Refused, reason: store.AckUTF16},
	{name: "UTF-16BE", raw: body(utf16("success", false)), verdict: store.Refused, reason: store.AckUTF16},
	{name: "UTF-16LE BOM", raw: body("\xff\xfe" + utf16("success", true)), verdict: store.Refused, reason: store.AckUTF16},
	{name: "UTF-16BE BOM", raw: body("\xfe\xff" + utf16("success", false)), verdict: store.Refused, reason: store.AckUTF16},
	{name: "NUL", raw: body("success\x00"), verdict: store.Refused, reason: store.AckInvisible},
	{name: "zero-width space", raw: body("success\u200b"), verdict: store.Refused, reason: store.AckInvisible},
	{name: "no-break space", raw: body("\u00a0success"), verdict: store.Refused, reason: store.AckInvisible},
	{name: "fail", raw: body("fail"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "0", raw: body("0"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "ok", raw: body("ok"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "true", raw: body("true"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "empty", raw: body(""), verdict: store.Refused, reason: store.AckEmpty},
	{name: "escapes", raw: body("\x1b[2J\x1b]0;x\a"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "script", raw: body("<script>alert(1)</script>"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "4-byte UTF-8", raw: body("💰"), verdict: store.Refused, reason: store.AckMismatch},
	{name: "invalid UTF-8", raw: body("\xff\xfe\xfd\x80"), verdict: store.Refused, reason: store.AckMismatch},

	{name: "XML", ack: xmlAck, raw: body("<xml><return_code>SUCCESS</return_code></xml>"), verdict: store.Acked, reason: store.AckExact},
	{
		name: "XML CDATA", ack: xmlAck, verdict: store.Acked, reason: store.AckExact,
		raw: body("<xml><return_msg><![CDATA[OK]]></return_msg><return_code><![CDATA[SUCCESS]]></return_code></xml>"),
	},
	{
		name: "XML attributes", ack: xmlAck, verdict: store.Acked, reason: store.AckExact,
		raw: body(`<xml b="2" a="1"><return_code a='1'>SUCCESS</return_code></xml>`),
	},
	{name: "XML upper tag", ack: xmlAck, raw: body("<xml><RETURN_CODE>SUCCESS</RETURN_CODE></xml>"), verdict: store.Refused, reason: store.AckCase},
	{
		name: "XML DOCTYPE", ack: xmlAck, verdict: store.Refused, reason: store.AckMismatch,
		raw: body(`<!DOCTYPE x [<!ENTITY s "SUCCESS">]><xml><return_code>&s;</return_code></xml>`),
	},
	{name: "XML wanted, plain said", ack: xmlAck, raw: body("SUCCESS"), verdict: store.Refused, reason: store.AckNotXML},
}

// statuses are whole replies whose status decides.
func statuses() (rows []row) {
	for _, s := range []string{"201 C", "202 A", "203 N", "206 P"} {
		rows = append(rows,
			row{name: s[:3], raw: says(s, "", "success"), verdict: store.Refused, reason: store.AckStatus},
			row{name: s[:3] + " where listed", raw: says(s, "", "success"), ack: wideAck, verdict: store.Acked, reason: store.AckExact})
	}
	for _, s := range []string{"301 M", "302 F", "303 S", "307 T", "308 P"} {
		rows = append(rows, row{
			name: s[:3], raw: says(s, "Location: /login\r\n", "success"), verdict: store.HTTP3xx, reason: store.Redirect,
		})
	}
	for _, s := range []string{"400", "401", "403", "404", "405", "410"} {
		rows = append(rows,
			row{name: s + " success", raw: says(s+" X", "", "success"), verdict: store.HTTP4xx, reason: store.AckStatus},
			row{name: s, raw: says(s+" X", "", "no"), verdict: store.HTTP4xx, reason: store.HTTPStatus})
	}
	for _, s := range []string{"500", "502", "503"} {
		rows = append(rows,
			row{name: s + " success", raw: says(s+" X", "", "success"), verdict: store.HTTP5xx, reason: store.AckStatus},
			row{name: s, raw: says(s+" X", "", "no"), verdict: store.HTTP5xx, reason: store.HTTPStatus})
	}
	for _, s := range []string{"99", "099", "000", "abc", "2000", "600", "999"} {
		rows = append(rows, row{name: "status " + s, raw: says(s+" X", "", "success"), verdict: store.BadReply, reason: store.Malformed})
	}
	return append(rows, []row{
		{name: "204", raw: "HTTP/1.1 204 N\r\n\r\n", verdict: store.Refused, reason: store.AckEmpty},
		{name: "204 with a length", raw: says("204 N", "", "success"), verdict: store.Refused, reason: store.AckEmpty},
		{name: "205", raw: says("205 R", "", ""), verdict: store.Refused, reason: store.AckEmpty},
		{name: "304", raw: "HTTP/1.1 304 N\r\n\r\n", verdict: store.HTTP3xx, reason: store.Redirect},
		{name: "302 to itself", raw: says("302 F", "Location: /notify\r\n", ""), verdict: store.HTTP3xx, reason: store.Redirect},
		{name: "302 to nowhere", raw: says("302 F", "", "success"), verdict: store.HTTP3xx, reason: store.Redirect},
		{name: "429", raw: says("429 T", "Retry-After: 9\r\n", ""), verdict: store.HTTP4xx, reason: store.HTTPStatus},
		{name: "100 first", raw: "HTTP/1.1 100 C\r\n\r\n" + body("success"), verdict: store.Acked, reason: store.AckExact},
		{name: "102, 103 first", raw: "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + body("success"), verdict: store.Acked, reason: store.AckExact},
		{name: "endless 1xx", act: endless("", "HTTP/1.1 100 C\r\n\r\n"), verdict: store.BadReply, reason: store.Malformed},
		{
			name: "101", act: hang("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nsuccess"),
			verdict: store.BadReply, reason: store.Upgrade,
		},
	}...)
}
