package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
	"paynotify/store/packed"
)

// API keys, the audit log and marks belong to no merchant: they lie on shard 0.

var fieldScript = newScript("field")

// field is a change of one field of a small hash on shard 0; see lua/field.lua.
type field struct {
	hash, name string
	was, value string // empty = not there
	most       int    // fields the hash may have; 0 = any number
	goes       string // what goes when a new one finds it full; empty = nothing
	grows      bool   // see call
}

// What became of a field.
const (
	fieldOther = iota // it was not what the change was computed from
	fieldDone
	fieldFull // the hash has as many as it may
)

// setField makes the change. Like what is accepted it counts only when enough replicas have it: a key that
// was revoked is not to come back with a failover.
func (s *Store) setField(ctx context.Context, f field) (int64, error) {
	reply, err := s.run(ctx, call{
		script: fieldScript, args: []any{f.hash, f.name, f.was, f.value, f.most, f.goes},
		wait: true, grows: f.grows,
	})
	switch {
	case err != nil:
		return 0, err
	case len(reply) < 2:
		return 0, errShape
	}
	return toInt(reply[1]), nil
}

const hashKeys = "keys" // of API keys, by ID

// packKey packs an API key as a merchant is packed: JSON, sealed with a checksum.
func packKey(k *store.APIKey) (string, error) {
	b, err := json.Marshal(k)
	if err != nil {
		return "", fmt.Errorf("packing API key %s: %w", k.ID, err)
	}
	return string(packed.Seal(b)), nil
}

func unpackKey(id, raw string) (k store.APIKey, err error) {
	b, whole := packed.Open([]byte(raw))
	if !whole || json.Unmarshal(b, &k) != nil || k.ID != id {
		return k, fmt.Errorf("API key %q: %w", id, errDamaged)
	}
	return k, nil
}

// CreateKey stores a new API key; see store.Store.
func (s *Store) CreateKey(ctx context.Context, k store.APIKey) (store.APIKey, error) {
	if s.shards() == 0 {
		return store.APIKey{}, s.notReady()
	}
	k = k.Created(s.Now())
	raw, err := packKey(&k)
	if err != nil {
		return store.APIKey{}, err
	}
	f := field{hash: hashKeys, name: k.ID, value: raw, most: store.KeysMax, grows: true}
	for range changeTries {
		became, err := s.setField(ctx, f)
		s.keys.changed()
		switch {
		case err != nil:
			return store.APIKey{}, err
		case became == fieldOther:
			return store.APIKey{}, store.ErrExists
		case became == fieldDone:
			return k, nil
		}
		all, err := s.Keys(ctx)
		if err != nil {
			return store.APIKey{}, err
		}
		if f.goes = store.FirstRevoked(all); f.goes == "" {
			return store.APIKey{}, store.ErrKeysMax
		}
	}
	return store.APIKey{}, fmt.Errorf("%w: API keys change all the time", store.ErrUnavailable)
}

// Keys returns all API keys; see store.Store. Nobody gets in with a damaged one.
func (s *Store) Keys(ctx context.Context) ([]store.APIKey, error) {
	raw, err := s.hash(ctx, hashKeys)
	if err != nil {
		return nil, err
	}
	all := make([]store.APIKey, 0, len(raw))
	for id, text := range raw {
		k, err := unpackKey(id, text)
		if err != nil {
			s.log.Error("damaged API key: it is not taken", "key", id)
			continue
		}
		all = append(all, k)
	}
	store.SortKeys(all)
	return all, nil
}

// hash reads a small hash of shard 0.
func (s *Store) hash(ctx context.Context, name string) (map[string]string, error) {
	if s.shards() == 0 {
		return nil, s.notReady()
	}
	all, err := s.rdb.HGetAll(ctx, s.prefix(0)+name).Result()
	if err == nil && len(all) == 0 {
		return all, s.marked(ctx, 0)
	}
	return all, s.fault(err)
}

