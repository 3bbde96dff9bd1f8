package migrate_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paynotify/store"
	"paynotify/store/migrate"
	"paynotify/store/redisstore"
	"paynotify/store/sqlitestore"
	"paynotify/store/storetest"
	"paynotify/test/redis"
)

// place is a store that a test opens for a migration, or to serve it.
type place struct {
	name string
	open func(t *testing.T, forMigration bool) (store.Mover, error)
}

func sqlitePlace(t *testing.T) place {
	path := filepath.Join(t.TempDir(), "p.db")
	return place{"sqlite:" + path, func(_ *testing.T, forMigration bool) (store.Mover, error) {
		s, err := sqlitestore.Open(context.Background(),
			sqlitestore.Options{Path: path, ForMigration: forMigration})
		if err != nil {
			return nil, err
		}
		return s, nil
	}}
}

var prefixes atomic.Int64

func redisPlace(t *testing.T, server *redis.Server) place {
	prefix := fmt.Sprintf("mv%d:", prefixes.Add(1))
	t.Cleanup(func() { server.Flush(prefix + "*") })
	return place{"redis:" + prefix, func(t *testing.T, forMigration bool) (store.Mover, error) {
		s, err := redisstore.Open(context.Background(), redisstore.Options{
			URL: server.URL(), Prefix: prefix, Shards: 5, ForMigration: forMigration,
		})
		if err != nil {
			return nil, err
		}
		select {
		case <-s.Ready():
		case <-time.After(20 * time.Second):
			t.Fatalf("not ready: %v", s.Health(context.Background()).Err)
		}
		return s, nil
	}}
}

func (p place) use(t *testing.T, forMigration bool, fn func(s store.Mover)) {
	t.Helper()
	s, err := p.open(t, forMigration)
	if err != nil {
		t.Fatalf("opening %s: %v", p.name, err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Errorf("closing %s: %v", p.name, err)
		}
	}()
	fn(s)
}

func (p place) refused(t *testing.T, want error) {
	t.Helper()
	s, err := p.open(t, false)
	if err == nil {
		s.Close()
		t.Fatalf("%s can be served, want %T", p.name, want)
	}
	if found := reflect.New(reflect.TypeOf(want)); !errors.As(err, found.Interface()) ||
		!gocmp.Equal(found.Elem().Interface(), want) {
		t.Fatalf("serving %s: %v; want %v", p.name, err, want)
	}
}

func run(t *testing.T, from, to place, o migrate.Options) (r migrate.Result, err error) {
	t.Helper()
	o.From, o.To = from.name, to.name
	from.use(t, true, func(a store.Mover) {
		to.use(t, true, func(b store.Mover) { r, err = migrate.Run(context.Background(), a, b, o) })
	})
	return r, err
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// fill puts merchants, a deleted one among them, and notifications in every state into a store, the way a
// migration does.
func fill(t *testing.T, p place, n int) []store.Moved {
	t.Helper()
	var items []store.Moved
	p.use(t, true, func(s store.Mover) {
		ctx := context.Background()
		var ms []store.MovedMerchant
		var names []string
		for i := range 7 {
			m := store.MovedMerchant{Merchant: store.Merchant{
				MchID: fmt.Sprintf("m%d", i), Name: "Shop", Profile: "form", NotifyURL: "https://shop.example/n",
				Revision: int64(i) + 3, CreatedAt: time.Now().UTC().Truncate(time.Microsecond),
				RatePerSecond: 1.5 * float64(i), Options: map[string]any{"x": "y"},
			}}
			ms, names = append(ms, m), append(names, m.MchID)
		}
		gone := store.MovedMerchant{Deleted: true}
		gone.MchID = "gone"
		ms = append(ms, gone)
		must(t, s.ImportMerchants(ctx, ms))
		items = storetest.Foreign(uint64(n), names, n, time.Now())
		must(t, s.Import(ctx, items))
		must(t, s.SetMeta(ctx, "key_check", "abc"))
		sending := store.Sending{Paused: true, Reason: "maintenance", Since: time.UnixMicro(7).UTC()}
		must(t, s.SetSending(ctx, sending))
		fillAccess(t, s, n)
	})
	return items
}

// content reads everything of a store.
func content(t *testing.T, p place) (ms []store.MovedMerchant, ns []store.Moved) {
	t.Helper()
	p.use(t, true, func(s store.Mover) {
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := s.ExportMerchants(context.Background(), cursor, 3)
			must(t, err)
			ms, cursor = append(ms, page...), next
		}
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := s.Export(context.Background(), cursor, 100)
			must(t, err)
			ns, cursor = append(ns, page...), next
		}
	})
	return ms, ns
}

