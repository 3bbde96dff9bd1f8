package redisstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/store"
	"paynotify/test/redis"
)

// pair opens one store from two processes.
func pair(t *testing.T) (server *redis.Server, o Options, a, b *Store) {
	t.Helper()
	server = redis.Shared(t)
	o = Options{URL: server.URL(), Prefix: fmt.Sprintf("pair%d:", prefixes.Add(1)), Shards: 3}
	t.Cleanup(func() { server.Flush(o.Prefix + "*") })
	return server, o, open(t, o), open(t, o)
}

// A key that one process revokes is refused by the others at most 100 ms later, though they have just taken
// it; one that is new is known to them as soon.
func TestKeyOnTwoNodes(t *testing.T) {
	t.Parallel()
	_, _, a, b := pair(t)
	ctx := context.Background()
	for i := range 5 {
		id := fmt.Sprintf("key%05d", i)
		if _, err := b.Key(ctx, id); !errors.Is(err, store.ErrNoKey) {
			t.Fatalf("Key of nobody: %v", err)
		}
		if _, err := a.CreateKey(ctx, store.APIKey{ID: id}); err != nil {
			t.Fatal(err)
		}
		created := time.Now()
		for {
			asked := time.Now()
			_, err := b.Key(ctx, id)
			if err == nil {
				break
			}
			if !errors.Is(err, store.ErrNoKey) || asked.Sub(created) > keyFresh {
				t.Fatalf("created %v ago, and %v", asked.Sub(created), err)
			}
		}
		if _, err := a.RevokeKey(ctx, id); err != nil {
			t.Fatal(err)
		}
		revoked := time.Now()
		if k, err := a.Key(ctx, id); err != nil || k.RevokedAt.IsZero() {
			t.Fatalf("the process that revoked it takes it: %+v, %v", k, err)
		}
		taken := 0
		for {
			asked := time.Now()
			k, err := b.Key(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			if !k.RevokedAt.IsZero() {
				break
			}
			if taken++; asked.Sub(revoked) > keyFresh {
				t.Fatalf("revoked %v ago, and taken", asked.Sub(revoked))
			}
		}
		if taken == 0 {
			t.Log("b had not kept it")
		}
	}
}

// Keys, unknown ones too, are asked for at most ten times a second each, and what is kept is bounded.
func TestKeysAreCached(t *testing.T) {
	t.Parallel()
	server, o, a, _ := pair(t)
	ctx := context.Background()
	if _, err := a.CreateKey(ctx, store.APIKey{ID: "known"}); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"known", "nobody"} {
		began := time.Now()
		_, first := a.Key(ctx, id)
		server.MustDo("HDEL", o.Prefix+"{s0}:keys", "known")
		server.MustDo("HSET", o.Prefix+"{s0}:keys", "nobody", "x") // not even a key
		_, second := a.Key(ctx, id)
		if time.Since(began) < keyFresh && !errors.Is(second, first) {
			t.Errorf("%s: %v, and at once %v", id, first, second)
		}
		server.MustDo("HDEL", o.Prefix+"{s0}:keys", "nobody")
	}
	c := &keyCache{}
	until := time.Now().Add(time.Hour)
	for i := range 3 * keysCached {
		c.offer(strconv.Itoa(i), cachedKey{until: until}, 0)
		if len(c.m) > keysCached {
			t.Fatalf("%d keys are kept", len(c.m))
		}
	}
	c.offer("x", cachedKey{known: true, until: until}, 0)
	if _, ok, _ := c.get("x", until); ok {
		t.Error("a key is kept longer than it may")
	}
	c.changed()
	c.offer("x", cachedKey{known: true, until: until}, 0) // read before the change
	if _, ok, _ := c.get("x", time.Now()); ok {
		t.Error("a key that was read before a change is kept after it")
	}
}

