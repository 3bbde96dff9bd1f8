package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"paynotify/store"
)

// How a list is found. An order number has an index of its own. Everything else is found through the
// partitions of the lanes: each holds the notifications of one merchant that have one state and one last
// verdict and reason, by time; the newest of all those that match are the answer, so its cost is that of the
// answer and of a look at each partition, however many notifications there are. Lanes that took nothing since
// the oldest notification found so far are not even looked at.
//
// A notify_id sorts by time, and its time is CreatedAt: positions and limits of time are notify_ids, or the
// beginnings of such.

const (
	listMax = 500

	kindList = "n" // of cursor

	instantMax   = 3_656_158_440_062_975 // the last microsecond that a notify_id can say
	idTimeDigits = 10
	idsEnd       = "~" // above every notify_id
)

var (
	listScript  = newScript("walk", "list")
	orderScript = newScript("order")
)

// filter is what is asked for, in the words of the indexes.
type filter struct {
	q       store.Query
	shards  []int
	digits  string // of the states that match
	verdict string // as it stands in the name of a partition; empty = any
	reason  string
	from    int64  // microsecond not to go below
	below   string // notify_id, or beginning of one, that all are below
}

// List returns notifications newest first; see store.Store.
func (s *Store) List(ctx context.Context, q store.Query) (out []store.Notification, next string, err error) {
	shards := s.shards()
	if shards == 0 {
		return nil, "", s.notReady()
	}
	q.Limit = min(max(q.Limit, 1), listMax)
	f, err := newFilter(q, shards)
	if err != nil || f == nil {
		return nil, "", err
	}
	for most := q.Limit + 1; ; most = min(2*most, listMax+1) {
		spots, more, err := s.find(ctx, f, most)
		if err != nil {
			return nil, "", err
		}
		ns, err := s.matching(ctx, f, spots)
		if err != nil {
			return nil, "", err
		}
		out = append(out, ns...)
		switch {
		case len(out) > q.Limit:
			return out[:q.Limit], cursorOf(kindList, out[q.Limit-1].NotifyID), nil
		case !more:
			return out, "", nil
		}
		f.below = spots[len(spots)-1].id
	}
}

// newFilter translates a query; nil is one that nothing can match.
func newFilter(q store.Query, shards int) (*filter, error) {
	f := &filter{q: q, shards: allShards(shards), digits: "012345", below: idsEnd}
	if q.Cursor != "" {
		id, err := positionOf(kindList, q.Cursor)
		if err != nil {
			return nil, err
		}
		if _, _, err := store.ParseID(id); err != nil {
			return nil, store.ErrBadCursor
		}
		f.below = id
	}
	if q.MchID != "" {
		f.shards = []int{shardOf(q.MchID, shards)}
	}
	if !q.CreatedFrom.IsZero() {
		f.from = max(0, microOf(q.CreatedFrom))
	}
	if !q.CreatedTo.IsZero() {
		if to := microOf(q.CreatedTo); to <= instantMax {
			f.below = min(f.below, idsOf(max(0, to)))
		}
	}
	known := (q.State == "" || slices.Contains(states, q.State)) &&
		slices.Contains(verdicts, q.Verdict) && slices.Contains(reasons, q.Reason) &&
		(q.Held == "" || q.Held == "true" || q.Held == "false" || slices.Contains(store.HeldReasons, q.Held))
	name := partOf(q.State, false, q.Verdict, q.Reason)
	switch {
	case !known, f.from > instantMax:
		return nil, nil
	case q.State == store.Spent:
		f.digits = name[:1] + string(shrunkDigit)
	case q.State != "":
		f.digits = name[:1]
	}
	if q.Verdict != "" {
		f.verdict = name[1:2]
	}
	if q.Reason != "" {
		f.reason = name[2:]
	}
	if q.Held != "" && q.Held != "false" { // only pending ones are held
		if q.State != "" && q.State != store.Pending {
			return nil, nil
		}
		f.digits = partOf(store.Pending, false, "", "")[:1]
	}
	return f, nil
}

// microOf is the first whole microsecond at or after an instant.
func microOf(t time.Time) int64 {
	us := t.UnixMicro()
	if t.Nanosecond()%1000 != 0 {
		us++
	}
	return us
}

// idsOf is how the notify_ids of a microsecond begin.
func idsOf(us int64) string { return store.NewID(time.UnixMicro(us), 0)[:idTimeDigits] }

// find returns the newest that may match, at most most of them, and whether there may be more behind them.
// Each of several shards is first asked for little more than its share, and for all only when it has more of
// the newest than that.
func (s *Store) find(ctx context.Context, f *filter, most int) (spots []spot, more bool, err error) {
	byShard := make([][]string, s.shards())
	ask, share := f.shards, most
	if len(ask) > 1 {
		share = min(most, 2*most/len(ask)+8)
	}
	for {
		err := eachShard(ask, func(shard int) (err error) {
			if f.q.OutTradeNo != "" {
				byShard[shard], err = s.findByOrder(ctx, f, shard, share)
			} else {
				byShard[shard], err = s.findByLanes(ctx, f, shard, share)
			}
			return err
		})
		if err != nil {
			return nil, false, err
		}
		spots, more = merge(byShard, most, share)
		ask = slices.DeleteFunc(slices.Clone(ask), func(shard int) bool {
			ids := byShard[shard]
			return len(ids) < share || len(spots) == most && ids[len(ids)-1] < spots[most-1].id
		})
		if len(ask) == 0 || share == most {
			return spots, more, nil
		}
		share = most
	}
}

