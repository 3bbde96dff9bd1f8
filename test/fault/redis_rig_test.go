package fault

import (
	"encoding/base64"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// What the Redis cases configure: a short timeout, because a dead process's claims go out again when their
// lease has run out.
const (
	sendMax  = time.Second              // dispatcher.timeout
	lease    = sendMax + 15*time.Second // of a claim, as the contract says
	takeover = lease + 2*time.Second    // within which a dead process's claims go out again
	// awake is how long a lane waits when the process that took it dies before it claims.
	awake = 15 * time.Second
	// busy is what a machine of two cores with several cases at once adds to any bound.
	busy = time.Second
	// repaired is how late a notification may be when the queue or Redis lost what it knew.
	repaired = 30 * time.Second
)

// full reports whether the long versions were asked for.
func full() bool { return os.Getenv("FAULTS") == "full" }

// newRedisRig is a rig whose processes share the Redis at url.
func newRedisRig(t *testing.T, url string, merchants map[string]*merchant) *rig {
	t.Helper()
	r := newRig(t, merchants)
	r.store = url
	key := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("fault rig", 4)[:32]))
	r.set("master_key", key)
	r.set("dispatcher.timeout", sendMax.String())
	return r
}

// set configures the processes that start from now on.
func (r *rig) set(key, value string) {
	r.env = append(r.env, "PAYNOTIFY_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+value)
}

// crowd is n merchants that acknowledge.
func crowd(n int, takes time.Duration) map[string]*merchant {
	all := make(map[string]*merchant, n)
	for i := range n {
		all[fmt.Sprintf("m%03d", i)] = &merchant{acksFrom: 1, takes: takes, schedule: quick}
	}
	return all
}

// takeovers checks that what a process left behind went out again soon after its lease, and counts it.
func (r *rig) takeovers() int {
	r.t.Helper()
	n, worst := 0, time.Duration(0)
	for id, record := range r.h.Records {
		for i, a := range record.Attempts {
			if a.Verdict != "interrupted" || i+1 == len(record.Attempts) {
				continue
			}
			n++
			next := record.Attempts[i+1].StartedAt
			wait, most := next.Sub(a.StartedAt), takeover+busy
			if r.diedBetween(a.StartedAt.Add(sendMax), next) {
				most += awake // the one that was to take over died, too
			}
			worst = max(worst, wait)
			if wait > most {
				r.t.Errorf("%s: sent again %v after the claim that was cut off, want %v at most: %+v", id, wait, most,
					record.Attempts)
			}
		}
	}
	r.t.Logf("%d attempts were cut off, the last sent again after %v", n, worst)
	return n
}

// diedBetween reports whether a process ended between two instants.
func (r *rig) diedBetween(from, to time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.down, func(at time.Time) bool { return at.After(from) && at.Before(to) })
}

// punctual checks that every attempt started at most that long after it was due.
func (r *rig) punctual(most time.Duration) {
	r.t.Helper()
	worst, late := time.Duration(0), 0
	for id, record := range r.h.Records {
		for _, a := range record.Attempts {
			lateness := a.StartedAt.Sub(a.ScheduledAt)
			worst = max(worst, lateness)
			if lateness <= most {
				continue
			}
			if late++; late <= 5 {
				r.t.Errorf("%s: send %d (%s) started %v after it was due, want %v at most", id, a.Send, a.Verdict,
					lateness, most)
			}
		}
	}
	r.t.Logf("the latest attempt started %v after it was due", worst)
}

// wantNoDuplicates checks that no merchant got anything twice outside the schedule.
func (r *rig) wantNoDuplicates(report Report) {
	r.t.Helper()
	if report.Duplicates > 0 {
		r.t.Errorf("%d duplicates, want none", report.Duplicates)
	}
}

// wantLoad checks that the case had something to break.
func (r *rig) wantLoad(report Report, atLeast int) {
	r.t.Helper()
	if report.Accepted < atLeast {
		r.t.Errorf("only %d accepted, want at least %d: that was no load", report.Accepted, atLeast)
	}
}

// acceptedSince counts the promises since an instant.
func (r *rig) acceptedSince(at time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, a := range r.h.Accepted {
		if a.At.After(at) {
			n++
		}
	}
	return n
}

// acceptsAgain waits until producers hear a 202 again.
func (r *rig) acceptsAgain(since time.Time, most time.Duration) {
	r.t.Helper()
	took := await(r.t, most, "something is accepted again", func() bool { return r.acceptedSince(since) > 0 })
	r.t.Logf("accepted again after %v", took)
}
