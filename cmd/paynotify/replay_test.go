package main

import (
	"testing"
	"time"

	"paynotify/api"
)

func TestReplayBar(t *testing.T) {
	v := api.ReplayView{Matched: 500, Sent: 240, Skipped: 5, Held: 5, Spent: 230}
	for _, c := range []struct {
		width int
		want  string
	}{
		{200, "[####################--------------------]  50%  250/500  acknowledged 230  held 5  25/s  10s left"},
		{80, "[##########-----------]  50%  250/500  acknowledged 230  held 5  25/s  10s left"},
		{60, " 50%  250/500  acknowledged 230  held 5  25/s  10s left"},
		{30, " 50%  250/500  acknowledged …"},
		{1, " …"},
	} {
		if got := barLine(&v, 25, 10*time.Second, c.width, palette{}); got != c.want {
			t.Errorf("%d columns:\n%q, want\n%q", c.width, got, c.want)
		}
	}
	// It is not done before it is done, and nothing divides by nothing.
	for _, c := range []struct{ matched, sent, want int }{{500, 500, 99}, {3, 7, 99}, {0, 0, 0}} {
		if got := percentDone(&api.ReplayView{Matched: c.matched, Sent: c.sent}); got != c.want {
			t.Errorf("%d of %d: %d %%, want %d", c.sent, c.matched, got, c.want)
		}
	}
}

func TestReplaySpeed(t *testing.T) {
	var s speed
	now := time.Unix(1_700_000_000, 0)
	if perSecond, left := s.see(now, 0, 1000); perSecond != 0 || left != 0 {
		t.Errorf("at once: %v/s, %v left", perSecond, left)
	}
	for i := 1; i <= 20; i++ { // 10 a second
		perSecond, left := s.see(now.Add(time.Duration(i)*time.Second), 10*i, 1000)
		if want := time.Duration(100-i) * time.Second; perSecond != 10 || left != want {
			t.Errorf("after %d s: %v/s, %v left, want %v", i, perSecond, left, want)
		}
	}
	for i := 21; i <= 40; i++ { // 50 a second: the last seconds count
		perSecond, _ := s.see(now.Add(time.Duration(i)*time.Second), 200+50*(i-20), 5000)
		if i > 31 && perSecond != 50 {
			t.Errorf("after %d s: %v/s", i, perSecond)
		}
	}
	if len(s.seen) > 15 {
		t.Errorf("%d looks are remembered", len(s.seen))
	}
}
