package redisstore

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"paynotify/store"
)

// How a survey is made: from the sizes of partitions (see list.go), which a sorted set knows without
// counting, and for a sample from its members by their rank. Every script looks at a few lanes only, about a
// millisecond long.

const (
	ranksStep = 500 // ranks asked for in one script, about a millisecond
	tallied   = 4   // values for each partition

	neighbours = 4 // that may be taken into a sample together
)

var (
	tallyScript = newScript("walk", "tally")
	ranksScript = newScript("ranks")
)

// shelf is a partition, or another sorted set, with what of it matches: n of them, behind those before.
type shelf struct {
	shard     int
	mch, set  string
	n, before int64
}

// survey calls see with the partitions that have matches, a few at a time and one call after the other; n is
// how many, or with oldest when the first was accepted. It ends when see says false.
func (s *Store) survey(ctx context.Context, q store.Query, oldest bool, see func(shelf) bool) error {
	if err := q.CheckSurvey(); err != nil {
		return err
	}
	shards := s.shards()
	if shards == 0 {
		return s.notReady()
	}
	f, err := newFilter(q, shards)
	if err != nil || f == nil {
		return err
	}
	what, to := "n", "+inf"
	if oldest {
		what = "o"
	}
	if !q.CreatedTo.IsZero() {
		to = "(" + strconv.FormatInt(max(0, microOf(q.CreatedTo)), 10)
	}
	var mu sync.Mutex
	ended := false
	return eachShard(f.shards, func(shard int) error {
		return s.eachLane(ctx, shard, tallyScript, tallied, func(place string) []any {
			return []any{q.MchID, place, f.digits, f.verdict, f.reason, f.from, to, what}
		}, func(v []any) bool {
			mch := toText(v[0])
			if q.MchID == "" && store.Reserved(mch) {
				return true
			}
			mu.Lock()
			defer mu.Unlock()
			if !ended {
				ended = !see(shelf{shard, mch, "t:" + mch + ":" + toText(v[1]), toInt(v[2]), toInt(v[3])})
			}
			return !ended
		})
	})
}

// eachLane runs a script that goes through the lanes of a shard until it has been through all, and calls see
// with the values of each answer, some at a time, until it says false.
func (s *Store) eachLane(
	ctx context.Context, shard int, script *script, values int, args func(place string) []any,
	see func(v []any) bool,
) error {
	for place := ""; ; {
		reply, err := s.run(ctx, call{shard: shard, script: script, args: args(place)})
		if err != nil {
			return err
		}
		if len(reply) < 2 || (len(reply)-2)%values != 0 {
			return fmt.Errorf("%s answered %d values", script.name, len(reply))
		}
		for v := range slices.Chunk(reply[2:], values) {
			if !see(v) {
				return nil
			}
		}
		if place = toText(reply[1]); place == "" {
			return nil
		}
	}
}

// Count counts what matches; see store.Survey.
func (s *Store) Count(ctx context.Context, q store.Query, most int) (store.Counts, error) {
	out := store.Counts{ByMerchant: make(map[string]int)}
	seen := map[string]bool{} // a merchant that is deleted meanwhile is met twice
	err := s.survey(ctx, q, false, func(at shelf) bool {
		if !seen[at.set] {
			seen[at.set] = true
			out.ByMerchant[at.mch] += int(at.n)
			out.Total += int(at.n)
		}
		out.More = most > 0 && out.Total > most
		return !out.More
	})
	return out, err
}

// Oldest is when the oldest was accepted that matches; see store.Survey.
func (s *Store) Oldest(ctx context.Context, q store.Query) (at time.Time, err error) {
	first := int64(0)
	err = s.survey(ctx, q, true, func(at shelf) bool {
		if first == 0 || at.n < first {
			first = at.n
		}
		return true
	})
	if err == nil && first != 0 {
		at = time.UnixMicro(first).UTC()
	}
	return at, err
}

