package redisstore

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/store"
	"paynotify/test/redis"
)

// warned says whether one of the warnings names a setting.
func warned(h store.Health, setting string) bool {
	return slices.ContainsFunc(h.Warnings, func(w string) bool { return strings.Contains(w, setting) })
}

func TestVolatileIsRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config  []string
		cures   []string
		setting string
	}{
		{[]string{"appendonly no"}, []string{"CONFIG SET appendonly yes"}, "appendonly"},
		{
			[]string{"maxmemory-policy allkeys-lru"},
			[]string{"CONFIG SET maxmemory-policy noeviction"},
			"maxmemory-policy allkeys-lru",
		},
		{
			[]string{"appendonly no", "maxmemory 100mb", "maxmemory-policy volatile-ttl"},
			[]string{"CONFIG SET appendonly yes", "CONFIG SET maxmemory-policy noeviction"},
			"volatile-ttl",
		},
	} {
		server := redis.Start(t, c.config...)
		s, err := Open(t.Context(), Options{URL: server.URL()})
		var volatile *VolatileError
		if !errors.As(err, &volatile) || s != nil {
			t.Fatalf("%v: %v", c.config, err)
		}
		if d := cmp.Diff(c.cures, volatile.Cures); d != "" {
			t.Errorf("%v: -want +got\n%s", c.config, d)
		}
		if keys := server.MustDo("DBSIZE"); keys != int64(0) {
			t.Errorf("%v: %v keys were written", c.config, keys)
		}
		h := connect(t, Options{URL: server.URL(), AllowVolatile: true}).Health(t.Context())
		if h.Err != nil || h.Durable || h.FsyncAlways || !warned(h, c.setting) {
			t.Errorf("%v, allowed: %+v", c.config, h)
		}
		for _, cure := range c.cures {
			if words := strings.Fields(cure); server.MustDo(words[0], words[1], words[2], words[3]) != "OK" {
				t.Errorf("%q does not work", cure)
			}
		}
		connect(t, Options{URL: server.URL()})
	}
}

// What somebody changes while we serve shows within seconds.
func TestHealthFollowsSettings(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	s := connect(t, Options{URL: server.URL()})
	shows := func(what string, ok func(h store.Health) bool) {
		t.Helper()
		eventually(t, what, func() bool { return ok(s.Health(t.Context())) })
	}
	shows("everysec", func(h store.Health) bool {
		return h.Err == nil && h.Durable && !h.FsyncAlways && len(h.Warnings) == 1 && warned(h, "everysec")
	})
	server.MustDo("CONFIG", "SET", "appendfsync", "always")
	shows("always", func(h store.Health) bool {
		return h.Err == nil && h.Durable && h.FsyncAlways && len(h.Warnings) == 0
	})
	server.MustDo("CONFIG", "SET", "maxmemory-policy", "allkeys-lfu")
	shows("it evicts", func(h store.Health) bool {
		return h.Err == nil && !h.Durable && !h.FsyncAlways && warned(h, "maxmemory-policy allkeys-lfu")
	})
	server.MustDo("CONFIG", "SET", "maxmemory-policy", "noeviction")
	server.MustDo("CONFIG", "SET", "appendonly", "no")
	shows("no AOF", func(h store.Health) bool {
		return h.Err == nil && !h.Durable && !h.FsyncAlways && warned(h, "appendonly")
	})
	server.MustDo("CONFIG", "SET", "appendonly", "yes")
	shows("durable again", func(h store.Health) bool { return h.Err == nil && h.Durable && h.FsyncAlways })
	server.MustDo("REPLICAOF", "127.0.0.1", "1")
	shows("a replica", func(h store.Health) bool { return errors.Is(h.Err, store.ErrUnavailable) })
	server.MustDo("REPLICAOF", "NO", "ONE")
	shows("a master", func(h store.Health) bool { return h.Err == nil })
}

