package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"paynotify/profile"
	"paynotify/sandbox"
	"paynotify/store"
)

// runDemo runs the command with its output in memory, and checks that nothing stays on the disk.
func runDemo(ctx context.Context, t *testing.T, args ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	var out, errs bytes.Buffer
	c := newRootCommand()
	c.SetArgs(append([]string{"demo"}, args...))
	c.SetOut(&out)
	c.SetErr(&errs)
	err := c.ExecuteContext(ctx)
	if errs.Len() > 0 {
		t.Errorf("on stderr: %s", &errs)
	}
	left, readErr := os.ReadDir(dir)
	if readErr != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, readErr)
	}
	return out.String(), err
}

var summaryLine = regexp.MustCompile(`^accepted=(\d+) spent=(\d+) exhausted=(\d+) pending=(\d+) lost=(\d+)$`)

// summaryOf reads the last line.
func summaryOf(t *testing.T, out string) (accepted, spent, exhausted, pending, lost int) {
	t.Helper()
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	last := lines[len(lines)-1]
	if !summaryLine.MatchString(last) {
		t.Fatalf("last line %q is no summary", last)
	}
	_, err := fmt.Sscanf(last, "accepted=%d spent=%d exhausted=%d pending=%d lost=%d",
		&accepted, &spent, &exhausted, &pending, &lost)
	if err != nil {
		t.Fatal(err)
	}
	return
}