// Sample returns what matches, or some of it; see store.Survey.
func (s *Store) Sample(ctx context.Context, q store.Query, most int) ([]store.Notification, error) {
	if most <= 0 {
		return nil, q.CheckSurvey()
	}
	var all []shelf
	err := s.survey(ctx, q, false, func(at shelf) bool { all = append(all, at); return true })
	if err != nil || len(all) == 0 {
		return nil, err
	}
	spots, err := s.draw(ctx, all, most)
	if err != nil {
		return nil, err
	}
	f, err := newFilter(q, s.shards())
	if err != nil || f == nil {
		return nil, err
	}
	out, err := s.matching(ctx, f, spots)
	return out[:min(len(out), most)], err
}

// draw draws most of what is on shelves, or all: every so many-th, counted from a place that is drawn.
func (s *Store) draw(ctx context.Context, all []shelf, most int) ([]spot, error) {
	var spots []spot
	var mu sync.Mutex
	err := s.atRanks(ctx, ranksOf(all, most), "i", func(shard int, ids []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, id := range ids {
			spots = append(spots, spot{shard, id})
		}
	})
	slices.SortFunc(spots, func(a, b spot) int {
		return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.id, b.id))
	})
	return slices.Compact(spots), err // what moved meanwhile may have been met twice
}

// sum is how many are on shelves.
func sum(all []shelf) (n int64) {
	for _, at := range all {
		n += at.n
	}
	return n
}

// ranksOf lists the ranges of ranks at which most of what is on shelves stand, or all of it, by shard. Of
// many it takes a few neighbours at a time, which is one look for Redis: as far apart as it must be, from a
// place that is drawn, and round.
func ranksOf(all []shelf, most int) map[int][]any {
	ranks, total := map[int][]any{}, sum(all)
	if total <= int64(most) {
		for _, at := range all {
			for from, end := at.before, at.before+at.n; from < end; from += ranksStep {
				ranks[at.shard] = append(ranks[at.shard], at.set, from, min(from+ranksStep, end)-1)
			}
		}
		return ranks
	}
	run := int64(1)
	if most >= ranksStep {
		run = min(neighbours, 1+total/int64(most)/neighbours)
	}
	looks := max(1, int64(most)/run)
	every := float64(total) / float64(looks)
	next := rand.Float64() * every //nolint:gosec // no secret
	seen, rest := int64(0), int64(0)
	if wrapped := int64(next+float64(looks-1)*every) + run - total; wrapped > 0 {
		rest = wrapped // of the last look's neighbours
	}
	for _, at := range all {
		for end := seen + at.n; seen < end; {
			if rest == 0 {
				if seen = int64(next); seen >= end {
					seen = end
					break
				}
				next, rest = next+every, run
			}
			n := min(rest, end-seen)
			first := at.before + seen - (end - at.n)
			ranks[at.shard] = append(ranks[at.shard], at.set, first, first+n-1)
			seen, rest = seen+n, rest-n
		}
	}
	return ranks
}

// atRanks asks for what stands at ranks, and calls see with the answers, from several goroutines.
func (s *Store) atRanks(
	ctx context.Context, ranks map[int][]any, what string, see func(shard int, got []string),
) error {
	var shards []int
	for shard := range ranks {
		shards = append(shards, shard)
	}
	return eachShard(shards, func(shard int) error {
		var args []any
		n := 0
		ask := func() error {
			reply, err := s.run(ctx, call{shard: shard, script: ranksScript, args: args})
			if err == nil {
				see(shard, toTexts(reply[1:]))
			}
			args, n = nil, 0
			return err
		}
		for one := range slices.Chunk(ranks[shard], 3) {
			if args == nil {
				args = append(args, what)
			}
			args = append(args, one...)
			if n += int(one[2].(int64)-one[1].(int64)) + 1; n >= ranksStep { //nolint:forcetypeassert // ours
				if err := ask(); err != nil {
					return err
				}
			}
		}
		if n == 0 {
			return nil
		}
		return ask()
	})
}
