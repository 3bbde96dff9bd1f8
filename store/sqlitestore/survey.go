package sqlitestore

import (
	"context"
	"math"
	"slices"
	"time"

	"paynotify/store"
)

// How a survey is made: lane by lane, through the parts that match (see parts.go), each of which is one range
// of an index. A count walks over that range, which costs 0.1 µs a notification.

// population is what a survey is about.
type population struct {
	*filter
	names  map[int64]string // of the lanes that count
	spots  []spot
	owners []int64 // lanes with something held for its own address
}

// survey calls fn with what matches a query.
func (s *Store) survey(
	ctx context.Context, q store.Query, fn func(ctx context.Context, c *conn, p *population) error,
) error {
	if err := q.CheckSurvey(); err != nil {
		return err
	}
	return s.look(ctx, q, func(ctx context.Context, c *conn, f *filter) error {
		p, err := s.populate(ctx, f)
		if err != nil {
			return err
		}
		return fn(ctx, c, p)
	})
}

// populate finds out where to look. Without a merchant, the engine's own are left out.
func (s *Store) populate(ctx context.Context, f *filter) (*population, error) {
	lanes := f.lanes
	if f.mch == 0 {
		all, err := s.lanes(ctx)
		if err != nil {
			return nil, err
		}
		lanes = slices.DeleteFunc(all, func(l laneView) bool { return store.Reserved(l.id) })
	}
	p := &population{filter: f, names: make(map[int64]string, len(lanes))}
	for _, l := range lanes {
		p.names[l.num] = l.id
	}
	p.spots, p.owners = f.spots(lanes), f.owners(lanes)
	return p, nil
}

// Count counts what matches; see store.Survey.
func (s *Store) Count(ctx context.Context, q store.Query, most int) (out store.Counts, err error) {
	limit := int64(math.MaxInt64)
	if most > 0 {
		limit = int64(most)
	}
	err = s.survey(ctx, q, func(ctx context.Context, c *conn, p *population) error {
		out, err = s.count(ctx, c, p, limit)
		return err
	})
	if out.ByMerchant == nil {
		out.ByMerchant = make(map[string]int)
	}
	return out, err
}

// count counts, and stops once there are more than limit.
func (s *Store) count(
	ctx context.Context, c *conn, p *population, limit int64,
) (out store.Counts, err error) {
	out.ByMerchant = make(map[string]int)
	add := func(mch, n int64) {
		if n > 0 && p.names[mch] != "" {
			out.ByMerchant[p.names[mch]] += int(n)
			out.Total += int(n)
		}
	}
	err = s.eachFlying(ctx, c, p.filter, func(_, mch int64) { add(mch, 1) })
	if err != nil {
		return out, err
	}
	for _, mch := range p.owners {
		where, args := p.ownWhere(mch)
		_, err := c.query(ctx, "SELECT count(*) FROM n "+where, args...).one(func(r *rows) { add(mch, r.int(0)) })
		if err != nil {
			return out, err
		}
	}
	if limit < math.MaxInt64 {
		err = p.countSome(ctx, c, limit, &out, add)
		return out, err
	}
	return out, p.atEach(ctx, c, p.spots, "count(*)", "", func(i int, n int64) { add(p.spots[i].mch, n) })
}

// countSome counts until there are more than limit, and no part further than that: a few parts first, and
// many at once when those had little. Spots that have nothing are taken off the list, if it comes to its
// end.
func (p *population) countSome(
	ctx context.Context, c *conn, limit int64, out *store.Counts, add func(mch, n int64),
) error {
	const what, end = "count(*) FROM (SELECT id", " LIMIT ?)"
	full := make([]spot, 0, len(p.spots))
	size := partsFew
	for rest := p.spots; len(rest) > 0; size = partsAtOnce {
		if int64(out.Total) > limit {
			out.More = true
			return nil
		}
		if int64(out.Total) > limit/2 {
			size = partsFew
		}
		some := rest[:min(len(rest), size)]
		rest = rest[len(some):]
		err := p.atEach(ctx, c, some, what, end, func(i int, n int64) {
			add(some[i].mch, n)
			if n > 0 {
				full = append(full, some[i])
			}
		}, limit+1)
		if err != nil {
			return err
		}
	}
	p.spots, out.More = full, int64(out.Total) > limit
	return nil
}

