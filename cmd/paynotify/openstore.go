package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"syscall"

	"paynotify/store"
	"paynotify/store/sqlitestore"
)

// openStore opens the configured store. fatal is called, from any goroutine, when the disk has failed so that
// nothing that the store says can be relied on any more.
func openStore(
	ctx context.Context, cfg Config, log *slog.Logger, fatal func(error),
) (*sqlitestore.Store, error) {
	path, err := storePath(cfg.Store)
	if err != nil {
		return nil, &problem{code: exitConfig, what: "the configuration is wrong", why: "store: " + err.Error()}
	}
	s, err := sqlitestore.Open(ctx, sqlitestore.Options{
		Path: path, MaxInflightDefault: cfg.Dispatcher.MaxInflight, Log: log, Fatal: fatal,
	})
	if err != nil {
		return nil, storeProblem(path, err)
	}
	return s, nil
}

// storeProblem tells a person why a store cannot be used.
func storeProblem(path string, err error) error {
	p := &problem{code: exitConfig, what: "cannot open the store " + path, why: err.Error()}
	var inUse *sqlitestore.InUseError
	var newer *sqlitestore.NewerSchemaError
	switch {
	case errors.As(err, &inUse):
		p.code, p.what, p.why = exitTemporary, "the store is in use", inUse.Error()
		p.do = "stop that process first, or give this one a store of its own with --store"
	case errors.As(err, &newer):
		p.what = "the store was written by a newer paynotify"
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
