package sandbox

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// The replies that are more than a status and a short body. Each lasts at most as long as its connection.

const (
	slowFor   = 30 * time.Second // twice the whole deadline of an attempt
	dripEvery = 200 * time.Millisecond

	bombBytes = 64 << 20
	bombPiece = 1 << 20
)

// writeFail says no, in the dialect's way where only the status speaks.
func writeFail(e *exchange) {
	switch p := e.m.profile; {
	case p != nil && p.Ack.Match == "status":
		e.answer(http.StatusInternalServerError, "application/json", `{"code":"FAIL","message":"fail"}`)
	case p != nil && p.Ack.Match == "xml_return_code":
		e.answer(http.StatusOK, "text/xml",
			"<xml><return_code><![CDATA[FAIL]]></return_code><return_msg><![CDATA[fail]]></return_msg></xml>")
	default:
		e.answer(http.StatusOK, "text/html; charset=utf-8", "fail")
	}
}

// writeSlow thinks until the sender has long given up, then says yes all the same.
func writeSlow(e *exchange) {
	if e.pause(slowFor) {
		e.answer(http.StatusOK, "text/html; charset=utf-8", ack(e))
	}
}

// writeDrip starts well and never ends.
func writeDrip(e *exchange) {
	out := http.NewResponseController(e.w)
	for next := ack(e); ; next = next[1:] {
		if next == "" {
			next = " "
		}
		if _, err := io.WriteString(e.w, next[:1]); err != nil || out.Flush() != nil || !e.pause(dripEvery) {
			return
		}
	}
}

// writeEndless repeats the acknowledgement for as long as somebody reads.
func writeEndless(e *exchange) {
	piece := bytes.Repeat([]byte(ack(e)), 512)
	for {
		if _, err := e.w.Write(piece); err != nil {
			return
		}
	}
}

// writeBomb sends what a decompressing client would unpack into 64 MiB.
func writeBomb(e *exchange) {
	e.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	e.w.Header().Set("Content-Encoding", "gzip")
	e.w.Header().Set("Content-Length", strconv.Itoa(len(bomb())))
	e.w.Write(bomb()) //nolint:errcheck // a sender that stops reading is the point
}

// bomb is gzip members of one mebibyte each, one behind the other, which is valid gzip.
var bomb = sync.OnceValue(func() []byte {
	var one bytes.Buffer
	zip, _ := gzip.NewWriterLevel(&one, gzip.BestCompression) // the level is valid
	zip.Write(bytes.Repeat([]byte("success "), bombPiece/8))  //nolint:errcheck // into memory
	zip.Close()                                               //nolint:errcheck // into memory
	return bytes.Repeat(one.Bytes(), bombBytes/bombPiece)
})

// writeRedirect is the framework that sends everybody without a session to its login page; the word in the
// body must not help it.
func writeRedirect(e *exchange) {
	e.w.Header().Set("Location", "/login")
	e.answer(http.StatusFound, "text/html; charset=utf-8", ack(e))
}

func writeNoContent(e *exchange) { e.w.WriteHeader(http.StatusNoContent) }

// writeUpgrade switches to a protocol that nobody speaks and keeps the connection.
func writeUpgrade(e *exchange) {
	e.takeOver(func(c net.Conn) {
		const head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
		io.WriteString(c, head) //nolint:errcheck // the read says so too
		io.Copy(io.Discard, c)  //nolint:errcheck // until either side closes
	})
}

// writeReset answers with a TCP reset.
func writeReset(e *exchange) {
	e.takeOver(func(c net.Conn) {
		if socket, ok := c.(interface{ Reset() error }); ok {
			socket.Reset() //nolint:errcheck // it is closed anyway
		}
	})
}

// writeTruncated promises a hundred bytes and closes after the acknowledgement.
func writeTruncated(e *exchange) {
	e.takeOver(func(c net.Conn) {
		const head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n%s"
		fmt.Fprintf(c, head, len(ack(e))+100, ack(e))
	})
}

// pause waits; it reports false when the sender or the merchant has gone meanwhile.
func (e *exchange) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-e.r.Context().Done():
		return false
	}
}

// takeOver takes the connection from net/http, lets talk use it, and closes it. Close of the merchant closes
// it at any time.
func (e *exchange) takeOver(talk func(net.Conn)) {
	c, _, err := http.NewResponseController(e.w).Hijack()
	if err != nil {
		return // the connection has gone
	}
	defer c.Close()
	if !e.m.hold(c) {
		return
	}
	defer e.m.release(c)
	talk(c)
}

// hold has Close close the connection too; false when Close has been called.
func (m *Merchant) hold(c net.Conn) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return false
	}
	m.raw[c] = struct{}{}
	return true
}

func (m *Merchant) release(c net.Conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.raw, c)
}
