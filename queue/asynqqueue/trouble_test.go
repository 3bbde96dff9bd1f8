package asynqqueue_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"paynotify/queue/asynqqueue"
	"paynotify/test/redis"
)

// TestKeysDeleted deletes everything of asynq, once in peace and once during a run.
func TestKeysDeleted(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	q := open(t, asynqqueue.Options{Client: client(t, server.Addr)})
	started, release := make(chan string), make(chan struct{})
	serve(t, q, 2, func(_ context.Context, lane string) {
		started <- lane
		<-release
	})
	for range 2 {
		wake(t, q, "m1")
		receive(t, started, "the run")
		if server.Flush("asynq:*") == 0 {
			t.Error("asynq has no keys")
		}
		release <- struct{}{}
		server.Flush("asynq:*")
	}
	if waiting, active := sizes(t, q); waiting != 0 || active != 0 {
		t.Errorf("%d wait, %d are active, want none", waiting, active)
	}
}

// TestServerRestarts kills Redis and starts it again; the scripts that it knew are gone then too.
func TestServerRestarts(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	log := &lines{}
	q := open(t, asynqqueue.Options{Client: client(t, server.Addr), Queues: 1, Log: log.logger()})
	ran := make(chan string, 100)
	serve(t, q, 2, func(_ context.Context, lane string) { ran <- lane })
	wake(t, q, "m1")
	receive(t, ran, "the first run")
	server.Kill()
	for range 3 {
		if err := q.Wake(context.Background(), "m1"); err == nil {
			t.Error("Wake without a server: want an error")
		}
	}
	await(t, "the server of the queue has noticed", func() bool { return log.count("queue gives no wakes") > 0 })
	server.Restart()
	await(t, "a wake is taken again", func() bool { return q.Wake(context.Background(), "m2") == nil })
	receive(t, ran, "the run after the restart")
	await(t, "both outages have ended", func() bool { return log.count("queue works again") == 2 })
	for _, line := range []string{"queue takes no wakes", "queue gives no wakes"} {
		if log.count(line) != 1 {
			t.Errorf("want one line %q:\n%s", line, log)
		}
	}
}

// TestFull is a Redis that has reached maxmemory: nothing goes in and, because asynq moves tasks, nothing
// out.
func TestFull(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	q := open(t, asynqqueue.Options{Client: client(t, server.Addr)})
	ran := make(chan string, 100)
	serve(t, q, 2, func(_ context.Context, lane string) { ran <- lane })
	wake(t, q, "m1")
	receive(t, ran, "the first run")
	server.MustDo("CONFIG", "SET", "maxmemory", "1")
	if err := q.Wake(context.Background(), "m1"); err == nil {
		t.Error("Wake of a full Redis: want an error")
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "0")
	await(t, "a wake is taken again", func() bool { return q.Wake(context.Background(), "m1") == nil })
	receive(t, ran, "the run with memory")
}

// TestSentinel changes the master.
func TestSentinel(t *testing.T) {
	t.Parallel()
	set := redis.StartSentinel(t)
	var addrs []string
	for _, s := range set.Sentinels {
		addrs = append(addrs, s.Addr)
	}
	c := goredis.NewFailoverClient(&goredis.FailoverOptions{
		MasterName: "mymaster", SentinelAddrs: addrs, Protocol: 2, DisableIdentity: true, MaxRetries: -1,
		ContextTimeoutEnabled: true, DialerRetries: 1,
	})
	t.Cleanup(func() { _ = c.Close() })
	q := open(t, asynqqueue.Options{Client: c})
	ran := make(chan string, 100)
	serve(t, q, 2, func(_ context.Context, lane string) { ran <- lane })
	wake(t, q, "m1")
	receive(t, ran, "the run on the first master")
	set.KillMaster()
	set.WaitMaster()
	await(t, "a wake is taken again", func() bool { return q.Wake(context.Background(), "m1") == nil })
	receive(t, ran, "the run on the second master")
}

// TestCluster kills one master of three. Lanes of the others go on; those of the dead one come back.
func TestCluster(t *testing.T) {
	t.Parallel()
	set := redis.StartCluster(t, 3, 3)
	var addrs []string
	for _, s := range set.Servers {
		addrs = append(addrs, s.Addr)
	}
	c := goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs: addrs, Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
		DialerRetries: 1, ClusterStateReloadInterval: time.Second,
	})
	t.Cleanup(func() { _ = c.Close() })
	q := open(t, asynqqueue.Options{Client: c, Prefix: asynqqueue.PrefixDefault}) // these are on all masters
	ran := make(chan string, 1000)
	serve(t, q, 4, func(_ context.Context, lane string) { ran <- lane })
	var lanes []string
	for i := range 40 {
		lanes = append(lanes, fmt.Sprintf("m%d", i))
	}
	taken := everyRun(t, q, ran, lanes)
	if taken != len(lanes) {
		t.Fatalf("%d of %d wakes taken by a healthy Cluster", taken, len(lanes))
	}
	set.KillMaster(0)
	for range 20 {
		if taken := everyRun(t, q, ran, lanes); taken < len(lanes)/2 {
			t.Errorf("%d of %d wakes taken with one master of three dead", taken, len(lanes))
		}
	}
	await(t, "all wakes are taken again", func() bool { return everyRun(t, q, ran, lanes) == len(lanes) })
	if _, _, err := q.Sizes(context.Background()); err != nil {
		t.Errorf("Sizes: %v", err)
	}
}

// everyRun wakes lanes, waits for the runs of those whose wake was taken, and tells how many these are.
func everyRun(t *testing.T, q *asynqqueue.Queue, ran <-chan string, lanes []string) int {
	t.Helper()
	missing := make(map[string]bool)
	for _, lane := range lanes {
		if err := q.Wake(context.Background(), lane); err == nil {
			missing[lane] = true
		}
	}
	taken := len(missing)
	for len(missing) > 0 {
		delete(missing, receive(t, ran, "one of the lanes"))
	}
	return taken
}
