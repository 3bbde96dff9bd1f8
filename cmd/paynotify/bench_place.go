package main

import (
	"context"
	"path/filepath"

	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// benchPlace is where the engines under measurement keep what they are told.
type benchPlace interface {
	// store is what an engine's --store takes for the store of that name.
	store(name string) string
	// open opens the store of that name while no engine serves it.
	open(ctx context.Context, name string) (store.Store, error)
	// describe says in a few words what it is.
	describe() string
	// clear removes what a scenario has stored. It works also when the run was interrupted.
	clear() error
	// leave gives the place back as it was found.
	leave() error
}

// benchWants are what the figures are held against.
type benchWants struct {
	single, batch float64 // of the bare loop
	pending       float64 // of the rate without a backlog
	p50, p99      float64 // ms from accept to receive
	late          float64 // ms that a retry starts late, p99
	aside         float64 // ms that others' p99 moves, when a fifth of it is less
}

var (
	wantsOfFile  = benchWants{single: 0.27, batch: 0.40, pending: 0.9, p50: 1, p99: 5, late: 100, aside: 3}
	wantsOfRedis = benchWants{single: 0.25, batch: 0.25, pending: 0.85, p50: 2, p99: 10, late: 250, aside: 5}
)

// Notifications that wait in the store in the backlog scenario, when no flag says how many.
const (
	pendingInFile  = 1_000_000
	pendingInRedis = 500_000
)

// settleDown finds the place that the flags name.
func (b *bench) settleDown() error {
	pending := int64(pendingInFile)
	switch {
	case b.store == "":
		b.place, b.wants = benchFiles{b.dir}, wantsOfFile
	case isRedisURL(b.store):
		r, err := newBenchRedis(b.ctx, b.store)
		if err != nil {
			return err
		}
		b.place, b.redis, b.wants, pending = r, r, wantsOfRedis, pendingInRedis
	default:
		p := usagef("bench --store takes a Redis, redis://HOST:PORT/DB or redis-cluster://HOST:PORT")
		p.do = "leave --store out to measure the embedded store: bench makes a temporary file of its own"
		return p
	}
	if b.pending == 0 {
		b.pending = pending
	}
	return nil
}

// benchFiles are embedded stores in a temporary folder, which is removed with everything in it.
type benchFiles struct{ dir string }

func (f benchFiles) path(name string) string { return filepath.Join(f.dir, name, "bench.db") }

func (f benchFiles) store(name string) string { return "sqlite:" + f.path(name) }

func (f benchFiles) open(ctx context.Context, name string) (store.Store, error) {
	return sqlitestore.Open(ctx, sqlitestore.Options{Path: f.path(name)})
}

func (f benchFiles) describe() string { return "embedded store" }

func (f benchFiles) clear() error { return nil }

func (f benchFiles) leave() error { return nil }
