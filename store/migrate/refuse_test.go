package migrate_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"testing"

	"paynotify/store"
	"paynotify/store/migrate"
)

func TestRefuses(t *testing.T) {
	from, to, other := sqlitePlace(t), sqlitePlace(t), sqlitePlace(t)
	items := fill(t, from, 10)
	refused := func(from, to place, why string) {
		t.Helper()
		_, before := content(t, to)
		_, err := run(t, from, to, migrate.Options{})
		if _, ok := errors.AsType[*migrate.RefusedError](err); !ok {
			t.Fatalf("%s: %v, want a refusal", why, err)
		}
		if _, after := content(t, to); len(after) != len(before) {
			t.Fatalf("%s: refused, and the target changed", why)
		}
	}
	fill(t, other, 3)
	refused(from, other, "a target in use")
	to.use(t, true, func(s store.Mover) { must(t, s.SetMeta(context.Background(), "key_check", "other")) })
	refused(from, to, "a target with another master key")
	to.use(t, true, func(s store.Mover) { must(t, s.SetMeta(context.Background(), "key_check", "abc")) })
	acted := sqlitePlace(t)
	acted.use(t, false, func(s store.Mover) {
		_, err := s.Audit(context.Background(), store.AuditEntry{Actor: "system", Action: "start"})
		must(t, err)
	})
	refused(from, acted, "a target with an audit log of its own")
	interrupted(t, from, to, 0)
	refused(other, to, "a target that is filled from elsewhere")
	refused(to, sqlitePlace(t), "a source that is only partly filled")
	r, err := run(t, from, to, migrate.Options{})
	if must(t, err); r.Notifications != len(items) {
		t.Fatalf("moved %d, want %d", r.Notifications, len(items))
	}
	refused(from, to, "again")
	refused(from, sqlitePlace(t), "a source that was moved")
	other.use(t, true, func(s store.Mover) { // an empty merchant list is not enough to be empty
		must(t, s.Clear(context.Background()))
		var m store.MovedMerchant
		m.MchID, m.Deleted = "x", true
		must(t, s.ImportMerchants(context.Background(), []store.MovedMerchant{m}))
	})
	refused(to, other, "a target with a deleted merchant")
}

// lossy is a target that drops an attempt.
type lossy struct{ store.Mover }

func (l *lossy) Import(ctx context.Context, items []store.Moved) error {
	items = slices.Clone(items)
	for i := range items {
		if as := items[i].Attempts; len(as) > 0 {
			items[i].Attempts = as[:len(as)-1]
			break
		}
	}
	return l.Mover.Import(ctx, items)
}

func TestNoticesLoss(t *testing.T) {
	from, to := sqlitePlace(t), sqlitePlace(t)
	fill(t, from, 30)
	from.use(t, true, func(a store.Mover) {
		to.use(t, true, func(b store.Mover) {
			_, err := migrate.Run(context.Background(), a, &lossy{b}, migrate.Options{From: from.name, To: to.name})
			var differ *migrate.DifferError
			if !errors.As(err, &differ) || differ.Source.Checksum == differ.Target.Checksum {
				t.Fatalf("Run: %v, want a difference", err)
			}
		})
	})
	if !canServe(from) || canServe(to) {
		t.Fatal("after a difference the source must be served and the target not")
	}
	_, err := run(t, from, to, migrate.Options{})
	must(t, err)
}

// meddled is a target during whose verification somebody serves the source.
type meddled struct {
	store.Mover

	source store.Mover
}

func (m *meddled) Export(ctx context.Context, cursor string, limit int) ([]store.Moved, string, error) {
	if err := m.source.SetMeta(ctx, store.MetaMovingRun, ""); err != nil {
		return nil, "", err
	}
	return m.Mover.Export(ctx, cursor, limit)
}

func TestNoticesThatTheSourceIsServed(t *testing.T) {
	from, to := sqlitePlace(t), sqlitePlace(t)
	fill(t, from, 3)
	from.use(t, true, func(a store.Mover) {
		to.use(t, true, func(b store.Mover) {
			_, err := migrate.Run(context.Background(), a, &meddled{b, a},
				migrate.Options{From: from.name, To: to.name})
			if _, ok := errors.AsType[*migrate.RefusedError](err); !ok {
				t.Fatalf("Run: %v, want a refusal", err)
			}
		})
	})
	if !canServe(from) || canServe(to) {
		t.Fatal("the source must be served and the target not")
	}
}

func TestProgress(t *testing.T) {
	from, to := sqlitePlace(t), sqlitePlace(t)
	items := fill(t, from, 100)
	var seen []migrate.Progress
	_, err := run(t, from, to, migrate.Options{Progress: func(p migrate.Progress) { seen = append(seen, p) }})
	must(t, err)
	last := seen[len(seen)-1]
	if last != (migrate.Progress{Step: "verifying", Done: len(items), Total: len(items)}) {
		t.Errorf("last progress %+v", last)
	}
	if !slices.IsSortedFunc(seen, func(a, b migrate.Progress) int {
		return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Done, b.Done))
	}) {
		t.Errorf("progress goes back: %+v", seen)
	}
}
