package redisstore

import (
	"context"
	"errors"
	"strconv"

	"github.com/redis/go-redis/v9"
)

// Glimpse is what Peek saw of a store.
type Glimpse struct {
	Made   bool              // there is a store; the rest is empty without
	Shards int               // of it
	Served []string          // the processes that serve it, or move it, as people call them
	Texts  map[string]string // what SetMeta keeps
}

// Peek looks at the store in a Redis and changes nothing: it makes none, and is no process that serves one.
// It fails as Open would, except that persistence and eviction are not looked at.
func Peek(ctx context.Context, o Options) (g Glimpse, err error) {
	if err := o.complete(); err != nil {
		return g, err
	}
	t, err := parseURL(o.URL)
	if err != nil {
		return g, err
	}
	s := &Store{opts: o, log: o.Log, target: t, rdb: t.client(o.Dial), prefixes: prefixesOf(o.Prefix)}
	s.self = newNodeName()
	defer func() {
		if !isFatal(err) {
			err = s.fault(err)
		}
		err = errors.Join(err, s.rdb.Close())
	}()
	all, err := s.readMarkers(ctx, shardsMax)
	if err != nil {
		return g, err
	}
	first := all[0]
	if first == nil || !first.complete {
		return g, s.untouched(ctx, all)
	}
	g.Made, g.Shards, g.Texts = true, first.shards, first.app
	if err := whole(first, all); err != nil {
		return g, err
	}
	if g.Served, err = s.servedBy(ctx); err != nil {
		return g, err
	}
	return g, first.mayServe()
}

// servedBy lists who has given a sign of life lately.
func (s *Store) servedBy(ctx context.Context) (people []string, err error) {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return nil, err
	}
	since := strconv.FormatInt(now.Add(-nodeGone).UnixMicro(), 10)
	nodes, err := s.rdb.ZRangeByScore(ctx, s.nodesKey(), &redis.ZRangeBy{Min: since, Max: "+inf"}).Result()
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if !s.dead(n) {
			people = append(people, person(n))
		}
	}
	mover, err := s.rdb.Get(ctx, s.movingKey()).Result()
	switch {
	case errors.Is(err, redis.Nil):
	case err != nil:
		return nil, err
	case !s.dead(mover):
		people = append(people, "a migration, "+person(mover))
	}
	return people, nil
}
