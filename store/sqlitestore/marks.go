package sqlitestore

import (
	"context"

	"paynotify/store"
)

// markPrefix is what the names of marks begin with in the table meta.
const markPrefix = "mark."

// Mark returns a mark; see store.Store.
func (s *Store) Mark(ctx context.Context, name string) (value string, err error) {
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		value, err = readMeta(ctx, c, markPrefix+name)
		return err
	})
	return value, err
}

// SetMark sets a mark; see store.Store.
func (s *Store) SetMark(ctx context.Context, name, was, value string) (bool, error) {
	if err := store.CheckMark(name, value); err != nil {
		return false, err
	}
	done := false
	err := s.do(ctx, func(w *writer) error {
		if err := w.begin(); err != nil {
			return err
		}
		now, err := readMeta(context.Background(), w.c, markPrefix+name)
		if done = err == nil && now == was; !done || now == value {
			return err
		}
		if value == "" {
			return w.c.do("DELETE FROM meta WHERE key = ?", markPrefix+name)
		}
		return writeMeta(w.c, markPrefix+name, value)
	})
	if err != nil {
		return false, err // a writer that is late may still write done: nobody looks at it, nor is it a result
	}
	return done, nil
}

// Marks returns all marks; see store.Mover.
func (s *Store) Marks(ctx context.Context) (map[string]string, error) {
	return s.metas(ctx, markPrefix)
}
