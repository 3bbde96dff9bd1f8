package sqlitestore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"paynotify/store"
)

// How a list is found. Every filter alone, and with a merchant, has a way whose cost is that of its answer
// and of a look at an index for each part (see parts.go) that may have some of it:
//
//   - an order number, a verdict or reason other than ack_exact, and the rare final states have indexes of
//     their own over all merchants; a verdict is several of those, merged;
//   - a merchant's are the newest of those of its parts that match;
//   - everything else walks over the narrow rows, newest first, and soon has a page full. Where it may look
//     for few among many (pending, spent, held), it goes back walkRows rows and then takes the newest of the
//     parts of all merchants.
//
// What is kept in memory about lanes and words is asked for when the reader has its snapshot already: so it
// has every part that the snapshot has.

const (
	listMax  = 500
	walkRows = 4096
)

// filter is what is asked for, in the words of the tables.
type filter struct {
	q     store.Query
	lanes []laneView // the merchant's, if one is asked for
	mch   int64      // 0 any
	state int        // number of the state; -1 any
	said  []int64
	says  bool // said counts
	held  heldFilter
	from  int64 // ids from here…
	below int64 // …and under here

	moved                  bool // rows may lie behind their notify_id…
	createdFrom, createdTo int64
}

// List returns notifications newest first; see store.Store.
func (s *Store) List(ctx context.Context, q store.Query) (out []store.Notification, next string, err error) {
	q.Limit = min(max(q.Limit, 1), listMax)
	err = s.look(ctx, q, func(ctx context.Context, c *conn, f *filter) error {
		ids, err := s.find(ctx, c, f, q.Limit+1)
		if err != nil {
			return err
		}
		if len(ids) > q.Limit {
			ids = ids[:q.Limit]
			next = cursor("n", ids[q.Limit-1])
		}
		out, err = s.readRows(ctx, c, ids)
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// look calls fn with a filter that fits the snapshot of its reader, unless nothing can match.
func (s *Store) look(
	ctx context.Context, q store.Query, fn func(ctx context.Context, c *conn, f *filter) error,
) error {
	return s.read(ctx, func(ctx context.Context, c *conn) error {
		if _, err := c.query(ctx, "SELECT one FROM live").one(func(*rows) {}); err != nil { // the snapshot
			return err
		}
		f, err := s.newFilter(ctx, q)
		if err != nil || f == nil {
			return err
		}
		return fn(ctx, c, f)
	})
}

// newFilter translates a query; nil is one that nothing can match.
func (s *Store) newFilter(ctx context.Context, q store.Query) (*filter, error) {
	f := &filter{q: q, state: -1, below: 1 << 62, says: q.Verdict != "" || q.Reason != ""}
	if q.Cursor != "" {
		below, err := parseCursor("n", q.Cursor)
		if err != nil {
			return nil, err
		}
		f.below = below
	}
	s.limit(f)
	if q.State != "" {
		if f.state = slices.Index(states, q.State); f.state < 0 {
			return nil, nil
		}
	}
	if f.says {
		if f.said = s.words.matching(q.Verdict, q.Reason); len(f.said) == 0 {
			return nil, nil
		}
	}
	if q.MchID != "" || q.Held != "" {
		if err := s.do(ctx, f.ask); err != nil {
			return nil, err
		}
		if q.MchID != "" && f.mch == 0 || f.held.asked && f.held.want && f.state > 0 {
			return nil, nil
		}
	}
	return f, nil
}

// limit sets the bounds of ids from those of CreatedAt.
func (s *Store) limit(f *filter) {
	to := int64(1 << 62)
	if !f.q.CreatedFrom.IsZero() {
		f.from = (f.q.CreatedFrom.UnixNano() + 999) / 1000
	}
	if !f.q.CreatedTo.IsZero() {
		to = (f.q.CreatedTo.UnixNano() + 999) / 1000
	}
	if upTo := s.movedUpTo.Load(); f.from <= upTo && (f.from > 0 || to <= upTo) {
		f.moved, f.createdFrom, f.createdTo = true, f.from, to
		to += movedBehind
	}
	f.below = min(f.below, to)
}

// heldFilter is a question about holding, answered from memory: which lanes are held.
type heldFilter struct {
	asked  bool
	want   bool           // held, or not held
	all    bool           // every pending one is, by the switch
	own    bool           // those held for their own address are
	lanes  map[int64]bool // those of these lanes are
	over   map[int64]bool // those of these lanes are not, whatever own says: another reason comes first
	others bool           // those whose own address is refused are not: that reason comes first
}

// ask learns from the writer what the filter needs to know about lanes.
func (f *filter) ask(w *writer) error {
	if l := w.lanes[f.q.MchID]; l != nil {
		f.mch, f.lanes = l.num, []laneView{l.view()}
	}
	if f.q.Held == "" {
		return nil
	}
	either := f.q.Held == "true" || f.q.Held == "false"
	h := heldFilter{asked: true, want: f.q.Held != "false", lanes: map[int64]bool{}, over: map[int64]bool{}}
	h.all = w.sending.Paused && (either || f.q.Held == store.HeldSendingPaused)
	if w.sending.Paused && !either { // the switch is the first reason, for all
		f.held = h
		return nil
	}
	h.own = either || f.q.Held == store.HeldAddressBlocked
	for num, l := range w.byNum {
		paused := l.pausedAt(w.now)
		switch f.q.Held {
		case "true", "false":
			h.lanes[num] = paused || l.blocked || l.breaker.Open
		case store.HeldMerchantPaused:
			h.lanes[num] = paused
		case store.HeldAddressBlocked:
			h.lanes[num], h.over[num] = l.blocked && !paused, paused
		case store.HeldBreakerOpen:
			h.lanes[num] = l.breaker.Open && !l.closed(w.now)
			h.others = true
		}
	}
	f.held = h
	return nil
}

// holds tells whether a row is held in the way that is asked for.
func (h *heldFilter) holds(mch int64, state int, own bool) bool {
	return state == 0 && (h.all || h.lanes[mch] && !(own && h.others) || own && h.own && !h.over[mch])
}

const listColumns = "id, mch, state, held"

// clause is everything of the filter that SQL can check, and its arguments.
func (f *filter) clause() (text string, args []any) {
	text, args = f.bounds()
	text = strings.TrimPrefix(text, " AND ")
	if f.mch != 0 {
		text, args = text+" AND mch = ?", append(args, f.mch)
	}
	if f.state >= 0 {
		text, args = text+" AND state = ?", append(args, int64(f.state))
	}
	if f.says {
		text += " AND said IN (" + numbers(f.said) + ")"
	}
	if f.q.OutTradeNo != "" {
		text, args = text+" AND otn = ?", append(args, f.q.OutTradeNo)
	}
	return text, args
}

func numbers(list []int64) string {
	var b strings.Builder
	for i, v := range list {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, v)
	}
	return b.String()
}

// find returns the ids of at most most matches, newest first.
func (s *Store) find(ctx context.Context, c *conn, f *filter, most int) ([]int64, error) {
	switch {
	case f.q.OutTradeNo != "":
		return f.scan(ctx, c, "INDEXED BY n_otn", "", f.from, most)
	case f.mch != 0:
		return s.gather(ctx, c, f, f.lanes, most)
	case f.says && !f.held.asked && !slices.Contains(f.said, saidAckExact):
		return f.merge(ctx, c, most)
	case f.state > 1 && !f.says:
		return f.scan(ctx, c, "INDEXED BY n_final", " AND state > 1", f.from, most)
	case f.state < 0 && !f.says && !f.held.asked:
		return f.scan(ctx, c, "NOT INDEXED", "", f.from, most)
	}
	floor, err := f.floor(ctx, c)
	if err != nil {
		return nil, err
	}
	ids, err := f.scan(ctx, c, "NOT INDEXED", "", max(f.from, floor), most)
	if err != nil || len(ids) == most || floor <= f.from {
		return ids, err
	}
	lanes, err := s.lanes(ctx)
	if err != nil {
		return nil, err
	}
	return s.gather(ctx, c, f, lanes, most)
}

// floor is the id that lies walkRows rows back; 0 when there are fewer.
func (f *filter) floor(ctx context.Context, c *conn) (id int64, err error) {
	const text = "SELECT id FROM n WHERE id < ? ORDER BY id DESC LIMIT 1 OFFSET ?"
	rs := c.query(ctx, text, f.below, int64(walkRows))
	_, err = rs.one(func(r *rows) { id = r.int(0) })
	return id, err
}

// gather takes the newest of all parts of lanes that match, and of what is in no part. It asks each part for
// its newest first, and then goes only into those that may have one of the newest of all.
func (s *Store) gather(
	ctx context.Context, c *conn, f *filter, lanes []laneView, most int,
) ([]int64, error) {
	type head struct {
		spot
		newest int64
	}
	var heads []head
	spots := f.spots(lanes)
	err := f.atEach(ctx, c, spots, "id", " ORDER BY id DESC LIMIT 1", func(i int, id int64) {
		heads = append(heads, head{spots[i], id})
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(heads, func(a, b head) int { return cmp.Compare(b.newest, a.newest) })
	top := newest{most: most}
	for _, h := range heads {
		if h.newest < top.floor {
			break
		}
		const where = "INDEXED BY n_mch WHERE mch = ? AND state = ? AND said = ? AND " + inParts
		if err := top.take(ctx, c, f, where, h.mch, int64(h.state), h.said); err != nil {
			return nil, err
		}
	}
	for _, mch := range f.owners(lanes) {
		where := "INDEXED BY n_held WHERE mch = ? AND held = 1"
		if f.says {
			where += " AND said IN (" + numbers(f.said) + ")"
		}
		if err := top.take(ctx, c, f, where, mch); err != nil {
			return nil, err
		}
	}
	err = s.eachFlying(ctx, c, f, func(id, _ int64) { top.ids = append(top.ids, id) })
	if err != nil {
		return nil, err
	}
	top.cut()
	return top.ids, nil
}

// takes tells whether pending rows of a lane, those held for their own address or the others, or rows of
// another state, can match.
func (f *filter) takes(lane int64, state int, own bool) bool {
	if f.state >= 0 && f.state != state {
		return false
	}
	return !f.held.asked || f.held.holds(lane, state, own) == f.held.want
}

// scan walks along one index, newest first, until it has enough matches.
func (f *filter) scan(
	ctx context.Context, c *conn, by, where string, from int64, most int,
) (ids []int64, err error) {
	one := *f
	one.from = from
	clause, args := one.clause()
	text := fmt.Sprintf("SELECT %s FROM n %s WHERE %s%s ORDER BY id DESC", listColumns, by, clause, where)
	if !f.held.asked {
		text, args = text+" LIMIT ?", append(args, int64(most))
	}
	rs := c.queryOnce(ctx, text, args...)
	for n := 0; len(ids) < most && rs.next(); n++ {
		if n%256 == 0 && ctx.Err() != nil {
			break
		}
		if !f.held.asked || f.held.holds(rs.int(1), int(rs.int(2)), rs.int(3) == 1) == f.held.want {
			ids = append(ids, rs.int(0))
		}
	}
	if err := rs.close(); err != nil {
		return nil, err
	}
	return ids, ctx.Err()
}

// merge takes the newest of all the verdicts and reasons that match, in each state that does.
func (f *filter) merge(ctx context.Context, c *conn, most int) ([]int64, error) {
	top := newest{most: most}
	for _, said := range f.said {
		for state := range states {
			if f.state >= 0 && f.state != state {
				continue
			}
			const where = "INDEXED BY n_said WHERE said = ? AND state = ? AND said > 1"
			if err := top.take(ctx, c, f, where, said, int64(state)); err != nil {
				return nil, err
			}
		}
	}
	top.cut()
	return top.ids, nil
}

// newest keeps the newest ids of all that it is given.
type newest struct {
	most  int
	ids   []int64
	floor int64 // none below it is among them
}

// take adds the newest of one range of an index.
func (t *newest) take(ctx context.Context, c *conn, f *filter, where string, args ...any) error {
	one := *f
	one.from = max(f.from, t.floor)
	bounds, limits := one.bounds()
	text := "SELECT id FROM n " + where + bounds + " ORDER BY id DESC LIMIT ?"
	rs := c.query(ctx, text, append(append(args, limits...), int64(t.most))...)
	for rs.next() {
		t.ids = append(t.ids, rs.int(0))
	}
	if len(t.ids) >= 2*t.most {
		t.cut()
	}
	return errors.Join(rs.close(), ctx.Err())
}

// cut drops all but the newest.
func (t *newest) cut() {
	slices.SortFunc(t.ids, func(a, b int64) int { return cmp.Compare(b, a) })
	t.ids = slices.Compact(t.ids)
	if len(t.ids) >= t.most {
		t.ids = t.ids[:t.most]
		t.floor = t.ids[t.most-1]
	}
}

// readRows reads whole notifications, in the order of their ids in the list; what is not there any more is
// left out. A damaged one is shown as far as it can be read.
func (s *Store) readRows(ctx context.Context, c *conn, ids []int64) ([]store.Notification, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	const atOnce = 64
	text := selectMany + strings.Repeat(", ?", atOnce-1) + ")"
	names := s.mchIDOn(ctx, c)
	at := make(map[int64]int, len(ids))
	for i, id := range ids {
		at[id] = i
	}
	out := make([]store.Notification, len(ids))
	args := make([]any, atOnce)
	for rest := ids; len(rest) > 0; rest = rest[min(atOnce, len(rest)):] {
		for i := range args {
			args[i] = rest[min(i, len(rest)-1)]
		}
		rs := c.query(ctx, text, args...)
		for rs.next() {
			var r row
			_ = r.scan(rs, names, s.words)
			_ = unpackBody(rs.blob(9), &r.n)
			r.n.InFlight = s.claims.inFlight(r.id)
			out[at[r.id]] = r.n
		}
		if err := errors.Join(rs.close(), ctx.Err()); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(out, func(n store.Notification) bool { return n.State == "" }), nil
}
