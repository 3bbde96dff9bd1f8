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
	want    string // verdict and reason
	or      string // what the kernel may make of it instead
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
	{name: "success", raw: body("success"), want: "acked ack_exact"},
	{name: "newline", raw: body("success\n"), want: "acked ack_trimmed"},
	{name: "line end", raw: body("success\r\n"), want: "acked ack_trimmed"},
	{name: "spaces and tab", raw: body(" \tsuccess\t "), want: "acked ack_trimmed"},
	{name: "BOM", raw: body("\ufeffsuccess"), want: "acked ack_trimmed"},
	{name: "upper case", raw: body("SUCCESS"), want: "refused ack_case"},
	{name: "title case", raw: body("Success"), want: "refused ack_case"},
	{name: "JSON string", raw: body(`"success"`), want: "refused ack_quoted"},
	{name: "JSON code", raw: body(`{"code":"success"}`), want: "refused ack_json"},
	{name: "JSON msg", raw: body(`{"msg":"success"}`), want: "refused ack_json"},
	{name: "page", raw: body("<html>success</html>"), want: "refused ack_html"},
	{name: "debug bar", raw: body("success<script>x()</script>"), want: "refused ack_html"},
	{
		name: "PHP notice", want: "refused ack_php_notice",
		raw: body("<br />\n<b>Notice</b>: Undefined index: a in <b>/n.php</b> on line <b>3</b><br />\nsuccess"),
	},
	{name: "longer word", raw: body("successfully"), want: "refused ack_extra_text"},
	{name: "its contrary", raw: body("unsuccess"), want: "refused ack_mismatch"},
	{name: "two words", raw: body("success success"), want: "refused ack_extra_text"},
	{name: "twice", raw: body("successsuccess"), want: "refused ack_repeated"},
	{name: "misspelt", raw: body("succes"), want: "refused ack_mismatch"},
	{name: "UTF-16LE", raw: body(utf16("success", true)), want: "refused ack_utf16"},
	{name: "UTF-16BE", raw: body(utf16("success", false)), want: "refused ack_utf16"},
	{name: "UTF-16LE BOM", raw: body("\xff\xfe" + utf16("success", true)), want: "refused ack_utf16"},
	{name: "UTF-16BE BOM", raw: body("\xfe\xff" + utf16("success", false)), want: "refused ack_utf16"},
	{name: "NUL", raw: body("success\x00"), want: "refused ack_invisible"},
	{name: "zero-width space", raw: body("success\u200b"), want: "refused ack_invisible"},
	{name: "no-break space", raw: body("\u00a0success"), want: "refused ack_invisible"},
	{name: "fail", raw: body("fail"), want: "refused ack_mismatch"},
	{name: "0", raw: body("0"), want: "refused ack_mismatch"},
	{name: "ok", raw: body("ok"), want: "refused ack_mismatch"},
	{name: "true", raw: body("true"), want: "refused ack_mismatch"},
	{name: "empty", raw: body(""), want: "refused ack_empty"},
	{name: "escapes", raw: body("\x1b[2J\x1b]0;x\a"), want: "refused ack_mismatch"},
	{name: "script", raw: body("<script>alert(1)</script>"), want: "refused ack_mismatch"},
	{name: "4-byte UTF-8", raw: body("💰"), want: "refused ack_mismatch"},
	{name: "invalid UTF-8", raw: body("\xff\xfe\xfd\x80"), want: "refused ack_mismatch"},

	{
		name: "XML", ack: xmlAck, raw: body("<xml><return_code>SUCCESS</return_code></xml>"),
		want: "acked ack_exact",
	},
	{
		name: "XML CDATA", ack: xmlAck, want: "acked ack_exact",
		raw: body("<xml><return_code><![CDATA[SUCCESS]]></return_code><return_msg>OK</return_msg></xml>"),
	},
	{
		name: "XML attributes", ack: xmlAck, want: "acked ack_exact",
		raw: body(`<xml b="2" a="1"><return_code a='1'>SUCCESS</return_code></xml>`),
	},
	{
		name: "XML upper tag", ack: xmlAck, raw: body("<xml><RETURN_CODE>SUCCESS</RETURN_CODE></xml>"),
		want: "refused ack_case",
	},
	{
		name: "XML DOCTYPE", ack: xmlAck, want: "refused ack_mismatch",
		raw: body(`<!DOCTYPE x [<!ENTITY s "SUCCESS">]><xml><return_code>&s;</return_code></xml>`),
	},
	{name: "XML wanted, plain said", ack: xmlAck, raw: body("SUCCESS"), want: "refused ack_not_xml"},
}

// statuses are whole replies whose status decides.
func statuses() (rows []row) {
	for _, s := range []string{"201 C", "202 A", "203 N", "206 P"} {
		rows = append(rows,
			row{name: s[:3], raw: says(s, "", "success"), want: "refused ack_status"},
			row{name: s[:3] + " where listed", raw: says(s, "", "success"), ack: wideAck, want: "acked ack_exact"})
	}
	for _, s := range []string{"301 M", "302 F", "303 S", "307 T", "308 P"} {
		rows = append(rows, row{
			name: s[:3], raw: says(s, "Location: /login\r\n", "success"), want: "http_3xx redirect",
		})
	}
	for _, s := range []string{"400", "401", "403", "404", "405", "410"} {
		rows = append(rows,
			row{name: s + " success", raw: says(s+" X", "", "success"), want: "http_4xx ack_status"},
			row{name: s, raw: says(s+" X", "", "no"), want: "http_4xx http_status"})
	}
	for _, s := range []string{"500", "502", "503"} {
		rows = append(rows,
			row{name: s + " success", raw: says(s+" X", "", "success"), want: "http_5xx ack_status"},
			row{name: s, raw: says(s+" X", "", "no"), want: "http_5xx http_status"})
	}
	for _, s := range []string{"99", "099", "000", "abc", "2000", "600", "999"} {
		rows = append(rows, row{name: "status " + s, raw: says(s+" X", "", "success"), want: "bad_reply malformed"})
	}
	return append(rows, []row{
		{name: "204", raw: "HTTP/1.1 204 N\r\n\r\n", want: "refused ack_empty"},
		{name: "204 with a length", raw: says("204 N", "", "success"), want: "refused ack_empty"},
		{name: "205", raw: says("205 R", "", ""), want: "refused ack_empty"},
		{name: "304", raw: "HTTP/1.1 304 N\r\n\r\n", want: "http_3xx redirect"},
		{name: "302 to itself", raw: says("302 F", "Location: /notify\r\n", ""), want: "http_3xx redirect"},
		{name: "302 to nowhere", raw: says("302 F", "", "success"), want: "http_3xx redirect"},
		{name: "429", raw: says("429 T", "Retry-After: 9\r\n", ""), want: "http_4xx http_status"},
		{name: "100 first", raw: "HTTP/1.1 100 C\r\n\r\n" + body("success"), want: "acked ack_exact"},
		{
			name: "102, 103 first", raw: "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n" + body("success"),
			want: "acked ack_exact",
		},
		{name: "endless 1xx", act: endless("", "HTTP/1.1 100 C\r\n\r\n"), want: "bad_reply malformed"},
		{
			name: "101", act: hang("HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\nsuccess"),
			want: "bad_reply upgrade",
		},
	}...)
}
