package redisstore

import (
	"context"
	"errors"
	"fmt"

	"paynotify/store"
)

// errUnchanged ends a change that has nothing to change.
var errUnchanged = errors.New("nothing to change")

// changeTries bounds how often a change is computed again because somebody else was faster.
const changeTries = 32

// edit is a change of a record while it is computed: the record, to be modified, and what goes with it.
type edit struct {
	r        *record
	attempts []entry // to append
	release  bool    // the live claim ends
	how      string  // the attempt ended, see lua/change.lua; empty says nothing
	wake     bool    // tell whether the lane is ready
	hold     []byte  // the merchant, now held; nil leaves it
	holdAt   int64   // the revision that it must still have
	shrink   bool    // the body is written again, without attempts

	was place
}

// place is where a notification stands in the indexes.
type place struct {
	part, class string
	due         int64
	blocked     bool
	send        any
}

func placeOf(r *record) place {
	p := place{part: r.part(), blocked: r.n.Blocked, send: sendOf(&r.n)}
	p.class, p.due = dueOf(&r.n)
	return p
}

// change applies an edit to a record by compare-and-swap; fn may be called more than once, each time on a
// fresh copy, and its error is returned as it is. It fails with store.ErrNotFound.
func (s *Store) change(
	ctx context.Context, shard int, id string, fn func(e *edit) error,
) (*record, error) {
	r, err := s.fetch(ctx, shard, id)
	for range changeTries {
		switch {
		case errors.Is(err, errDamaged) && r != nil: // what a person or a late reply asks for still counts
		case err != nil:
			return nil, err
		case r == nil:
			return nil, store.ErrNotFound
		}
		e := &edit{r: r, was: placeOf(r)}
		if err := fn(e); err != nil {
			return nil, err
		}
		var raw string
		if _, raw, err = s.swap(ctx, shard, e); err != nil {
			return nil, err
		}
		if raw == swapped {
			return r, nil
		}
		if r, err = nil, nil; raw != "" {
			r, err = parseRecord(id, raw)
		}
	}
	return nil, fmt.Errorf("%w: %s is changed by others all the time", store.ErrUnavailable, id)
}

// swapped is what swap says instead of the record it found.
const swapped = "ok"

// swap writes an edit, if the record is still what the edit was computed from. Otherwise it answers with the
// record as it is, empty when there is none.
func (s *Store) swap(ctx context.Context, shard int, e *edit) (ready bool, raw string, err error) {
	reply, err := s.run(ctx, call{shard: shard, script: changeScript, args: s.changeArgs(e)})
	if err != nil {
		return false, "", err
	}
	if len(reply) < 2 {
		return false, "", fmt.Errorf("change answered %d values", len(reply))
	}
	if toInt(reply[1]) == 0 {
		if len(reply) > 2 {
			raw = toText(reply[2])
		}
		return false, raw, nil
	}
	if len(reply) > 3 && toInt(reply[3]) == 1 {
		s.cache.drop(e.r.n.MchID) // it says whether the breaker is open
	}
	return toInt(reply[2]) == 1, swapped, nil
}

// changeArgs are the arguments of lua/change.lua.
func (s *Store) changeArgs(e *edit) []any {
	r := e.r
	if e.release {
		r.token, r.claimed, r.class, r.claim = 0, 0, 0, claimed{}
	}
	r.n.InFlight = r.token != 0
	now := placeOf(r)
	base := r.n.CreatedAt.UnixMicro()
	var attempts []byte
	for i := range e.attempts {
		attempts = append(attempts, e.attempts[i].pack(base)...)
	}
	head, bodyAt := frontOf(r.rev+1, r.token, r.claimed, r.class)+string(r.header(base)), r.bodyAt+1
	if e.shrink {
		head += string(packBody(&r.n))
		bodyAt = len(r.raw) + 1
	}
	args := []any{
		r.n.MchID, r.n.NotifyID, r.front, head, bodyAt, attempts, len(e.attempts), r.n.AttemptCount,
		e.was.part, now.part, base, flag(e.release), e.how, flag(e.wake), s.opts.MaxInflightDefault,
	}
	if e.hold == nil && e.was.class == "" && now.class == "" && e.was.blocked == now.blocked &&
		e.was.send == now.send {
		return args
	}
	blocked := ""
	switch {
	case now.blocked && !e.was.blocked:
		blocked = "+"
	case e.was.blocked && !now.blocked:
		blocked = "-"
	}
	if e.was.send == now.send {
		e.was.send, now.send = "", ""
	}
	return append(args, e.was.class, now.class, now.due, blocked, e.was.send, now.send, e.hold, e.holdAt)
}

func flag(on bool) string {
	if on {
		return "1"
	}
	return ""
}
