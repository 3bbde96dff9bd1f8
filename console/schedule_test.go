package console

import (
	"testing"
	"time"

	"paynotify/store"
)

func TestSchedule(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","notify_url":"https://shop.test.com/n"}`)
	w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`)
	w.get("schedule").want(200, "Due by now", "Within 25 hours", "By the minute")
	w.get("schedule?mch_id=m1").want(200, `value="m1"`)
	w.get("schedule?mch_id=none").want(200, "By the minute")
	w.get("schedule", "Accept-Language: zh-CN").want(200, "25 小时内")
}

func TestHours(t *testing.T) {
	o := store.Outlook{Due: make([]int, hoursAhead*minutesPerHour)}
	o.Due[0], o.Due[59], o.Due[61] = 1, 40, 10
	r := &request{words: english}
	from := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	first, second := r.hour(from, 0, &o, 40), r.hour(from.Add(time.Hour), 60, &o, 40)
	if first.Count != 41 || first.Peak != 40 || first.When != "10:59" || len(first.Cells) != 2 {
		t.Errorf("the first hour is %+v", first)
	}
	want := heatCell{X: 1, Level: 3, Title: "11:01 · 10"}
	if len(second.Cells) != 1 || second.Cells[0] != want {
		t.Errorf("the second hour has %+v, want %+v", second.Cells, want)
	}
	for n, want := range map[int]int{1: 1, 2: 1, 3: 2, 5: 2, 10: 3, 20: 4, 21: 5, 40: 5} {
		if got := heatLevel(n, 40); got != want {
			t.Errorf("%d of 40 is level %d, want %d", n, got, want)
		}
	}
}
