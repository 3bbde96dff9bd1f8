package storetest

import (
	"context"
	"maps"
	"slices"

	"paynotify/store"
)

func (m *memory) CreateKey(_ context.Context, k store.APIKey) (store.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, ok := m.apiKeys[k.ID]; ok {
		return store.APIKey{}, store.ErrExists
	}
	if len(m.apiKeys) >= store.KeysMax {
		gone := store.FirstRevoked(slices.Collect(maps.Values(m.apiKeys)))
		if gone == "" {
			return store.APIKey{}, store.ErrKeysMax
		}
		delete(m.apiKeys, gone)
	}
	k = k.Created(m.now())
	m.apiKeys[k.ID] = k
	return k, nil
}

func (m *memory) Keys(context.Context) ([]store.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := slices.Collect(maps.Values(m.apiKeys))
	store.SortKeys(all)
	return all, nil
}

func (m *memory) RevokeKey(_ context.Context, id string) (store.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.apiKeys[id]
	if !ok {
		return k, store.ErrNoKey
	}
	if k.RevokedAt.IsZero() {
		k.RevokedAt = m.now()
		m.apiKeys[id] = k
	}
	return k, nil
}

func (m *memory) Key(_ context.Context, id string) (store.APIKey, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k, ok := m.apiKeys[id]
	if !ok {
		return k, store.ErrNoKey
	}
	return k, nil
}

func (m *memory) Audit(_ context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	e, err := e.Ready()
	if err != nil {
		return e, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	last := store.AuditEntry{}
	if len(m.log) > 0 {
		last = m.log[len(m.log)-1]
	}
	e = e.Follow(&last, m.now())
	m.log = append(m.log, e)
	return e, nil
}

func (m *memory) AuditLog(_ context.Context, after int64, limit int) ([]store.AuditEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if after < 0 {
		after += int64(len(m.log))
	}
	from := min(max(int(after), 0), len(m.log))
	return slices.Clone(m.log[from:min(from+limit, len(m.log))]), nil
}

func (m *memory) Mark(_ context.Context, name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.marks[name], nil
}

func (m *memory) SetMark(_ context.Context, name, was, value string) (bool, error) {
	if err := store.CheckMark(name, value); err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.marks[name] != was {
		return false, nil
	}
	m.marks[name] = value
	return true, nil
}
