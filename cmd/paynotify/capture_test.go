package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestParseCapture(t *testing.T) {
	const (
		form    = "POST /n?a=1&b HTTP/1.1\r\nHost: x\r\ncontent-type:  text/plain \r\n"
		length  = form + "content-length: "
		chunked = form + "Transfer-Encoding: chunked\r\n"
		query   = "a=1&b"
	)
	for _, c := range []struct {
		name, raw         string
		method, query     string
		body, fault, note string
	}{
		{"no length", form + "\r\na=1\n", "POST", query, "a=1\n", "", ""},
		{"LF", "POST /n HTTP/1.1\nHost: x\n\na=1\r\n", "POST", "", "a=1\r\n", "", ""},
		{"length", length + "3\r\n\r\na=1", "POST", query, "a=1", "", ""},
		{"length, and more", length + "3\r\n\r\na=1\n", "POST", query, "a=1", "", "1 bytes behind the body"},
		{"length, and less", length + "5\r\n\r\na=1\n", "POST", query, "", "says 5 bytes, and the body has 4", ""},
		{"two lengths", length + "3\r\nContent-Length: 3\r\n\r\na=1", "POST", query, "", "more than once", ""},
		{"no length at all", length + "-3\r\n\r\na=1", "POST", query, "", "is no number", ""},
		{
			"chunks", chunked + "\r\n3;x=y\r\na=1\r\n2\r\n&b\r\n0\r\nTrailer: x\r\n\r\n",
			"POST", query, "a=1&b", "", "",
		},
		{"chunks, LF", form + "transfer-encoding: Chunked\n\n3\na=1\n0\n\n", "POST", query, "a=1", "", ""},
		{"a chunk that is cut", chunked + "\r\n30\r\na=1", "POST", query, "", "was cut off", ""},
		{"a chunk that is longer", chunked + "\r\n2\r\na=1\r\n", "POST", query, "a=", "does not end", ""},
		{"no chunks", chunked + "\r\na=1", "POST", query, "", "not chunked", ""},
		{"other encodings", form + "Transfer-Encoding: gzip\r\n\r\na=1", "POST", query, "", "is not chunked", ""},
		{
			"both", chunked + "Content-Length: 3\r\n\r\na=1",
			"POST", query, "", "one of the two", "",
		},
		{"a GET without an end", "GET /n?x=1 HTTP/1.1\r\nHost: x\r\n", "GET", "x=1", "", "", ""},
		{"a GET", "GET http://x/n?x=1?y HTTP/1.1\n\n", "GET", "x=1?y", "", "", ""},
		{"blank lines before it", "\r\n\nGET /n HTTP/1.0\n\n", "GET", "", "", "", ""},
		{"BOM", "\ufeffGET /n HTTP/1.1\n\n", "GET", "", "", "", "byte order mark"},
		{"no end of the head", form, "POST", query, "", "no empty line", ""},
		{"a body in the head", form + "a=1&b=2\r\n", "POST", query, "", `"a=1&b=2" is no header line`, ""},
		{"a folded header", form + " more: x\r\n\r\n", "POST", query, "", "no header line", ""},
		{"a reply", "HTTP/1.1 200 OK\r\n\r\nsuccess", "", "", "", "no request line", ""},
		{"a body alone", "a=1&b=2\n", "", "", "", "no request line", ""},
		{"nothing", "", "", "", "", "no request line", ""},
	} {
		got, err := parseCapture([]byte(c.raw))
		switch {
		case (err != nil) != (c.fault != "") || err != nil && !strings.Contains(err.Error(), c.fault):
			t.Errorf("%s: error %v, want %q", c.name, err, c.fault)
		case got.Method != c.method || got.Query != c.query || string(got.Body) != c.body:
			t.Errorf("%s: %s %q %q", c.name, got.Method, got.Query, got.Body)
		case !strings.Contains(strings.Join(got.notes, " "), c.note) || c.note == "" && len(got.notes) > 0:
			t.Errorf("%s: notes %q", c.name, got.notes)
		case c.method == "POST" && strings.HasPrefix(c.raw, form) && got.Get("Content-Type") != "text/plain":
			t.Errorf("%s: headers %q", c.name, got.Header)
		}
	}
}

// Whatever it is given, parseCapture returns no more than it was given.
func FuzzParseCapture(f *testing.F) {
	f.Add([]byte("POST /n?a=1 HTTP/1.1\r\nContent-Length: 3\r\n\r\na=1\n"))
	f.Add([]byte("POST /n HTTP/1.1\nTransfer-Encoding: chunked\n\n3\na=1\n0\n\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseCapture(raw)
		if err != nil {
			return
		}
		for _, part := range [][]byte{[]byte(c.Method), []byte(c.Query)} {
			if !bytes.Contains(raw, part) {
				t.Errorf("%q is not in the capture", part)
			}
		}
		if len(c.Body) > len(raw) || c.Get("Transfer-Encoding") == "" && !bytes.Contains(raw, c.Body) {
			t.Errorf("the body is %q", c.Body)
		}
	})
}
