package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"paynotify/store"
)

// Limits of replays.
const (
	// WindowMax is how many notifications of a replay are under way at most: read from the list, and neither
	// sent, left out nor given up to a held lane. 1000 of them take half of a mark.
	WindowMax = 1000
	// KeptMax is how many replays are remembered, the last ones.
	KeptMax = 100
	// ActiveMax is how many go on at once.
	ActiveMax = 16
)

// Errors of replays.
var (
	ErrNotFound = errors.New("replay not found")
	ErrTooMany  = fmt.Errorf("%d replays go on already", ActiveMax)
	ErrDone     = errors.New("replay is done already")

	errConflict = errors.New("somebody else has changed the replay")
)

// Names of the marks.
const (
	indexMark = "replays"
	jobPrefix = "replay/"
)

// casTries is how often a change is tried that others get in the way of. A worker writes some times a second.
const casTries = 50

// Marks are the small durable texts of a store.
type Marks interface {
	// Mark returns the text of a name, empty when there is none.
	Mark(ctx context.Context, name string) (string, error)
	// SetMark sets a text that is was until then; false when it is something else.
	SetMark(ctx context.Context, name, was, value string) (done bool, err error)
}

// Phase says how a replay stands.
type Phase string

// Of a canceled replay, what was asked for before still goes out, and is counted.
const (
	Running  Phase = "running"
	Done     Phase = "done"
	Canceled Phase = "canceled"
)

// Job is one replay.
type Job struct {
	ID    string `json:"id"`
	Phase Phase  `json:"phase"`

	// What was asked for.
	MchID         string      `json:"mch_id,omitempty"` // empty = all merchants but the engine's own
	State         store.State `json:"state"`
	From          time.Time   `json:"from,omitzero"` // of CreatedAt, inclusive
	To            time.Time   `json:"to,omitzero"`   // exclusive
	RatePerSecond float64     `json:"rate,omitzero"` // 0 = as fast as the lanes allow
	Reason        string      `json:"reason,omitempty"`
	CreatedAt     time.Time   `json:"created_at"`
	EndedAt       time.Time   `json:"ended_at,omitzero"`

	// What came of it.
	Matched int `json:"matched"` // when it began
	Asked   int `json:"asked"`   // for which a send is, or was, owed
	Sent    int `json:"sent"`    // of these, whose send was made
	Spent   int `json:"spent"`   // of these, which are acknowledged
	Skipped int `json:"skipped"` // acknowledged, canceled or gone before their turn came
	Held    int `json:"held"`    // of those asked for: go out when their merchant's lane opens

	// How far it is.
	Cursor string        `json:"cursor,omitempty"` // of Store.List
	Last   time.Time     `json:"last,omitzero"`    // CreatedAt of the last one read from the list
	Listed bool          `json:"listed,omitempty"` // the list is at its end
	Window []Outstanding `json:"window,omitempty"` // in the order of the list

	// Who works on it.
	Owner string    `json:"owner,omitempty"`
	Until time.Time `json:"until,omitzero"` // end of the lease

	text string // as it is in the store
}

// Outstanding is a notification that is under way: read from the list, and not known to be sent.
type Outstanding struct {
	ID       string
	Attempts int  // that it had when it was read from the list: what comes after is ours
	Asked    bool // for its send; when it is not set that may have happened all the same

	lane   string    // its merchant; empty = not known
	looked time.Time // when its record was read last; zero = before this process
}

// MarshalText writes it in 30 bytes or so: there are a thousand of them in a mark.
func (o Outstanding) MarshalText() ([]byte, error) {
	text := o.ID + " " + strconv.Itoa(o.Attempts)
	if o.Asked {
		text += " +"
	}
	return []byte(text), nil
}

// UnmarshalText reads what MarshalText wrote.
func (o *Outstanding) UnmarshalText(text []byte) (err error) {
	parts := strings.Split(string(text), " ")
	if len(parts) < 2 {
		return fmt.Errorf("outstanding notification %.60q: want an id and a count", text)
	}
	*o = Outstanding{ID: parts[0], Asked: len(parts) > 2}
	o.Attempts, err = strconv.Atoi(parts[1])
	return err
}

// active reports whether there is something to do for a worker.
func (j *Job) active() bool { return j.Phase == Running || j.Phase == Canceled && len(j.Window) > 0 }

// query selects what is left of the list. Without a cursor behind the beginning it goes on by time.
func (j *Job) query(limit int) store.Query {
	q := store.Query{
		MchID: j.MchID, State: j.State, CreatedFrom: j.From, CreatedTo: j.To, Cursor: j.Cursor, Limit: limit,
	}
	if j.Cursor == "" && !j.Last.IsZero() {
		q.CreatedTo = j.Last.Add(time.Microsecond) // the store's unit: others may have come in the same one
	}
	return q
}

// wants reports whether a notification of the list is to be sent. The engine's own are not, and those of the
// instant at which the list was left are only when they were not had before.
func (j *Job) wants(n *store.Notification) bool {
	had := j.Cursor == "" && n.CreatedAt.Equal(j.Last) && (n.Resend != "" || !n.LastAt.Before(j.CreatedAt) ||
		slices.ContainsFunc(j.Window, func(o Outstanding) bool { return o.ID == n.NotifyID }))
	return !had && (j.MchID != "" || !store.Reserved(n.MchID))
}

// readJob reads a job, or fails with ErrNotFound.
func readJob(ctx context.Context, m Marks, id string) (j Job, err error) {
	text, err := m.Mark(ctx, jobPrefix+id)
	switch {
	case err != nil:
		return j, err
	case text == "":
		return j, ErrNotFound
	}
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return j, fmt.Errorf("replay %s cannot be read: %w", id, err)
	}
	j.text = text
	return j, nil
}

