package fault

import (
	"strings"
	"testing"
	"time"
)

// sample is a sound history: one acked at once, one interrupted and repeated, one exhausted after two sends.
func sample() History {
	t0 := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	at := func(ms int) time.Time { return t0.Add(time.Duration(ms) * time.Millisecond) }
	attempt := func(send int, verdict string, planned, started int) Attempt {
		return Attempt{
			Send: send, Charged: verdict != "interrupted", Verdict: verdict,
			ScheduledAt: at(planned), StartedAt: at(started), Duration: 20 * time.Millisecond,
		}
	}
	post := func(id, mch string, ms int, acked bool) Post {
		return Post{
			NotifyID: id, MchID: mch, Business: "out_trade_no=" + id, Verified: true, Received: at(ms), Acked: acked,
		}
	}
	return History{
		Accepted: []Accepted{
			{NotifyID: "a", MchID: "m1", OutTradeNo: "1", At: at(3)},
			{NotifyID: "b", MchID: "m1", OutTradeNo: "2", At: at(4)},
			{NotifyID: "c", MchID: "m2", OutTradeNo: "3", At: at(5)},
		},
		Posts: []Post{
			post("a", "m1", 5, true), post("b", "m1", 6, true), post("b", "m1", 1005, true),
			post("c", "m2", 7, false), post("c", "m2", 207, false),
		},
		Records: map[string]Record{
			"a": {State: "spent", Count: 1, CountLimit: 8, Attempts: []Attempt{attempt(1, "acked", 0, 0)}},
			"b": {State: "spent", Count: 1, CountLimit: 8, Attempts: []Attempt{
				attempt(1, "interrupted", 0, 0), attempt(1, "acked", 0, 1000),
			}},
			"c": {State: "exhausted", Count: 2, CountLimit: 2, Attempts: []Attempt{
				attempt(1, "refused", 0, 0), attempt(2, "refused", 200, 200),
			}},
		},
		Kills: 1,
	}
}

func TestCheckPassesASoundHistory(t *testing.T) {
	r := Check(sample())
	if len(r.Violations) > 0 || r.Lost != 0 {
		t.Fatalf("%s\n%s", r, strings.Join(r.Violations, "\n"))
	}
	if r.Duplicates != 1 {
		t.Errorf("%d duplicates, want the 1 of the crash", r.Duplicates)
	}
}

// TestCheckKnowsALateAck: a process was frozen while its merchant answered; the send was repeated meanwhile.
func TestCheckKnowsALateAck(t *testing.T) {
	h := sample()
	change(&h, "b", func(r *Record) {
		late := r.Attempts[0]
		late.Verdict, late.Charged = "acked", true
		r.Attempts = append(r.Attempts, late)
	})
	if r := Check(h); len(r.Violations) > 0 {
		t.Errorf("%s\n%s", r, strings.Join(r.Violations, "\n"))
	}
}

// TestCheckKnowsATimeout: the merchant's acknowledgement came too late, and so did its reading of the POST.
func TestCheckKnowsATimeout(t *testing.T) {
	h := sample()
	change(&h, "b", func(r *Record) {
		r.Attempts[0].Verdict, r.Attempts[0].Charged = "timeout", true
		r.Attempts[1].Send, r.Count = 2, 2
	})
	h.Posts[1].Received = h.Posts[2].Received.Add(-500 * time.Millisecond)
	if r := Check(h); len(r.Violations) > 0 {
		t.Errorf("%s\n%s", r, strings.Join(r.Violations, "\n"))
	}
}

