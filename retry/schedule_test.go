package retry

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func mustParse(t testing.TB, text string) Schedule {
	t.Helper()
	s, err := Parse(text)
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return s
}

// Our name, or list, for each entry of the vectors.
var vectorNames = map[string]string{
	"alipay (seeds)":      "alipay",
	"alipay_intl (Antom)": "alipay_intl",
	"alipay_2023 (3 immediate resends, then the seven gaps)": "alipay_2023",
	"wechat_v2 (seeds)":                "wechat_v2",
	"wechat_v3":                        "wechat_v3",
	"jeepay":                           "jeepay",
	"standard_webhooks (spec example)": "standard",
	"epay coolpay fork":                "15s,1m,3m,30m,1h",
}

func TestVectors(t *testing.T) {
	raw, err := os.ReadFile("testdata/schedules.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Schedules map[string]struct {
			Gaps         []int64
			Total, Sends int64
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for title, want := range file.Schedules {
		text, ok := vectorNames[title]
		if !ok {
			t.Errorf("no schedule of ours for %q", title)
			continue
		}
		seen[text] = true
		s := mustParse(t, text)
		var gaps []int64
		for _, w := range s.Waits() {
			gaps = append(gaps, int64(w/time.Second))
		}
		if diff := cmp.Diff(want.Gaps, gaps); diff != "" {
			t.Errorf("%s: waits (-want +got):\n%s", text, diff)
		}
		if got := int64(s.Sum() / time.Second); got != want.Total {
			t.Errorf("%s: sum %d s, want %d", text, got, want.Total)
		}
		if got := int64(s.Sends()); got != want.Sends {
			t.Errorf("%s: %d sends, want %d", text, got, want.Sends)
		}
	}
	for _, name := range Names() {
		if !seen[name] {
			t.Errorf("no vector for schedule %s", name)
		}
	}
}

func TestAlipayOffsets(t *testing.T) {
	var got []string
	for _, o := range mustParse(t, "alipay").Offsets() {
		got = append(got, brief(o))
	}
	want := []string{"0", "4m", "14m", "24m", "1h24m", "3h24m", "9h24m", "24h24m"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("offsets (-want +got):\n%s", diff)
	}
}

func TestZeroScheduleIsOneSend(t *testing.T) {
	var s Schedule
	if s.Sends() != 1 || s.Sum() != 0 || len(s.Offsets()) != 1 || s.Wait(1) != 0 {
		t.Errorf("zero Schedule: %d sends, sum %v, offsets %v", s.Sends(), s.Sum(), s.Offsets())
	}
	if at, ok := s.Next(1, time.Now(), time.Now()); ok {
		t.Errorf("zero Schedule goes on at %v", at)
	}
}

func TestSlicesAreTheCallers(t *testing.T) {
	s := mustParse(t, "alipay")
	s.Waits()[0], s.Offsets()[1] = time.Hour, time.Hour
	again := mustParse(t, "alipay")
	if s.Wait(1) != 4*time.Minute || s.Offsets()[1] != 4*time.Minute || again.Wait(1) != 4*time.Minute {
		t.Error("a caller changed the named schedule")
	}
	Names()[0] = "mine"
	if Names()[0] != "alipay" {
		t.Error("a caller changed the list of names")
	}
}

func TestNext(t *testing.T) {
	planned := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		title, text string
		send        int
		late        time.Duration
		want        time.Duration // after planned; -1: no further send
	}{
		{"punctual", "alipay", 1, 0, 4 * time.Minute},
		{"a little late counts from the plan", "alipay", 1, 59 * time.Second, 4 * time.Minute},
		{"one minute is not later than one minute", "alipay", 1, time.Minute, 4 * time.Minute},
		{"later than one minute", "alipay", 1, time.Minute + 1, 5*time.Minute + 1},
		{"an hour late", "alipay", 4, time.Hour, 2 * time.Hour},
		{"a minute is less than a quarter of 15h", "alipay", 7, 2 * time.Minute, 15*time.Hour + 2*time.Minute},
		{"a quarter of 15s", "wechat_v2", 1, 3750 * time.Millisecond, 15 * time.Second},
		{"more than a quarter of 15s", "wechat_v2", 1, 3751 * time.Millisecond, 18751 * time.Millisecond},
		{"at once, late by anything", "alipay_2023", 1, time.Nanosecond, time.Nanosecond},
		{"at once, punctual", "alipay_2023", 1, 0, 0},
		{"a clock set back", "alipay", 1, -time.Hour, 4 * time.Minute},
		{"the last send", "alipay", 8, 0, -1},
		{"past the last send", "alipay", 9, 0, -1},
		{"no send", "alipay", 0, 0, -1},
		{"a negative number", "alipay", -1, 0, -1},
		{"one wait", "0", 1, 0, 0},
		{"after one wait", "0", 2, 0, -1},
	} {
		t.Run(c.title, func(t *testing.T) {
			at, ok := mustParse(t, c.text).Next(c.send, planned, planned.Add(c.late))
			switch {
			case c.want < 0 && (ok || !at.IsZero()):
				t.Errorf("goes on at %v", at)
			case c.want >= 0 && !ok:
				t.Error("does not go on")
			case c.want >= 0 && at.Sub(planned) != c.want:
				t.Errorf("next %v after the plan, want %v", at.Sub(planned), c.want)
			}
		})
	}
}

