package redisstore

import (
	"errors"
	"strings"
	"testing"

	"paynotify/store"
	"paynotify/test/redis"
)

// TestPeek: it sees who serves a store and what is kept with it, makes none, and is nobody's neighbour.
func TestPeek(t *testing.T) {
	r := redis.Start(t)
	o := Options{URL: r.URL(), Prefix: "peek:", Shards: 3}
	g, err := Peek(t.Context(), o)
	if err != nil || g.Made || len(g.Served) > 0 {
		t.Errorf("nothing there: got %+v, %v", g, err)
	}
	if n := r.MustDo("DBSIZE"); n != int64(0) {
		t.Errorf("it made %v keys", n)
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	<-s.Ready()
	if err := s.SetMeta(t.Context(), "colour", "green"); err != nil {
		t.Fatal(err)
	}
	g, err = Peek(t.Context(), o)
	if err != nil || !g.Made || g.Shards != 3 || g.Texts["colour"] != "green" || len(g.Served) != 1 ||
		!strings.HasPrefix(g.Served[0], "process ") {
		t.Errorf("served: got %+v, %v", g, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if g, err = Peek(t.Context(), o); err != nil || len(g.Served) > 0 {
		t.Errorf("closed: got %+v, %v", g, err)
	}
	r.MustDo("HSET", "peek:{s0}:meta", "app."+store.MetaMovedTo, "sqlite:a.db", "app.moving_run", "run")
	var moved *store.MovedError
	if _, err := Peek(t.Context(), o); !errors.As(err, &moved) || moved.To != "sqlite:a.db" {
		t.Errorf("moved away: got %v", err)
	}
	if run := r.MustDo("HGET", "peek:{s0}:meta", "app.moving_run"); run != "run" {
		t.Errorf("it took the mark of a migration: %v", run)
	}
	r.Stop()
	if _, err := Peek(t.Context(), o); err == nil {
		t.Error("without Redis there is no error")
	}
}
