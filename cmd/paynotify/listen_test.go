package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// listening is a listen command that runs until its test ends.
type listening struct {
	url   string
	lines *bufio.Scanner // of stdout, behind the first line
	end   func() int     // presses Ctrl-C and returns the exit code
}

func startListen(t *testing.T, args ...string) *listening {
	t.Helper()
	ctx, interrupt := context.WithCancelCause(t.Context())
	out, in := io.Pipe()
	c := newRootCommand()
	c.SetArgs(append([]string{"listen", "--listen", "127.0.0.1:0"}, args...))
	c.SetOut(in)
	c.SetErr(io.Discard)
	exit := make(chan int, 1)
	go func() {
		err := c.ExecuteContext(ctx)
		in.CloseWithError(err)
		exit <- exitCode(ctx, err)
	}()
	l := &listening{lines: bufio.NewScanner(out)}
	l.end = func() int {
		interrupt(errInterrupted)
		go io.Copy(io.Discard, out)
		return <-exit
	}
	if !l.lines.Scan() {
		t.Fatal(l.lines.Err())
	}
	l.url = regexp.MustCompile(`http://[^"]+`).FindString(l.lines.Text())
	return l
}

func (l *listening) post(t *testing.T, form string) string {
	t.Helper()
	res, err := http.Post(l.url+"notify", "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	defer http.DefaultClient.CloseIdleConnections()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func (l *listening) line(t *testing.T) string {
	t.Helper()
	if !l.lines.Scan() {
		t.Fatal("no more lines: ", l.lines.Err())
	}
	return l.lines.Text()
}

// legacySign is the MD5 signature of legacyOrder with legacySecret, as md5sum makes it.
const (
	legacySecret = "testonly0123456789abcdefghijklmn"
	legacyOrder  = "notify_id=ac05099524730693a8b330c5ecf72da9786&out_trade_no=1&trade_status=TRADE_SUCCESS" +
		"&sign_type=MD5&sign="
	legacySign = "32d0eb95764df6a2566e2b6ad1e70d5f"
)

func TestListenPrintsEachNotification(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "shop.key")
	if err := os.WriteFile(secret, []byte(legacySecret+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := startListen(t, "--profile", "alipay_mapi", "--secret-file", secret)
	answers := make(chan string, 3)
	go func() {
		answers <- l.post(t, legacyOrder+legacySign)
		answers <- l.post(t, legacyOrder+legacySign)
		answers <- l.post(t, legacyOrder+strings.Repeat("0", 32))
	}()
	var got []string
	for range 3 {
		var block []string
		for range 6 {
			block = append(block, l.line(t))
		}
		got = append(got, regexp.MustCompile(`^\S+ `).ReplaceAllString(block[0], ""))
		if len(got) == 3 {
			block = append(block, l.line(t)) // the detail
		}
		if !strings.Contains(strings.Join(block, "\n"), "trade_status TRADE_SUCCESS") {
			t.Errorf("no parameters in %q", block)
		}
	}
	const what = "  alipay_mapi  POST /notify  ac05099524730693a8b330c5ecf72da9786  post "
	want := []string{
		"✓ verified " + what + "1  → success",
		"✓ verified " + what + "2 (booked before)  → success",
		"✗ signature" + what + "3 (booked before)  → fail",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if a, b, c := <-answers, <-answers, <-answers; a != "success" || b != "success" || c != "fail" {
		t.Errorf("answered %s, %s, %s", a, b, c)
	}
	if code := l.end(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
}

func TestListenJSON(t *testing.T) {
	l := startListen(t, "--profile", "form", "--json", "--reply", "flaky:2")
	answer := make(chan string, 1)
	go func() { answer <- l.post(t, "notify_id=n1&out_trade_no=o1&total_amount=88.88&subject=%3Cb%3E") }()
	var got hitRecord
	if err := json.Unmarshal([]byte(l.line(t)), &got); err != nil {
		t.Fatal(err)
	}
	got.At = ""
	want := hitRecord{
		Profile: "form", Method: "POST", Path: "/notify", NotifyID: "n1", OutTradeNo: "o1", Posts: 1,
		Signature: "unsigned", Reply: "fail",
		Params: map[string]string{
			"notify_id": "n1", "out_trade_no": "o1", "total_amount": "88.88", "subject": "<b>",
		},
		Body: "notify_id=n1&out_trade_no=o1&total_amount=88.88&subject=%3Cb%3E",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if a := <-answer; a != "fail" {
		t.Errorf("answered %q", a)
	}
	l.end()
}

func TestListenRefusesWrongFlags(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	empty := filepath.Join(dir, "empty")
	for name, text := range map[string]string{key: "nonsense", empty: "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"--reply sucess", exitUsage, "sucess"},
		{"--reply flaky:x", exitUsage, "flaky:3"},
		{"--profile alipai", exitUsage, "alipai"},
		{"--public-key " + filepath.Join(dir, "none"), exitNotFound, "none"},
		{"--public-key " + key, exitData, "public key"},
		{"--public-key " + empty, exitData, "is empty"},
		{"--secret-file " + key, exitUsage, "not verified with that key"},
		{"--profile form --secret-file " + key, exitUsage, "not verified with that key"},
		{"--listen 127.0.0.1:99999", exitUnavailable, "cannot listen"},
		{"more", exitUsage, "more"},
	} {
		root := newRootCommand()
		var out bytes.Buffer
		root.SetArgs(append([]string{"listen"}, strings.Fields(c.args)...))
		root.SetOut(&out)
		root.SetErr(io.Discard)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // should it start all the same, it ends at once
		err := root.ExecuteContext(ctx)
		var p *problem
		if !errors.As(err, &p) || p.code != c.code || !strings.Contains(p.Error(), c.want) || out.Len() > 0 {
			t.Errorf("listen %s: got %v and %q, want exit code %d about %q", c.args, err, &out, c.code, c.want)
		}
	}
}
