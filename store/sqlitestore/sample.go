package sqlitestore

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"

	"paynotify/store"
)

// How a sample is drawn. Of a few, all are read and some taken. Of more, a walk along the index takes each
// that falls into one of the residue classes that are drawn: 0.15 µs each. Where even that would take too
// long, the whole table is cut into blocks of a known number of notifications, accepted one after the other,
// and of each block the same share of its time is looked at, at a place that is drawn: so every notification
// is as likely to be seen as any other, however they are spread over time, and what is looked at is a part
// of the answer's size.

// sampling bounds the ways; tests make it small.
type sampling struct {
	listed int // matches up to which all are listed, at least
	walked int // matches up to which all are walked over
	block  int // notifications in a block
}

const (
	listedMin = 1 << 12
	walkedMax = 1 << 17
	blockSize = 1 << 10

	rareAt = 8 // fewer than one in so many match: blocks are looked at only after a count

	residues = 65_521 // a prime: no clock's habits divide it
	spread   = 40_507 // moves ids that follow each other far apart: residues times the golden section
)

// Sample returns what matches, or some of it; see store.Survey.
func (s *Store) Sample(ctx context.Context, q store.Query, most int) (out []store.Notification, err error) {
	if most <= 0 {
		return nil, q.CheckSurvey()
	}
	err = s.survey(ctx, q, func(ctx context.Context, c *conn, p *population) error {
		ids, err := s.draw(ctx, c, p, most)
		if err != nil {
			return err
		}
		slices.Sort(ids) // neighbours lie on one page
		out, err = s.readRows(ctx, c, ids)
		return err
	})
	return out, err
}

// draw draws about most of the matches, and no more.
func (s *Store) draw(ctx context.Context, c *conn, p *population, most int) ([]int64, error) {
	if p.mch == 0 { // to count the parts of all lanes is dear
		if ids, err := s.drawBlocks(ctx, c, p, most, max(1, most/rareAt)); err != nil || len(ids) >= (most+1)/2 {
			return thin(ids, most), err
		}
	}
	few := max(2*most, s.sampling.listed)
	n, err := s.count(ctx, c, p, int64(max(few, s.sampling.walked)))
	if err != nil {
		return nil, err
	}
	if n.Total <= few {
		ids, err := s.idsOf(ctx, c, p, math.MaxInt)
		return thin(ids, most), err
	}
	if n.More {
		ids, err := s.drawBlocks(ctx, c, p, most, 0)
		if err != nil || len(ids) >= (most+1)/2 {
			return thin(ids, most), err
		}
		if n, err = s.count(ctx, c, p, math.MaxInt64); err != nil { // too few in each of very many blocks
			return nil, err
		}
	}
	ids, err := s.drawWalking(ctx, c, p, most, n.Total)
	return thin(ids, most), err
}

// thin takes most of the ids, each as likely as any other.
func thin(ids []int64, most int) []int64 {
	swap := func(i, j int) { ids[i], ids[j] = ids[j], ids[i] }
	rand.Shuffle(len(ids), swap) //nolint:gosec // no secret
	return ids[:min(len(ids), most)]
}

// drawWalking takes somewhat more than most of total matches, which it walks over.
func (s *Store) drawWalking(
	ctx context.Context, c *conn, p *population, most, total int,
) (ids []int64, err error) {
	share := min(int64(float64(most)*1.1/float64(total)*residues)+1, residues)
	shift := rand.Int64N(residues) //nolint:gosec // no secret
	err = s.eachFlying(ctx, c, p.filter, func(id, mch int64) {
		if p.names[mch] != "" && (id%residues*spread+shift)%residues < share {
			ids = append(ids, id)
		}
	})
	if err != nil {
		return nil, err
	}
	condition := fmt.Sprintf(" AND (id %% %d * %d + ?) %% %d < ?", residues, spread, residues)
	return ids, p.each(ctx, c, condition, []any{shift, share}, func(id int64) bool {
		ids = append(ids, id)
		return true
	})
}

