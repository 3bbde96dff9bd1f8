package egress

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"
)

// benchServer is a merchant that costs next to nothing: it looks for the end of the head and for the length
// that every benchmark uses, and answers with one write.
func benchServer(tb testing.TB, bodyLen int) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { l.Close() })
	reply := []byte("HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 12:00:00 GMT\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 7\r\n\r\nsuccess")
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				buf, n := make([]byte, 16<<10), 0
				for {
					m, err := c.Read(buf[n:])
					if err != nil {
						return
					}
					n += m
					end := bytes.Index(buf[:n], []byte("\r\n\r\n"))
					if end < 0 || n < end+4+bodyLen {
						continue
					}
					n = 0
					if _, err := c.Write(reply); err != nil {
						return
					}
				}
			}()
		}
	}()
	return "http://" + l.Addr().String() + "/notify"
}

const benchBody = 600

var benchHeader = []Header{
	{"Content-Type", "application/x-www-form-urlencoded; charset=utf-8"},
	{"User-Agent", "paynotify/bench"},
}

// cpu reports the processor time of the whole process, server included, per operation.
func cpu(b *testing.B) func() {
	var start, end syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &start)
	return func() {
		_ = syscall.Getrusage(syscall.RUSAGE_SELF, &end)
		d := end.Utime.Nano() + end.Stime.Nano() - start.Utime.Nano() - start.Stime.Nano()
		b.ReportMetric(float64(d)/1e3/float64(b.N), "cpu-µs/op")
	}
}

// run runs op b.N times, alone or from 64 goroutines.
func run(b *testing.B, op func() error) {
	b.Run("lone", func(b *testing.B) {
		b.ReportAllocs()
		defer cpu(b)()
		for b.Loop() {
			if err := op(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("parallel", func(b *testing.B) {
		b.ReportAllocs()
		b.SetParallelism(32)
		defer cpu(b)()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := op(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkPost is this client.
func BenchmarkPost(b *testing.B) {
	c := New(Options{Rules: Rules{Dev: true}})
	defer c.Close()
	t, uerr := c.opts.Rules.CheckURL(benchServer(b, benchBody))
	if uerr != nil {
		b.Fatal(uerr)
	}
	body := bytes.Repeat([]byte("a"), benchBody)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	run(b, func() error {
		r := c.Do(ctx, &Request{
			Pool: "m1", Target: t, Header: benchHeader, Body: body, Deadline: time.Now().Add(15 * time.Second),
		})
		if r.Fault != "" || r.Status != 200 || string(r.Body) != "success" {
			return errNotHTTP
		}
		return nil
	})
}

// BenchmarkTransport is http.Client with the limits that make it comparable.
func BenchmarkTransport(b *testing.B) {
	url := benchServer(b, benchBody)
	hc := &http.Client{
		Transport: &http.Transport{
			DisableCompression: true, MaxIdleConnsPerHost: 256, MaxResponseHeaderBytes: HeadBytesMax,
			ResponseHeaderTimeout: 10 * time.Second,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	defer hc.CloseIdleConnections()
	body := strings.Repeat("a", benchBody)
	run(b, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		for _, h := range benchHeader {
			req.Header.Set(h.Name, h.Value)
		}
		resp, err := hc.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		text, err := io.ReadAll(io.LimitReader(resp.Body, ReplyBytesMax+1))
		if err == nil && string(text) != "success" {
			err = errNotHTTP
		}
		return err
	})
}

// BenchmarkBare is the floor: one write and one read on a socket of one's own, no HTTP, no deadline.
func BenchmarkBare(b *testing.B) {
	url := benchServer(b, benchBody)
	addr := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/notify")
	out := []byte("POST /notify HTTP/1.1\r\nHost: x\r\nContent-Length: 600\r\n\r\n" +
		strings.Repeat("a", benchBody))
	idle := make(chan net.Conn, 256)
	run(b, func() error {
		var c net.Conn
		select {
		case c = <-idle:
		default:
			var err error
			if c, err = net.Dial("tcp", addr); err != nil {
				return err
			}
			b.Cleanup(func() { c.Close() })
		}
		if _, err := c.Write(out); err != nil {
			return err
		}
		var buf [512]byte
		_, err := c.Read(buf[:])
		idle <- c
		return err
	})
}
