package fault

import "time"

// History is everything that was seen from outside during a run, and what the store says after it.
type History struct {
	Accepted []Accepted
	Posts    []Post // in the order in which merchants received them
	Records  map[string]Record
	Kills    int // processes killed

	// Forgot is the time whose writes the store lost, when an old copy of it took over. What was accepted or
	// sent in it may be unknown. The zero Window holds nothing.
	Forgot Window
	// ClockSlack is how far the store's clock, as a process knows it, may be from the merchant's; 0 = 50 ms.
	ClockSlack time.Duration
}

// Window is a span of time, both ends included.
type Window struct{ From, To time.Time }

// Holds reports whether an instant lies in the window.
func (w Window) Holds(at time.Time) bool {
	return !w.To.IsZero() && !at.Before(w.From) && !at.After(w.To)
}

// Accepted is a promise: the API answered 2xx.
type Accepted struct {
	NotifyID   string
	MchID      string
	OutTradeNo string
	At         time.Time // when the answer came
}

// Post is what a merchant received; it is noted before the reply leaves.
type Post struct {
	NotifyID string
	MchID    string
	Business string // the parameters without notify_time and sign, in a canonical order
	Verified bool   // the signature was right
	Received time.Time
	Acked    bool // the reply that was sent is the acknowledgement
}

// Record is a notification as the store tells it, after quiescence.
type Record struct {
	State      string
	Count      int
	CountLimit int
	Attempts   []Attempt
}

// Attempt is one entry of the timeline.
type Attempt struct {
	Send        int // 0 for a person's
	Charged     bool
	Verdict     string
	Reason      string
	ScheduledAt time.Time
	StartedAt   time.Time
	Duration    time.Duration
	SHA256      string
}

// posted reports whether the attempt may have reached the merchant as a request; whole says that it did.
func (a Attempt) posted() (may, whole bool) {
	switch a.Reason {
	case "timeout_connect", "timeout_tls":
		return false, false
	}
	switch a.Verdict {
	case "interrupted":
		return true, false
	case "internal_error", "blocked", "dns_error":
		return false, false
	case "connect_error":
		return true, false
	}
	return true, true
}

// unseen reports whether the merchant may have answered and we do not know it.
func (a Attempt) unseen() bool {
	switch a.Verdict {
	case "interrupted", "timeout", "bad_reply":
		return true
	case "connect_error":
		return a.Reason == "conn_stale" || a.Reason == "conn_reset" || a.Reason == "conn_closed"
	}
	return false
}
