package notices

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// positionMark is the name of the mark that says how far the feed was told, and who tells it.
const positionMark = "callback"

// leaseFor is how long a follower that says nothing keeps the others waiting. It says something three times
// as often at least.
const leaseFor = 9 * time.Second

// errDeposed says that another process has written what only the one that follows writes.
var errDeposed = errors.New("another process follows")

// Marks are the small durable texts of a store.
type Marks interface {
	// Mark returns the text of a name, empty when there is none.
	Mark(ctx context.Context, name string) (string, error)
	// SetMark sets a text that is was until then; false when it is something else.
	SetMark(ctx context.Context, name, was, value string) (done bool, err error)
}

// position is how far the feed was told, and who is telling. Both change in one step: whoever lost the lease
// cannot move the position.
type position struct {
	Cursor string    `json:"cursor"` // of store.Store.Attempts
	Missed int       `json:"missed"` // how often the feed was cut before it was read
	Owner  string    `json:"owner"`
	Until  time.Time `json:"until"` // end of the lease; zero = of none

	text string // as it is in the store
}

// readPosition reads the position; its cursor is empty when there was none, or none that can be read.
func readPosition(ctx context.Context, m Marks) (position, error) {
	text, err := m.Mark(ctx, positionMark)
	if err != nil {
		return position{}, err
	}
	p := position{text: text}
	if text != "" && json.Unmarshal([]byte(text), &p) != nil {
		p = position{text: text, Missed: 1}
	}
	return p, nil
}

// write replaces the position p by next. It fails with errDeposed when p is not what the store has any more.
func (p *position) write(ctx context.Context, m Marks, next position) error {
	text, err := json.Marshal(next)
	if err != nil {
		return fmt.Errorf("position: %w", err)
	}
	done, err := m.SetMark(ctx, positionMark, p.text, string(text))
	if err == nil && !done {
		// Perhaps it is ours: the answer to an earlier try was lost.
		now, lookErr := m.Mark(ctx, positionMark)
		if done = lookErr == nil && now == string(text); !done {
			err = errors.Join(errDeposed, lookErr)
		}
	}
	if err == nil {
		*p, p.text = next, string(text)
	}
	return err
}

// free reports whether nobody else holds the lease at now.
func (p *position) free(self string, now time.Time) bool {
	return p.Owner == "" || p.Owner == self || !now.Before(p.Until)
}

// Status is how following stands.
type Status struct {
	Missed int    // how often the feed was cut before it was read: events of that time were not told
	Owner  string // the process that follows; empty = none
}

// StatusOf reads how following stands at now, whichever process follows.
func StatusOf(ctx context.Context, m Marks, now time.Time) (Status, error) {
	p, err := readPosition(ctx, m)
	if !p.Until.IsZero() && !now.Before(p.Until) {
		p.Owner = ""
	}
	return Status{Missed: p.Missed, Owner: p.Owner}, err
}