// Two processes append to one log: no gap, no entry twice, one chain. One of them dies and comes back.
func TestAuditOnTwoNodes(t *testing.T) {
	t.Parallel()
	_, o, a, b := pair(t)
	ctx := context.Background()
	var all sync.WaitGroup
	for n, s := range []*Store{a, b, open(t, o)} {
		for i := range 4 {
			all.Go(func() {
				for j := range 15 {
					_, err := s.Audit(ctx, store.AuditEntry{Action: "a", Object: fmt.Sprint(n, i, j)})
					if err != nil {
						t.Errorf("Audit: %v", err)
					}
				}
			})
		}
	}
	all.Wait()
	log, err := b.AuditLog(ctx, 0, 1000)
	if at, ok := store.VerifyChain([32]byte{}, log); !ok || len(log) != 180 || err != nil {
		t.Fatalf("%d entries, broken at %d, %v", len(log), at, err)
	}
	objects := map[string]bool{}
	for i, e := range log {
		objects[e.Object] = true
		if i > 0 && e.At.Before(log[i-1].At) {
			t.Errorf("entry %d is of %v, the one before it of %v", e.Seq, e.At, log[i-1].At)
		}
	}
	if len(objects) != 180 {
		t.Errorf("%d different entries", len(objects))
	}
}

// A mark that two processes set is set by one of them.
func TestMarkOnTwoNodes(t *testing.T) {
	t.Parallel()
	_, _, a, b := pair(t)
	ctx := context.Background()
	for i := range 20 {
		was, won := strconv.Itoa(i), make([]bool, 2)
		if i == 0 {
			was = ""
		}
		var both sync.WaitGroup
		for n, s := range []*Store{a, b} {
			both.Go(func() {
				done, err := s.SetMark(ctx, "m", was, strconv.Itoa(i+1))
				if err != nil {
					t.Errorf("SetMark: %v", err)
				}
				won[n] = done
			})
		}
		both.Wait()
		if won[0] == won[1] {
			t.Fatalf("%v of two have set the mark", won)
		}
	}
}

// When somebody has emptied Redis, keys are not unknown and the log is not empty: nobody can say.
func TestAccessEmptied(t *testing.T) {
	t.Parallel()
	server, o, a, _ := pair(t)
	ctx := context.Background()
	if _, err := a.CreateKey(ctx, store.APIKey{ID: "k"}); err != nil {
		t.Fatal(err)
	}
	server.Flush(o.Prefix + "*")
	for what, ask := range map[string]func() error{
		"Key":       func() error { _, err := a.Key(ctx, "k"); return err },
		"Keys":      func() error { _, err := a.Keys(ctx); return err },
		"CreateKey": func() error { _, err := a.CreateKey(ctx, store.APIKey{ID: "l"}); return err },
		"RevokeKey": func() error { _, err := a.RevokeKey(ctx, "k"); return err },
		"Audit":     func() error { _, err := a.Audit(ctx, store.AuditEntry{}); return err },
		"AuditLog":  func() error { _, err := a.AuditLog(ctx, 0, 1); return err },
		"Mark":      func() error { _, err := a.Mark(ctx, "m"); return err },
		"SetMark":   func() error { _, err := a.SetMark(ctx, "m", "", "1"); return err },
	} {
		if err := ask(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: %v, want ErrUnavailable", what, err)
		}
	}
}

