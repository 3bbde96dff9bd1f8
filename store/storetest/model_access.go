package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paynotify/store"
)

// accessFacts are what must be true of API keys, the audit log and marks.
type accessFacts struct {
	keys  map[string]store.APIKey
	log   []store.AuditEntry
	marks map[string]string
}

func newAccessFacts() accessFacts {
	return accessFacts{keys: map[string]store.APIKey{}, marks: map[string]string{}}
}

// act does one of the things that are about access and not about notifications.
func (m *model) act(rt *rapid.T) {
	switch rapid.SampledFrom([]string{"create", "revoke", "audit", "audit", "mark", "mark"}).Draw(rt, "act") {
	case "create":
		m.createKey(rt)
	case "revoke":
		m.revokeKey(rt)
	case "audit":
		m.audited(m.e.audit(deed(len(m.access.log))))
	case "mark":
		m.setMark(rt)
	}
	m.checkAccess()
}

func (m *model) keyID(rt *rapid.T) string {
	return fmt.Sprintf("k%07d", rapid.IntRange(1, 3).Draw(rt, "key"))
}

func (m *model) createKey(rt *rapid.T) {
	id := m.keyID(rt)
	_, known := m.access.keys[id]
	got, err := m.e.Store.CreateKey(m.e.ctx, apiKey(id, m.e.in(0)))
	if known != errors.Is(err, store.ErrExists) || !known && err != nil {
		m.fail(accessWrong, "CreateKey of %s, which is known: %v; %v", id, known, err)
	}
	if !known {
		m.access.keys[id] = got
	}
}

func (m *model) revokeKey(rt *rapid.T) {
	id := m.keyID(rt)
	want, known := m.access.keys[id]
	got, err := m.e.Store.RevokeKey(m.e.ctx, id)
	switch {
	case !known && errors.Is(err, store.ErrNoKey):
		return
	case !known || err != nil || got.RevokedAt.IsZero():
		m.fail(accessWrong, "RevokeKey of %s, which is known: %v; at %v, %v", id, known, got.RevokedAt, err)
	case want.RevokedAt.IsZero():
		want.RevokedAt = got.RevokedAt
	}
	m.access.keys[id] = want
}

// audited checks an entry that was appended.
func (m *model) audited(got store.AuditEntry) {
	last := store.AuditEntry{}
	if n := len(m.access.log); n > 0 {
		last = m.access.log[n-1]
	}
	if at, ok := store.VerifyChain(last.Sum, []store.AuditEntry{got}); !ok || got.Seq != last.Seq+1 {
		m.fail(auditBroken, "entry %d comes behind entry %d, and breaks at %d", got.Seq, last.Seq, at)
	}
	m.access.log = append(m.access.log, got)
}

func (m *model) setMark(rt *rapid.T) {
	texts := []string{"", "one", "two"}
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "mark")
	was, value := rapid.SampledFrom(texts).Draw(rt, "was"), rapid.SampledFrom(texts).Draw(rt, "value")
	done, err := m.e.Store.SetMark(m.e.ctx, name, was, value)
	m.e.must("SetMark", err)
	if done != (m.access.marks[name] == was) {
		m.fail(markWrong, "SetMark(%s, %q) while it is %q: %v", name, was, m.access.marks[name], done)
	}
	if done {
		m.access.marks[name] = value
	}
}

// checkAccess reads everything and wants it to be as it must.
func (m *model) checkAccess() {
	want := slices.Collect(maps.Values(m.access.keys))
	store.SortKeys(want)
	if got := m.e.keys(); len(want)+len(got) > 0 {
		if d := cmp.Diff(want, got); d != "" {
			m.fail(accessWrong, "all keys (-want +got):\n%s", d)
		}
	}
	for id, k := range m.access.keys {
		got, err := m.e.Store.Key(m.e.ctx, id)
		if d := cmp.Diff(k, got); d != "" || err != nil {
			m.fail(accessWrong, "%v (-want +got):\n%s", err, d)
		}
	}
	got, err := m.e.Store.AuditLog(m.e.ctx, 0, plenty)
	m.e.must("AuditLog", err)
	if len(m.access.log)+len(got) > 0 {
		if d := cmp.Diff(m.access.log, got); d != "" {
			m.fail(auditBroken, "(-want +got):\n%s", d)
		}
	}
	for name, value := range m.access.marks {
		if got, err := m.e.Store.Mark(m.e.ctx, name); err != nil || got != value {
			m.fail(markWrong, "%s is %q, %v; want %q", name, got, err, value)
		}
	}
}