// write replaces what the store has of the job by next. It fails with errConflict when somebody else has
// changed it.
func (j *Job) write(ctx context.Context, m Marks, next Job) error {
	text, err := json.Marshal(&next)
	if err != nil {
		return fmt.Errorf("replay %s: %w", j.ID, err)
	}
	next.text = string(text)
	if err := swap(ctx, m, jobPrefix+next.ID, j.text, next.text); err != nil {
		return err
	}
	*j = next
	return nil
}

// swap sets a mark that is was until now, or fails with errConflict.
func swap(ctx context.Context, m Marks, name, was, value string) error {
	done, err := m.SetMark(ctx, name, was, value)
	if err == nil && !done {
		// Perhaps it is ours: the answer to an earlier try was lost.
		now, lookErr := m.Mark(ctx, name)
		if lookErr != nil || now != value {
			err = errors.Join(errConflict, lookErr)
		}
	}
	return err
}

// index names the replays that are remembered.
type index struct {
	IDs    []string `json:"ids"`    // newest first
	Active []string `json:"active"` // those with work to do
}

func readIndex(ctx context.Context, m Marks) (x index, text string, err error) {
	if text, err = m.Mark(ctx, indexMark); err != nil || text == "" {
		return x, text, err
	}
	if err = json.Unmarshal([]byte(text), &x); err != nil {
		err = fmt.Errorf("the index of replays cannot be read: %w", err)
	}
	return x, text, err
}

// changeIndex changes the index in one step; change may be called more than once.
func changeIndex(ctx context.Context, m Marks, change func(*index) error) error {
	for range casTries {
		x, was, err := readIndex(ctx, m)
		if err != nil {
			return err
		}
		if err = change(&x); err != nil {
			return err
		}
		text, err := json.Marshal(x)
		if err != nil {
			return fmt.Errorf("the index of replays: %w", err)
		}
		if err = swap(ctx, m, indexMark, was, string(text)); !errors.Is(err, errConflict) {
			return err
		}
	}
	return fmt.Errorf("the index of replays: %w", errConflict)
}

// Start begins a job: what was asked for and Matched are given, the rest is made here. Any Runner of the
// store may work on it. It fails with ErrTooMany.
func Start(ctx context.Context, m Marks, j Job, now time.Time) (Job, error) {
	j.ID, j.Phase, j.CreatedAt = store.NewID(now, 0), Running, now.UTC()
	none := Job{ID: j.ID}
	if err := none.write(ctx, m, j); err != nil {
		return j, err
	}
	var forgotten []string
	err := changeIndex(ctx, m, func(x *index) error {
		if len(x.Active) >= ActiveMax {
			return ErrTooMany
		}
		x.IDs, x.Active = slices.Insert(x.IDs, 0, none.ID), append(x.Active, none.ID)
		x.IDs, forgotten = x.forget()
		return nil
	})
	if err != nil {
		return j, errors.Join(err, none.erase(ctx, m)) // nobody can find it
	}
	for _, id := range forgotten {
		if old, err := readJob(ctx, m, id); err == nil {
			_ = old.erase(ctx, m) // else it stays, and nobody sees it
		}
	}
	return none, nil
}

// forget parts those that are remembered from the oldest, which are not. What goes on is never forgotten.
func (x *index) forget() (kept, forgotten []string) {
	for i, id := range x.IDs {
		if i < KeptMax || slices.Contains(x.Active, id) {
			kept = append(kept, id)
		} else {
			forgotten = append(forgotten, id)
		}
	}
	return kept, forgotten
}

func (j *Job) erase(ctx context.Context, m Marks) error {
	return swap(ctx, m, jobPrefix+j.ID, j.text, "")
}

// retire says that nobody needs to work on a job any more.
func retire(ctx context.Context, m Marks, id string) error {
	return changeIndex(ctx, m, func(x *index) error {
		x.Active = slices.DeleteFunc(x.Active, func(other string) bool { return other == id })
		return nil
	})
}

// Find reads a job as it was saved last, at most half a second ago while somebody works on it. It fails with
// ErrNotFound.
func Find(ctx context.Context, m Marks, id string) (Job, error) {
	if _, _, err := store.ParseID(id); err != nil {
		return Job{}, ErrNotFound
	}
	return readJob(ctx, m, id)
}

// All reads the jobs that are remembered, newest first.
func All(ctx context.Context, m Marks) ([]Job, error) {
	x, _, err := readIndex(ctx, m)
	if err != nil {
		return nil, err
	}
	jobs := make([]Job, 0, len(x.IDs))
	for _, id := range x.IDs {
		j, err := readJob(ctx, m, id)
		if errors.Is(err, ErrNotFound) {
			continue // forgotten meanwhile
		}
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// Cancel ends a job: nothing more is asked for. What was asked for before goes out. Again it changes nothing.
// It fails with ErrNotFound, and with ErrDone.
func Cancel(ctx context.Context, m Marks, id string, now time.Time) (Job, error) {
	for range casTries {
		j, err := Find(ctx, m, id)
		switch {
		case err != nil || j.Phase == Canceled:
			return j, err
		case j.Phase == Done:
			return j, ErrDone
		}
		next := j
		next.Phase, next.EndedAt = Canceled, now.UTC()
		if err = j.write(ctx, m, next); errors.Is(err, errConflict) {
			continue
		}
		if err == nil && !j.active() {
			err = retire(ctx, m, id)
		}
		return j, err
	}
	return Job{}, fmt.Errorf("replay %s: %w", id, errConflict)
}
