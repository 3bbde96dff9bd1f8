package sqlitestore

import (
	"context"
	"errors"
	"slices"
	"strings"

	"paynotify/store"
	"paynotify/store/packed"
)

// A merchant's notifications are in parts, by their state and by what was said last: each is one range of the
// index n_mch, in the order of time. The writer knows which parts a lane has had, so that whoever looks for
// something looks only where there may be some, and a question over all merchants is a few thousand looks at
// an index at most, made partsAtOnce in one statement.
//
// Not in n_mch, and looked at apart: those in flight since they were accepted, which the live row names, and
// those held for their own address, which n_held has.

// part is a state, as its number, and a number of the dictionary of verdicts and reasons.
type part struct {
	state byte
	said  int64
}

// inParts is the condition of the index n_mch; a query must repeat it.
const inParts = "(state <> 0 OR due IS NOT NULL)"

const (
	partsAtOnce = 64
	partsFew    = 8
)

// note remembers the part that a row is in, or is about to be in.
func (w *writer) note(r *row) {
	l := w.byNum[r.mch]
	switch {
	case l == nil:
	case r.n.Blocked:
		l.owns = true
	case r.n.State != store.Pending || r.due != 0:
		l.note(part{number(states, r.n.State), r.said})
	}
}

// note never takes anything back: readers keep what they were given.
func (l *lane) note(p part) {
	if !slices.Contains(l.parts, p) {
		l.parts = append(l.parts, p)
	}
}

// loadParts asks the index which parts a lane has: one look for each.
func (l *lane) loadParts(c *conn) error {
	const next = "SELECT state, said FROM n INDEXED BY n_mch WHERE mch = ? AND (state, said) > (?, ?) AND " +
		inParts + " ORDER BY state, said LIMIT 1"
	state, said := int64(-1), int64(-1)
	for {
		found, err := c.query(context.Background(), next, l.num, state, said).
			one(func(r *rows) { state, said = r.int(0), r.int(1) })
		if err != nil || !found {
			return err
		}
		if state >= 0 && state < int64(len(states)) {
			l.parts = append(l.parts, part{byte(state), said})
		}
	}
}

// spot is a part of a lane.
type spot struct {
	mch int64
	part
}

// laneView is what readers know of a lane.
type laneView struct {
	num   int64
	id    string
	parts []part
	owns  bool
}