// readField reads one field of a small hash of shard 0, empty when it is not there.
func (s *Store) readField(ctx context.Context, hash, name string) (string, error) {
	if s.shards() == 0 {
		return "", s.notReady()
	}
	raw, err := s.rdb.HGet(ctx, s.prefix(0)+hash, name).Result()
	if errors.Is(err, redis.Nil) {
		return "", s.marked(ctx, 0)
	}
	return raw, s.fault(err)
}

// Key returns an API key, at most keyFresh old; see store.Store. What nobody knows is remembered as well:
// whoever tries IDs asks Redis no more often than others.
func (s *Store) Key(ctx context.Context, id string) (store.APIKey, error) {
	asked := time.Now()
	k, ok, gen := s.keys.get(id, asked)
	if !ok {
		raw, err := s.readField(ctx, hashKeys, id)
		if err != nil {
			return store.APIKey{}, err
		}
		k = cachedKey{known: raw != "", until: asked.Add(keyFresh)}
		if k.known {
			if k.APIKey, err = unpackKey(id, raw); err != nil {
				return store.APIKey{}, err
			}
		}
		s.keys.offer(id, k, gen)
	}
	if !k.known {
		return store.APIKey{}, store.ErrNoKey
	}
	return k.APIKey, nil
}

// RevokeKey ends an API key; see store.Store. It works while Redis takes anything: who revokes a key may have
// a reason that does not wait.
func (s *Store) RevokeKey(ctx context.Context, id string) (store.APIKey, error) {
	for range changeTries {
		raw, err := s.readField(ctx, hashKeys, id)
		switch {
		case err != nil:
			return store.APIKey{}, err
		case raw == "":
			return store.APIKey{}, store.ErrNoKey
		}
		k, err := unpackKey(id, raw)
		if err != nil {
			return store.APIKey{}, err
		}
		if !k.RevokedAt.IsZero() {
			s.keys.changed() // by another process, it may be
			return k, nil
		}
		k.RevokedAt = s.Now().Truncate(time.Microsecond)
		revoked, err := packKey(&k)
		if err != nil {
			return store.APIKey{}, err
		}
		became, err := s.setField(ctx, field{hash: hashKeys, name: id, was: raw, value: revoked})
		s.keys.changed()
		if err != nil {
			return store.APIKey{}, err
		}
		if became == fieldDone {
			return k, nil
		}
	}
	return store.APIKey{}, fmt.Errorf("%w: API key %s changes all the time", store.ErrUnavailable, id)
}

// ImportKeys stores API keys as they are; see store.Mover.
func (s *Store) ImportKeys(ctx context.Context, ks []store.APIKey) error {
	if err := s.aloneError(); err != nil {
		return err
	}
	there, err := s.hash(ctx, hashKeys)
	if err != nil {
		return err
	}
	defer s.keys.changed()
	for i := range ks {
		k := &ks[i]
		raw, err := packKey(k)
		if err != nil {
			return err
		}
		became, err := s.setField(ctx, field{hash: hashKeys, name: k.ID, was: there[k.ID], value: raw, grows: true})
		if err != nil {
			return err
		}
		if became != fieldDone {
			return fmt.Errorf("API key %s: %w", k.ID, &InUseError{By: "somebody who changed it just now"})
		}
	}
	return nil
}

const hashMarks = "marks" // by name

// Mark returns a mark; see store.Store.
func (s *Store) Mark(ctx context.Context, name string) (string, error) {
	return s.readField(ctx, hashMarks, name)
}

// SetMark sets a mark; see store.Store.
func (s *Store) SetMark(ctx context.Context, name, was, value string) (bool, error) {
	if err := store.CheckMark(name, value); err != nil {
		return false, err
	}
	became, err := s.setField(ctx, field{hash: hashMarks, name: name, was: was, value: value})
	return became == fieldDone, err
}

// Marks returns all marks; see store.Mover.
func (s *Store) Marks(ctx context.Context) (map[string]string, error) {
	if err := s.aloneError(); err != nil {
		return nil, err
	}
	return s.hash(ctx, hashMarks)
}
