package main

import (
	"bytes"
	"encoding/json"
	"regexp"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/store"
)

// zone is the end of a stamp, which differs from machine to machine.
var zone = regexp.MustCompile(` [+-]\d\d:\d\d\b`)

var timelineBegan = time.Date(2026, 11, 21, 8, 0, 0, 0, time.Local)

// halfway is a notification with three attempts made and two sends to come.
func halfway() api.NotificationView {
	at := func(d time.Duration) api.Time { return api.Time{Time: timelineBegan.Add(d)} }
	one, two, ok := 1, 2, 200
	next := at(7 * time.Minute)
	return api.NotificationView{
		NotificationSummary: api.NotificationSummary{
			Schedule: "1m,5m,1h", NotifyState: store.Pending, NotifyCount: 2, NotifyCountLimit: 4,
			CreatedAt: at(0), NextNotifyTime: &next,
		},
		Attempts: []api.AttemptView{
			{
				N: 1, Send: &one, Charged: true, ScheduledAt: at(0), StartedAt: at(14 * time.Millisecond),
				DurationMS: 2.3, Status: &ok, Verdict: store.Refused, Reason: store.AckHTML,
			},
			{
				N: 2, Trigger: store.Resend, ScheduledAt: at(30 * time.Second), StartedAt: at(30 * time.Second),
				DurationMS: 10000, Verdict: store.Timeout, Reason: store.TimeoutHeaders,
			},
			{
				N: 3, Send: &two, Charged: true, ScheduledAt: at(time.Minute), StartedAt: at(2 * time.Minute),
				DurationMS: 20, Verdict: store.ConnectError, Reason: store.ConnRefused,
			},
		},
	}
}

func TestTimeline(t *testing.T) {
	held := store.HeldMerchantPaused
	const made = `
SEND      PLANNED  AT                   LATE   TOOK   RESULT
send 1/4  0        2026-11-21 08:00:00  +14ms  2.3ms  #1 ~ refused ack_html 200
resend    30s      2026-11-21 08:00:30  +0     10.0s  #2 ✗ timeout timeout_headers
send 2/4  1m       2026-11-21 08:02:00  +1m    20ms   #3 ✗ connect_error conn_refused
`
	for _, tt := range []struct {
		name   string
		change func(n *api.NotificationView)
		now    time.Duration
		want   string
	}{
		{
			"pending", func(*api.NotificationView) {}, 3 * time.Minute, made +
				`send 3/4  7m       2026-11-21 08:07:00                in 4m
send 4/4  1h7m     2026-11-21 09:07:00                in 1h4m
`,
		},
		{
			"late", func(*api.NotificationView) {}, 10 * time.Minute, made +
				`send 3/4  7m       2026-11-21 08:07:00                now
send 4/4  1h10m    2026-11-21 09:10:00                in 1h
`,
		},
		{
			"held", func(n *api.NotificationView) { n.HeldReason = &held }, 3 * time.Minute, made +
				`send 3/4  7m       2026-11-21 08:07:00                held
send 4/4  1h7m     –                                  held
`,
		},
		{
			"in flight",
			func(n *api.NotificationView) { n.InFlight, n.NotifyCount = true, 3 }, 3 * time.Minute, made +
				`send 4/4  7m       2026-11-21 08:07:00                being sent now
`,
		},
		{
			"spent", func(n *api.NotificationView) {
				n.NotifyState, n.NextNotifyTime = store.Spent, nil
			}, 3 * time.Minute, made,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := halfway()
			tt.change(&n)
			var b bytes.Buffer
			if err := (shower{}).timeline(&b, &n, timelineBegan.Add(tt.now)); err != nil {
				t.Fatal(err)
			}
			// A zone takes six columns and a blank; without them the header is as much too wide.
			got := zone.ReplaceAllString("\n"+b.String(), "")
			got = regexp.MustCompile(`(AT {19}|– {18}) {7}`).ReplaceAllString(got, "$1")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s\n%s", diff, got)
			}
		})
	}
}

func TestPhasesInWords(t *testing.T) {
	for _, tt := range []struct {
		a    api.AttemptView
		want string
	}{
		{
			api.AttemptView{DurationMS: 20, PhasesMS: api.PhasesView{
				DNS: 1, Connect: 2, TLS: 3.04, FirstByte: 12, Body: 0.25,
			}},
			"dns 1.0ms · connect 2.0ms · tls 3.0ms · first byte 12ms · body 0.2ms",
		},
		{
			api.AttemptView{DurationMS: 20, PhasesMS: api.PhasesView{FirstByte: 12, Body: 1}},
			"kept connection · first byte 12ms · body 1.0ms",
		},
		{
			api.AttemptView{DurationMS: 10005, Reason: store.TimeoutHeaders, PhasesMS: api.PhasesView{Connect: 5}},
			"connect 5.0ms · no reply in 10.0s",
		},
		{api.AttemptView{DurationMS: 3}, ""},
	} {
		if got := phases(&tt.a); got != tt.want {
			t.Errorf("got  %q\nwant %q", got, tt.want)
		}
	}
}

func TestPeople(t *testing.T) {
	at := api.Time{Time: time.Date(2026, 11, 21, 8, 0, 0, 0, time.Local)}
	var b bytes.Buffer
	shower{}.people(&b, []api.AuditEntryView{
		{Actor: "k_1", At: at, Action: "notification.resend", Result: "ok", After: json.RawMessage(
			`{"force":true,"reason":"he \u001b[31m asked"}`)},
		{Actor: "admin", At: at, Action: "notification.cancel", Result: "ok", After: json.RawMessage(`[]`)},
		{Actor: "k_1", At: at, Action: "notification.resend", Result: "already-spent"},
	})
	want := `by k_1  2026-11-21 08:00:00  resend --force: he \x1b[31m asked
by admin  2026-11-21 08:00:00  cancel
by k_1  2026-11-21 08:00:00  resend (refused: already-spent)
`
	if diff := cmp.Diff(want, zone.ReplaceAllString(b.String(), "")); diff != "" {
		t.Error(diff)
	}
}
