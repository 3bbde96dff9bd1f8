package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"paynotify/profile"
)

// captureBytesMax is far above what a sender of ours makes of its 256 KiB, head and escapes included.
const captureBytesMax = 1 << 20

// rawRequest is an HTTP request as a proxy, tcpdump or a log wrote it down.
type rawRequest struct {
	profile.CapturedRequest

	// notes are about what was left aside: for people, no fault.
	notes []string
}

// parseCapture reads a request: its line, its headers, an empty line, its body. Lines of the head end with
// CRLF or LF. The body has as many bytes as Content-Length says, or as its chunks have; without either it
// is all that is there. It is read more strictly than a server would, because a request that two readers
// understand differently is what people look for with this.
func parseCapture(raw []byte) (rawRequest, error) {
	var c rawRequest
	if rest, ok := bytes.CutPrefix(raw, []byte("\ufeff")); ok {
		raw = rest
		c.notes = append(c.notes, "a byte order mark stands before the request: an editor put it there")
	}
	line, raw, _ := cutLine(bytes.TrimLeft(raw, "\r\n"))
	if err := c.requestLine(line); err != nil {
		return c, err
	}
	for {
		line, rest, more := cutLine(raw)
		raw = rest
		if line == "" && more {
			break // the end of the head
		}
		if line == "" {
			if c.Method != "GET" {
				return c, errors.New("no empty line stands between the head and the body")
			}
			break
		}
		if err := c.headerLine(line); err != nil {
			return c, err
		}
	}
	return c, c.body(raw)
}

// cutLine takes a line off; more says that it had an end.
func cutLine(raw []byte) (line string, rest []byte, more bool) {
	head, rest, more := bytes.Cut(raw, []byte("\n"))
	return strings.TrimSuffix(string(head), "\r"), rest, more
}

func (c *rawRequest) requestLine(line string) error {
	words := strings.Split(line, " ")
	if len(words) != 3 || words[0] == "" || words[1] == "" || !strings.HasPrefix(words[2], "HTTP/") {
		const shown = 60
		return fmt.Errorf("the first line is %q, no request line like POST /notify HTTP/1.1",
			cut(line, shown))
	}
	c.Method = words[0]
	_, c.Query, _ = strings.Cut(words[1], "?")
	return nil
}

func (c *rawRequest) headerLine(line string) error {
	name, value, found := strings.Cut(line, ":")
	if !found || name == "" || strings.ContainsAny(name, " \t") {
		const shown = 60
		return fmt.Errorf("%q is no header line: between the head and the body stands an empty line",
			cut(line, shown))
	}
	c.Header = append(c.Header, profile.Header{Name: name, Value: strings.Trim(value, " \t")})
	return nil
}

// body reads the body out of what stands behind the head.
func (c *rawRequest) body(rest []byte) error {
	encoding, length, lengths := "", "", 0
	for _, h := range c.Header {
		switch {
		case strings.EqualFold(h.Name, "Transfer-Encoding"):
			encoding = h.Value
		case strings.EqualFold(h.Name, "Content-Length"):
			length, lengths = h.Value, lengths+1
		}
	}
	switch {
	case encoding != "" && lengths > 0:
		return errors.New("there are a Content-Length and a Transfer-Encoding: a request has one of the two")
	case strings.EqualFold(encoding, "chunked"):
		return c.chunks(rest)
	case encoding != "":
		return fmt.Errorf("Transfer-Encoding %q is not chunked", encoding)
	case lengths > 1:
		return errors.New("Content-Length stands there more than once")
	case lengths == 1:
		return c.sized(rest, length)
	}
	c.Body = rest
	return nil
}

func (c *rawRequest) sized(rest []byte, length string) error {
	n, err := strconv.ParseUint(length, 10, 31)
	switch {
	case err != nil:
		return fmt.Errorf("Content-Length %q is no number of bytes", length)
	case n > uint64(len(rest)):
		return fmt.Errorf("Content-Length says %d bytes, and the body has %d: it was cut off or changed", n,
			len(rest))
	case n < uint64(len(rest)):
		c.notes = append(c.notes, fmt.Sprintf(
			"%d bytes behind the body are left aside: Content-Length says %d", uint64(len(rest))-n, n))
	}
	c.Body = rest[:n]
	return nil
}

// chunks puts a chunked body together. Lines may have lost their CR.
func (c *rawRequest) chunks(rest []byte) error {
	c.Body = []byte{}
	for {
		line, data, more := cutLine(rest)
		size, _, _ := strings.Cut(line, ";") // an extension says nothing about the body
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 31)
		switch {
		case err != nil || !more && n > 0:
			return fmt.Errorf("the body is not chunked as Transfer-Encoding says, from byte %d of it:"+
				" take the header out if what follows is the bare body", len(c.Body))
		case n == 0:
			return nil // trailers say nothing about the body either
		case n > uint64(len(data)):
			return fmt.Errorf("a chunk says %d bytes, and %d are there: the capture was cut off", n, len(data))
		}
		c.Body = append(c.Body, data[:n]...)
		end, after, _ := cutLine(data[n:])
		if end != "" {
			return fmt.Errorf("a chunk of %d bytes does not end there", n)
		}
		rest = after
	}
}