func pairs(t *testing.T, fn func(t *testing.T, from, to place)) {
	server := redis.Shared(t)
	for _, c := range []struct {
		name     string
		from, to func(t *testing.T) place
	}{
		{"sqlite to redis", sqlitePlace, func(t *testing.T) place { return redisPlace(t, server) }},
		{"redis to sqlite", func(t *testing.T) place { return redisPlace(t, server) }, sqlitePlace},
		{"sqlite to sqlite", sqlitePlace, sqlitePlace},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fn(t, c.from(t), c.to(t))
		})
	}
}

// TestThereAndBack moves everything, changes something there, and moves it back.
func TestThereAndBack(t *testing.T) {
	pairs(t, func(t *testing.T, from, to place) {
		ctx := context.Background()
		items := fill(t, from, 40)
		ms, _ := content(t, from)
		acts := accessOf(t, from)
		r, err := run(t, from, to, migrate.Options{})
		must(t, err)
		if r.Keys != len(acts.Keys) || r.Audit != len(acts.Log) || r.Marks != len(acts.Marks) {
			t.Fatalf("moved %+v, want %d keys, %d audit entries, %d marks", r, len(acts.Keys), len(acts.Log),
				len(acts.Marks))
		}
		sameAccess(t, acts, accessOf(t, to))
		if r.Merchants != len(ms)-1 || r.Deleted != 1 || r.Notifications != len(items) {
			t.Fatalf("moved %+v, want %d merchants and %d notifications", r, len(ms), len(items))
		}
		from.refused(t, &store.MovedError{To: to.name})
		gotMs, got := content(t, to)
		if d := gocmp.Diff(ms, gotMs); d != "" {
			t.Fatalf("merchants (-there +here):\n%s", d)
		}
		same(t, items, got)
		var id string
		to.use(t, false, func(s store.Mover) {
			text, err := s.Meta(ctx, "key_check")
			if sending, _ := s.Sending(ctx); !sending.Paused || sending.Reason != "maintenance" || text != "abc" {
				t.Fatalf("switch %+v, key_check %q, %v", sending, text, err)
			}
			must(t, s.SetSending(ctx, store.Sending{}))
			as, err := s.Accept(ctx, []store.Incoming{{Notification: store.Notification{
				MchID: "m1", Profile: "form", Schedule: "alipay", Params: []byte(`{}`), IdempotencyKey: "new",
			}, Want: true}}, time.Minute)
			must(t, err)
			id = as[0].NotifyID
			must(t, s.SetMeta(ctx, "key_check", "abc\ndef"))
			_, err = s.Resend(ctx, items[0].NotifyID, store.Resend, true)
			if err != nil && !errors.Is(err, store.ErrShrunk) {
				t.Fatal(err)
			}
			must(t, s.DeleteMerchant(ctx, lonely(t, s)))
			act(t, s)
		})
		acts = accessOf(t, to)
		wantMs, want := content2(t, to)
		if r, err = run(t, to, from, migrate.Options{}); err != nil {
			t.Fatal(err)
		}
		if r.Notifications != len(items)+1 {
			t.Fatalf("moved %d back, want %d", r.Notifications, len(items)+1)
		}
		to.refused(t, &store.MovedError{To: from.name})
		gotMs, got = content(t, from)
		if d := gocmp.Diff(wantMs, gotMs); d != "" {
			t.Fatalf("merchants after the way back (-there +here):\n%s", d)
		}
		same(t, want, got)
		sameAccess(t, acts, accessOf(t, from))
		from.use(t, false, func(s store.Mover) {
			if text, err := s.Meta(ctx, "key_check"); text != "abc\ndef" {
				t.Fatalf("key_check %q, %v", text, err)
			}
			if _, _, err := s.Get(ctx, id); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// same wants the same notifications in the same order.
func same(t *testing.T, want, got []store.Moved) {
	t.Helper()
	if len(want) != len(got) {
		t.Fatalf("%d notifications, want %d", len(got), len(want))
	}
	for i := range want {
		if d := gocmp.Diff(want[i], got[i], cmpopts.EquateEmpty()); d != "" {
			t.Fatalf("notification %d (-there +here):\n%s", i, d)
		}
	}
}

// content2 is content once claims were released, as a migration does.
func content2(t *testing.T, p place) ([]store.MovedMerchant, []store.Moved) {
	t.Helper()
	p.use(t, true, func(s store.Mover) {
		_, err := s.Release(context.Background())
		must(t, err)
	})
	return content(t, p)
}

// lonely makes a merchant without notifications.
func lonely(t *testing.T, s store.Mover) string {
	t.Helper()
	m, err := s.CreateMerchant(context.Background(), store.Merchant{MchID: "lonely", Profile: "form"})
	must(t, err)
	return m.MchID
}

var errKilled = errors.New("killed")

// breaking is a store that fails after so many imports.
type breaking struct {
	store.Mover

	left int
}

func (b *breaking) Import(ctx context.Context, items []store.Moved) error {
	if b.left--; b.left < 0 {
		return errKilled
	}
	return b.Mover.Import(ctx, items)
}

func interrupted(t *testing.T, from, to place, imports int) {
	t.Helper()
	from.use(t, true, func(a store.Mover) {
		to.use(t, true, func(b store.Mover) {
			_, err := migrate.Run(context.Background(), a, &breaking{b, imports},
				migrate.Options{From: from.name, To: to.name})
			if !errors.Is(err, errKilled) {
				t.Fatalf("Run: %v, want the failure", err)
			}
		})
	})
}

func TestGoesOn(t *testing.T) {
	pairs(t, func(t *testing.T, from, to place) {
		items := fill(t, from, 90)
		interrupted(t, from, to, 2)
		to.refused(t, &store.MigratingError{From: from.name})
		if _, got := content(t, to); len(got) != 512 {
			t.Fatalf("%d are there, want two pages", len(got))
		}
		r, err := run(t, from, to, migrate.Options{})
		must(t, err)
		if _, got := content(t, to); r.Notifications != len(items) || len(got) != len(items) {
			t.Fatalf("moved %d, %d are there, want %d", r.Notifications, len(got), len(items))
		}
		to.use(t, false, func(store.Mover) {})
	})
}

// TestStartsOver serves the source after a migration that was interrupted: what was copied is old then.
func TestStartsOver(t *testing.T) {
	pairs(t, func(t *testing.T, from, to place) {
		items := fill(t, from, 90)
		interrupted(t, from, to, 2)
		ctx := context.Background()
		from.use(t, false, func(s store.Mover) {
			must(t, s.SetSending(ctx, store.Sending{}))
			for _, m := range items[:20] {
				if m.State == store.Pending {
					_, err := s.Cancel(ctx, m.NotifyID)
					must(t, err)
				}
			}
			n, err := s.Prune(ctx, time.Now(), time.Now(), 50)
			if must(t, err); n == 0 {
				t.Fatal("nothing was pruned")
			}
		})
		_, want := content(t, from)
		_, err := run(t, from, to, migrate.Options{})
		must(t, err)
		_, got := content(t, to)
		same(t, want, got)
	})
}

// TestEveryEnd kills the migration between any two of its marks, and wants that never both may be served,
// that one always may be, and that it can be ended.
func TestEveryEnd(t *testing.T) {
	for killed := range 12 {
		from, to := sqlitePlace(t), sqlitePlace(t)
		fill(t, from, 5)
		left := killed
		from.use(t, true, func(a store.Mover) {
			to.use(t, true, func(b store.Mover) {
				_, err := migrate.Run(context.Background(), &marking{a, &left}, &marking{b, &left},
					migrate.Options{From: from.name, To: to.name})
				if err != nil && !errors.Is(err, errKilled) {
					t.Fatal(err)
				}
			})
		})
		served := []bool{canServe(from), canServe(to)}
		if served[0] && served[1] && killed > 1 { // before that nothing was written but names
			t.Errorf("killed at mark %d: both stores may be served", killed)
		}
		if !served[0] && !served[1] {
			if _, err := run(t, from, to, migrate.Options{}); err != nil {
				t.Errorf("killed at mark %d: neither store may be served, and the next run says %v", killed, err)
			}
		}
		if _, err := run(t, from, to, migrate.Options{}); canServe(from) || !canServe(to) {
			t.Errorf("killed at mark %d: run again, %v, the source can be served: %v", killed, err, canServe(from))
		}
	}
}

// marking is a store that is killed before it sets so many marks.
type marking struct {
	store.Mover

	left *int
}

func (m *marking) SetMeta(ctx context.Context, name, value string) error {
	if *m.left--; *m.left < 0 {
		return errKilled
	}
	return m.Mover.SetMeta(ctx, name, value)
}

func canServe(p place) bool {
	s, err := p.open(nil, false)
	return err == nil && s.Close() == nil
}