// Where CONFIG is refused, as managed Redis does, INFO decides.
func TestHealthWithoutConfig(t *testing.T) {
	server := redis.Start(t)
	server.MustDo("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all", "-config", "-acl")
	url := strings.Replace(server.URL(), "redis://", "redis://app:pw@", 1)
	h := connect(t, Options{URL: url}).Health(t.Context())
	if h.Err != nil || !h.Durable || h.FsyncAlways || !warned(h, "appendfsync unknown") {
		t.Errorf("%+v", h)
	}
}

func TestWrongPassword(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	server.MustDo("ACL", "SETUSER", "app", "on", ">pw", "~*", "&*", "+@all")
	s, err := Open(t.Context(), Options{URL: strings.Replace(server.URL(), "redis://", "redis://app:oops@", 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = s.Health(t.Context()).Err
	if !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "WRONGPASS") ||
		strings.Contains(err.Error(), "oops") {
		t.Errorf("%v", err)
	}
	server.MustDo("ACL", "SETUSER", "app", ">oops")
	<-s.Ready()
	server.MustDo("ACL", "SETUSER", "app", "<oops") // and now while it serves
	server.MustDo("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
	_, err = s.run(t.Context(), call{script: echo, args: []any{""}})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("with a password that was taken away: %v", err)
	}
	if err := s.Health(t.Context()).Err; !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("health: %v", err)
	}
}

// A store that somebody empties is unavailable at once and stays so; nothing makes it anew.
func TestEmptied(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	s := connect(t, Options{URL: server.URL(), Shards: 4})
	if h := s.Health(t.Context()); h.Err != nil {
		t.Fatal(h.Err)
	}
	gone := lua(`if redis.call('EXISTS', KEYS[1] .. 'meta') == 0 then
		return redis.error_reply('PNEMPTY the store was emptied') end
		return {now}`)
	kept := server.MustDo("DUMP", s.metaKey(2))
	server.MustDo("DEL", s.metaKey(2))
	if _, err := s.run(t.Context(), call{shard: 2, script: gone}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a script: %v", err)
	}
	if h := s.Health(t.Context()); h.Err == nil || !strings.Contains(h.Err.Error(), "shards 2 of") {
		t.Errorf("health: %v", h.Err)
	}
	server.MustDo("RESTORE", s.metaKey(2), 0, kept)
	eventually(t, "well when it is restored", func() bool { return s.Health(t.Context()).Err == nil })
	server.MustDo("FLUSHALL")
	if _, err := s.run(t.Context(), call{script: gone}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a script: %v", err)
	}
	for range 3 {
		if h := s.Health(t.Context()); !errors.Is(h.Err, store.ErrUnavailable) {
			t.Errorf("health: %+v", h)
		}
		time.Sleep(healthFresh)
	}
	if err := s.SetMeta(t.Context(), "x", "y"); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("SetMeta: %v", err)
	}
	if n := server.MustDo("EXISTS", s.metaKey(0)); n != int64(0) {
		t.Error("the marker was made anew")
	}
	if err := s.present(t.Context()); err != nil { // as it does every few seconds
		t.Fatal(err)
	}
	other, err := Open(t.Context(), Options{URL: server.URL(), Shards: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if h := other.Health(t.Context()); h.Err == nil || !strings.Contains(h.Err.Error(), "no marker") {
		t.Errorf("another process, while this one runs: %v", h.Err)
	}
	server.MustDo("FLUSHALL") // and none runs: it cannot know
	connect(t, Options{URL: server.URL(), Shards: 4})
	if h := s.Health(t.Context()); !errors.Is(h.Err, store.ErrUnavailable) {
		t.Errorf("in another store's keys: %+v", h)
	}
}

// Near maxmemory what makes the store grow is refused, and the rest goes on.
func TestNearlyFull(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, "maxmemory 30mb")
	s := connect(t, Options{URL: server.URL(), Shards: 1})
	ctx := within(t, 30*time.Second)
	grow := func() error {
		_, err := s.run(ctx, call{script: put, grows: true, args: []any{time.Now().UnixNano(), "x"}})
		return err
	}
	if err := grow(); err != nil {
		t.Fatal(err)
	}
	server.MustDo("SETRANGE", "ballast", 26<<20, "x")
	eventually(t, "refused", func() bool { return errors.Is(grow(), store.ErrFull) })
	if h := s.Health(ctx); !errors.Is(h.Err, store.ErrFull) {
		t.Errorf("health: %v", h.Err)
	}
	if _, err := s.run(ctx, call{script: count, args: []any{1}}); err != nil {
		t.Errorf("what does not grow: %v", err)
	}
	server.MustDo("CONFIG", "SET", "maxmemory", "20mb")
	if _, err := s.run(ctx, call{script: count, args: []any{1}}); !errors.Is(err, store.ErrFull) {
		t.Errorf("when it is full: %v", err)
	}
	server.MustDo("DEL", "ballast")
	eventually(t, "accepted again", func() bool { return grow() == nil })
	eventually(t, "healthy again", func() bool { return s.Health(ctx).Err == nil })
}

func TestOldRedisIsRefused(t *testing.T) {
	f := newFake(t)
	f.say("", strings.Replace(healthyInfo, "7.0.15", "6.0.16", 1))
	_, err := Open(t.Context(), Options{URL: f.url(), AllowVolatile: true})
	var old *OldRedisError
	if !errors.As(err, &old) || old.Version != "6.0.16" {
		t.Errorf("%v", err)
	}
	for version, want := range map[string]bool{
		"6.2.0": false, "6.1.9": true, "5.0.7": true, "7.2.4": false, "10.0.0": false, "255.255.255": false,
		"": false,
	} {
		if tooOld(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}

// What Redis says when it answers at all decides whether it can be written to.
func TestHealthOfStrangeRedis(t *testing.T) {
	t.Parallel()
	f := newFake(t)
	s := connect(t, Options{URL: f.url()})
	for _, c := range []struct{ was, is, want string }{
		{"loading:0", "loading:1", "LOADING"},
		{"role:master", "role:slave", "READONLY"},
		{"aof_last_write_status:ok", "aof_last_write_status:err", "append-only file"},
		{"maxmemory:0", "maxmemory:1000000", "maxmemory"},
		{healthyInfo, "-LOADING Redis is loading\r\n", "LOADING"},
		{healthyInfo, "-NOPERM this user has no permissions\r\n", "NOPERM"},
		{healthyInfo, "-MASTERDOWN Link is down\r\n", "MASTERDOWN"},
	} {
		f.say("", strings.Replace(healthyInfo, c.was, c.is, 1))
		eventually(t, c.want, func() bool {
			err := s.Health(t.Context()).Err
			return errors.Is(err, store.ErrUnavailable) && strings.Contains(err.Error(), c.want)
		})
		f.say("", healthyInfo)
		eventually(t, "well again", func() bool { return s.Health(t.Context()).Err == nil })
	}
}

// A Redis that does not answer costs whoever asks for its health 1.5 s, and no more goroutines the more ask.
func TestHealthOfFrozenRedis(t *testing.T) {
	t.Parallel()
	server := redis.Start(t)
	s := connect(t, Options{URL: server.URL()})
	if h := s.Health(t.Context()); h.Err != nil || !h.Durable {
		t.Fatalf("%+v", h)
	}
	server.Freeze()
	time.Sleep(healthFresh)
	begun := time.Now()
	if h := s.Health(t.Context()); !errors.Is(h.Err, store.ErrUnavailable) || !h.Durable {
		t.Errorf("%+v", h)
	}
	if took := time.Since(begun); took > 1900*time.Millisecond {
		t.Errorf("took %v", took)
	}
	hurried, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if h := s.Health(hurried); !errors.Is(h.Err, store.ErrUnavailable) {
		t.Errorf("%+v", h)
	}
	server.Thaw()
	eventually(t, "well again", func() bool { return s.Health(t.Context()).Err == nil })
}