// drawBlocks looks at a share of each block: first at as much as would do if everything matched, then at as
// much as it takes. It finds nothing where there are few blocks, or fewer than least at the first look.
func (s *Store) drawBlocks(
	ctx context.Context, c *conn, p *population, most, least int,
) (ids []int64, err error) {
	blocks, err := s.blocks.between(ctx, c, p.from, p.below, s.sampling.block)
	rows := (len(blocks) - 1) * s.sampling.block
	if err != nil || rows <= s.sampling.walked {
		return nil, err
	}
	share := min(1, float64(most)/float64(rows))
	at := make([]float64, len(blocks)-1)
	for i := range at {
		at[i] = rand.Float64() //nolint:gosec // no secret
	}
	from := 0.0
	for look := range 3 {
		some, err := p.lookAt(ctx, c, blocks, at, from, share)
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
		switch {
		case look == 0 && len(ids) < least:
			return nil, nil
		case len(ids) >= most*3/4, share >= 1:
			return ids, nil
		}
		from, share = share, min(1, share*min(16, 1.1*float64(most)/float64(max(1, len(ids)))))
	}
	return ids, nil
}

// lookAt lists the matches in a share of each block, from one fraction of its time to another, counted from
// where the block's own is drawn, and round.
func (p *population) lookAt(
	ctx context.Context, c *conn, blocks []int64, at []float64, from, to float64,
) (ids []int64, err error) {
	clause, args := p.clause()
	text := "SELECT id, mch FROM n NOT INDEXED WHERE " + clause
	look := func(a, b int64) error {
		if a >= b {
			return nil
		}
		args[0], args[1] = a, b // in place of the limits of all
		rs := c.query(ctx, text, args...)
		for rs.next() {
			if p.names[rs.int(1)] != "" {
				ids = append(ids, rs.int(0))
			}
		}
		return rs.close()
	}
	for i := range at {
		begin, length := blocks[i], float64(blocks[i+1]-blocks[i])
		a, b := int64((at[i]+from)*length), int64((at[i]+to)*length)
		end := blocks[i+1] - begin
		err := look(begin+min(a, end), begin+min(b, end))
		if err == nil {
			err = look(begin+max(a-end, 0), begin+max(b-end, 0))
		}
		if err != nil || ctx.Err() != nil {
			return nil, err
		}
	}
	return ids, nil
}

// blocks cut the table: between two that follow each other lie as many rows as a block has, or fewer where
// some were deleted. What is accepted later adds blocks at the end.
type blocks struct {
	mu   sync.Mutex
	ends []int64
}

// between lists the bounds of the blocks from one id to another, these included. The first call walks over
// the whole table, later ones over what is new.
func (b *blocks) between(ctx context.Context, c *conn, from, below int64, size int) ([]int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	last := int64(0)
	if len(b.ends) > 0 {
		last = b.ends[len(b.ends)-1]
	}
	const next = "SELECT id FROM n WHERE id > ? ORDER BY id LIMIT 1 OFFSET ?"
	for {
		found, err := c.query(ctx, next, last, int64(size)-1).one(func(r *rows) { last = r.int(0) })
		if err != nil || ctx.Err() != nil {
			return nil, err
		}
		if !found {
			break
		}
		b.ends = append(b.ends, last)
	}
	first, _ := slices.BinarySearch(b.ends, from)
	end, _ := slices.BinarySearch(b.ends, below)
	if first == 0 && len(b.ends) > 0 { // nothing lies before the first row
		_, err := c.query(ctx, "SELECT id FROM n WHERE id >= ? ORDER BY id LIMIT 1", from).
			one(func(r *rows) { from = r.int(0) })
		if err != nil {
			return nil, err
		}
	}
	_, err := c.query(ctx, "SELECT id FROM n WHERE id < ? ORDER BY id DESC LIMIT 1", below).
		one(func(r *rows) { below = r.int(0) + 1 })
	if err != nil {
		return nil, err
	}
	out := append([]int64{from}, b.ends[first:max(first, end)]...)
	return slices.Compact(append(out, max(below, out[len(out)-1]))), nil
}

// clear forgets the blocks of a table that was emptied.
func (b *blocks) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends = nil
}
