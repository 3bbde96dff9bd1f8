package sqlitestore

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"paynotify/store"
	"paynotify/store/packed"
)

// API keys lie in memory, all of them: every request asks for one. The writer tells what it has committed,
// and nobody else writes, so what is in memory is what is on disk.

// keyBoard is what everybody may know of API keys without asking the writer.
type keyBoard struct {
	mu sync.RWMutex
	by map[string]store.APIKey
}

func (b *keyBoard) get(id string) (store.APIKey, bool) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	k, ok := b.by[id]
	return k, ok
}

func (b *keyBoard) all() []store.APIKey {
	b.mu.RLock()
	defer b.mu.RUnlock()
	all := make([]store.APIKey, 0, len(b.by))
	for _, k := range b.by {
		all = append(all, k)
	}
	store.SortKeys(all)
	return all
}

// put makes keys known, in place of one that was forgotten, if any.
func (b *keyBoard) put(forgotten string, ks ...store.APIKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.by, forgotten)
	for _, k := range ks {
		b.by[k.ID] = k
	}
}

func (b *keyBoard) clear() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.by = make(map[string]store.APIKey)
}

// load reads all keys at start. Nobody gets in with a damaged one.
func (b *keyBoard) load(s *Store, c *conn) error {
	b.clear()
	rs := c.query(context.Background(), "SELECT id, data FROM keys")
	for rs.next() {
		k, err := unpackKey(rs.text(0), rs.blob(1))
		if err != nil {
			s.log.Error("damaged API key: it is not taken, see paynotify fsck", "key", rs.text(0))
			continue
		}
		b.by[k.ID] = k
	}
	return rs.close()
}

// packKey packs an API key as a merchant is packed: JSON, sealed with a checksum.
func packKey(k *store.APIKey) ([]byte, error) {
	b, err := json.Marshal(k)
	if err != nil {
		return nil, fmt.Errorf("packing API key %s: %w", k.ID, err)
	}
	return packed.Seal(b), nil
}

func unpackKey(id string, b []byte) (k store.APIKey, err error) {
	if b, err = opened(b); err != nil {
		return k, err
	}
	if json.Unmarshal(b, &k) != nil || k.ID != id {
		return k, errDamaged
	}
	return k, nil
}

// readKey reads a key inside the transaction, as the operations before this one have left it.
func (w *writer) readKey(id string) (k store.APIKey, known bool, err error) {
	var data []byte
	known, err = w.c.query(context.Background(), "SELECT data FROM keys WHERE id = ?", id).
		one(func(r *rows) { data = r.blob(0) })
	if err != nil || !known {
		return k, known, err
	}
	if k, err = unpackKey(id, data); err != nil {
		err = refuse(fmt.Errorf("API key %s: %w: see paynotify fsck", id, err))
	}
	return k, true, err
}

// writeKey writes a key, and forgets another one for it, if any.
func (w *writer) writeKey(k store.APIKey, forgotten string) error {
	data, err := packKey(&k)
	if err != nil {
		return refuse(err)
	}
	if err := w.begin(); err != nil {
		return err
	}
	if forgotten != "" {
		if err := w.c.do("DELETE FROM keys WHERE id = ?", forgotten); err != nil {
			return err
		}
	}
	err = w.c.do("INSERT INTO keys VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET data = excluded.data", k.ID,
		data)
	if err != nil {
		return err
	}
	w.after = append(w.after, func() { w.s.keys.put(forgotten, k) })
	return nil
}

// CreateKey stores a new API key; see store.Store.
func (s *Store) CreateKey(ctx context.Context, k store.APIKey) (store.APIKey, error) {
	var out store.APIKey
	err := s.do(ctx, func(w *writer) error {
		if w.full {
			return refuse(store.ErrFull)
		}
		if err := w.begin(); err != nil {
			return err
		}
		known, err := w.c.query(context.Background(), "SELECT 1 FROM keys WHERE id = ?", k.ID).one(func(*rows) {})
		if err != nil {
			return err
		}
		if known {
			return refuse(store.ErrExists)
		}
		forgotten, err := w.keyToForget()
		if err != nil {
			return err
		}
		out = k.Created(w.time())
		return w.writeKey(out, forgotten)
	})
	if err != nil {
		return store.APIKey{}, err
	}
	return out, nil
}

// keyToForget is the key in whose place a new one comes, empty while there is room.
func (w *writer) keyToForget() (id string, err error) {
	n := int64(0)
	_, err = w.c.query(context.Background(), "SELECT count(*) FROM keys").one(func(r *rows) { n = r.int(0) })
	if err != nil || n < store.KeysMax {
		return "", err
	}
	var all []store.APIKey
	rs := w.c.query(context.Background(), "SELECT id, data FROM keys")
	for rs.next() {
		if k, err := unpackKey(rs.text(0), rs.blob(1)); err == nil {
			all = append(all, k)
		}
	}
	if err := rs.close(); err != nil {
		return "", err
	}
	if id = store.FirstRevoked(all); id == "" {
		return "", refuse(store.ErrKeysMax)
	}
	return id, nil
}

// Keys returns all API keys from memory; see store.Store.
func (s *Store) Keys(context.Context) ([]store.APIKey, error) {
	if isClosed(s.failed) || isClosed(s.quit) {
		return nil, s.fatalError()
	}
	return s.keys.all(), nil
}

// Key returns an API key from memory; see store.Store.
func (s *Store) Key(_ context.Context, id string) (store.APIKey, error) {
	if isClosed(s.failed) || isClosed(s.quit) {
		return store.APIKey{}, s.fatalError()
	}
	k, ok := s.keys.get(id)
	if !ok {
		return k, store.ErrNoKey
	}
	return k, nil
}

// RevokeKey ends an API key; see store.Store. It works as long as the disk takes anything: who revokes a key
// may have a reason that does not wait.
func (s *Store) RevokeKey(ctx context.Context, id string) (store.APIKey, error) {
	var k store.APIKey
	err := s.do(ctx, func(w *writer) error {
		if err := w.begin(); err != nil {
			return err
		}
		var known bool
		var err error
		k, known, err = w.readKey(id)
		switch {
		case err != nil:
			return err
		case !known:
			return refuse(store.ErrNoKey)
		case !k.RevokedAt.IsZero():
			return nil
		}
		k.RevokedAt = w.time()
		return w.writeKey(k, "")
	})
	if err != nil {
		return store.APIKey{}, err
	}
	return k, nil
}

// ImportKeys stores API keys as they are; see store.Mover.
func (s *Store) ImportKeys(ctx context.Context, ks []store.APIKey) error {
	return s.do(ctx, func(w *writer) error {
		if w.full {
			return refuse(store.ErrFull)
		}
		for _, k := range ks {
			if err := w.writeKey(k, ""); err != nil {
				return err
			}
		}
		return nil
	})
}
