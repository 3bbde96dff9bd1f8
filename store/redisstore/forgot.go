package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
)

var forgotScript = newScript("forgot")

// logKept is how many attempts the log of a shard keeps at least; lua/change.lua cuts it.
const logKept = 100_000

// Forgot reports whether the log of a shard was cut behind a cursor; see store.Forgetful. A follower that is
// behind by exactly what is kept may be told so though it misses nothing.
func (s *Store) Forgot(ctx context.Context, after string) (bool, error) {
	shards := s.shards()
	if shards == 0 {
		return false, s.notReady()
	}
	at, err := parseFollowCursor(after, shards)
	if err != nil {
		return false, err
	}
	replies, errs := s.runAll(ctx, forgotScript, nil)
	if err := errors.Join(errs...); err != nil {
		return false, err
	}
	for shard, reply := range replies {
		if len(reply) != 3 {
			return false, fmt.Errorf("forgot answered %d values", len(reply))
		}
		first, err := parseEntryAt(toText(reply[2]))
		if err != nil {
			return false, err
		}
		// A log that is shorter was never cut.
		if toInt(reply[1]) >= logKept && first.after(at[shard]) {
			return true, nil
		}
	}
	return false, nil
}

func (a entryAt) after(b entryAt) bool {
	return cmp.Or(cmp.Compare(a.ms, b.ms), cmp.Compare(a.n, b.n)) > 0
}
