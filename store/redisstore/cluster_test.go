package redisstore

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/redis"
)

// A Cluster loses a master: the shards of the others do not notice, and its own go on when its replica has
// taken its place.
func TestClusterFailover(t *testing.T) {
	t.Parallel()
	nodes := redis.StartCluster(t, 3, 3)
	s := connect(t, Options{URL: nodes.URL(), Shards: 12, WaitReplicas: 1})
	ctx := within(t, time.Minute)
	if h := s.Health(ctx); h.Err != nil || !h.Durable {
		t.Fatalf("%+v", h)
	}
	if s.Domain("m1") != shardOf("m1", 12) {
		t.Error("a merchant's failure domain is not its shard")
	}
	_, errs := s.runAll(ctx, count, func(int) []any { return []any{1} })
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	dead := nodes.Servers[1].Addr
	var healthy, lost []int
	for i := range s.shards() {
		node, err := s.node(i)
		if err != nil {
			t.Fatal(err)
		}
		if node.Options().Addr == dead {
			lost = append(lost, i)
		} else {
			healthy = append(healthy, i)
		}
	}
	if len(healthy) == 0 || len(lost) == 0 {
		t.Fatalf("shards %v and %v", healthy, lost)
	}
	nodes.KillMaster(1)
	slowest, back := time.Duration(0), false
	for !back && ctx.Err() == nil {
		for _, i := range healthy {
			begun := time.Now()
			if _, err := s.run(ctx, call{shard: i, script: count, args: []any{1}}); err != nil {
				t.Fatalf("shard %d: %v", i, err)
			}
			slowest = max(slowest, time.Since(begun))
		}
		back = true
		for _, i := range lost {
			_, err := s.run(ctx, call{
				shard: i, script: count, args: []any{1}, patience: 20 * time.Millisecond,
			})
			back = back && err == nil
			if err != nil && !errors.Is(err, store.ErrUnavailable) {
				t.Fatalf("shard %d: %v", i, err)
			}
		}
		if h := s.Health(ctx); h.Err != nil {
			t.Errorf("while most shards work: %v", h.Err)
		}
	}
	if !back {
		t.Fatal("the shards of the dead master did not come back")
	}
	if slowest > 500*time.Millisecond {
		t.Errorf("a healthy shard took %v", slowest)
	}
	eventually(t, "what waits for a replica works where one is left", func() bool {
		_, err := s.run(ctx, call{shard: healthy[0], script: count, args: []any{1}, wait: true})
		return err == nil
	})
}

// While a slot moves to another master its keys lie on both: a script would see half of them. It is not run
// before all have arrived.
func TestClusterSlotMoves(t *testing.T) {
	t.Parallel()
	nodes := redis.StartCluster(t, 3, 0)
	s := connect(t, Options{URL: nodes.URL(), Shards: 1})
	ctx := within(t, time.Minute)
	add := func(n int) (any, error) {
		v, err := s.run(ctx, call{script: count, args: []any{n}})
		if err != nil {
			return nil, err
		}
		return v[1], nil
	}
	if _, err := add(5); err != nil {
		t.Fatal(err)
	}
	node, err := s.node(0)
	if err != nil {
		t.Fatal(err)
	}
	var from, to *redis.Server
	for _, server := range nodes.Servers {
		if server.Addr == node.Options().Addr {
			from = server
		} else {
			to = server
		}
	}
	slot := from.MustDo("CLUSTER", "KEYSLOT", s.prefix(0))
	id := func(server *redis.Server) any { return server.MustDo("CLUSTER", "MYID") }
	to.MustDo("CLUSTER", "SETSLOT", slot, "IMPORTING", id(from))
	from.MustDo("CLUSTER", "SETSLOT", slot, "MIGRATING", id(to))
	host, port, _ := strings.Cut(to.Addr, ":")
	move := func(key string) { from.MustDo("MIGRATE", host, port, key, 0, 5000) }

	if v, err := add(1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("before a key has moved: %v, %v", v, err)
	}
	move(s.metaKey(0))
	if v, err := add(1); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("when one has: %v, %v", v, err)
	}
	for _, key := range from.MustDo("CLUSTER", "GETKEYSINSLOT", slot, 100).([]any) {
		move(fmt.Sprint(key))
	}
	for _, server := range []*redis.Server{to, from} {
		server.MustDo("CLUSTER", "SETSLOT", slot, "NODE", id(to))
	}
	if v, err := add(1); err != nil || v != int64(6) {
		t.Errorf("at its new place: %v, %v; want 6", v, err)
	}
	eventually(t, "healthy", func() bool { return s.Health(ctx).Err == nil })
}

// Behind Sentinels the master changes: callers get errors for a while, and everything goes on by itself.
func TestSentinelFailover(t *testing.T) {
	t.Parallel()
	set := redis.StartSentinel(t)
	s := connect(t, Options{URL: set.URL(), Shards: 2, WaitReplicas: 1})
	c := startCallers(t, s, 10)
	c.goOn(t, "at first")
	ctx := within(t, time.Minute)
	if _, err := s.run(ctx, call{shard: 1, script: count, args: []any{1}, wait: true}); err != nil {
		t.Fatal(err)
	}
	set.KillMaster()
	c.fail(t, "without a master")
	set.WaitMaster()
	c.goOn(t, "with the new one")
	eventually(t, "the replica counts", func() bool {
		_, err := s.run(ctx, call{shard: 1, script: count, args: []any{0}, wait: true})
		return err == nil
	})
	eventually(t, "healthy", func() bool { return s.Health(ctx).Err == nil })
	v, err := s.run(ctx, call{shard: 1, script: count, args: []any{0}})
	if err != nil || v[1].(int64) < 1 {
		t.Errorf("what a replica had is gone: %v, %v", v, err)
	}
}
