package fault

import (
	"cmp"
	"fmt"
	"sort"
	"time"
)

// clockSlack is how far the merchant's stamp of a POST may lie outside the attempt that made it: one machine,
// one clock, but two processes that are scheduled when the kernel likes.
const clockSlack = 50 * time.Millisecond

// Report is the judgement of a History.
type Report struct {
	Accepted   int
	Lost       int      // accepted, but the store does not know it or left it neither sent nor owed
	Forgotten  int      // accepted while the store's writes were lost: not counted as lost
	Duplicates int      // POSTs beyond one per charged attempt
	Violations []string // each names its invariant

	forgot Window
	slack  time.Duration
}

// String is the headline.
func (r Report) String() string {
	return fmt.Sprintf("%d lost / %d accepted, %d duplicates, %d violations",
		r.Lost, r.Accepted, r.Duplicates, len(r.Violations))
}

// Check judges a history against the invariants:
//
//	I1 every accepted notification is spent, exhausted or still owed
//	I2 spent only after the merchant sent an acknowledgement
//	I3 no more POSTs than the timeline has entries
//	I4 no POST after an acknowledgement, but for attempts whose reply did not reach us
//	I5 every POST is in the timeline
//	I6 one notify_id always carries the same business parameters, rightly signed
//	I7 no send before the instant that the store planned
//	I8 one order number, one notify_id (producers repeat with the same idempotency key)
//	I9 nothing is charged to a crash, and exhausted means that every send was made
//
// A POST may appear twice only where an attempt was cut off, or where the store forgot the first.
func Check(h History) Report {
	r := Report{Accepted: len(h.Accepted), forgot: h.Forgot, slack: cmp.Or(h.ClockSlack, clockSlack)}
	posts := make(map[string][]Post)
	for _, p := range h.Posts {
		posts[p.NotifyID] = append(posts[p.NotifyID], p)
	}
	r.identities(h)
	for _, a := range h.Accepted {
		record, known := h.Records[a.NotifyID]
		if !known && h.Forgot.Holds(a.At) {
			r.Forgotten++
			continue
		}
		if !known {
			r.Lost++
			r.violate("I1", a.NotifyID, "accepted, but the store does not know it")
			continue
		}
		mine := posts[a.NotifyID]
		sort.SliceStable(mine, func(i, j int) bool { return mine[i].Received.Before(mine[j].Received) })
		r.ending(a.NotifyID, record, mine)
		r.sends(a.NotifyID, record, mine)
		r.sameness(a.NotifyID, mine)
		r.charges(a.NotifyID, record)
		r.Duplicates += max(0, len(mine)-record.Count)
	}
	return r
}

func (r *Report) violate(invariant, id, format string, args ...any) {
	r.Violations = append(r.Violations, fmt.Sprintf("%s %s: %s", invariant, id, fmt.Sprintf(format, args...)))
}

// identities checks I8.
func (r *Report) identities(h History) {
	byOrder, byID := make(map[string]string), make(map[string]string)
	for _, a := range h.Accepted {
		order := a.MchID + "/" + a.OutTradeNo
		if other, ok := byOrder[order]; ok && other != a.NotifyID {
			r.violate("I8", a.NotifyID, "order %s is also %s", order, other)
		}
		if other, ok := byID[a.NotifyID]; ok && other != order {
			r.violate("I8", a.NotifyID, "names orders %s and %s", order, other)
		}
		byOrder[order], byID[a.NotifyID] = a.NotifyID, order
	}
}

// ending checks I1 and I2.
func (r *Report) ending(id string, record Record, posts []Post) {
	acked := false
	for _, p := range posts {
		acked = acked || p.Acked
	}
	switch record.State {
	case "spent":
		if !acked {
			r.violate("I2", id, "spent, but its merchant never acknowledged")
		}
	case "exhausted":
		if record.Count < record.CountLimit {
			r.Lost++
			r.violate("I9", id, "exhausted after %d of %d sends", record.Count, record.CountLimit)
		}
	case "pending":
	default:
		r.Lost++
		r.violate("I1", id, "ended %s", record.State)
	}
}

// sends checks I3, I4, I5 and I7.
func (r *Report) sends(id string, record Record, posts []Post) {
	most, least, unseen := 0, 0, 0
	for _, a := range record.Attempts {
		may, whole := a.posted()
		if may {
			most++
		}
		if whole {
			least++
		}
		if a.unseen() {
			unseen++
		}
		if a.StartedAt.Before(a.ScheduledAt) {
			r.violate("I7", id, "send %d started %v early", a.Send, a.ScheduledAt.Sub(a.StartedAt))
		}
	}
	forgotten := 0 // POSTs that the timeline need not know
	for _, p := range posts {
		if r.forgot.Holds(p.Received) {
			forgotten++
		}
	}
	if len(posts) > most+forgotten {
		r.violate("I3", id, "%d POSTs, the timeline allows %d", len(posts), most)
	}
	if len(posts) < least {
		r.violate("I5", id, "the timeline has %d whole replies, the merchant saw %d POSTs", least, len(posts))
	}
	after, acked := 0, false
	for _, p := range posts {
		if acked {
			after++
		}
		acked = acked || p.Acked
		if !r.forgot.Holds(p.Received) && !r.covered(record.Attempts, p.Received) {
			r.violate("I5", id, "a POST at %v is in no entry of the timeline", p.Received.Format(time.StampMicro))
		}
	}
	if after > unseen+forgotten {
		r.violate("I4", id, "%d POSTs after the acknowledgement, the replies of %d attempts were not seen", after,
			unseen)
	}
}

// covered reports whether an attempt was under way when the merchant received a POST. What an attempt gave up
// on may lie in the merchant's machine for a while.
func (r *Report) covered(attempts []Attempt, at time.Time) bool {
	for _, a := range attempts {
		if at.Before(a.StartedAt.Add(-r.slack)) {
			continue
		}
		if a.Verdict == "timeout" || !at.After(a.StartedAt.Add(a.Duration).Add(r.slack)) {
			return true
		}
	}
	return false
}

// sameness checks I6.
func (r *Report) sameness(id string, posts []Post) {
	for i, p := range posts {
		if !p.Verified {
			r.violate("I6", id, "POST %d has a wrong signature", i+1)
		}
		if p.Business != posts[0].Business {
			r.violate("I6", id, "POST %d carries other parameters than the first", i+1)
		}
	}
}

// charges checks I9. A send that was cut off and repeated is answered twice when its process was only frozen
// or cut off from the store: the late acknowledgement is in the timeline, too, and its place is charged once.
func (r *Report) charges(id string, record Record) {
	charged := 0
	lost := make(map[int]int) // cut off attempts of a send that have not been answered late
	for _, a := range record.Attempts {
		if a.Verdict == "interrupted" {
			lost[a.Send]++
		}
		switch {
		case !a.Charged:
		case a.Verdict == "interrupted":
			r.violate("I9", id, "send %d is charged to a crash", a.Send)
		case a.Send == charged+1:
			charged++
		case a.Send <= charged && a.Verdict == "acked" && lost[a.Send] > 0:
			lost[a.Send]--
		default:
			r.violate("I9", id, "charged send %d stands where %d should", a.Send, charged+1)
		}
	}
	if charged != record.Count {
		r.violate("I9", id, "count is %d, %d sends are charged", record.Count, charged)
	}
}
