package redisstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

const (
	versionMajor = 6 // ZRANGE BYSCORE, which asynq needs too
	versionMinor = 2
	noEviction   = "noeviction"
	fullPercent  = 85 // of maxmemory: from there on nothing is accepted, so that the rest goes on
)

// The lines that make a Redis durable.
const (
	cureAOF    = "CONFIG SET appendonly yes"
	cureEvicts = "CONFIG SET maxmemory-policy noeviction"
)

// VolatileError says that Redis would lose what it holds: when it restarts, or when its memory is full.
type VolatileError struct{ Cures []string } // commands for redis-cli, one each

// Error names the cures.
func (e *VolatileError) Error() string {
	return "store: this Redis may lose what was accepted; run in redis-cli (and put it into redis.conf): " +
		strings.Join(e.Cures, "; ")
}

// OldRedisError says that Redis is older than 6.2.
type OldRedisError struct{ Version string }

// Error names both versions.
func (e *OldRedisError) Error() string {
	return fmt.Sprintf("store: Redis %s is too old: use %d.%d or newer", e.Version, versionMajor, versionMinor)
}

// nodeState is what a Redis says about itself. Empty texts are what it does not tell.
type nodeState struct {
	addr      string
	version   string
	role      string
	aof       string // "1" when it has an append-only file
	aofWrite  string // ok, or err when the last write to it failed
	loading   string // "1" while it reads its data
	policy    string // what it does when its memory is full
	fsync     string // always, everysec or no
	memory    int64  // in use
	maxMemory int64  // 0 = no limit
}

// inspect asks every master about itself. Without an error all have answered.
func (s *Store) inspect(ctx context.Context) (condition, error) {
	var (
		mu  sync.Mutex
		all condition
	)
	err := s.eachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		n, err := look(ctx, c)
		mu.Lock()
		defer mu.Unlock()
		if err != nil {
			all.silent = append(all.silent, c.Options().Addr)
			return err
		}
		all.nodes = append(all.nodes, n)
		return nil
	})
	sort.Slice(all.nodes, func(i, j int) bool { return all.nodes[i].addr < all.nodes[j].addr })
	slices.Sort(all.silent)
	return all, err
}

// eachMaster calls fn for every Redis that takes writes, concurrently.
func (s *Store) eachMaster(ctx context.Context, fn func(context.Context, *redis.Client) error) error {
	switch c := s.rdb.(type) {
	case *redis.ClusterClient:
		return c.ForEachMaster(ctx, fn)
	case *redis.Client:
		return fn(ctx, c)
	default:
		return errors.New("no client")
	}
}

// look reads what a Redis says about itself. A managed one refuses CONFIG: then INFO decides alone.
func look(ctx context.Context, c *redis.Client) (nodeState, error) {
	pipe := c.Pipeline()
	info := pipe.Info(ctx)
	fsync := pipe.ConfigGet(ctx, "appendfsync")
	n := nodeState{addr: c.Options().Addr}
	if err := cmp.Or(flush(ctx, pipe), info.Err()); err != nil {
		return n, err
	}
	for line := range strings.SplitSeq(info.Val(), "\n") {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		n.set(name, value)
	}
	if err := fsync.Err(); err != nil && codeOf(err) == "" {
		return n, err
	}
	n.fsync = fsync.Val()["appendfsync"]
	return n, nil
}

func (n *nodeState) set(name, value string) {
	switch name {
	case "redis_version":
		n.version = value
	case "role":
		n.role = value
	case "aof_enabled":
		n.aof = value
	case "aof_last_write_status":
		n.aofWrite = value
	case "loading":
		n.loading = value
	case "maxmemory_policy":
		n.policy = value
	case "maxmemory":
		n.maxMemory, _ = strconv.ParseInt(value, 10, 64)
	case "used_memory":
		n.memory, _ = strconv.ParseInt(value, 10, 64)
	}
}

func (n *nodeState) full() bool {
	return n.maxMemory > 0 && n.memory >= n.maxMemory/100*fullPercent
}

// trouble says why a Redis cannot take writes now, nil when it can.
func (n *nodeState) trouble() error {
	switch {
	case n.loading != "" && n.loading != "0":
		return fmt.Errorf("%w: Redis is loading its data (LOADING)", store.ErrUnavailable)
	case n.role == "slave":
		return fmt.Errorf("%w: Redis is a replica (READONLY)", store.ErrUnavailable)
	case n.aofWrite != "" && n.aofWrite != "ok":
		return fmt.Errorf("%w: Redis cannot write its append-only file (aof_last_write_status %s)",
			store.ErrUnavailable, n.aofWrite)
	case n.full():
		return errNearlyFull
	}
	return nil
}

// condition is the state of all masters.
type condition struct {
	nodes  []nodeState
	silent []string // addresses that do not answer
}

// fatal is what makes this Redis unfit to be the store.
func (c condition) fatal(allowVolatile bool) error {
	for _, n := range c.nodes {
		if tooOld(n.version) {
			return &OldRedisError{n.version}
		}
	}
	if aof, keeps := c.durable(); !allowVolatile && !(aof && keeps) {
		e := &VolatileError{}
		if !aof {
			e.Cures = append(e.Cures, cureAOF)
		}
		if !keeps {
			e.Cures = append(e.Cures, cureEvicts)
		}
		return e
	}
	return nil
}

// tooOld compares a version with the oldest one that will do. What is unreadable is believed to be newer.
func tooOld(version string) bool {
	a, rest, _ := strings.Cut(version, ".")
	b, _, _ := strings.Cut(rest, ".")
	major, err := strconv.Atoi(a)
	minor, err2 := strconv.Atoi(b)
	if err != nil || err2 != nil {
		return false
	}
	return major < versionMajor || major == versionMajor && minor < versionMinor
}

// durable says whether all masters have an append-only file, and whether all keep every key.
func (c condition) durable() (aof, keeps bool) {
	aof, keeps = true, true
	for _, n := range c.nodes {
		aof = aof && n.aof == "1"
		keeps = keeps && n.policy == noEviction
	}
	return aof, keeps
}

// fsyncAlways says whether every write is on disk before it is answered.
func (c condition) fsyncAlways() bool {
	for _, n := range c.nodes {
		if n.aof != "1" || n.fsync != "always" {
			return false
		}
	}
	return len(c.nodes) > 0
}

// warnings are what an operator should know while everything works.
func (c condition) warnings() []string {
	var all []string
	add := func(text string) {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	for _, n := range c.nodes {
		if n.aof != "1" {
			add("Redis has no append-only file (appendonly no): a restart of Redis loses what was accepted; " +
				cureAOF)
		}
		if n.policy != noEviction {
			add(fmt.Sprintf("Redis evicts (maxmemory-policy %s): at maxmemory it deletes what was accepted; %s",
				orUnknown(n.policy), cureEvicts))
		}
		if n.aof == "1" && n.fsync != "always" {
			add(fmt.Sprintf("Redis has appendfsync %s: a power failure or a stalled disk may lose about 2 s of "+
				"what was accepted; appendfsync always loses nothing", orUnknown(n.fsync)))
		}
	}
	for _, addr := range c.silent {
		add("the Redis master " + addr + " does not answer: the merchants of its shards wait")
	}
	return all
}

func orUnknown(setting string) string {
	if setting == "" {
		return "unknown"
	}
	return setting
}
