package fault

import "time"

// History is everything that was seen from outside during a run, and what the store says after it.
type History struct {
	Accepted []Accepted
	Posts    []Post // in the order in which merchants received them
	Records  map[string]Record
	Kills    int // processes killed
}

// Accepted is a promise: the API answered 2xx.
type Accepted struct {
	NotifyID   string
	MchID      string
	OutTradeNo string
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