func TestScale(t *testing.T) {
	for _, c := range []struct {
		text string
		div  float64
		want string
	}{
		{"alipay", 600, "400ms,1s,1s,6s,12s,36s,1m30s"},
		{"alipay", 1, "alipay"},
		{"alipay", 0, "alipay"},
		{"alipay", -3, "alipay"},
		{"alipay_2023", 1e12, "0,0,0,1us,1us,1us,1us,1us,1us,1us"},
		{"jeepay", 0.5, "1m,2m,3m,4m,5m"},
		{"168h", 0.5, "168h"},
	} {
		got := Scale(mustParse(t, c.text), c.div)
		if got.String() != c.want {
			t.Errorf("Scale(%s, %v) = %s, want %s", c.text, c.div, got, c.want)
		}
		if mustParse(t, got.String()).Sum() != got.Sum() {
			t.Errorf("Scale(%s, %v): %s does not read back", c.text, c.div, got)
		}
	}
}

func drawSchedule(t *rapid.T) Schedule {
	waits := rapid.SliceOfN(rapid.Int64Range(0, int64(WaitMax)), 1, WaitsMax).Draw(t, "waits")
	durations := make([]time.Duration, len(waits))
	for i, w := range waits {
		durations[i] = time.Duration(w)
	}
	return newSchedule("", durations)
}

func TestOffsetsSumProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSchedule(t)
		offsets, sum := s.Offsets(), time.Duration(0)
		for i, w := range s.Waits() {
			if offsets[i] != sum {
				t.Fatalf("offset %d is %v, the waits before it sum to %v", i, offsets[i], sum)
			}
			sum += w
		}
		if s.Sum() != sum || offsets[len(offsets)-1] != sum || len(offsets) != s.Sends() {
			t.Fatalf("sum %v, want %v; %d offsets, %d sends", s.Sum(), sum, len(offsets), s.Sends())
		}
	})
}

// Whatever the lateness: the next send is never before planned+wait, never before a late start, and never
// further than the lateness away from the plan.
func TestNextProperty(t *testing.T) {
	epoch := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		s, planned := drawSchedule(t), epoch
		for send := 1; ; send++ {
			late := time.Duration(rapid.Int64Range(-int64(time.Minute), int64(48*time.Hour)).Draw(t, "late"))
			at, ok := s.Next(send, planned, planned.Add(late))
			if ok != (send < s.Sends()) {
				t.Fatalf("send %d of %d: ok = %v", send, s.Sends(), ok)
			}
			if !ok {
				return
			}
			earliest := planned.Add(s.Wait(send))
			if at.Before(earliest) {
				t.Fatalf("send %d: next %v before planned+wait", send, earliest.Sub(at))
			}
			if at.After(earliest.Add(max(late, 0))) {
				t.Fatalf("send %d, %v late: next %v after planned+wait", send, late, at.Sub(earliest))
			}
			if late > time.Minute && at.Before(planned.Add(late).Add(s.Wait(send))) {
				t.Fatalf("send %d, %v late: the next one comes less than a wait after it", send, late)
			}
			planned = at
		}
	})
}

func BenchmarkParseName(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("alipay"); err != nil {
			b.Fatal(err)
		}
	}
}
