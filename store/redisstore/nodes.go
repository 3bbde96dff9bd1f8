package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

// Who uses the store. Every process that serves it says so in P nodes of shard 0 (node → when it was last
// seen); a migration needs it for itself and holds P moving meanwhile. Each says first that it is there and
// then looks for the other, so that never both go on.

const (
	nodeEvery = 5 * time.Second  // between two signs of life
	nodeGone  = 15 * time.Second // without one a node is gone, and a migration may begin
	leaveWait = 500 * time.Millisecond
)

// presence is what a Store knows of itself as one of those that use the same keys.
type presence struct {
	self   string                 // names this opening of the store
	alone  atomic.Pointer[error]  // why this process must not use the store any more
	walked atomic.Pointer[walked] // by Export
}

// InUseError says that others use the store, and so it can neither be moved nor, while it is, be served.
type InUseError struct{ By string }

// Error names who.
func (e *InUseError) Error() string { return "the store is in use by " + e.By }

// newNodeName names an opening of the store: PID@HOST#SPACE-RANDOM.
func newNodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails
	return fmt.Sprintf("%d@%s#%s-%x", os.Getpid(), host, pidSpace(), random)
}

// pidSpace tells containers apart that share a host's name and count their processes each from 1.
func pidSpace() string {
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return strings.Trim(link, "pid:[]")
}

// person is a node as people are told of it.
func person(node string) string {
	pid, rest, _ := strings.Cut(node, "@")
	host, _, _ := strings.Cut(rest, "#")
	return "process " + pid + " on " + host
}

// dead tells whether a node is known to have ended without a word: its process was on this machine and is not
// there any more. Otherwise it is gone when it has given no sign of life for nodeGone.
func (s *Store) dead(node string) bool {
	pid, place := placeOfNode(node)
	_, ours := placeOfNode(s.self)
	n, err := strconv.Atoi(pid)
	return err == nil && place == ours && errors.Is(syscall.Kill(n, 0), syscall.ESRCH)
}

// placeOfNode divides a node's name into its process and where that runs. Hosts have dashes in their names:
// only what is behind the last one is the random part.
func placeOfNode(node string) (pid, place string) {
	pid, place, _ = strings.Cut(node, "@")
	if end := strings.LastIndexByte(place, '-'); end >= 0 {
		place = place[:end]
	}
	return pid, place
}

func (s *Store) nodesKey() string  { return s.prefix(0) + "nodes" }
func (s *Store) movingKey() string { return s.prefix(0) + "moving" }

// present says that this process uses the store, and fails when it must not: *InUseError, and for one that
// serves, the marks of a migration.
func (s *Store) present(ctx context.Context) error {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	if s.opts.ForMigration {
		return s.presentAlone(ctx, now)
	}
	pipe := s.rdb.Pipeline()
	pipe.ZRemRangeByScore(ctx, s.nodesKey(), "-inf", strconv.FormatInt(now.Add(-2*nodeGone).UnixMicro(), 10))
	pipe.ZAdd(ctx, s.nodesKey(), redis.Z{Score: float64(now.UnixMicro()), Member: s.self})
	moving := pipe.Get(ctx, s.movingKey())
	marks := pipe.HMGet(ctx, s.metaKey(0), metaApp+store.MetaMigrating, metaApp+store.MetaMovedTo,
		metaApp+store.MetaMovingRun)
	if _, err := pipe.Exec(ctx); err != nil && !errors.Is(err, redis.Nil) {
		return err
	}
	found := marks.Val()
	switch {
	case len(found) != 3:
		return errors.New("HMGET answered something else than three values")
	case moving.Val() != "" && !s.dead(moving.Val()):
		err = &InUseError{By: "a migration, " + person(moving.Val())}
	case toText(found[0]) != "":
		err = &store.MigratingError{From: toText(found[0])}
	case toText(found[1]) != "":
		err = &store.MovedError{To: toText(found[1])}
	case toText(found[2]) != "":
		// Whatever a migration away from here has copied so far, from now on it would miss something.
		return s.rdb.HDel(ctx, s.metaKey(0), metaApp+store.MetaMovingRun).Err()
	}
	if err != nil {
		s.absent(ctx)
	}
	return err
}

// presentAlone is present for a migration.
func (s *Store) presentAlone(ctx context.Context, now time.Time) error {
	holder, err := s.rdb.Get(ctx, s.movingKey()).Result()
	switch {
	case err != nil && !errors.Is(err, redis.Nil):
		return err
	case holder != "" && holder != s.self && !s.dead(holder):
		return &InUseError{By: "a migration, " + person(holder)}
	case holder != "" && holder != s.self:
		err = s.rdb.Del(ctx, s.movingKey()).Err()
	case holder == s.self:
		err = s.rdb.PExpire(ctx, s.movingKey(), nodeGone).Err()
	default:
		err = nil
	}
	if err == nil && holder != s.self {
		var ours bool
		if ours, err = s.rdb.SetNX(ctx, s.movingKey(), s.self, nodeGone).Result(); err == nil && !ours {
			err = &InUseError{By: "another migration"}
		}
	}
	if err != nil {
		return err
	}
	seen, err := s.rdb.ZRangeByScore(ctx, s.nodesKey(), &redis.ZRangeBy{
		Min: strconv.FormatInt(now.Add(-nodeGone).UnixMicro(), 10), Max: "+inf",
	}).Result()
	for _, node := range seen {
		if s.dead(node) {
			continue
		}
		s.absent(ctx)
		return &InUseError{By: person(node)}
	}
	return err
}

// absent takes the sign of this process away; what fails here runs out by itself.
func (s *Store) absent(ctx context.Context) {
	if !s.opts.ForMigration {
		s.rdb.ZRem(ctx, s.nodesKey(), s.self)
		return
	}
	if holder, err := s.rdb.Get(ctx, s.movingKey()).Result(); err == nil && holder == s.self {
		s.rdb.Del(ctx, s.movingKey())
	}
}

// stayPresent gives signs of life until the store is closed. What says that this process must not use the
// store any more goes to fatal: it was out of reach for so long that a migration began without it.
func (s *Store) stayPresent(fatal func(error)) {
	ticker := time.NewTicker(nodeEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.quit:
			ctx, cancel := context.WithTimeout(s.ctx, leaveWait)
			defer cancel()
			s.absent(ctx)
			return
		}
		if !s.beat(fatal) {
			return
		}
	}
}

// beat is one sign of life; false says that it was the last one.
func (s *Store) beat(fatal func(error)) bool {
	ctx, cancel := context.WithTimeout(s.ctx, nodeEvery)
	defer cancel()
	err := s.present(ctx)
	if !isFatal(err) {
		return true
	}
	s.alone.Store(&err)
	s.log.Error("this process must not use the store any more", "error", err)
	go fatal(err) // it may well close the store, which waits for this goroutine
	return false
}