func TestDemo(t *testing.T) {
	out, err := runDemo(t.Context(), t, "--for", "3s")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	accepted, spent, exhausted, pending, lost := summaryOf(t, out)
	if spent == 0 || exhausted == 0 || accepted != spent+exhausted+pending || lost != 0 {
		t.Errorf("the summary does not add up:\n%s", out)
	}
	for n, line := range strings.Split(out, "\n") {
		if w := utf8.RuneCountInString(line); w > 100 {
			t.Errorf("line %d has %d columns: %s", n+1, w, line)
		}
	}
	if strings.Contains(out, "\x1b") {
		t.Error("colour in a pipe")
	}
	// What a newcomer must have seen by the end.
	for _, want := range []string{
		"acked    ack_exact", "acked    ack_trimmed", "refused  ack_html", "refused  ack_case",
		"refused  ack_php_notice", "refused  ack_mismatch", "http_3xx redirect", "timeout  timeout_headers",
		"API http://127.0.0.1:", "send 3/8", "send 6/6", "24h24m",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestDemoEndsWithATableWhenInterrupted(t *testing.T) {
	ctx, interrupt := context.WithCancelCause(t.Context())
	time.AfterFunc(1500*time.Millisecond, func() { interrupt(errInterrupted) })
	out, err := runDemo(ctx, t)
	if code := exitCode(ctx, err); code != exitInterrupted {
		t.Errorf("exit code %d (%v), want %d", code, err, exitInterrupted)
	}
	accepted, spent, exhausted, pending, lost := summaryOf(t, out)
	if accepted == 0 || accepted != spent+exhausted+pending || lost != 0 {
		t.Errorf("the summary does not add up:\n%s", out)
	}
}

func TestDemoSpeed(t *testing.T) {
	for _, c := range []struct {
		o                    demoOptions
		forGiven, speedGiven bool
		speed                float64
		timeout              time.Duration
		wrong                string
	}{
		{o: demoOptions{speed: demoSpeed}, speed: 600, timeout: 200 * time.Millisecond},
		{o: demoOptions{speed: 10}, speedGiven: true, speed: 10, timeout: 1500 * time.Millisecond},
		{o: demoOptions{speed: 1}, speedGiven: true, speed: 1, timeout: 15 * time.Second},
		{
			o: demoOptions{length: 20 * time.Second, speed: demoSpeed}, forGiven: true, speed: 5856,
			timeout: 200 * time.Millisecond,
		},
		{
			o: demoOptions{length: 20 * time.Second, speed: 100}, forGiven: true, speedGiven: true, speed: 100,
			timeout: 200 * time.Millisecond,
		},
		{
			o: demoOptions{length: 400 * time.Hour, speed: demoSpeed}, forGiven: true, speed: 1,
			timeout: 15 * time.Second,
		},
		{o: demoOptions{speed: 0}, speedGiven: true, wrong: "--speed"},
		{o: demoOptions{speed: -3}, speedGiven: true, wrong: "--speed"},
		{o: demoOptions{speed: 1e9}, speedGiven: true, wrong: "--speed"},
		{o: demoOptions{length: 0, speed: demoSpeed}, forGiven: true, wrong: "--for"},
		{o: demoOptions{length: -time.Second, speed: demoSpeed}, forGiven: true, wrong: "--for"},
	} {
		o := c.o
		err := o.settle(c.forGiven, c.speedGiven)
		switch {
		case c.wrong != "":
			if p := (*problem)(nil); !errors.As(err, &p) || p.code != exitUsage || !strings.Contains(p.what, c.wrong) {
				t.Errorf("%+v: got %v, want a usage error about %s", c.o, err, c.wrong)
			}
		case err != nil || o.speed != c.speed || o.timeout() != c.timeout:
			t.Errorf("%+v: got speed %g, timeout %s, %v, want %g, %s", c.o, o.speed, o.timeout(), err,
				c.speed, c.timeout)
		}
	}
}

// TestDemoOneMerchantExhaustsSoon: at the default speed somebody must see the end of a schedule within 20 s.
func TestDemoOneMerchantExhaustsSoon(t *testing.T) {
	soon := 0
	for _, s := range demoCast() {
		scaled, err := s.scaled(demoSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if s.reply == "redirect" && time.Duration(s.first)*demoStep+scaled.Sum() < 20*time.Second {
			soon++
		}
	}
	if soon == 0 {
		t.Error("no merchant exhausts within 20 s")
	}
}

func TestDemoCastIsSigned(t *testing.T) {
	signed := map[string]bool{}
	for _, s := range demoCast() {
		if len(s.mchID) > merchantWidth {
			t.Errorf("%s does not fit its column", s.mchID)
		}
		if err := sandbox.CheckReply(s.reply); err != nil {
			t.Error(err)
		}
		if _, ok := profile.ByName(s.profile); !ok {
			t.Errorf("%s: no profile %s", s.mchID, s.profile)
		}
		signed[s.profile+" "+s.signs()] = true
	}
	want := map[string]bool{"alipay RSA2": true, "alipay_mapi MD5": true, "form unsigned": true}
	if d := cmp.Diff(want, signed); d != "" {
		t.Error(d)
	}
}

// TestDemoFindsLost: the summary must be able to say something else than 0.
func TestDemoFindsLost(t *testing.T) {
	m := &sandbox.Merchant{}
	if err := m.Start(nil); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	s := &show{
		shops:    []*shop{{mchID: "shop-fast", merchant: m}},
		accepted: []string{"forgotten", "unheard", "waiting"},
	}
	rows, all := s.count(map[string]store.Notification{
		"unheard": {NotifyID: "unheard", MchID: "shop-fast", State: store.Spent},
		"waiting": {NotifyID: "waiting", MchID: "shop-fast", State: store.Pending},
		"theirs":  {NotifyID: "theirs", MchID: "added-by-hand", State: store.Spent},
		"taken":   {NotifyID: "taken", MchID: "shop-fast", State: store.Canceled},
	})
	want := tally{accepted: 4, spent: 2, pending: 1, other: 1, lost: 2}
	if d := cmp.Diff(want, all, cmp.AllowUnexported(tally{})); d != "" {
		t.Error(d)
	}
	row := tally{accepted: 2, spent: 1, pending: 1, other: 1, last: rows["shop-fast"].last}
	if d := cmp.Diff(row, *rows["shop-fast"], cmp.AllowUnexported(tally{})); d != "" {
		t.Error(d)
	}
}

func TestTimelineLines(t *testing.T) {
	var out bytes.Buffer
	line := &timeline{out: &out, told: map[string]bool{}}
	at := time.Date(2026, 11, 21, 15, 4, 5, 0, time.Local)
	settled := func(mch string, v store.Verdict, r store.Reason, status int, reply string, send int,
	) store.Settled {
		return store.Settled{
			NotifyID: "00fz2l0abcdefghijklmnk2m9x", MchID: mch, Sends: 8, State: store.Pending,
			Attempt: store.Attempt{
				StartedAt: at, Duration: 123456 * time.Microsecond, Verdict: v, Reason: r, Status: status,
				Reply: []byte(reply), Send: send, Trigger: store.Retry,
			},
		}
	}
	line.attempt(settled("shop-fast", store.Acked, store.AckExact, 200, "success", 1))
	page := "<html>\n<body>success</body>\x1b[2J"
	line.attempt(settled("shop-html", store.Refused, store.AckHTML, 200, page, 2))
	line.attempt(settled("shop-html", store.Refused, store.AckHTML, 200, "<html>", 3)) // no second hint
	line.attempt(settled("shop-hang", store.Timeout, store.TimeoutHeaders, 0, "", 0))
	lines := strings.Split(out.String(), "\n")
	want := []string{
		"15:04:05.123 ✓ acked    ack_exact        200 success          shop-fast   send 1/8   123ms  …nk2m9x",
		"15:04:05.123 ~ refused  ack_html         200 <html> <body>s…  shop-html   send 2/8   123ms  …nk2m9x",
		"15:04:05.123 ~ refused  ack_html         200 <html>           shop-html   send 3/8   123ms  …nk2m9x",
		"15:04:05.123 ✗ timeout  timeout_headers  –                    shop-hang   retry      123ms  …nk2m9x",
	}
	var got []string
	hints := 0
	for _, l := range lines {
		switch {
		case strings.HasPrefix(l, "15:"):
			got = append(got, l)
		case strings.Contains(l, "└"):
			hints++
		}
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if hints != 2 {
		t.Errorf("%d hints, want one for each merchant that needs one:\n%s", hints, &out)
	}
}

func TestWrapWords(t *testing.T) {
	got := wrapWords("one two three  four äöü a-very-long-word x", 9)
	want := []string{"one two", "three", "four äöü", "a-very-long-word", "x"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestPrintable(t *testing.T) {
	got := printable("a\x1b[31m\n茶\xff\xef\xbb\xbf\u0085é")
	want := `a\x1b[31m\x0a茶\xff\ufeff\u0085é`
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
