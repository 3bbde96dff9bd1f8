package migrate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paynotify/store"
	"paynotify/store/migrate"
)

// access is what a store has of keys, of the audit log and of marks.
type access struct {
	Keys  []store.APIKey
	Log   []store.AuditEntry
	Marks map[string]string
}

// fillAccess makes keys, one of them revoked, more audit entries than a page has, and marks.
func fillAccess(t *testing.T, s store.Mover, n int) {
	t.Helper()
	ctx := context.Background()
	for i := range 3 {
		_, err := s.CreateKey(ctx, store.APIKey{
			ID: fmt.Sprintf("k%07d", i), Name: "key", Role: "operator", Digest: []byte{1, 2, byte(i)},
			ExpiresAt: time.Now().Add(time.Hour),
		})
		must(t, err)
	}
	_, err := s.RevokeKey(ctx, "k0000001")
	must(t, err)
	for i := range 5*n + 3 {
		_, err := s.Audit(ctx, store.AuditEntry{
			Actor: "k0000001", Source: "192.0.2.7", Action: "merchant.update", Object: fmt.Sprintf("merchant/m%d", i),
			Before: json.RawMessage(`{"a":"<é>"}`), RequestID: "r", Result: "ok",
		})
		must(t, err)
	}
	for _, name := range []string{"callback", "notices"} {
		_, err := s.SetMark(ctx, name, "", "at "+name)
		must(t, err)
	}
}

// act changes something of each kind.
func act(t *testing.T, s store.Mover) {
	t.Helper()
	ctx := context.Background()
	_, err := s.RevokeKey(ctx, "k0000002")
	must(t, err)
	_, err = s.CreateKey(ctx, store.APIKey{ID: "new-here"})
	must(t, err)
	_, err = s.Audit(ctx, store.AuditEntry{Actor: "admin", Action: "key.revoke", Result: "ok"})
	must(t, err)
	for name, value := range map[string]string{"callback": "further", "notices": ""} {
		done, err := s.SetMark(ctx, name, "at "+name, value)
		if must(t, err); !done {
			t.Fatalf("mark %s is not what was moved", name)
		}
	}
}

func accessOf(t *testing.T, p place) (a access) {
	t.Helper()
	p.use(t, true, func(s store.Mover) {
		ctx := context.Background()
		var err error
		a.Keys, err = s.Keys(ctx)
		must(t, err)
		a.Log, err = s.AuditLog(ctx, 0, 10_000)
		must(t, err)
		if at, ok := store.VerifyChain([32]byte{}, a.Log); !ok {
			t.Fatalf("%s: the chain of the audit log breaks at %d", p.name, at)
		}
		a.Marks, err = s.Marks(ctx)
		must(t, err)
	})
	return a
}

func sameAccess(t *testing.T, want, got access) {
	t.Helper()
	if d := gocmp.Diff(want, got); d != "" {
		t.Fatalf("keys, audit log and marks (-there +here):\n%s", d)
	}
}

// forgetful is a target that loses something of keys, audit log or marks.
type forgetful struct {
	store.Mover

	what string
}

func (f *forgetful) ImportKeys(ctx context.Context, ks []store.APIKey) error {
	if f.what == "a revocation" {
		ks = append([]store.APIKey(nil), ks...)
		ks[1].RevokedAt = time.Time{}
	}
	return f.Mover.ImportKeys(ctx, ks)
}

func (f *forgetful) ImportAudit(ctx context.Context, es []store.AuditEntry) error {
	if f.what == "an audit entry" {
		es = es[:len(es)-1]
	}
	return f.Mover.ImportAudit(ctx, es)
}

func (f *forgetful) SetMark(ctx context.Context, name, was, value string) (bool, error) {
	if f.what == "a mark" && name == "notices" {
		return true, nil
	}
	return f.Mover.SetMark(ctx, name, was, value)
}

func TestNoticesLossOfAccess(t *testing.T) {
	for _, what := range []string{"a revocation", "an audit entry", "a mark"} {
		from, to := sqlitePlace(t), sqlitePlace(t)
		fill(t, from, 3)
		from.use(t, true, func(a store.Mover) {
			to.use(t, true, func(b store.Mover) {
				_, err := migrate.Run(context.Background(), a, &forgetful{b, what},
					migrate.Options{From: from.name, To: to.name})
				var differ *migrate.DifferError
				if !errors.As(err, &differ) || differ.Source.Checksum == differ.Target.Checksum {
					t.Errorf("%s is lost, and Run says %v", what, err)
				}
			})
		})
		if canServe(to) {
			t.Errorf("%s is lost, and the target can be served", what)
		}
	}
}

// A migration that goes on, or starts over, brings the target to what the source has, whatever it has of it.
func TestAccessGoesOnAndStartsOver(t *testing.T) {
	pairs(t, func(t *testing.T, from, to place) {
		fill(t, from, 90)
		interrupted(t, from, to, 1)
		from.use(t, false, func(s store.Mover) { act(t, s) })
		want := accessOf(t, from)
		interrupted(t, from, to, 0)
		interrupted(t, from, to, 1)
		_, err := run(t, from, to, migrate.Options{})
		must(t, err)
		sameAccess(t, want, accessOf(t, to))
	})
}
