package notices

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
)

// TestLadder: the rungs that are told, by the number of the send, for failures (x) and acknowledgements (.).
func TestLadder(t *testing.T) {
	for _, tt := range []struct {
		name, sends string
		want        []string
	}{
		{"too few to tell", "xxxxxxxxx", nil},
		{"all fail", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", []string{"10:100"}},
		{"half", ".x.x.x.x.x", []string{"10:50"}},
		{"just below half", "..x.x.x.x." + "..........", nil},
		{
			"every rung once", "....................xxxxxxxxxxxxxxxxxxxxxxxxx",
			[]string{"30:50", "34:70", "38:90", "40:100"},
		},
		{
			"from one rung to the next and back is told once",
			"....................xxxxxxxxxxxxxx" + ".x.x.x.x",
			[]string{"30:50", "34:70"},
		},
		{
			"well again, and ill again",
			"xxxxxxxxxx" + "...................." + "xxxxxxxxxx",
			[]string{"10:100", "40:50"},
		},
		{
			"91 % falls to 50 and rises: above the lowest nothing is forgotten",
			"....................xxxxxxxxxxxxxxxxxx" + "........" + "xxxxxxxxxx",
			[]string{"30:50", "34:70", "38:90"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var l ladder
			var got []string
			for i, c := range tt.sends {
				if rung := l.see(c == 'x'); rung > 0 {
					got = append(got, fmt.Sprintf("%d:%d", i+1, rung))
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

var noon = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// attempt is a settled scheduled send of a merchant, the given one of four.
func attempt(mchID string, send int, v store.Verdict, r store.Reason) *store.Settled {
	s := &store.Settled{
		Attempt: store.Attempt{
			N: send, Send: send, Charged: true, Trigger: store.Retry, Verdict: v, Reason: r,
			StartedAt: noon, Duration: time.Second,
		},
		NotifyID: "id-" + mchID, MchID: mchID, State: store.Pending, Sends: 4,
	}
	switch {
	case v == store.Acked:
		s.State = store.Spent
	case send == 4:
		s.State = store.Exhausted
	}
	return s
}

func failure(mchID string, send int) *store.Settled {
	return attempt(mchID, send, store.HTTP5xx, store.HTTPStatus)
}

func TestWatcherIgnoresWhatIsNotTheMerchants(t *testing.T) {
	w := newWatcher()
	for range 3 * windowMin {
		ours := attempt("m1", 1, store.Interrupted, store.Crash)
		ours.Charged = false
		person := failure("m1", 0)
		person.Charged, person.Trigger, person.State = false, store.Resend, store.Exhausted
		for _, s := range []*store.Settled{ours, person, attempt("m1", 1, store.Acked, store.AckExact)} {
			if found := w.see(s, noon); found != nil {
				t.Fatalf("told %+v", found)
			}
		}
	}
	if len(w.ladders) != 0 || len(w.tick(noon.Add(time.Hour))) != 0 {
		t.Error("something is remembered of a merchant that does not fail")
	}
}

func TestWatcherTellsRungs(t *testing.T) {
	w := newWatcher()
	var found []Notice
	for range windowMin {
		found = append(found, w.see(failure("m1", 1), noon)...)
	}
	if len(found) != 1 {
		t.Fatalf("%d notices", len(found))
	}
	n := found[0]
	n.Hint, n.Text, n.at = "", "", time.Time{}
	want := Notice{
		Type: TypeFailing, MchID: "m1", Percent: 100, Failed: 10, Sends: 10, NotifyID: "id-m1",
		Verdict: store.HTTP5xx, Reason: store.HTTPStatus,
	}
	if diff := cmp.Diff(want, n, cmp.AllowUnexported(Notice{})); diff != "" {
		t.Error(diff)
	}
	for range windowSends {
		w.see(attempt("m1", 1, store.Acked, store.AckExact), noon)
	}
	if len(w.ladders) != 0 {
		t.Error("a merchant that is well again has a window")
	}
}

// TestWatcherGathers: what repeats is told with its count, first soon, then rarely.
func TestWatcherGathers(t *testing.T) {
	w := newWatcher()
	at := func(d time.Duration) (got []string) {
		for _, n := range w.tick(noon.Add(d)) {
			got = append(got, fmt.Sprintf("%s %s %d", n.Type, n.MchID, n.Count))
		}
		return got
	}
	want := func(d time.Duration, want ...string) {
		t.Helper()
		if got := at(d); !slices.Equal(got, want) {
			t.Errorf("after %s: %q, want %q", d, got, want)
		}
	}
	for range 3 {
		w.see(failure("m1", 3), noon)
	}
	w.see(failure("m1", 2), noon) // two more sends to come
	w.see(failure("m2", 4), noon)
	want(gatherFor - time.Millisecond)
	want(gatherFor, "merchant.near_exhaustion m1 3", "merchant.exhausting m2 1")
	w.see(failure("m1", 3), noon.Add(time.Minute))
	want(2 * time.Minute)
	want(gatherFor + noticeEvery - time.Millisecond)
	want(gatherFor+noticeEvery, "merchant.near_exhaustion m1 1")
	want(gatherFor + 2*noticeEvery)
	if len(w.gathered) != 0 {
		t.Errorf("%d gathers left", len(w.gathered))
	}
}

// TestBudget: a network that is down is one notice after the first twenty, not a thousand.
func TestBudget(t *testing.T) {
	var b budget
	var told []Notice
	for i := range 1000 {
		one := Notice{Type: TypeFailing, MchID: fmt.Sprintf("m%03d", i)}
		told = append(told, b.take([]Notice{one}, noon.Add(time.Duration(i)*time.Millisecond))...)
	}
	if len(told) != noticeBudget {
		t.Fatalf("%d told at once", len(told))
	}
	if early := b.take(nil, noon.Add(budgetEvery-1)); len(early) != 0 {
		t.Errorf("told early: %+v", early)
	}
	late := b.take([]Notice{{Type: TypeHeld}}, noon.Add(budgetEvery))
	if len(late) != 2 || late[0].Type != TypeMany || late[0].Count != 980 || late[1].Type != TypeHeld {
		t.Errorf("after the minute: %+v", late)
	}
	if rest := b.take(nil, noon.Add(time.Hour)); len(rest) != 0 {
		t.Errorf("told again: %+v", rest)
	}
}
