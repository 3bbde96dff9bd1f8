package sqlitestore

import (
	"context"
	"encoding/json"

	"paynotify/store"
)

// Keys of the meta table that the store itself uses.
const (
	metaSending = "sending"
	metaTokens  = "tokens"

	appPrefix = "app." // of what Meta and SetMeta keep
)

func readMeta(ctx context.Context, c *conn, key string) (value string, err error) {
	_, err = c.query(ctx, "SELECT value FROM meta WHERE key = ?", key).
		one(func(r *rows) { value = r.text(0) })
	return value, err
}

func writeMeta(c *conn, key, value string) error {
	return c.do("INSERT INTO meta VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
		key, value)
}

// Meta returns what SetMeta kept under the key, empty when there is nothing. For small values that belong to
// the database as a whole, such as the check value of the master key.
func (s *Store) Meta(ctx context.Context, key string) (value string, err error) {
	err = s.read(ctx, func(ctx context.Context, c *conn) error {
		value, err = readMeta(ctx, c, appPrefix+key)
		return err
	})
	return value, err
}

// SetMeta keeps a small value durably.
func (s *Store) SetMeta(ctx context.Context, key, value string) error {
	return s.do(ctx, func(w *writer) error {
		if err := w.begin(); err != nil {
			return err
		}
		return writeMeta(w.c, appPrefix+key, value)
	})
}

// Sending returns the switch.
func (s *Store) Sending(context.Context) (store.Sending, error) {
	if isClosed(s.failed) || isClosed(s.quit) {
		return store.Sending{}, s.fatalError()
	}
	return *s.fast.sending.Load(), nil
}

// SetSending turns the switch. A zero Since is filled in when the switch really turns.
func (s *Store) SetSending(ctx context.Context, sending store.Sending) error {
	return s.do(ctx, func(w *writer) error {
		if sending.Since.IsZero() {
			sending.Since = w.time()
			if w.sending.Paused == sending.Paused && !w.sending.Since.IsZero() {
				sending.Since = w.sending.Since
			}
		}
		text, err := json.Marshal(sending)
		if err != nil {
			return refuse(err)
		}
		if err := w.begin(); err != nil {
			return err
		}
		if err := writeMeta(w.c, metaSending, string(text)); err != nil {
			return err
		}
		w.sending = sending
		for _, l := range w.lanes {
			w.touch(l)
		}
		w.after = append(w.after, func() { s.fast.sending.Store(&sending) })
		return nil
	})
}

// Wakes names lanes with work; see store.Store. On a full disk it names none.
func (s *Store) Wakes(ctx context.Context, most int) (store.Wakes, error) {
	var out store.Wakes
	err := s.do(ctx, func(w *writer) (err error) {
		out, err = w.wakes(most)
		return err
	})
	if err != nil {
		return store.Wakes{}, err
	}
	return out, nil
}
