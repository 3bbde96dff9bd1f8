package migrate_test

import (
	"context"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/store/migrate"
	"paynotify/store/redisstore"
	"paynotify/test/redis"
)

// TestCluster moves into a Cluster, where shards lie on several masters, back, and in again, which clears
// what was left there.
func TestCluster(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("it starts a Cluster")
	}
	c := redis.StartCluster(t, 3, 0)
	to := place{"redis-cluster:", func(t *testing.T, forMigration bool) (store.Mover, error) {
		s, err := redisstore.Open(context.Background(), redisstore.Options{
			URL: c.URL(), ForMigration: forMigration, MaxInflightDefault: 16,
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
	from := sqlitePlace(t)
	items := fill(t, from, 40)
	r, err := run(t, from, to, migrate.Options{})
	if must(t, err); r.Notifications != len(items) {
		t.Fatalf("moved %d, want %d", r.Notifications, len(items))
	}
	_, got := content(t, to)
	same(t, items, got)
	to.use(t, false, func(s store.Mover) {
		for _, m := range items {
			if _, _, err := s.Get(context.Background(), m.NotifyID); err != nil {
				t.Fatalf("%s: %v", m.NotifyID, err)
			}
		}
	})
	_, err = run(t, to, from, migrate.Options{})
	must(t, err)
	_, err = run(t, from, to, migrate.Options{})
	must(t, err)
	_, got = content(t, to)
	same(t, items, got)
}
