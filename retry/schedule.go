package retry

import (
	"math"
	"slices"
	"strings"
	"time"
)

// Limits of a schedule.
const (
	// WaitsMax is how many waits a list may have: with the first send that is 64 sends, four times what any
	// provider makes.
	WaitsMax = 63
	// WaitMax is the longest single wait, a week: past it nobody waits for a payment notification.
	WaitMax = 168 * time.Hour
)

// lateMax is the most by which a send may start late and the next one still count from the planned instant.
// A quarter of the next wait counts when it is less.
const lateMax = time.Minute

// Schedule is an immutable list of waits between sends. There is one send more than there are waits; the
// zero Schedule is a single send.
type Schedule struct {
	name    string
	text    string
	waits   []time.Duration
	offsets []time.Duration // of every send, the first is 0
}

func newSchedule(name string, waits []time.Duration) Schedule {
	s := Schedule{name: name, text: name, waits: waits, offsets: make([]time.Duration, len(waits)+1)}
	for i, w := range waits {
		s.offsets[i+1] = s.offsets[i] + w
	}
	if name == "" {
		s.text = canonical(waits)
	}
	return s
}

// Name is the schedule's name, empty for a list of waits.
func (s Schedule) Name() string { return s.name }

// String is the text that Parse reads back: the name, or the list in its shortest form ("15s,1m,5m").
func (s Schedule) String() string { return s.text }

// Sends is how many sends the schedule makes, 1–64.
func (s Schedule) Sends() int { return len(s.waits) + 1 }

// Waits are the waits between consecutive sends, one fewer than there are sends; the caller owns the slice.
func (s Schedule) Waits() []time.Duration { return slices.Clone(s.waits) }

// Wait is the wait after the given send (from 1); 0 after the last one, and for a number that is no send.
func (s Schedule) Wait(send int) time.Duration {
	if send < 1 || send > len(s.waits) {
		return 0
	}
	return s.waits[send-1]
}

// Offsets are the instants of every send, counted from the first, which is 0; the caller owns the slice.
func (s Schedule) Offsets() []time.Duration {
	if s.offsets == nil {
		return []time.Duration{0}
	}
	return slices.Clone(s.offsets)
}

// Sum is the time from the first send to the last.
func (s Schedule) Sum() time.Duration {
	if s.offsets == nil {
		return 0
	}
	return s.offsets[len(s.offsets)-1]
}

// Next is the instant of the send after the given one (from 1), which was planned for one instant and
// started at another; ok is false when there is no further send.
//
// The next send counts from the planned instant, so that small delays do not add up. When the send started
// later than one minute or a quarter of the next wait, whichever is less, the next one counts from its real
// start, so that an outage of ours never burns a merchant's sends in a burst. A start before the plan (a
// clock set back) counts as punctual: no send is ever earlier than planned plus wait.
func (s Schedule) Next(send int, planned, started time.Time) (at time.Time, ok bool) {
	if send < 1 || send > len(s.waits) {
		return time.Time{}, false
	}
	wait := s.waits[send-1]
	if started.Sub(planned) > min(lateMax, wait/4) {
		return started.Add(wait), true
	}
	return planned.Add(wait), true
}

// Scale divides every wait by div, for demonstrations that must not take a day. A div that is not a positive
// number changes nothing. A wait never becomes 0 that was not, and never grows past WaitMax; results are
// whole microseconds, so that String stays short.
func Scale(s Schedule, div float64) Schedule {
	if math.IsNaN(div) || div <= 0 || div == 1 {
		return s
	}
	waits := make([]time.Duration, len(s.waits))
	for i, w := range s.waits {
		if w == 0 {
			continue
		}
		us := math.Round(float64(w) / div / float64(time.Microsecond))
		us = min(max(us, 1), float64(WaitMax/time.Microsecond))
		waits[i] = time.Duration(us) * time.Microsecond
	}
	return newSchedule("", waits)
}

// canonical writes waits the way people do: 4m, not 4m0s.
func canonical(waits []time.Duration) string {
	var b strings.Builder
	for i, w := range waits {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(brief(w))
	}
	return b.String()
}

func brief(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	text := strings.Replace(d.String(), "µ", "u", 1) // ASCII, for config files and shells
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
