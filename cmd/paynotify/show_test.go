package main

import (
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/store"
)

func TestProgressInWords(t *testing.T) {
	now := time.Date(2026, 11, 21, 8, 0, 0, 0, time.UTC)
	at := func(d time.Duration) *api.Time { return &api.Time{Time: now.Add(d)} }
	held := store.HeldMerchantPaused
	for _, tt := range []struct {
		n    api.NotificationSummary
		want string
	}{
		{
			api.NotificationSummary{NotifyState: store.Pending, NotifyCount: 2, NextNotifyTime: at(598 * time.Second)},
			"send 3 of 8 in 9m58s at ",
		},
		{
			api.NotificationSummary{NotifyState: store.Pending, NextNotifyTime: at(-time.Second)},
			"send 1 of 8 is due",
		},
		{
			api.NotificationSummary{NotifyState: store.Pending, NotifyCount: 1, NextNotifyTime: at(90 * time.Minute)},
			"send 2 of 8 in 1h30m at ",
		},
		{
			api.NotificationSummary{NotifyState: store.Pending, InFlight: true, NextNotifyTime: at(0)},
			"being sent now",
		},
		{
			api.NotificationSummary{NotifyState: store.Pending, HeldReason: &held, NextNotifyTime: at(0)},
			"send 1 of 8 is held: its merchant is paused",
		},
		{api.NotificationSummary{NotifyState: store.Exhausted, NotifyCount: 8}, "all 8 sends were made"},
		{api.NotificationSummary{NotifyState: store.Spent}, "never sent again"},
		{api.NotificationSummary{NotifyState: store.Canceled}, "took it back"},
		{api.NotificationSummary{NotifyState: store.Quarantined}, "damaged"},
	} {
		tt.n.NotifyCountLimit = 8
		got := shower{}.progress(&api.NotificationView{NotificationSummary: tt.n}, now)
		if !strings.Contains(got, tt.want) {
			t.Errorf("got %q, want %q in it", got, tt.want)
		}
	}
}

func TestAttemptLine(t *testing.T) {
	send, status := 3, 200
	a := api.FollowedAttempt{
		NotifyID: "0123456789abcdefghijklmnop", MchID: "m1", NotifyCountLimit: 8,
		AttemptView: api.AttemptView{
			Send: &send, Status: &status, Verdict: store.Acked, Reason: store.AckExact, DurationMS: 23.4,
			ReplyBytes: []byte("success"), StartedAt: api.Time{Time: time.Date(2026, 11, 21, 15, 4, 5, 0, time.Local)},
		},
	}
	want := "15:04:05.023 ✓ acked 200 success  m1  send 3/8  23ms  0123456789abcdefghijklmnop"
	if got := attemptLine(a, palette{}); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	a.Verdict, a.Reason, a.Send, a.Trigger = store.Refused, store.AckHTML, nil, store.Resend
	a.ReplyBytes = []byte("<html>\x1b[31m\n<body>")
	want = `15:04:05.023 ~ refused ack_html 200 <html>\x1b[31m <body>  m1  resend  23ms  ` + a.NotifyID
	if got := attemptLine(a, palette{}); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	a.Verdict, a.Reason, a.Status, a.ReplyBytes = store.Timeout, store.TimeoutHeaders, nil, nil
	want = `15:04:05.023 ✗ timeout timeout_headers  m1  resend  23ms  0123456789abcdefghijklmnop`
	if got := attemptLine(a, palette{}); got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
