package dispatcher_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"paynotify/store"
)

// TestScenarios plays the transcripts in testdata/scenario: what a payments engineer would want to know about
// the engine, in virtual time, with every POST and its instant. Commands:
//
//	merchant m1 [schedule=…] [max_inflight=…] [rate=…]
//	replies m1      what it answers to its 1st, 2nd, … POST of a notification; the last line stays
//	accept m1 A1 …  order numbers
//	pass 24h        lets time pass and prints the POSTs that came, counted from the first accept
//	show A1         state and timeline
//	resend A1 [force] / cancel A1 / pause m1 / resume m1 / stop / go / restart
//
// Run with -rewrite to accept what changed, then read the diff.
func TestScenarios(t *testing.T) {
	files, err := os.ReadDir("testdata/scenario")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Run(f.Name(), func(t *testing.T) {
			inVirtualTime(t, func(t *testing.T, w *world) {
				s := &scenario{world: w, ids: make(map[string]string), replies: make(map[string][]reply)}
				w.answer = s.reply
				datadriven.RunTest(t, filepath.Join("testdata/scenario", f.Name()), s.command)
			})
		})
	}
}

// scenario is a world that is told what to do by a transcript.
type scenario struct {
	*world

	ids     map[string]string // by order number
	zero    time.Duration     // the first accept
	printed int
	replies map[string][]reply // by mch_id
}

func (s *scenario) reply(_ *world, mch string, nth int, _ post) reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	rs := s.replies[mch]
	if len(rs) == 0 {
		return success()
	}
	return rs[min(nth, len(rs))-1]
}

func (s *scenario) command(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	args := make([]string, len(d.CmdArgs))
	for i, a := range d.CmdArgs {
		args[i] = a.String()
	}
	var err error
	ctx := context.Background()
	switch d.Cmd {
	case "merchant":
		s.merchant(s.newMerchant(t, d))
	case "replies":
		s.mu.Lock()
		s.replies[args[0]] = parseReplies(d.Input)
		s.mu.Unlock()
	case "accept":
		if len(s.ids) == 0 {
			s.zero = time.Since(s.began)
		}
		for i, id := range s.accept(args[0], args[1:]...) {
			s.ids[args[1+i]] = id
		}
	case "pass":
		lasts, parseErr := time.ParseDuration(args[0])
		if parseErr != nil {
			t.Fatal(parseErr)
		}
		s.pass(lasts)
		return s.news()
	case "show":
		return s.show(s.ids[args[0]])
	case "resend":
		_, err = s.store.Resend(ctx, s.ids[args[0]], store.Resend, len(args) > 1)
	case "cancel":
		_, err = s.store.Cancel(ctx, s.ids[args[0]])
	case "pause", "resume":
		_, err = s.store.UpdateMerchant(ctx, args[0], func(m *store.Merchant) error {
			m.Paused = d.Cmd == "pause"
			return nil
		})
	case "stop", "go":
		err = s.store.SetSending(ctx, store.Sending{Paused: d.Cmd == "stop"})
	case "restart":
		s.shutdown()
		s.start()
	default:
		d.Fatalf(t, "unknown command %s", d.Cmd)
	}
	if err != nil {
		return err.Error() + "\n"
	}
	s.d.Nudge()
	return ""
}

func (s *scenario) newMerchant(t *testing.T, d *datadriven.TestData) store.Merchant {
	t.Helper()
	m := store.Merchant{MchID: d.CmdArgs[0].String()}
	for _, a := range d.CmdArgs[1:] {
		switch value := strings.Join(a.Vals, ","); a.Key {
		case "schedule":
			m.Schedule = value
		case "max_inflight":
			m.MaxInflight, _ = strconv.Atoi(value)
		case "rate":
			m.RatePerSecond, _ = strconv.ParseFloat(value, 64)
		default:
			d.Fatalf(t, "unknown member %s", a.Key)
		}
	}
	return m
}

// parseReplies reads one reply a line: a status, a word with a meaning, or the body of a 200.
func parseReplies(text string) []reply {
	var rs []reply
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		code, err := strconv.Atoi(line)
		switch {
		case err == nil:
			rs = append(rs, status(code))
		case line == "hangs":
			rs = append(rs, reply{hang: true})
		case line == "login page":
			rs = append(rs, reply{status: 302, header: "Location: /login\r\n"})
		case line == "busy for an hour":
			rs = append(rs, reply{status: 503, header: "Retry-After: 3600\r\n"})
		case line == "hangs up":
			rs = append(rs, reply{raw: " ", close: true})
		default:
			body, err := strconv.Unquote(line)
			if err != nil {
				body = line
			}
			rs = append(rs, says(body))
		}
	}
	return rs
}

// news prints the POSTs that came since the last time.
func (s *scenario) news() string {
	posts := s.seen()
	if len(posts) == s.printed {
		return "(no POST)\n"
	}
	came := posts[s.printed:]
	s.printed = len(posts)
	second := func(p post) time.Duration { return (p.at - s.zero).Truncate(time.Second) }
	slices.SortStableFunc(came, func(a, b post) int { // within a second any order is right
		return cmp.Or(cmp.Compare(second(a), second(b)), cmp.Compare(s.orderOf(a.id), s.orderOf(b.id)))
	})
	var b strings.Builder
	for _, p := range came {
		fmt.Fprintf(&b, "%-10s %s  %s\n", second(p), p.mch, s.orderOf(p.id))
	}
	return b.String()
}

func (s *scenario) orderOf(id string) string {
	for order, known := range s.ids {
		if known == id {
			return order
		}
	}
	return id
}

// show prints a notification as `paynotify show` would, with times from the first accept.
func (s *scenario) show(id string) string {
	n, attempts := s.get(id)
	at := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return (t.Sub(s.began) - s.zero).Truncate(time.Second).String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d of %d sends charged, next %s\n", n.State, n.NotifyCount, n.Sends(), at(n.NextAt))
	for _, a := range attempts {
		send := fmt.Sprintf("send %d", a.Send)
		if a.Send == 0 {
			send = "by hand"
		}
		charged := ""
		if !a.Charged && !a.Trigger.Manual() {
			charged = ", not charged"
		}
		fmt.Fprintf(&b, "  %d. %-10s %-7s %s %s", a.N, at(a.StartedAt), send, a.Verdict, a.Reason)
		if a.Status != 0 {
			fmt.Fprintf(&b, " %d", a.Status)
		}
		fmt.Fprintf(&b, "%s\n", charged)
	}
	return b.String()
}
