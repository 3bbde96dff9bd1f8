package redisstore

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"paynotify/store"
	"paynotify/store/packed"
)

var followScript = newScript("follow")

const kindFollow = "a" // of cursor

// entryAt is the place of an entry in the log of a shard: when it was written, by that Redis's clock in
// milliseconds, and a number among those of that millisecond.
type entryAt struct{ ms, n uint64 }

func (a entryAt) String() string { return fmt.Sprintf("%d-%d", a.ms, a.n) }

func parseEntryAt(text string) (a entryAt, err error) {
	ms, n, _ := strings.Cut(text, "-")
	a.ms, err = strconv.ParseUint(ms, 10, 64)
	if err == nil {
		a.n, err = strconv.ParseUint(n, 10, 64)
	}
	if err != nil {
		return a, fmt.Errorf("entry %q of the log: %w", text, err)
	}
	return a, nil
}

// logged is an entry of the log of a shard.
type logged struct {
	spot

	at     entryAt
	number int // of the attempt
}

// Attempts follows attempts in the order of settlement; see store.Store. Those of different merchants that
// were settled within a few milliseconds may change places.
//
// Each shard keeps its last 100,000 attempts or a few more: a follower that falls behind by more than that
// goes on with the oldest that is there. Attempts of notifications that were shrunk or deleted since are left
// out. While a shard does not answer, the others are followed; its attempts come when it is back.
func (s *Store) Attempts(ctx context.Context, after string, most int) ([]store.Settled, string, error) {
	shards := s.shards()
	if shards == 0 {
		return nil, "", s.notReady()
	}
	if after == "" {
		at, err := s.logEnds(ctx)
		return nil, followCursor(at), err
	}
	at, err := parseFollowCursor(after, shards)
	if err != nil {
		return nil, "", err
	}
	found, err := s.logAfter(ctx, at, max(most, 1))
	if err != nil {
		return nil, "", err
	}
	spots := make([]spot, len(found))
	for i, e := range found {
		spots[i], at[e.shard] = e.spot, e.at
	}
	rs, err := s.loadAll(ctx, spots)
	if err != nil {
		return nil, "", err
	}
	var out []store.Settled
	for i, e := range found {
		if r := rs[i]; r != nil && e.number >= 1 && e.number <= len(r.attempts) {
			out = append(out, settled(&r.n, &r.attempts[e.number-1]))
		}
	}
	return out, followCursor(at), nil
}

func settled(n *store.Notification, a *entry) store.Settled {
	return store.Settled{
		Attempt: a.Attempt, NotifyID: n.NotifyID, MchID: n.MchID, OutTradeNo: n.OutTradeNo,
		NotifyType: n.NotifyType, State: a.state, NextAt: a.next, Sends: n.Sends(),
	}
}

// logEnds tells where the logs of all shards end.
func (s *Store) logEnds(ctx context.Context) ([]entryAt, error) {
	replies, errs := s.runAll(ctx, followScript, func(int) []any { return []any{"", 0} })
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	at := make([]entryAt, len(replies))
	for shard, reply := range replies {
		if len(reply) != 2 {
			return nil, fmt.Errorf("follow answered %d values", len(reply))
		}
		var err error
		if at[shard], err = parseEntryAt(toText(reply[1])); err != nil {
			return nil, err
		}
	}
	return at, nil
}

// logAfter reads what comes next, at most most entries of all shards together, the earliest ones.
func (s *Store) logAfter(ctx context.Context, at []entryAt, most int) (found []logged, err error) {
	replies, errs := s.runAll(ctx, followScript, func(shard int) []any {
		return []any{at[shard].String(), most}
	})
	if !slices.Contains(errs, nil) {
		return nil, errors.Join(errs...)
	}
	for shard, reply := range replies {
		if errs[shard] != nil {
			continue
		}
		for v := reply[1:]; len(v) >= 3; v = v[3:] {
			e := logged{spot: spot{shard, toText(v[1])}, number: int(toInt(v[2]))}
			if e.at, err = parseEntryAt(toText(v[0])); err != nil {
				return nil, err
			}
			found = append(found, e)
		}
	}
	slices.SortStableFunc(found, func(a, b logged) int {
		return cmp.Or(cmp.Compare(a.at.ms, b.at.ms), cmp.Compare(a.at.n, b.at.n))
	})
	return found[:min(len(found), most)], nil
}

// followCursor packs the place in the log of each shard: the latest millisecond, and how far each is back.
func followCursor(at []entryAt) string {
	if len(at) == 0 {
		return ""
	}
	var w packed.Writer
	latest := uint64(0)
	for _, a := range at {
		latest = max(latest, a.ms)
	}
	w.Uint(latest)
	for _, a := range at {
		w.Uint(latest - a.ms)
		w.Uint(a.n)
	}
	return cursorOf(kindFollow, base64.RawURLEncoding.EncodeToString(w.B))
}

func parseFollowCursor(cursor string, shards int) ([]entryAt, error) {
	position, err := positionOf(kindFollow, cursor)
	if err != nil {
		return nil, err
	}
	b, err := base64.RawURLEncoding.DecodeString(position)
	if err != nil {
		return nil, store.ErrBadCursor
	}
	r := packed.Reader{B: b}
	latest := r.Uint()
	at := make([]entryAt, shards)
	for i := range at {
		back := r.Uint()
		if back > latest {
			return nil, store.ErrBadCursor
		}
		at[i] = entryAt{latest - back, r.Uint()}
	}
	if r.Bad || len(r.B) > 0 {
		return nil, store.ErrBadCursor
	}
	return at, nil
}
