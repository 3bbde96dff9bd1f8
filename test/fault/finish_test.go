package fault

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// readers ask for the records at the end, at the same time.
const readers = 8

// finish waits until nothing is pending, reads the store and judges.
func (r *rig) finish() Report {
	r.t.Helper()
	return r.finishWithin(settled)
}

func (r *rig) finishWithin(most time.Duration) Report {
	r.t.Helper()
	r.quiet(most)
	r.mu.Lock()
	accepted := r.h.Accepted
	r.h.Kills = len(r.down)
	r.mu.Unlock()
	r.h.Records = r.records(accepted)
	r.mu.Lock()
	report := Check(r.h)
	r.mu.Unlock()
	r.t.Logf("%s, %d processes ended", report, r.h.Kills)
	for i, v := range report.Violations {
		if i == 20 {
			r.t.Errorf("… and %d more", len(report.Violations)-i)
			break
		}
		r.t.Error(v)
		if id, _, _ := strings.Cut(v[len("I0 "):], ":"); i < 3 {
			r.t.Logf("%s: %+v", id, r.h.Records[id])
		}
	}
	return report
}

// quiet waits until nothing is pending.
func (r *rig) quiet(most time.Duration) time.Duration {
	r.t.Helper()
	began := time.Now()
	for {
		var stats struct {
			States map[string]int `json:"states"`
		}
		status, err := r.call("GET", "/v1/stats", nil, nil, &stats)
		if err == nil && status == http.StatusOK && stats.States["pending"] == 0 {
			return time.Since(began)
		}
		if time.Since(began) > most {
			for _, p := range r.living {
				r.t.Logf("%s:\n%s", p.addr, p.lastWords())
			}
			r.t.Fatalf("not quiet after %v: %d %v %v", most, status, stats.States, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// records reads every notification that was promised.
func (r *rig) records(accepted []Accepted) map[string]Record {
	records := make(map[string]Record, len(accepted))
	var (
		mu   sync.Mutex
		work sync.WaitGroup
	)
	for i := range readers {
		work.Go(func() {
			for k := i; k < len(accepted); k += readers {
				record, ok := r.record(accepted[k].NotifyID)
				if ok {
					mu.Lock()
					records[accepted[k].NotifyID] = record
					mu.Unlock()
				}
			}
		})
	}
	work.Wait()
	return records
}

// record reads one notification from a living process.
func (r *rig) record(id string) (Record, bool) {
	var n struct {
		State    string `json:"notify_state"`
		Count    int    `json:"notify_count"`
		Limit    int    `json:"notify_count_limit"`
		Attempts []struct {
			Send        *int      `json:"send"`
			Charged     bool      `json:"charged"`
			Verdict     string    `json:"verdict"`
			Reason      string    `json:"reason"`
			ScheduledAt time.Time `json:"scheduled_at"`
			StartedAt   time.Time `json:"started_at"`
			DurationMS  float64   `json:"duration_ms"`
			SHA256      string    `json:"request_sha256"`
		} `json:"attempts"`
	}
	status, err := r.call("GET", "/v1/notifications/"+id, nil, nil, &n)
	if err != nil || status != http.StatusOK {
		return Record{}, false
	}
	record := Record{State: n.State, Count: n.Count, CountLimit: n.Limit}
	for _, a := range n.Attempts {
		attempt := Attempt{
			Charged: a.Charged, Verdict: a.Verdict, Reason: a.Reason, SHA256: a.SHA256,
			ScheduledAt: a.ScheduledAt, StartedAt: a.StartedAt,
			Duration: time.Duration(a.DurationMS * float64(time.Millisecond)),
		}
		if a.Send != nil {
			attempt.Send = *a.Send
		}
		record.Attempts = append(record.Attempts, attempt)
	}
	return record, true
}
