package sqlitestore

import (
	"context"
	"slices"
	"strings"
	"time"

	"paynotify/store"
)

const (
	blockedRead = 4096 // of those held for their own address are read; of more, a sample

	classes = 3 // of a lane in the due index; see store.Classes
)

// outlook counts what is due, in microseconds.
type outlook struct {
	store.Outlook

	from, step, end int64
}

// add counts n that are due at an instant.
func (o *outlook) add(due int64, n int) {
	switch {
	case due < o.from:
		o.Overdue += n
	case due < o.end:
		o.Due[(due-o.from)/o.step] += n
	default:
		o.Later += n
	}
}

// Outlook counts the sends to come from the due index; see store.Survey.
func (s *Store) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (store.Outlook, error) {
	o := outlook{Outlook: store.Outlook{At: s.Now(), Due: make([]int, steps), Exact: true}}
	o.from, o.step = (from.UnixNano()+999)/1000, max(1, step.Microseconds())
	o.end = o.from + o.step*int64(steps)
	err := s.survey(ctx, store.Query{MchID: mchID}, func(ctx context.Context, c *conn, p *population) error {
		var lanes []int64
		for num := range p.names {
			lanes = append(lanes, num)
		}
		slices.Sort(lanes)
		for some := range slices.Chunk(lanes, partsAtOnce/classes) {
			if err := o.countLanes(ctx, c, some); err != nil {
				return err
			}
		}
		if err := s.notFlying(ctx, c, p, &o); err != nil {
			return err
		}
		return s.addBlocked(ctx, c, p, &o)
	})
	return o.Outlook, err
}

// countLanes counts what some lanes have in the due index.
func (o *outlook) countLanes(ctx context.Context, c *conn, lanes []int64) error {
	const count = "(SELECT count(*) FROM n INDEXED BY n_due WHERE mch = p.m AND class = p.c AND " +
		"due IS NOT NULL AND "
	text := "WITH p(m, c) AS (VALUES (?, ?)" + strings.Repeat(", (?, ?)", partsAtOnce-1) + ") SELECT m, c, " +
		count + "due < ?), " + count + "due >= ? AND due < ?), " + count + "due >= ?) FROM p"
	args := make([]any, 0, 2*partsAtOnce+4)
	for i := range partsAtOnce {
		lane := int64(-1) // of nobody
		if i/classes < len(lanes) {
			lane = lanes[i/classes]
		}
		args = append(args, lane, int64(i%classes))
	}
	type share struct{ lane, class, n int64 }
	var soon []share
	rs := c.query(ctx, text, append(args, o.from, o.from, o.end, o.end)...)
	for rs.next() {
		o.Overdue += int(rs.int(2))
		o.Later += int(rs.int(4))
		if n := rs.int(3); n > 0 {
			soon = append(soon, share{rs.int(0), rs.int(1), n})
		}
	}
	if err := rs.close(); err != nil {
		return err
	}
	for _, x := range soon {
		err := ctx.Err()
		switch {
		case err != nil:
		case x.n > 4*int64(len(o.Due)):
			err = o.countSteps(ctx, c, x.lane, x.class)
		default:
			err = o.readDue(ctx, c, x.lane, x.class)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// countSteps counts a crowd step by step.
func (o *outlook) countSteps(ctx context.Context, c *conn, lane, class int64) error {
	text := "WITH p(a) AS (VALUES (?)" + strings.Repeat(", (?)", partsAtOnce-1) + ") SELECT a, (" +
		"SELECT count(*) FROM n INDEXED BY n_due WHERE mch = ? AND class = ? AND due IS NOT NULL AND " +
		"due >= p.a AND due < p.a + ?) FROM p"
	for first := 0; first < len(o.Due); first += partsAtOnce {
		args := make([]any, 0, partsAtOnce+3)
		for i := range partsAtOnce {
			args = append(args, o.from+int64(first+i)*o.step)
		}
		rs := c.query(ctx, text, append(args, lane, class, o.step)...)
		for rs.next() {
			if i := (rs.int(0) - o.from) / o.step; i < int64(len(o.Due)) {
				o.Due[i] += int(rs.int(1))
			}
		}
		if err := rs.close(); err != nil {
			return err
		}
	}
	return nil
}

// readDue reads the instants one by one.
func (o *outlook) readDue(ctx context.Context, c *conn, lane, class int64) error {
	rs := c.query(ctx, "SELECT due FROM n INDEXED BY n_due WHERE mch = ? AND class = ? AND due IS NOT NULL AND "+
		"due >= ? AND due < ?", lane, class, o.from, o.end)
	for rs.next() {
		o.add(rs.int(0), 1)
	}
	return rs.close()
}

// notFlying takes away what stands in the due index though it is in flight.
func (s *Store) notFlying(ctx context.Context, c *conn, p *population, o *outlook) error {
	ids, err := s.flying(ctx, c)
	if err != nil {
		return err
	}
	for _, id := range ids {
		_, err := c.query(ctx, "SELECT mch, due FROM n WHERE id = ? AND due IS NOT NULL", id).one(func(r *rows) {
			if p.names[r.int(0)] != "" {
				o.add(r.int(1), -1)
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addBlocked adds what is held for its own address: it is in no due index, its rows say when it was planned.
func (s *Store) addBlocked(ctx context.Context, c *conn, p *population, o *outlook) error {
	for _, mch := range p.owners {
		where, args := p.ownWhere(mch)
		total := 0
		_, err := c.query(ctx, "SELECT count(*) FROM n "+where, args...).
			one(func(r *rows) { total = int(r.int(0)) })
		if err != nil {
			return err
		}
		every := 1 + (total-1)/blockedRead
		o.Exact = o.Exact && every <= 1
		text := "SELECT " + rowColumns + " FROM n " + where + " AND id / 7 % ? = 0"
		rs := c.query(ctx, text, append(args, int64(every))...)
		for rs.next() {
			r := row{}
			if r.scan(rs, func(int64) string { return "" }, s.words) == nil {
				r.n.Blocked = false
				r.setDue()
				o.add(r.due, every)
			}
		}
		if err := rs.close(); err != nil {
			return err
		}
	}
	return nil
}
