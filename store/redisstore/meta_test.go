package redisstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/redis"
)

// Many processes start at once on an empty Redis: one of them decides.
func TestFirstStart(t *testing.T) {
	server := redis.Start(t)
	var wg sync.WaitGroup
	var all [8]*Store
	for i := range all {
		wg.Go(func() {
			s, err := Open(t.Context(), Options{URL: server.URL(), Shards: 3 + i%3})
			if err != nil {
				t.Error(err)
				return
			}
			<-s.Ready()
			all[i] = s
		})
	}
	wg.Wait()
	for _, s := range all {
		defer s.Close()
		if s.shards() != all[0].shards() || s.layout.Load().id != all[0].layout.Load().id {
			t.Errorf("%d shards of %s, %d of %s", s.shards(), s.layout.Load().id, all[0].shards(),
				all[0].layout.Load().id)
		}
	}
	again := connect(t, Options{URL: server.URL(), Shards: 36})
	if again.shards() != all[0].shards() {
		t.Errorf("later %d shards", again.shards())
	}
	if err := again.SetMeta(t.Context(), "check", "v1"); err != nil {
		t.Fatal(err)
	}
	for want, name := range map[string]string{"v1": "check", "": "unknown"} {
		if got, err := all[0].Meta(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if err := again.SetMeta(t.Context(), "check", ""); err != nil {
		t.Fatal(err)
	}
	if got, err := again.Meta(t.Context(), "check"); err != nil || got != "" {
		t.Errorf("forgotten: %q, %v", got, err)
	}
}

// markShard writes fields of a shard's marker.
func markShard(server *redis.Server, shard string, fields ...any) {
	server.MustDo(append([]any{"HSET", "pn:{s" + shard + "}:meta"}, fields...)...)
}

// ours writes the marker of a shard of a store of two.
func ours(server *redis.Server, shard string, more ...any) {
	markShard(server, shard, append([]any{"format", 1, "shards", 2, "id", "abc"}, more...)...)
}

// starts are what a start can find in Redis.
var starts = []struct {
	name  string
	make  func(server *redis.Server)
	fatal string // part of the error
	stuck string // part of the reason why it does not get ready
}{
	{
		name: "a first start that was interrupted",
		make: func(server *redis.Server) { ours(server, "0") },
	},
	{
		name: "a store",
		make: func(server *redis.Server) { ours(server, "0", "complete", 1); ours(server, "1") },
	},
	{
		name:  "a shard lost",
		make:  func(server *redis.Server) { ours(server, "0", "complete", 1) },
		stuck: "shards 1 ",
	},
	{
		name:  "the first shard lost",
		make:  func(server *redis.Server) { ours(server, "1") },
		stuck: "shards 0 ",
	},
	{
		name: "a shard of another store",
		make: func(server *redis.Server) {
			ours(server, "0", "complete", 1)
			markShard(server, "1", "format", 1, "shards", 2, "id", "other")
		},
		stuck: "shards 1 ",
	},
	{
		name:  "markers lost, data not",
		make:  func(server *redis.Server) { server.MustDo("HSET", "pn:{s1}:m", "m1", "{}") },
		stuck: "data of shards 1 ",
	},
	{
		name:  "a newer store",
		make:  func(server *redis.Server) { markShard(server, "0", "format", 2, "shards", 2, "id", "abc") },
		fatal: "newer version",
	},
	{
		name:  "another program's hash",
		make:  func(server *redis.Server) { markShard(server, "0", "color", "blue") },
		fatal: `"pn:{s0}:meta"`,
	},
	{
		name:  "another program's text",
		make:  func(server *redis.Server) { server.MustDo("SET", "pn:{s1}:meta", "x") },
		fatal: `"pn:{s1}:meta"`,
	},
	{
		name: "a store that moved",
		make: func(server *redis.Server) {
			ours(server, "0", "complete", 1, "app.moved_to", "sqlite:x.db")
			ours(server, "1")
		},
		fatal: "sqlite:x.db",
	},
	{
		name: "a migration that has not ended",
		make: func(server *redis.Server) {
			ours(server, "0", "complete", 1, "app.migrating", "sqlite:y.db")
			ours(server, "1")
		},
		fatal: "sqlite:y.db",
	},
}

func TestStartFindsWhatIsThere(t *testing.T) {
	t.Parallel()
	for _, c := range starts {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			server := redis.Start(t)
			c.make(server)
			before := server.MustDo("DBSIZE")
			s, err := Open(t.Context(), Options{URL: server.URL(), Shards: 5})
			if c.fatal != "" {
				if !isFatal(err) || !strings.Contains(err.Error(), c.fatal) {
					t.Errorf("%v, want %s", err, c.fatal)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if c.stuck == "" {
				<-s.Ready()
				if s.shards() != 2 || s.layout.Load().id != "abc" {
					t.Errorf("%d shards of %s", s.shards(), s.layout.Load().id)
				}
				return
			}
			err = s.Health(t.Context()).Err
			if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), c.stuck) {
				t.Errorf("%v, want %s", err, c.stuck)
			}
			if after := server.MustDo("DBSIZE"); after != before {
				t.Errorf("%v keys, %v before: something was made anew", after, before)
			}
		})
	}
}

// Open waits a second for a Redis that is not there, and starts by itself when it comes.
func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	server.Kill()
	begun := time.Now()
	s, err := Open(t.Context(), Options{URL: server.URL(), Shards: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("Open took %v", took)
	}
	if s.shards() != 0 || s.Domain("m1") != 0 {
		t.Error("it knows its shards already")
	}
	_, err = s.run(t.Context(), call{script: echo, args: []any{""}})
	_, errs := s.runAll(t.Context(), echo, nil)
	_, errMeta := s.Meta(t.Context(), "x")
	for i, err := range []error{
		err, errs[0], errMeta, s.SetMeta(t.Context(), "x", "y"), s.Health(t.Context()).Err,
	} {
		if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "refused") {
			t.Errorf("%d: %v", i, err)
		}
	}
	if d := time.Since(s.Now()); d < -time.Second || d > time.Second {
		t.Errorf("the clock is off by %v", d)
	}
	server.Restart()
	select {
	case <-s.Ready():
	case <-time.After(10 * time.Second):
		t.Fatal("it does not start")
	}
	if _, err := s.run(t.Context(), call{script: echo, args: []any{""}}); err != nil {
		t.Error(err)
	}
}

// What is found to be wrong after Open has returned goes to OnFatal, once; it may close the store.
func TestFatalLater(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, "appendonly no")
	server.Kill()
	fatal := make(chan error, 2)
	var s atomic.Pointer[Store]
	opened, err := Open(t.Context(), Options{URL: server.URL(), OnFatal: func(err error) {
		s.Load().Close()
		fatal <- err
	}})
	if err != nil {
		t.Fatal(err)
	}
	s.Store(opened)
	server.Restart()
	select {
	case err := <-fatal:
		if _, ok := errors.AsType[*VolatileError](err); !ok {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("nobody was told")
	}
	if _, err := opened.run(context.Background(), call{script: echo}); !errors.Is(err, store.ErrUnavailable) {
		t.Error(err)
	}
}