// What somebody has changed in Redis is shown as it is, breaks the chain, and does not stop the log; a key
// that is not what was written opens nothing.
func TestTampered(t *testing.T) {
	t.Parallel()
	server, o, a, b := pair(t)
	ctx := context.Background()
	for _, s := range []*Store{a, b, a} {
		if _, err := s.Audit(ctx, store.AuditEntry{Action: "a", After: json.RawMessage(`{"a":1}`)}); err != nil {
			t.Fatal(err)
		}
	}
	key := o.Prefix + "{s0}:audit"
	server.MustDo("XDEL", key, "2-0")
	server.MustDo("XADD", key, "5-0", "actor", "nobody", "after", "{", "sum", "short")
	e, err := b.Audit(ctx, store.AuditEntry{Action: "b"})
	if err != nil || e.Seq != 6 {
		t.Fatalf("the log goes on with entry %d, %v", e.Seq, err)
	}
	log, err := a.AuditLog(ctx, 0, 100)
	if err != nil || len(log) != 4 || log[2].Actor != "nobody" || string(log[2].After) != `"{"` {
		t.Fatalf("%+v, %v", log, err)
	}
	if at, ok := store.VerifyChain([32]byte{}, log); ok || at != 2 {
		t.Errorf("the chain breaks at %d, want 2", at)
	}
	if at, ok := store.VerifyChain(log[0].Sum, log[1:]); ok || at != 3 {
		t.Errorf("the rest of it breaks at %d, want 3", at)
	}
	if _, ok := store.VerifyChain(log[2].Sum, log[3:]); !ok {
		t.Error("what was appended then is not chained to what stood there")
	}
	if _, err := a.CreateKey(ctx, store.APIKey{ID: "k", Role: "reader"}); err != nil {
		t.Fatal(err)
	}
	keys := o.Prefix + "{s0}:keys"
	raw, _ := server.MustDo("HGET", keys, "k").(string)
	server.MustDo("HSET", keys, "k", strings.Replace(raw, "reader", "admin!", 1), "other", raw)
	c := open(t, o)
	for _, id := range []string{"k", "other"} {
		if k, err := c.Key(ctx, id); err == nil {
			t.Errorf("a tampered key is taken: %+v", k)
		}
	}
	if all, err := c.Keys(ctx); len(all) != 0 || err != nil {
		t.Errorf("tampered keys are shown: %+v, %v", all, err)
	}
}

// A Redis that is nearly full keeps nothing new, but a key can be revoked and a mark set.
func TestAccessNearlyFull(t *testing.T) {
	t.Parallel()
	server := redis.Start(t, "maxmemory 30mb")
	s := connect(t, Options{URL: server.URL(), Shards: 1})
	ctx := within(t, time.Minute)
	if _, err := s.CreateKey(ctx, store.APIKey{ID: "k"}); err != nil {
		t.Fatal(err)
	}
	server.MustDo("SETRANGE", "ballast", 26<<20, "x")
	eventually(t, "it notices that it is nearly full", func() bool {
		return errors.Is(s.Health(ctx).Err, store.ErrFull)
	})
	if _, err := s.CreateKey(ctx, store.APIKey{ID: "l"}); !errors.Is(err, store.ErrFull) {
		t.Errorf("CreateKey: %v, want ErrFull", err)
	}
	if _, err := s.Audit(ctx, store.AuditEntry{Action: "a"}); !errors.Is(err, store.ErrFull) {
		t.Errorf("Audit: %v, want ErrFull", err)
	}
	if k, err := s.RevokeKey(ctx, "k"); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("RevokeKey: %v, %v", k.RevokedAt, err)
	}
	if done, err := s.SetMark(ctx, "m", "", "1"); !done || err != nil {
		t.Errorf("SetMark: %v, %v", done, err)
	}
}

// The names of fields are what the script counts, and the sum is the last.
func TestAuditFields(t *testing.T) {
	args := auditArgs(nil, &store.AuditEntry{})
	if len(args) != 1+2*len(auditFields) || auditFields[len(auditFields)-1] != "sum" ||
		!slices.Contains(content, "audit") {
		t.Errorf("%d arguments for %d fields, the last one %s", len(args), len(auditFields),
			auditFields[len(auditFields)-1])
	}
}

func BenchmarkKey(b *testing.B) {
	s := open(b, Options{URL: redis.Shared(b).URL(), Prefix: "benchkey:", Shards: 1})
	ctx := context.Background()
	_, _ = s.CreateKey(ctx, store.APIKey{ID: "k"}) // it may be there
	b.RunParallel(func(p *testing.PB) {
		for p.Next() {
			if _, err := s.Key(ctx, "k"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
