package main

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unicode"

	"paynotify/api"
	"paynotify/dispatcher/egress"
)

// TestCurlSendsTheSameBytes sends each request with the engine's client and with the printed command, and
// compares what arrives.
func TestCurlSendsTheSameBytes(t *testing.T) {
	for _, program := range []string{"curl", "sh", "base64"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(program + " is not installed")
		}
	}
	form := egress.Header{Name: "Content-Type", Value: "application/x-www-form-urlencoded; charset=utf-8"}
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for _, tt := range []struct {
		name, method, path string
		header             []egress.Header
		body               string
	}{
		{"form", "POST", "/n", []egress.Header{form}, "a=1&sign=x%2B%3D"},
		{
			"quotes", "POST", "/it's?q='\"$(id)`id`!",
			[]egress.Header{{Name: "X-Q", Value: `it's "$HOME" \n`}},
			`'"$(id)` + "`id`\\n%s!'",
		},
		{"newlines", "POST", "/n", []egress.Header{form}, "\n<xml>\n\t<a>中文</a>\n</xml>\n\n"},
		{"all bytes", "POST", "/n", nil, string(all)},
		{"at sign", "POST", "/n", nil, "@/etc/passwd"},
		{"empty", "POST", "/n", []egress.Header{form}, ""},
		{"long", "POST", "/n", []egress.Header{form}, strings.Repeat("a=%E4%B8%AD&", 60<<10)},
		{"over 1 KiB", "POST", "/n", []egress.Header{form}, strings.Repeat("a", 2000)},
		{"dots", "POST", "/a/../b/./c/%2e%2E/d?x=/../y", nil, "a=1"},
		{"globs", "POST", "/{a,b}/[1-3]?c[]=1", nil, "a=1"},
		{"escapes", "POST", "/%e4%B8%ad%2f?a=%7e+~", nil, "a=1"},
		{"not ASCII", "POST", "/中文/..?q=é", nil, "a=1"},
		{
			"terminal", "POST", "/\u009b31m'\u202e%5c?x=1",
			[]egress.Header{{Name: "X-T", Value: "\u009b31m\\ %s'"}},
			"\x1b[31m\r\n",
		},
		{"own defaults", "POST", "/n", []egress.Header{{Name: "user-agent", Value: "mine"}, form}, "a=1"},
		{"GET", "GET", "/n?a=1&sign=2", nil, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := catch(t)
			view := r.fromClient(t, "http://"+r.address+tt.path, egress.Request{
				Method: tt.method, Header: tt.header, Body: []byte(tt.body),
			})
			want := <-r.requests
			command := view.Curl()
			hidden := func(c rune) bool { return !unicode.IsPrint(c) && c != '\n' && c != '\t' }
			if strings.ContainsFunc(command, hidden) {
				t.Errorf("a terminal would act on %q", command)
			}
			runShell(t, command)
			if got := <-r.requests; !bytes.Equal(got, want) {
				t.Errorf("curl sent\n%.2000q\nthe client had sent\n%.2000q\nby\n%.2000s", got, want, command)
			}
		})
	}
}

// catcher is a server that keeps the bytes of every request.
type catcher struct {
	address  string
	requests chan []byte
}

func catch(t *testing.T) *catcher {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &catcher{address: ln.Addr().String(), requests: make(chan []byte, 2)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c.requests <- take(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		ln.Close()
		<-done
	})
	return c
}

// fromClient sends a request with the engine's client and returns it as the API shows it.
func (c *catcher) fromClient(t *testing.T, address string, req egress.Request) *api.RequestView {
	t.Helper()
	const userAgent = "paynotify/1.2"
	rules := egress.Rules{Dev: true}
	target, refused := rules.CheckURL(address)
	if refused != nil {
		t.Fatal(refused)
	}
	req.Pool, req.Target, req.Fresh = "m1", target, true
	client := egress.New(egress.Options{Rules: rules, UserAgent: userAgent})
	defer client.Close()
	if got := client.Do(context.Background(), &req); got.Status != 200 {
		t.Fatalf("the client was answered %+v", got)
	}
	view := &api.RequestView{Method: req.Method, URL: address, BodyBase64: req.Body}
	for _, h := range req.HeaderLines(userAgent) {
		view.Headers = append(view.Headers, api.HeaderLine(h))
	}
	return view
}

func runShell(t *testing.T, command string) {
	t.Helper()
	sh := exec.Command("sh")
	sh.Stdin = strings.NewReader(command + "\n")
	sh.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	if out, err := sh.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s\n%.2000s", err, out, command)
	}
}

// take reads one request and answers it.
func take(conn net.Conn) []byte {
	var raw bytes.Buffer
	req, err := http.ReadRequest(bufio.NewReader(io.TeeReader(conn, &raw)))
	if err != nil {
		return []byte(err.Error())
	}
	io.Copy(io.Discard, req.Body)
	io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\nsuccess")
	return raw.Bytes()
}

func TestCurlCommand(t *testing.T) {
	body := "a=it's"
	r := api.RequestView{
		Method: "POST", URL: "https://shop.example.com/n?a=1", Body: &body, BodyBase64: []byte(body),
		Headers: []api.HeaderLine{{Name: "Content-Type", Value: "text/plain"}},
	}
	want := `curl -X POST 'https://shop.example.com/n?a=1' --http1.1 -H 'Content-Type: text/plain'` +
		` --data-binary 'a=it'\''s'`
	if got := r.Curl(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	r.Headers[0] = api.HeaderLine{Name: "X-Empty"}
	r.BodyBase64, r.Body = []byte{0xff}, nil
	want = `printf %s '/w==' | base64 -d | curl -X POST 'https://shop.example.com/n?a=1' --http1.1` +
		` -H 'X-Empty;' -H 'Content-Type:' --data-binary @-`
	if got := r.Curl(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
