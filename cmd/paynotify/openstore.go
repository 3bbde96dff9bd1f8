package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"paynotify/queue"
	"paynotify/queue/localqueue"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// engineStore is a store as the engine needs it.
type engineStore interface {
	store.Store
	metaStore
}

// backend is a store with the queue that goes with it: embedded, or on Redis. The engine above does not know
// which pair it runs on.
type backend struct {
	store engineStore
	queue queue.Queue
	poll  time.Duration   // longest sleep of the waker; 0 = the dispatcher's default
	ready <-chan struct{} // closed when the store can be used; nil = from the beginning
	close func() error    // of both
	// collectors tell, at every scrape, what only this kind of backend knows.
	collectors []prometheus.Collector
}

// openBackend opens what the configuration names. fatal is called, from any goroutine, with what must end the
// process once it runs.
func openBackend(ctx context.Context, cfg Config, log *slog.Logger, fatal func(error)) (backend, error) {
	if isRedisURL(cfg.Store) {
		return openRedis(ctx, cfg, log, fatal)
	}
	return openEmbedded(ctx, cfg, log, fatal)
}

func openEmbedded(ctx context.Context, cfg Config, log *slog.Logger, fatal func(error)) (backend, error) {
	path, err := storePath(cfg.Store)
	if err != nil {
		what := "the configuration is wrong"
		return backend{}, &problem{code: exitConfig, what: what, why: "store: " + err.Error()}
	}
	s, err := sqlitestore.Open(ctx, sqlitestore.Options{
		Path: path, MaxInflightDefault: cfg.Dispatcher.MaxInflight, Log: log, Fatal: fatal,
	})
	if err != nil {
		return backend{}, storeProblem(path, err)
	}
	return backend{store: s, queue: localqueue.New(), close: s.Close}, nil
}

// storeProblem tells a person why an embedded store cannot be used.
func storeProblem(path string, err error) *problem {
	p := &problem{code: exitConfig, what: "cannot open the store " + path, why: err.Error()}
	var inUse *sqlitestore.InUseError
	var newer *sqlitestore.NewerSchemaError
	var moved *store.MovedError
	var migrating *store.MigratingError
	switch {
	case errors.As(err, &inUse):
		p.code, p.what, p.why = exitTemporary, "the store is in use", inUse.Error()
		p.do = "stop that process first, or give this one a store of its own with --store"
	case errors.As(err, &newer):
		p.what = "the store was written by a newer paynotify"
	case errors.As(err, &moved):
		p = movedAway(moved.To)
	case errors.As(err, &migrating):
		p = halfMoved(migrating.From)
	case errors.Is(err, fs.ErrNotExist):
		p.do = "make the directory first, or name another file with --store"
	case errors.Is(err, fs.ErrPermission):
		p.code = exitAuth
		p.do = "let this user write the file and its directory, or name another file with --store"
	case errors.Is(err, store.ErrFull), errors.Is(err, syscall.ENOSPC):
		p.code, p.do = exitIO, "make room on the disk"
	case errors.Is(err, syscall.EROFS), errors.Is(err, syscall.EIO):
		p.code, p.do = exitIO, "check the disk and how it is mounted"
	}
	return p
}

// movedAway is the refusal of a store whose content is elsewhere: to serve it would send everything twice.
func movedAway(to string) *problem {
	return &problem{
		code: exitConfig, what: "the store was migrated away", why: "everything was moved to " + storeName(to),
		do: "serve that one, or bring it back with paynotify migrate",
	}
}

// halfMoved is the refusal of a store that a migration has not filled yet.
func halfMoved(from string) *problem {
	return &problem{
		code: exitConfig, what: "a migration into this store has not ended",
		why: "it comes from " + storeName(from),
		do:  "run the same paynotify migrate again, it goes on where it stopped; or serve the store it comes from",
	}
}
