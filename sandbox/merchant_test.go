package sandbox_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"paynotify/profile"
	"paynotify/sandbox"
	"paynotify/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const order = "notify_id=n1&out_trade_no=o1&subject=%E6%B5%8B+A%26B"

// start runs a merchant until the test ends.
func start(t *testing.T, m *sandbox.Merchant) *sandbox.Merchant {
	t.Helper()
	if err := m.Start(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return m
}

// dial opens a connection to the merchant and POSTs a form on it.
func dial(t *testing.T, m *sandbox.Merchant, form string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := net.Dial("tcp", strings.Trim(strings.TrimPrefix(m.URL(), "http:"), "/"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second)) // a hanging test ends with a message
	if _, err := io.WriteString(c, request(form)); err != nil {
		t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

func request(form string) string {
	var b bytes.Buffer
	r := httptest.NewRequest(http.MethodPost, "/notify", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=utf-8")
	if err := r.Write(&b); err != nil {
		panic(err)
	}
	return b.String()
}

// post makes one POST on a connection of its own and returns a whole reply.
func post(t *testing.T, m *sandbox.Merchant, form string) (status int, body string) {
	t.Helper()
	_, in := dial(t, m, form)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(raw)
}

func TestWholeReplies(t *testing.T) {
	for _, c := range []struct {
		reply  string
		status int
		body   string
	}{
		{"", 200, "success"},
		{"success", 200, "success"},
		{"fail", 200, "fail"},
		{"bom", 200, "\xef\xbb\xbfsuccess"},
		{"newline", 200, "success\r\n"},
		{"upper", 200, "SUCCESS"},
		{"quoted", 200, `"success"`},
		{"json", 200, `{"code":"success"}`},
		{"html", 200, "<!DOCTYPE html>\n<html><body>success</body></html>\n"},
		{"php-notice", 200, "<br />\n<b>Notice</b>:  Undefined index: trade_no in <b>/var/www/notify.php</b> on " +
			"line <b>17</b><br />\nsuccess"},
		{"empty", 200, ""},
		{"redirect", 302, "success"},
		{"201", 201, "success"},
		{"204", 204, ""},
		{"500", 500, "<html><body><h1>Internal Server Error</h1></body></html>\n"},
		{"flaky:1", 200, "success"},
		{"flaky:2", 200, "fail"},
	} {
		t.Run(c.reply, func(t *testing.T) {
			status, body := post(t, start(t, &sandbox.Merchant{Reply: c.reply}), order)
			if status != c.status || body != c.body {
				t.Errorf("got %d %q, want %d %q", status, body, c.status, c.body)
			}
		})
	}
}

// TestRepliesAreJudgedAsNamed: what a row of the table is meant to be is what the engine takes it for.
func TestRepliesAreJudgedAsNamed(t *testing.T) {
	alipay, _ := profile.ByName("alipay")
	for reply, want := range map[string]store.Reason{
		"success": store.AckExact, "fail": store.AckMismatch, "bom": store.AckTrimmed, "newline": store.AckTrimmed,
		"upper": store.AckCase, "quoted": store.AckQuoted, "json": store.AckJSON, "html": store.AckHTML,
		"php-notice": store.AckPHPNotice, "empty": store.AckEmpty, "redirect": store.Redirect,
		"201": store.AckStatus, "204": store.AckEmpty, "500": store.HTTPStatus,
		"flaky:2": store.AckMismatch, "flaky:1": store.AckExact,
	} {
		_, in := dial(t, start(t, &sandbox.Merchant{Reply: reply, Profile: "alipay"}), order)
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		j := profile.Judge(alipay.Ack, profile.Reply{
			Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"),
			ContentEncoding: res.Header.Get("Content-Encoding"), Body: body,
		})
		if j.Reason != want {
			t.Errorf("%s: judged %s, want %s", reply, j.Reason, want)
		}
	}
}

// TestEveryReplyIsOfTheContract holds the table of replies to the contract's list.
func TestEveryReplyIsOfTheContract(t *testing.T) {
	want := strings.Split("success|fail|bom|newline|upper|quoted|json|html|php-notice|empty|slow|drip|endless|"+
		"gzip-bomb|redirect|201|204|500|101|reset|truncated|flaky:N", "|")
	var got []string
	for _, r := range sandbox.Replies() {
		got = append(got, r.Name)
		if r.About == "" {
			t.Errorf("%s has no line for the help text", r.Name)
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestRedirectNamesAPage(t *testing.T) {
	_, in := dial(t, start(t, &sandbox.Merchant{Reply: "redirect"}), order)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if got := res.Header.Get("Location"); got != "/login" {
		t.Errorf("Location %q, want /login", got)
	}
}

func TestSlowIsSilentUntilTheSenderGoes(t *testing.T) {
	seen := make(chan sandbox.Hit, 1)
	m := start(t, &sandbox.Merchant{Reply: "slow", Log: func(h sandbox.Hit) { seen <- h }})
	c, in := dial(t, m, order)
	<-seen
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want silence", err)
	}
	// Close must end the handler long before its 30 s; goleak sees whether it does.
}

func TestDripNeverEnds(t *testing.T) {
	_, in := dial(t, start(t, &sandbox.Merchant{Reply: "drip"}), order)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len("success")+1)
	if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != "success " {
		t.Errorf("got %q, %v, want the acknowledgement and then blanks", got, err)
	}
}

func TestEndlessNeverEnds(t *testing.T) {
	_, in := dial(t, start(t, &sandbox.Merchant{Reply: "endless"}), order)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	const much = 8 << 20
	if n, err := io.CopyN(io.Discard, res.Body, much); err != nil {
		t.Errorf("ended after %d of %d bytes: %v", n, much, err)
	}
}

func TestBombUnpacksTo64MiB(t *testing.T) {
	_, in := dial(t, start(t, &sandbox.Merchant{Reply: "gzip-bomb"}), order)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := res.Header.Get("Content-Encoding"); got != "gzip" || res.ContentLength > 256<<10 {
		t.Errorf("Content-Encoding %q, %d bytes, want little gzip", got, res.ContentLength)
	}
	plain, err := gzip.NewReader(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, plain); n != 64<<20 || err != nil {
		t.Errorf("unpacks to %d bytes, %v, want 64 MiB", n, err)
	}
}

func TestUpgradeKeepsTheConnection(t *testing.T) {
	c, in := dial(t, start(t, &sandbox.Merchant{Reply: "101"}), order)
	res, err := http.ReadResponse(in, nil)
	if err != nil || res.StatusCode != 101 {
		t.Fatalf("got %v, %v, want 101", res, err)
	}
	c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := in.ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("got %v, want an open, silent connection", err)
	}
}

func TestReset(t *testing.T) {
	_, in := dial(t, start(t, &sandbox.Merchant{Reply: "reset"}), order)
	if _, err := in.ReadByte(); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("got %v, want a reset", err)
	}
}

func TestTruncated(t *testing.T) {
	_, in := dial(t, start(t, &sandbox.Merchant{Reply: "truncated"}), order)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if string(body) != "success" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v, want the acknowledgement and a broken end", body, err)
	}
}

// TestCloseEndsEveryReply: a merchant that hangs on purpose must not hang the test that uses it.
func TestCloseEndsEveryReply(t *testing.T) {
	for _, r := range []string{"slow", "drip", "endless", "101", "gzip-bomb"} {
		seen := make(chan sandbox.Hit, 1)
		m := start(t, &sandbox.Merchant{Reply: r, Log: func(h sandbox.Hit) { seen <- h }})
		dial(t, m, order) // nobody reads
		<-seen
		if err := m.Close(); err != nil { // hangs, should it not work
			t.Errorf("%s: %v", r, err)
		}
	}
}

func TestFlakyCountsEachNotification(t *testing.T) {
	m := start(t, &sandbox.Merchant{Reply: "flaky:3"})
	var got []string
	for _, id := range []string{"a", "a", "b", "a", "b", "b", "b"} {
		_, body := post(t, m, "notify_id="+id)
		got = append(got, id+" "+body)
	}
	want := []string{"a fail", "a fail", "b fail", "a success", "b fail", "b success", "b success"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if !m.Booked("a") || m.Posts("b") != 4 || m.Booked("c") {
		t.Errorf("a booked %v, b posts %d, c booked %v", m.Booked("a"), m.Posts("b"), m.Booked("c"))
	}
}

func TestHitsTellDuplicates(t *testing.T) {
	m := start(t, &sandbox.Merchant{})
	post(t, m, order)
	post(t, m, order)
	hits := m.Hits()
	if len(hits) != 2 || m.Count() != 2 {
		t.Fatalf("%d hits, count %d, want 2", len(hits), m.Count())
	}
	type seen struct {
		ID, Order, Reply, Path string
		Posts                  int
		Duplicate              bool
		Signature              sandbox.Signature
	}
	var got []seen
	for _, h := range hits {
		got = append(got, seen{h.NotifyID, h.OutTradeNo, h.Reply, h.Path, h.Posts, h.Duplicate, h.Signature})
	}
	want := []seen{
		{"n1", "o1", "success", "/notify", 1, false, sandbox.Unchecked},
		{"n1", "o1", "success", "/notify", 2, true, sandbox.Unchecked},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	params := []sandbox.Param{
		{Name: "notify_id", Value: "n1"}, {Name: "out_trade_no", Value: "o1"}, {Name: "subject", Value: "测 A&B"},
	}
	if d := cmp.Diff(params, hits[0].Params); d != "" {
		t.Error(d)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	m := start(t, &sandbox.Merchant{Reply: "fail"})
	body := strings.Repeat("x", sandbox.BodyBytesMax/2)
	for range 2*sandbox.HitBytesMax/len(body) + 10 {
		m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	}
	var bytes int
	for _, h := range m.Hits() {
		bytes += len(h.Body)
	}
	if bytes > sandbox.HitBytesMax || bytes < sandbox.HitBytesMax/2 {
		t.Errorf("%d bytes remembered, want nearly %d", bytes, sandbox.HitBytesMax)
	}
	for range sandbox.HitsMax + 10 {
		m.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil))
	}
	if n := len(m.Hits()); n != sandbox.HitsMax {
		t.Errorf("%d hits remembered, want %d", n, sandbox.HitsMax)
	}
}

func TestTooLargeABodyIsRefused(t *testing.T) {
	m := start(t, &sandbox.Merchant{})
	res, err := http.Post(m.URL(), "text/plain", strings.NewReader(strings.Repeat("x", sandbox.BodyBytesMax+1)))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if res.StatusCode != http.StatusRequestEntityTooLarge || m.Count() != 0 {
		t.Errorf("status %d, %d hits, want 413 and none", res.StatusCode, m.Count())
	}
}

func TestWrongOptionsAreNamed(t *testing.T) {
	for _, c := range []struct {
		m    *sandbox.Merchant
		want string
	}{
		{&sandbox.Merchant{Reply: "sucess"}, `reply "sucess" is unknown`},
		{&sandbox.Merchant{Reply: "flaky:N"}, "want flaky:N with N from 1"},
		{&sandbox.Merchant{Reply: "flaky:0"}, "want flaky:N with N from 1"},
		{&sandbox.Merchant{Reply: "flaky:"}, "want flaky:N with N from 1"},
		{&sandbox.Merchant{Profile: "alipai"}, `profile "alipai" is unknown`},
		{&sandbox.Merchant{Profile: "alipay", PublicKey: "nonsense"}, "public key"},
	} {

		err := c.m.Start(nil)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
		c.m.Close()
	}
}

func TestManySendersAtOnce(t *testing.T) {
	m := start(t, &sandbox.Merchant{Reply: "flaky:50"})
	var wg sync.WaitGroup
	for range 100 {
		wg.Go(func() {
			res, err := http.Post(m.URL(), "application/x-www-form-urlencoded", strings.NewReader(order))
			if err != nil {
				t.Error(err)
				return
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
		})
	}
	wg.Wait()
	http.DefaultClient.CloseIdleConnections()
	yes := 0
	for _, h := range m.Hits() {
		if h.Reply == "success" {
			yes++
		}
	}
	if m.Posts("n1") != 100 || yes != 51 {
		t.Errorf("%d posts, %d acknowledged, want 100 and 51", m.Posts("n1"), yes)
	}
}

func TestSuccessHandler(t *testing.T) {
	w := httptest.NewRecorder()
	sandbox.Success.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(order)))
	if w.Code != 200 || w.Body.String() != "success" {
		t.Errorf("got %d %q", w.Code, w.Body)
	}
}