// lanes lists all lanes, also those of deleted merchants.
func (s *Store) lanes(ctx context.Context) ([]laneView, error) {
	var all []laneView
	err := s.do(ctx, func(w *writer) error {
		all = make([]laneView, 0, len(w.byNum))
		for _, l := range w.byNum {
			all = append(all, l.view())
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (l *lane) view() laneView { return laneView{l.num, l.id, l.parts, l.owns} }

// spots are the parts of lanes in which something may match.
func (f *filter) spots(lanes []laneView) (out []spot) {
	for _, l := range lanes {
		for _, p := range l.parts {
			if f.takes(l.num, int(p.state), false) && (!f.says || slices.Contains(f.said, p.said)) {
				out = append(out, spot{l.num, p})
			}
		}
	}
	return out
}

// withSpots is the beginning of a statement about some spots, and its arguments: the table p of them, each
// with its number, as long as one of two lengths so that few statements stay prepared.
func withSpots(spots []spot) (text string, args []any) {
	size := partsAtOnce
	if len(spots) <= partsFew {
		size = partsFew
	}
	args = make([]any, 0, 4*size+8)
	for i := range size {
		at := spot{mch: -1} // of nobody
		if i < len(spots) {
			at = spots[i]
		}
		args = append(args, int64(i), at.mch, int64(at.state), at.said)
	}
	return "WITH p(i, m, s, d) AS (VALUES (?, ?, ?, ?)" + strings.Repeat(", (?, ?, ?, ?)", size-1) + ") ", args
}

const inSpot = "n INDEXED BY n_mch WHERE mch = p.m AND state = p.s AND said = p.d AND " + inParts

// atEach asks one thing about each spot, a number, and calls fn for those that have one. what is a scalar
// query about one of them, without its limits of time; more are the arguments of its end.
func (f *filter) atEach(
	ctx context.Context, c *conn, spots []spot, what, end string, fn func(i int, v int64), more ...any,
) error {
	bounds, limits := f.bounds()
	for from := 0; from < len(spots); from += partsAtOnce {
		text, args := withSpots(spots[from:min(from+partsAtOnce, len(spots))])
		text += "SELECT i, (SELECT " + what + " FROM " + inSpot + bounds + end + ") FROM p"
		rs := c.query(ctx, text, append(append(args, limits...), more...)...)
		for rs.next() {
			if i := from + int(rs.int(0)); i < len(spots) && !rs.null(1) {
				fn(i, rs.int(1))
			}
		}
		if err := errors.Join(rs.close(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// inAll lists what is in some spots and meets a condition, with its arguments, until fn says false.
func (f *filter) inAll(
	ctx context.Context, c *conn, spots []spot, condition string, more []any, fn func(id int64) bool,
) error {
	bounds, limits := f.bounds()
	for from := 0; from < len(spots); from += partsAtOnce {
		text, args := withSpots(spots[from:min(from+partsAtOnce, len(spots))])
		text += "SELECT id FROM p CROSS JOIN " + inSpot + bounds + condition
		rs := c.query(ctx, text, append(append(args, limits...), more...)...)
		for rs.next() {
			if !fn(rs.int(0)) {
				return rs.close()
			}
		}
		if err := errors.Join(rs.close(), ctx.Err()); err != nil {
			return err
		}
	}
	return nil
}

// owners are the lanes that may have something held for its own address that matches.
func (f *filter) owners(lanes []laneView) (out []int64) {
	for _, l := range lanes {
		if l.owns && f.takes(l.num, 0, true) {
			out = append(out, l.num)
		}
	}
	return out
}

// bounds are the limits of time as a condition, and its arguments.
func (f *filter) bounds() (text string, args []any) {
	text, args = " AND id >= ? AND id < ?", []any{f.from, f.below}
	if f.moved {
		text, args = text+createdBetween, append(args, createdArgs(f.createdFrom, f.createdTo)...)
	}
	return text, args
}

// flying lists what is in flight, as the snapshot has it that a reader sees.
func (s *Store) flying(ctx context.Context, c *conn) (ids []int64, err error) {
	var claims []byte
	_, err = c.query(ctx, "SELECT claims FROM live").one(func(r *rows) { claims = r.blob(0) })
	if err != nil || len(claims) == 0 {
		return nil, err
	}
	if claims, err = opened(claims); err != nil {
		return s.claims.ids(), nil //nolint:nilerr // damaged: what is in memory is as good
	}
	d := packed.Reader{B: claims}
	d.Byte()
	for range d.Count() {
		if l := readClaim(&d); !d.Bad {
			ids = append(ids, l.id)
		}
	}
	return ids, nil
}

// eachFlying calls fn for what matches and is in flight since it was accepted.
func (s *Store) eachFlying(ctx context.Context, c *conn, f *filter, fn func(id, mch int64)) error {
	if f.state > 0 {
		return nil // all are pending
	}
	ids, err := s.flying(ctx, c)
	if err != nil {
		return err
	}
	clause, args := f.clause()
	text := "SELECT id, mch FROM n WHERE id = ? AND state = 0 AND due IS NULL AND held IS NULL AND " + clause
	for _, id := range ids {
		if id < f.from || id >= f.below {
			continue
		}
		_, err := c.query(ctx, text, append([]any{id}, args...)...).one(func(r *rows) {
			if f.takes(r.int(1), 0, false) {
				fn(r.int(0), r.int(1))
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}
