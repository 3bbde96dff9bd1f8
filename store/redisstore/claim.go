package redisstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"paynotify/store"
)

// claimHead is how many values of a claim's reply come before the records.
const claimHead = 5

// Claim gives out due notifications of a lane; see store.Store. Damaged records are given out by the script
// and quarantined here.
func (s *Store) Claim(ctx context.Context, lane string, most int, lease time.Duration) (store.Claims, error) {
	shards := s.shards()
	if shards == 0 {
		return store.Claims{}, s.notReady()
	}
	shard := shardOf(lane, shards)
	c := call{
		shard: shard, script: claimScript,
		args: []any{
			lane, most, lease.Microseconds(), s.opts.MaxInflightDefault, recordVersion, newTokens(most),
		},
		late: func(reply []any) { s.claimedLate(lane, reply) },
	}
	reply, err := s.run(ctx, c)
	if err != nil {
		return store.Claims{}, err
	}
	if len(reply) < claimHead {
		return store.Claims{}, fmt.Errorf("claim answered %d values", len(reply))
	}
	out := store.Claims{Lane: store.LaneStatus(toInt(reply[1])), Next: instant(toInt(reply[2]))}
	revision := toInt(reply[3])
	s.cache.atLeast(lane, revision)
	out.Newer = int(toInt(reply[4]))
	for i := claimHead; i+1 < len(reply); i += 2 {
		id := toText(reply[i])
		r, err := parseRecord(id, toText(reply[i+1]))
		if err != nil {
			if err := s.quarantine(ctx, shard, id, r, err); err != nil {
				return out, err
			}
			out.Quarantined = append(out.Quarantined, id)
			continue
		}
		r.revision = revision
		s.live.add(r)
		out.Items = append(out.Items, r.given(lease))
	}
	return out, nil
}

// newTokens are as many tokens as may be needed, as records have them.
func newTokens(n int) []byte {
	b := make([]byte, 0, n*tokenBytes)
	for range n {
		var eight [8]byte
		binary.BigEndian.PutUint64(eight[:], newToken())
		b = append(b, eight[8-tokenBytes:]...)
	}
	return b
}

// claimedLate takes back what a caller who has gone was given.
func (s *Store) claimedLate(lane string, reply []any) {
	for i := claimHead; i+1 < len(reply); i += 2 {
		raw := toText(reply[i+1])
		if len(raw) >= frontBytes {
			s.takeBack(lane, toText(reply[i]), bigEndian(raw[tokenAt:claimedAt]))
		}
	}
}

// quarantine takes a damaged record, which was claimed, out of the schedule.
func (s *Store) quarantine(ctx context.Context, shard int, id string, r *record, why error) error {
	if r == nil {
		return fmt.Errorf("%s: %w: not even its progress can be read", id, why)
	}
	token := r.token
	_, err := s.change(ctx, shard, id, func(e *edit) error {
		if e.r.token != token {
			return errUnchanged
		}
		if !e.r.n.State.Final() {
			e.r.finalAt = s.Now()
		}
		e.r.n.Quarantine()
		e.release = true
		return nil
	})
	if errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

func instant(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// liveClaims are the claims in this process's hands, with the records they were made from: what settles one
// needs not read it again. Whatever is missing here is read from Redis.
type liveClaims struct {
	mu sync.Mutex
	m  map[string]*record
}

// liveMax bounds what claims that nobody ever settles can hold. A dispatcher has as many as it has workers.
const liveMax = 1 << 16

func (l *liveClaims) add(r *record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.m == nil || len(l.m) >= liveMax {
		l.m = make(map[string]*record)
	}
	l.m[r.n.NotifyID] = r
}

// take removes and returns the record of a claim, nil when it is not here.
func (l *liveClaims) take(notifyID string, token uint64) *record {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.m[notifyID]
	if r == nil || r.token != token {
		return nil
	}
	delete(l.m, notifyID)
	return r
}