// TestCheckForgivesWhatWasForgotten: an old copy of the store took over. Only what happened in the time that
// it lost is forgiven.
func TestCheckForgivesWhatWasForgotten(t *testing.T) {
	forgetful := func(h *History) {
		delete(h.Records, "a") // accepted at 3 ms
		h.Posts = append(h.Posts, Post{NotifyID: "c", MchID: "m2", Business: "out_trade_no=c", Verified: true})
		h.Posts[5].Received = h.Posts[3].Received.Add(-5 * time.Millisecond) // at 2 ms
	}
	h := sample()
	forgetful(&h)
	h.Forgot = Window{From: h.Posts[5].Received, To: h.Accepted[0].At}
	if r := Check(h); len(r.Violations) > 0 || r.Lost != 0 || r.Forgotten != 1 {
		t.Errorf("%s, %d forgotten, want 1\n%s", r, r.Forgotten, strings.Join(r.Violations, "\n"))
	}
	h.Forgot = Window{From: h.Posts[5].Received.Add(-time.Hour), To: h.Posts[5].Received.Add(-time.Minute)}
	if r := Check(h); r.Lost != 1 || len(r.Violations) < 2 {
		t.Errorf("forgiven although nothing was forgotten then: %s %v", r, r.Violations)
	}
}

// mutants are the ways in which a notifier goes wrong. The checker must see each of them.
var mutants = []struct {
	name, invariant string
	mutate          func(h *History)
}{
	{"an accepted one is gone", "I1", func(h *History) { delete(h.Records, "a") }},
	{"it ended as nothing", "I1", func(h *History) { change(h, "a", func(r *Record) { r.State = "canceled" }) }},
	{"spent without an ack", "I2", func(h *History) { h.Posts[0].Acked = false }},
	{"a POST that nobody wrote down", "I3", func(h *History) {
		h.Posts = append(h.Posts, h.Posts[3])
	}},
	{"sent again after the ack was committed", "I4", func(h *History) {
		again := h.Posts[0]
		h.Posts = append(h.Posts, again)
		change(h, "a", func(r *Record) { r.Attempts = append(r.Attempts, r.Attempts[0]); r.Count = 2 })
	}},
	{"the timeline claims a POST that never came", "I5", func(h *History) { h.Posts = h.Posts[:4] }},
	{"a POST at a time of which the timeline knows nothing", "I5", func(h *History) {
		h.Posts[4].Received = h.Posts[4].Received.Add(-100 * time.Millisecond)
	}},
	{"other parameters on the second send", "I6", func(h *History) { h.Posts[4].Business += "&total_fee=0.01" }},
	{"a wrong signature", "I6", func(h *History) { h.Posts[1].Verified = false }},
	{"a send too early", "I7", func(h *History) {
		change(h, "c", func(r *Record) { r.Attempts[1].ScheduledAt = r.Attempts[1].ScheduledAt.Add(time.Second) })
	}},
	{"one order accepted as two", "I8", func(h *History) { h.Accepted[1].OutTradeNo = "1" }},
	{"a notify_id used twice", "I8", func(h *History) { h.Accepted[1].NotifyID = "a" }},
	{"a crash was charged", "I9", func(h *History) {
		change(h, "b", func(r *Record) { r.Attempts[0].Charged = true; r.Count = 2 })
	}},
	{"a place was charged twice", "I9", func(h *History) {
		change(h, "a", func(r *Record) { r.Attempts = append(r.Attempts, r.Attempts[0]) })
	}},
	{"a late refusal was charged", "I9", func(h *History) {
		change(h, "b", func(r *Record) {
			late := r.Attempts[1]
			late.Verdict = "refused"
			r.Attempts = append(r.Attempts, late)
		})
	}},
	{"exhausted one send too soon", "I9", func(h *History) {
		change(h, "c", func(r *Record) { r.CountLimit = 3 })
	}},
}

func change(h *History, id string, f func(r *Record)) {
	r := h.Records[id]
	r.Attempts = append([]Attempt(nil), r.Attempts...)
	f(&r)
	h.Records[id] = r
}

func TestCheckCatchesEveryMutant(t *testing.T) {
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			h := sample()
			m.mutate(&h)
			r := Check(h)
			for _, v := range r.Violations {
				if strings.HasPrefix(v, m.invariant+" ") {
					return
				}
			}
			t.Errorf("not caught; %s %v", r, r.Violations)
		})
	}
}
