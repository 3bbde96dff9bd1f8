package redisstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/store/storetest"
	"paynotify/test/redis"
)

// prefixes keeps the stores of one server apart.
var prefixes atomic.Int64

func TestConformance(t *testing.T) {
	server := redis.Shared(t)
	storetest.Run(t, func(t *testing.T) storetest.Harness { return harness(t, server) })
}

func BenchmarkStore(b *testing.B) {
	server := redis.Shared(b)
	storetest.Benchmarks(b, func(b *testing.B) storetest.Harness { return harness(b, server) })
}

// open opens a store and waits until it is initialised; the test closes it.
func open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	select {
	case <-s.Ready():
	case <-time.After(30 * time.Second):
		t.Fatalf("the store does not get ready: %v", s.Health(context.Background()).Err)
	}
	return s
}

// harness is a store with a prefix of its own on a server, and a clock that can be moved.
func harness(t testing.TB, server *redis.Server) storetest.Harness {
	var shift atomic.Int64
	o := Options{
		URL: server.URL(), Prefix: fmt.Sprintf("pn%d:", prefixes.Add(1)), Shards: 4,
		MaxInflightDefault: storetest.MaxInflightDefault,
		Shift:              func() time.Duration { return time.Duration(shift.Load()) },
	}
	t.Cleanup(func() { server.Flush(o.Prefix + "*") })
	s := open(t, o)
	reopen := func() store.Store {
		s = open(t, o)
		return s
	}
	return storetest.Harness{
		Store: s, Now: func() time.Time { return s.Now() },
		Advance: func(d time.Duration) { shift.Add(int64(d)) },
		Reopen: func() store.Store {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			return reopen()
		},
		Crash:  reopen,
		Damage: func(notifyID string) { damage(t, s, notifyID) },
	}
}

// damage flips a bit in the frozen part of a record.
func damage(t testing.TB, s *Store, notifyID string) {
	t.Helper()
	ctx := context.Background()
	r, shard, err := s.load(ctx, notifyID)
	if err != nil {
		t.Fatal(err)
	}
	key, at := s.prefix(shard)+"n:"+notifyID, int64(r.bodyAt+20)
	if err := s.rdb.SetRange(ctx, key, at, string([]byte{r.raw[at] ^ 1})).Err(); err != nil {
		t.Fatal(err)
	}
}
