package main

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/queue/asynqqueue"
	"paynotify/store"
	"paynotify/store/redisstore"
)

// redisPoll is how long the waker sleeps at most on Redis: other processes make lanes due too, and do not
// tell this one.
const redisPoll = 100 * time.Millisecond

// openRedis opens the pair of the processes that share a Redis. A Redis that is not there is no error; see
// admit.go.
func openRedis(ctx context.Context, cfg Config, log *slog.Logger, fatal func(error)) (backend, error) {
	if cfg.MasterKey == "" {
		return backend{}, noMasterKey()
	}
	s, err := redisstore.Open(ctx, redisstore.Options{
		URL: cfg.Store, WaitReplicas: cfg.Redis.WaitReplicas, AllowVolatile: cfg.AllowVolatile,
		MaxInflightDefault: cfg.Dispatcher.MaxInflight, Log: log, OnFatal: fatal,
	})
	if err != nil {
		return backend{}, cannotOpenRedis(cfg.Store, err)
	}
	client, err := redisstore.Client(cfg.Store)
	if err != nil {
		return backend{}, errors.Join(cannotOpenRedis(cfg.Store, err), s.Close())
	}
	q := asynqqueue.New(asynqqueue.Options{Client: client, Log: log})
	return backend{
		store: s, queue: q, poll: redisPoll, ready: s.Ready(),
		close:      func() error { return errors.Join(q.Close(), client.Close(), s.Close()) },
		collectors: []prometheus.Collector{&queueCollector{figures: q.Figures}},
	}, nil
}

// cannotOpenRedis is the error of a Redis that answers, and is not to be used.
func cannotOpenRedis(url string, err error) *problem {
	if p := redisProblem(err); p != nil {
		return p
	}
	return &problem{code: exitConfig, what: "cannot use the store " + storeName(url), why: err.Error()}
}

// redisProblem tells a person why a Redis is refused; nil when that is not what the error says. It may be
// found when the process has been listening for a while: Redis was not there before.
func redisProblem(err error) *problem {
	var volatile *redisstore.VolatileError
	var old *redisstore.OldRedisError
	var newer *redisstore.NewerFormatError
	var foreign *redisstore.ForeignError
	var inUse *redisstore.InUseError
	var moved *store.MovedError
	var migrating *store.MigratingError
	p := &problem{code: exitConfig, why: strings.TrimPrefix(err.Error(), "store: ")}
	switch {
	case errors.As(err, &volatile):
		p.what, p.commands = "this Redis may lose what was accepted", volatile.Cures
		p.do = "run the lines below with redis-cli, then CONFIG REWRITE, which keeps them over a restart; " +
			"--" + volatileFlag + " starts all the same"
	case errors.As(err, &old):
		p.what = "this Redis is too old"
	case errors.As(err, &newer):
		p.what, p.do = "the store was written by a newer paynotify", "start that version, or a newer one"
	case errors.As(err, &foreign):
		p.what, p.do = "this Redis holds something else", "name another database or another Redis with --store"
	case errors.As(err, &inUse):
		p.code, p.what, p.do = exitTemporary, "the store is in use", "wait until that has ended"
	case errors.As(err, &moved):
		p = movedAway(moved.To)
	case errors.As(err, &migrating):
		p = halfMoved(migrating.From)
	default:
		return nil
	}
	return p
}
