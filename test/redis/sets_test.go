package redis

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

func TestReplicaFollows(t *testing.T) {
	master := Start(t)
	replica := StartReplica(t, master)
	master.MustDo("SET", "k", "v")
	// A master counts a replica from its first acknowledgement on, and replicas send one a second.
	if got := master.MustDo("WAIT", 1, 2500); got != int64(1) {
		t.Errorf("WAIT: %v replicas, want 1", got)
	}
	if got := replica.MustDo("GET", "k"); got != "v" {
		t.Errorf("at the replica: %v, want v", got)
	}
}

func TestSentinelReplacesItsMaster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six servers")
	}
	s := StartSentinel(t)
	old := s.Master()
	if old != s.Servers[0] {
		t.Error("the first server is not the master")
	}
	old.MustDo("SET", "k", "v")
	old.MustDo("WAIT", 2, 1000)
	killed := s.KillMaster()
	now := s.WaitMaster()
	if killed != old || now == old {
		t.Error("the old master is the new one")
	}
	if got := now.MustDo("GET", "k"); got != "v" {
		t.Errorf("at the new master: %v, want v", got)
	}
}

func TestClusterReplacesAMaster(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six servers")
	}
	c := StartCluster(t, 3, 3)
	ctx := context.Background()
	var addrs []string
	for _, s := range c.Servers {
		addrs = append(addrs, s.Addr)
	}
	client := goredis.NewClusterClient(&goredis.ClusterOptions{
		Addrs: addrs, ClusterStateReloadInterval: time.Second,
	})
	defer client.Close()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		if err := client.Set(ctx, key, key, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range c.Servers[:3] {
		s.MustDo("WAIT", 1, 1000)
	}
	c.KillMaster(1)
	c.WaitOK()
	for _, key := range []string{"a", "b", "c", "d", "e", "f"} {
		await(t, "the key is at the new master: "+key, func() bool { return client.Get(ctx, key).Val() == key })
	}
}

func TestProxySpoils(t *testing.T) {
	s := Start(t)
	p := NewProxy(t, s.Addr)
	client := goredis.NewClient(&goredis.Options{
		Addr: p.Addr, MaxRetries: -1, ReadTimeout: 300 * time.Millisecond,
	})
	defer client.Close()
	ping := func() (time.Duration, error) {
		begin := time.Now()
		err := client.Ping(context.Background()).Err()
		return time.Since(begin), err
	}
	if _, err := ping(); err != nil {
		t.Fatal(err)
	}
	p.Latency(60 * time.Millisecond)
	if took, err := ping(); err != nil || took < 60*time.Millisecond {
		t.Errorf("with latency: %v %v", took, err)
	}
	p.Latency(0)
	p.Bandwidth(1)
	if took, err := ping(); err != nil {
		t.Errorf("with little bandwidth: %v %v", took, err)
	}
	p.Hang()
	if _, err := ping(); err == nil {
		t.Error("an answer through a hanging proxy")
	}
	p.Heal()
	await(t, "an answer after hanging", func() bool { _, err := ping(); return err == nil })
	p.Cut()
	if _, err := ping(); err == nil {
		t.Error("an answer through a cut")
	}
	p.Heal()
	await(t, "an answer after the cut", func() bool { _, err := ping(); return err == nil })
}