// ownWhere finds what is held for its own address in a lane, and matches.
func (p *population) ownWhere(mch int64) (where string, args []any) {
	bounds, limits := p.bounds()
	where = "INDEXED BY n_held WHERE mch = ? AND held = 1" + bounds
	if p.says {
		where += " AND said IN (" + numbers(p.said) + ")"
	}
	return where, append([]any{mch}, limits...)
}

// Oldest is when the oldest was accepted that matches; see store.Survey.
func (s *Store) Oldest(ctx context.Context, q store.Query) (at time.Time, err error) {
	err = s.survey(ctx, q, func(ctx context.Context, c *conn, p *population) error {
		oldest := int64(math.MaxInt64)
		see := func(id int64) { oldest = min(oldest, id) }
		err := p.atEach(ctx, c, p.spots, "id", " ORDER BY id LIMIT 1", func(_ int, id int64) { see(id) })
		if err != nil {
			return err
		}
		err = s.eachFlying(ctx, c, p.filter, func(id, mch int64) {
			if p.names[mch] != "" {
				see(id)
			}
		})
		if err != nil {
			return err
		}
		for _, mch := range p.owners {
			where, args := p.ownWhere(mch)
			_, err := c.query(ctx, "SELECT id FROM n "+where+" ORDER BY id LIMIT 1", args...).
				one(func(r *rows) { see(r.int(0)) })
			if err != nil {
				return err
			}
		}
		if oldest == math.MaxInt64 {
			return nil
		}
		if at = time.UnixMicro(oldest).UTC(); oldest > s.movedUpTo.Load() {
			return nil
		}
		at, err = s.oldestMoved(ctx, c, p, oldest)
		return err
	})
	return at, err
}

// oldestMoved looks among the matches that lie no more than movedBehind behind the first one: they may have
// been accepted before it, see moved.go.
func (s *Store) oldestMoved(
	ctx context.Context, c *conn, p *population, first int64,
) (at time.Time, err error) {
	one := *p.filter
	one.below = min(p.below, first+movedBehind)
	near := *p
	near.filter = &one
	ids, err := s.idsOf(ctx, c, &near, math.MaxInt)
	if err != nil {
		return at, err
	}
	ns, err := s.readRows(ctx, c, ids)
	for i := range ns {
		if at.IsZero() || ns[i].CreatedAt.Before(at) {
			at = ns[i].CreatedAt
		}
	}
	return at, err
}

// idsOf lists all matches, in no order, or of more than most some more than that.
func (s *Store) idsOf(ctx context.Context, c *conn, p *population, most int) (ids []int64, err error) {
	err = s.eachFlying(ctx, c, p.filter, func(id, mch int64) {
		if p.names[mch] != "" {
			ids = append(ids, id)
		}
	})
	if err != nil {
		return nil, err
	}
	return ids, p.each(ctx, c, "", nil, func(id int64) bool {
		ids = append(ids, id)
		return len(ids) <= most
	})
}

// each calls fn with all matches that meet a condition, but for those in flight, until it says false.
func (p *population) each(
	ctx context.Context, c *conn, condition string, more []any, fn func(id int64) bool,
) error {
	for _, mch := range p.owners {
		where, args := p.ownWhere(mch)
		rs := c.query(ctx, "SELECT id FROM n "+where+condition, append(args, more...)...)
		for rs.next() {
			if !fn(rs.int(0)) {
				return rs.close()
			}
		}
		if err := rs.close(); err != nil {
			return err
		}
	}
	return p.inAll(ctx, c, p.spots, condition, more, fn)
}