// merge takes the newest of what shards found, and says whether they may have more.
func merge(byShard [][]string, most, share int) (spots []spot, more bool) {
	for shard, ids := range byShard {
		more = more || len(ids) >= share
		for _, id := range ids {
			spots = append(spots, spot{shard, id})
		}
	}
	slices.SortFunc(spots, func(a, b spot) int { return strings.Compare(b.id, a.id) })
	if len(spots) > most {
		spots, more = spots[:most], true
	}
	return spots, more
}

// findByOrder asks the index of order numbers.
func (s *Store) findByOrder(ctx context.Context, f *filter, shard, most int) ([]string, error) {
	reply, err := s.run(ctx, call{
		shard: shard, script: orderScript, args: []any{otnScore(f.q.OutTradeNo), f.below, most},
	})
	if err != nil {
		return nil, err
	}
	ids := toTexts(reply[1:])
	if end := slices.IndexFunc(ids, func(id string) bool { return createdOf(id) < f.from }); end >= 0 {
		ids = ids[:end] // so that nobody goes on behind them
	}
	return ids, nil
}

// findByLanes goes through the lanes of a shard, a few at a time: no script keeps Redis busy for long.
func (s *Store) findByLanes(ctx context.Context, f *filter, shard, most int) (ids []string, err error) {
	floor, top := f.from, int64(instantMax)
	if f.below != idsEnd {
		top = createdOf((f.below + idsOf(0) + idsOf(0))[:store.NotifyIDChars])
	}
	for place := ""; ; {
		reply, err := s.run(ctx, call{shard: shard, script: listScript, args: []any{
			f.q.MchID, place, f.digits, f.verdict, f.reason, f.q.Held, floor, top, f.below, most,
		}})
		if err != nil {
			return nil, err
		}
		if len(reply) < 2 {
			return nil, fmt.Errorf("list answered %d values", len(reply))
		}
		ids = append(ids, toTexts(reply[2:])...)
		slices.SortFunc(ids, func(a, b string) int { return strings.Compare(b, a) })
		ids = slices.Compact(ids) // a merchant that was deleted meanwhile is met twice
		if len(ids) >= most {
			ids = ids[:most]
			floor = max(floor, createdOf(ids[most-1]))
		}
		if place = toText(reply[1]); place == "" {
			return ids, nil
		}
	}
}

// matching reads notifications and keeps those that match: what the indexes said may be over by now, some of
// them say less than the query does, and different order numbers may share a score.
func (s *Store) matching(ctx context.Context, f *filter, spots []spot) ([]store.Notification, error) {
	rs, err := s.loadAll(ctx, spots)
	if err != nil {
		return nil, err
	}
	out := make([]store.Notification, 0, len(rs))
	for _, r := range rs {
		if r == nil || !f.matches(&r.n) {
			continue
		}
		held, err := s.heldAs(ctx, f, &r.n)
		if err != nil {
			return nil, err
		}
		if held {
			out = append(out, r.n)
		}
	}
	return out, nil
}

// matches checks what a notification itself says.
func (f *filter) matches(n *store.Notification) bool {
	q, us := &f.q, n.CreatedAt.UnixMicro()
	switch {
	case q.MchID != "" && q.MchID != n.MchID,
		q.OutTradeNo != "" && q.OutTradeNo != n.OutTradeNo,
		q.State != "" && q.State != n.State,
		q.Verdict != "" && q.Verdict != n.LastVerdict,
		q.Reason != "" && q.Reason != n.LastReason,
		us < f.from, n.NotifyID >= f.below,
		(q.Held == "false" || q.Held == store.HeldBreakerOpen) && n.Blocked,
		q.Held != "" && q.Held != "false" && n.State != store.Pending:
		return false
	}
	return true
}

// heldAs checks that a notification is held in the way that is asked for. What was found through the lanes
// was chosen by that already.
func (s *Store) heldAs(ctx context.Context, f *filter, n *store.Notification) (bool, error) {
	if f.q.Held == "" || f.q.OutTradeNo == "" {
		return true, nil
	}
	why := ""
	if n.State == store.Pending {
		sending, err := s.Sending(ctx)
		if err != nil {
			return false, err
		}
		m, err := s.Merchant(ctx, n.MchID)
		if err != nil && !errors.Is(err, store.ErrNoMerchant) {
			return false, err
		}
		why = n.HeldReason(&m, sending, s.Now())
	}
	switch f.q.Held {
	case "true":
		return why != "", nil
	case "false":
		return why == "", nil
	}
	return why == f.q.Held, nil
}

func toTexts(values []any) []string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = toText(v)
	}
	return out
}
