package sqlitestore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"paynotify/store"
)

// How a list is found. Every filter alone, and with a merchant, has a way whose cost is that of its answer:
//
//   - an order number, a verdict or reason other than ack_exact, and the rare final states have indexes of
//     their own; a verdict is several of those, merged;
//   - a merchant's are the newest of its five states, each of which has its place in an index;
//   - everything else walks over the narrow rows, newest first, and soon has a page full. Where it may look
//     for few among many (pending, spent, held), it goes back walkRows rows and then takes the newest of
//     every merchant.

const (
	listMax  = 500
	walkRows = 20_000

	stateSpent = 1 // in states
)

// filter is what is asked for, in the words of the tables.
type filter struct {
	q     store.Query
	mch   int64 // 0 any
	state int   // number of the state; -1 any
	said  []int64
	says  bool // said counts
	held  heldFilter
	from  int64 // ids from here…
	below int64 // …and under here

	created string // what that means where rows may have been moved in; see createdClause
}

// List returns notifications newest first; see store.Store.
func (s *Store) List(ctx context.Context, q store.Query) (out []store.Notification, next string, err error) {
	q.Limit = min(max(q.Limit, 1), listMax)
	f, err := s.newFilter(ctx, q)
	if err != nil || f == nil {
		return nil, "", err
	}
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		ids, err := s.find(ctx, c, f, q.Limit+1)
		if err != nil {
			return err
		}
		if len(ids) > q.Limit {
			ids = ids[:q.Limit]
			next = cursor("n", ids[q.Limit-1])
		}
		for _, id := range ids {
			r, err := s.readRow(ctx, c, id)
			if err != nil {
				return err
			}
			if r != nil {
				out = append(out, r.n)
			}
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
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
		if slices.Contains(f.said, saidAckExact) { // whose last attempt was acknowledged is spent
			if f.state >= 0 && f.state != stateSpent {
				return nil, nil
			}
			f.state = stateSpent
		}
	}
	if q.MchID != "" || q.Held != "" {
		if err := s.do(ctx, f.ask); err != nil {
			return nil, err
		}
		if q.MchID != "" && f.mch == 0 {
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
		f.created = createdClause(f.from, to)
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
		f.mch = l.num
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

// clause is everything of the filter that SQL can check, but for the ids.
func (f *filter) clause() string {
	parts := []string{"id >= ? AND id < ?"}
	if f.created != "" {
		parts = append(parts, f.created)
	}
	if f.mch != 0 {
		parts = append(parts, fmt.Sprintf("mch = %d", f.mch))
	}
	if f.state >= 0 {
		parts = append(parts, fmt.Sprintf("state = %d", f.state))
	}
	if f.says {
		parts = append(parts, "said IN ("+numbers(f.said)+")")
	}
	if f.q.OutTradeNo != "" {
		parts = append(parts, "otn = ?")
	}
	return strings.Join(parts, " AND ")
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
	prefix := "n_"
	if f.mch != 0 {
		prefix = "n_mch_"
	}
	switch {
	case f.q.OutTradeNo != "":
		return f.scan(ctx, c, "INDEXED BY n_otn", "", f.from, most)
	case f.says && !slices.Contains(f.said, saidAckExact):
		return f.merge(ctx, c, prefix+"said", most)
	case f.mch != 0:
		return s.gather(ctx, c, f, []int64{f.mch}, most)
	case f.state > 1:
		return f.scan(ctx, c, "INDEXED BY n_final", " AND state > 1", f.from, most)
	case f.state < 0 && !f.held.asked:
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

// lanes lists all lanes by number.
func (s *Store) lanes(ctx context.Context) (nums []int64, err error) {
	err = s.do(ctx, func(w *writer) error {
		nums = slices.Collect(maps.Keys(w.byNum))
		return nil
	})
	return nums, err
}

// gather takes the newest of each lane and state that can match, and of the places where n_mch does not
// look: those in flight, and those held for their own address.
func (s *Store) gather(
	ctx context.Context, c *conn, f *filter, lanes []int64, most int,
) (ids []int64, err error) {
	for _, lane := range lanes {
		for state := range states {
			if !f.takes(lane, state) {
				continue
			}
			one := *f
			one.mch, one.state, one.held.asked = lane, state, false // answered by the choice of lanes
			some, err := one.scan(ctx, c, "INDEXED BY n_mch", " AND (state <> 0 OR due IS NOT NULL)", f.from, most)
			if err != nil {
				return nil, err
			}
			ids = append(ids, some...)
		}
		if len(ids) > 8*most {
			ids = newest(ids, most)
		}
	}
	others := s.claims.ids()
	some, err := f.scan(ctx, c, "INDEXED BY n_held", " AND held = 1", f.from, most)
	if err != nil {
		return nil, err
	}
	ids = append(ids, some...)
	for _, id := range others {
		if id < f.from || id >= f.below {
			continue
		}
		one := *f
		one.below = id + 1
		some, err := one.scan(ctx, c, "NOT INDEXED", "", id, 1)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	return newest(ids, most), nil
}

// takes tells whether rows of a lane and state, those held for their own address aside, can match.
func (f *filter) takes(lane int64, state int) bool {
	if f.state >= 0 && f.state != state {
		return false
	}
	return !f.held.asked || f.held.holds(lane, state, false) == f.held.want
}

// scan walks along one index, newest first, until it has enough matches.
func (f *filter) scan(
	ctx context.Context, c *conn, by, where string, from int64, most int,
) (ids []int64, err error) {
	text := fmt.Sprintf("SELECT %s FROM n %s WHERE %s%s ORDER BY id DESC", listColumns, by, f.clause(), where)
	if !f.held.asked {
		text += fmt.Sprintf(" LIMIT %d", most)
	}
	args := []any{from, f.below}
	if f.q.OutTradeNo != "" {
		args = append(args, f.q.OutTradeNo)
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

// merge takes the newest of all the verdicts and reasons that match.
func (f *filter) merge(ctx context.Context, c *conn, index string, most int) (ids []int64, err error) {
	for _, id := range f.said {
		one := *f
		one.said = []int64{id}
		some, err := one.scan(ctx, c, "INDEXED BY "+index, " AND said > 1", f.from, most)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	return newest(ids, most), nil
}

func newest(ids []int64, most int) []int64 {
	slices.SortFunc(ids, func(a, b int64) int { return int(b - a) })
	ids = slices.Compact(ids)
	return ids[:min(len(ids), most)]
}
