package redisstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/redis"
)

// ownPrefix is a place for stores on a server that others use too.
func ownPrefix(t *testing.T, server *redis.Server) Options {
	o := Options{URL: server.URL(), Prefix: fmt.Sprintf("pn%d:", prefixes.Add(1)), Shards: 3}
	t.Cleanup(func() { server.Flush(o.Prefix + "*") })
	return o
}

// inUse opens a store that must be in use, and says by whom.
func inUse(t *testing.T, o Options) string {
	t.Helper()
	s, err := Open(t.Context(), o)
	if err == nil {
		s.Close()
		t.Fatal("it is open, and should be in use")
	}
	by, ok := errors.AsType[*InUseError](err)
	if !ok {
		t.Fatalf("Open: %v, want an InUseError", err)
	}
	return by.By
}

func TestServingAndMovingExcludeEachOther(t *testing.T) {
	t.Parallel()
	o := ownPrefix(t, redis.Shared(t))
	moving := o
	moving.ForMigration = true
	first, second := open(t, o), open(t, o)
	if by := inUse(t, moving); !strings.HasPrefix(by, "process ") {
		t.Errorf("in use by %q", by)
	}
	first.Close()
	inUse(t, moving)
	second.Close()
	m := open(t, moving)
	if by := inUse(t, o); !strings.HasPrefix(by, "a migration, process ") {
		t.Errorf("in use by %q", by)
	}
	inUse(t, moving)
	m.Close()
	open(t, moving).Close()
	open(t, o).Close()
}

// TestDeadNodes: a process that was killed here is known to be gone; one elsewhere counts until it has been
// silent for nodeGone.
func TestDeadNodes(t *testing.T) {
	t.Parallel()
	server := redis.Shared(t)
	o := ownPrefix(t, server)
	moving := o
	moving.ForMigration = true
	s := open(t, o)
	_, place, _ := strings.Cut(s.self, "@")
	s.Close()
	child := exec.Command("true")
	if err := child.Run(); err != nil {
		t.Skip(err)
	}
	dead := fmt.Sprintf("%d@%s", child.Process.Pid, place)
	elsewhere := "1@elsewhere#1-aa"
	now := time.Now().UnixMicro()
	for _, c := range []struct {
		node string
		seen int64
		uses bool
	}{
		{dead, now, false},
		{elsewhere, now, true},
		{elsewhere, now - (nodeGone + time.Second).Microseconds(), false},
	} {
		server.MustDo("DEL", s.nodesKey())
		server.MustDo("ZADD", s.nodesKey(), c.seen, c.node)
		if c.uses {
			inUse(t, moving)
		} else {
			open(t, moving).Close()
		}
	}
	server.MustDo("DEL", s.nodesKey())
	for holder, uses := range map[string]bool{dead: false, elsewhere: true} {
		for _, o := range []Options{o, moving} {
			server.MustDo("SET", s.movingKey(), holder)
			if uses {
				inUse(t, o)
			} else {
				open(t, o).Close()
			}
		}
		server.MustDo("DEL", s.movingKey())
	}
}

func TestMarksKeepServeAway(t *testing.T) {
	t.Parallel()
	o := ownPrefix(t, redis.Shared(t))
	moving := o
	moving.ForMigration = true
	mark := func(name, text string) {
		t.Helper()
		s := open(t, moving)
		if err := s.SetMeta(t.Context(), name, text); err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	mark(store.MetaMovingRun, "run")
	s := open(t, o)
	if text, err := s.Meta(t.Context(), store.MetaMovingRun); text != "" || err != nil {
		t.Errorf("served, and still marked as the source of %q, %v", text, err)
	}
	s.Close()
	mark(store.MetaMovedTo, "sqlite:/b.db")
	_, err := Open(t.Context(), o)
	if moved, ok := errors.AsType[*store.MovedError](err); !ok || moved.To != "sqlite:/b.db" {
		t.Errorf("moved away: %v", err)
	}
	mark(store.MetaMigrating, "sqlite:/a.db")
	_, err = Open(t.Context(), o)
	if from, ok := errors.AsType[*store.MigratingError](err); !ok || from.From != "sqlite:/a.db" {
		t.Errorf("being filled: %v", err)
	}
}

// TestFrozenNodeIsToldToStop: a process that was out of reach while everything was moved must not go on.
func TestFrozenNodeIsToldToStop(t *testing.T) {
	t.Parallel()
	server := redis.Shared(t)
	o := ownPrefix(t, server)
	told := make(chan error, 2)
	o.OnFatal = func(err error) { told <- err }
	s := open(t, o)
	if !s.beat(o.OnFatal) {
		t.Fatal("the first sign of life is the last one")
	}
	server.MustDo("HSET", s.metaKey(0), metaApp+store.MetaMovedTo, "sqlite:/b.db")
	if s.beat(o.OnFatal) {
		t.Fatal("it goes on")
	}
	if err := <-told; !errors.As(err, new(*store.MovedError)) {
		t.Errorf("told: %v", err)
	}
	if n := server.MustDo("ZCARD", s.nodesKey()); n != int64(0) {
		t.Errorf("%v nodes are left", n)
	}
}

// TestMigrationThatLostTheStore: a migration whose process was frozen for so long that somebody else began to
// use the store touches nothing any more.
func TestMigrationThatLostTheStore(t *testing.T) {
	t.Parallel()
	server := redis.Shared(t)
	o := ownPrefix(t, server)
	o.ForMigration = true
	told := make(chan error, 2)
	o.OnFatal = func(err error) { told <- err }
	s := open(t, o)
	server.MustDo("SET", s.movingKey(), "1@elsewhere#1-aa")
	if s.beat(o.OnFatal) {
		t.Fatal("it goes on")
	}
	if err := <-told; !errors.As(err, new(*InUseError)) {
		t.Errorf("told: %v", err)
	}
	m := store.MovedMerchant{Merchant: store.Merchant{MchID: "m"}}
	err := s.ImportMerchants(context.Background(), []store.MovedMerchant{m})
	if _, ok := errors.AsType[*InUseError](err); !ok {
		t.Errorf("ImportMerchants: %v", err)
	}
	if _, _, err := s.Export(context.Background(), "", 1); err == nil {
		t.Error("Export goes on")
	}
}

// A process of another host is not dead because this one has no process of that number.
func TestNodesOfOtherHosts(t *testing.T) {
	t.Parallel()
	const gone = "4194304" // more than pid_max: never a process
	s := &Store{presence: presence{self: "1@ip-10-0-0-1#77-ab12cd34"}}
	for node, want := range map[string]bool{
		gone + "@ip-10-0-0-1#77-00ff00ff":                      true,
		gone + "@ip-10-0-0-2#77-00ff00ff":                      false, // another host
		gone + "@ip-10-0-0-1#78-00ff00ff":                      false, // another container on it
		strconv.Itoa(os.Getpid()) + "@ip-10-0-0-1#77-00ff00ff": false, // alive
		"nonsense": false,
	} {
		if got := s.dead(node); got != want {
			t.Errorf("%s: dead %v, want %v", node, got, want)
		}
	}
}
