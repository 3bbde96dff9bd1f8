package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httputil"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// benchLoad is the producer of the benchmark: keep-alive connections, each sending a request and reading its
// answer, with as little work of its own as a producer can have. Requests are made by a template.
type benchLoad struct {
	addr  string
	path  string
	batch int // notifications per request; 1 = POST /v1/notifications
	mchs  []string
	keys  string       // put before the running number it makes an idempotency key; empty = none
	pad   string       // one more parameter, to reach a size
	sent  atomic.Int64 // notifications answered with 2xx
	next  atomic.Int64
}

// benchParams make a body of about 600 bytes on the wire, as a real trade notification has.
const benchParams = `{"trade_no":"2026112122001004330000121536","buyer_id":"2088102122524333",` +
	`"seller_id":"2088101106499364","seller_email":"shop@example.com","trade_status":"TRADE_SUCCESS",` +
	`"total_fee":"88.88","price":"88.88","quantity":"1","payment_type":"1","discount":"0.00",` +
	`"gmt_create":"2026-11-21 13:05:01","gmt_payment":"2026-11-21 13:05:04","is_total_fee_adjust":"N",` +
	`"use_coupon":"N","subject":"当面付交易 A1","body":"one line of description"}`

func (l *benchLoad) item(b *bytes.Buffer) {
	i := l.next.Add(1)
	fmt.Fprintf(b, `{"mch_id":"%s","out_trade_no":"%s",`, l.mchs[int(i)%len(l.mchs)], orderNo(i))
	if l.keys != "" {
		fmt.Fprintf(b, `"idempotency_key":"%s%d",`, l.keys, i)
	}
	params := benchParams
	if l.pad != "" {
		params = benchParams[:len(benchParams)-1] + `,"passback_params":"` + l.pad + `"}`
	}
	fmt.Fprintf(b, `"params":%s}`, params)
}

func (l *benchLoad) body(b *bytes.Buffer, n int) {
	b.Reset()
	if l.batch == 1 {
		l.item(b)
		return
	}
	b.WriteString(`{"notifications":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		l.item(b)
	}
	b.WriteString(`]}`)
}

// run sends n notifications over the given number of connections, at the given rate (0 = as fast as answers
// come), and returns when all are answered.
func (l *benchLoad) run(n int64, conns int, perSecond float64) error {
	var left atomic.Int64
	left.Store(n)
	var senders sync.WaitGroup
	errs := make(chan error, conns)
	began := time.Now()
	var turn atomic.Int64
	for range conns {
		senders.Go(func() {
			c, err := dialLoad(l.addr)
			if err != nil {
				errs <- err
				return
			}
			defer c.close()
			var body bytes.Buffer
			for {
				want := min(int64(l.batch), left.Add(-int64(l.batch))+int64(l.batch))
				if want <= 0 {
					return
				}
				if perSecond > 0 {
					at := time.Duration(float64(turn.Add(want)) / perSecond * float64(time.Second))
					time.Sleep(at - time.Since(began))
				}
				l.body(&body, int(want))
				if err := c.post(l.path, body.Bytes()); err != nil {
					errs <- err
					return
				}
				l.sent.Add(want)
			}
		})
	}
	senders.Wait()
	close(errs)
	return <-errs
}

// loadConn is one keep-alive connection.
type loadConn struct {
	conn net.Conn
	in   *bufio.Reader
	out  bytes.Buffer
	host string
}

func dialLoad(addr string) (*loadConn, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &loadConn{conn: conn, in: bufio.NewReader(conn), host: addr}, nil
}

func (c *loadConn) close() { _ = c.conn.Close() }

var errLoadAnswer = errors.New("the server did not accept")

// post sends one request and reads its answer.
func (c *loadConn) post(path string, body []byte) error {
	c.out.Reset()
	fmt.Fprintf(&c.out, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, c.host)
	fmt.Fprintf(&c.out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	c.out.Write(body)
	if _, err := c.conn.Write(c.out.Bytes()); err != nil {
		return err
	}
	status, err := c.line()
	if err != nil {
		return err
	}
	length, chunked := 0, false
	for {
		line, err := c.line()
		if err != nil {
			return err
		}
		if line == "" {
			break
		}
		name, value, _ := strings.Cut(line, ":")
		switch {
		case strings.EqualFold(name, "Transfer-Encoding"):
			chunked = true
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return err
			}
		}
	}
	if len(status) < 12 || status[9] != '2' {
		rest := make([]byte, min(length, 300))
		n, _ := c.in.Read(rest)
		return fmt.Errorf("%w: %s: %s", errLoadAnswer, status, rest[:n])
	}
	if chunked {
		if _, err := io.Copy(io.Discard, httputil.NewChunkedReader(c.in)); err != nil {
			return err
		}
		_, err = c.line() // the end of the trailer
		return err
	}
	_, err = c.in.Discard(length)
	return err
}

func (c *loadConn) line() (string, error) {
	line, err := c.in.ReadSlice('\n')
	return strings.TrimRight(string(line), "\r\n"), err
}
