package sqlitestore

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"paynotify/store"
)

// schema1 unpacks a database of schema version 1, which the version before keys, audit log and marks has
// made: one merchant, one notification spent, two pending, one of them claimed when it was closed.
func schema1(t *testing.T) string {
	t.Helper()
	f, err := os.Open("testdata/schema1.db.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(zip)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "old.db")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOldSchema(t *testing.T) {
	ctx := context.Background()
	path := schema1(t)
	if _, err := Fsck(path); err == nil || !strings.Contains(err.Error(), "schema version 1 and not 3") {
		t.Errorf("Fsck of an old schema: %v", err)
	}
	for range 2 {
		s := open(t, Options{Path: path})
		for id, want := range map[string]store.State{
			"hod1jn9q800p74db7vx4qqb7zv": store.Spent, "hod1jn9q810jxxx6plsujwu6ae": store.Pending,
			"hod1jn9q820zx0b5mx65gbrjgu": store.Pending,
		} {
			if n, _, err := s.Get(ctx, id); err != nil || n.State != want || string(n.Params) != string(benchParams) {
				t.Errorf("%s is %s, %v; want %s", id, n.State, err, want)
			}
		}
		if n, err := s.ByKey(ctx, "m1", "old-key"); err != nil || n.NotifyID != "hod1jn9q820zx0b5mx65gbrjgu" {
			t.Errorf("ByKey: %s, %v", n.NotifyID, err)
		}
		if m, err := s.Merchant(ctx, "m1"); err != nil || m.Name != "Old Shop" || m.Keys[0].ID != "k1" {
			t.Errorf("merchant: %+v, %v", m, err)
		}
		if text, err := s.Meta(ctx, "key_check"); err != nil || text != "abc" {
			t.Errorf("Meta: %q, %v", text, err)
		}
		for state, want := range map[store.State]int{"": 3, store.Spent: 1, store.Pending: 2} {
			q := store.Query{MchID: "m1", State: state}
			ns, _, err := s.List(ctx, q)
			c, countErr := s.Count(ctx, q, 0)
			if len(ns) != 1 || c.Total != want || err != nil || countErr != nil { // a page of one
				t.Errorf("%q: listed %d, counted %+v, want %d; %v, %v", state, len(ns), c, want, err, countErr)
			}
		}
		act(t, s)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	rep, err := Fsck(path)
	if err != nil || !rep.Sound() || rep.Notifications != 3 || rep.Keys != 2 || rep.Audit != 6 {
		t.Errorf("Fsck: %+v, %v", rep, err)
	}
}

// act creates a key, revokes it, audits three times and sets a mark.
func act(t *testing.T, s *Store) {
	t.Helper()
	ctx := context.Background()
	ks, err := s.Keys(ctx)
	if err != nil {
		t.Fatal(err)
	}
	id := fmt.Sprintf("key%05d", len(ks))
	if _, err := s.CreateKey(ctx, store.APIKey{ID: id, Name: "till", Digest: []byte("digest")}); err != nil {
		t.Fatal(err)
	}
	for _, action := range []string{"key.create", "key.revoke", "merchant.create"} {
		_, err := s.Audit(ctx, store.AuditEntry{
			Actor: "admin", Action: action, Object: "key/" + id, After: json.RawMessage(`{"name":"till"}`),
			Result: "ok",
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.RevokeKey(ctx, id); err != nil {
		t.Fatal(err)
	}
	was, err := s.Mark(ctx, "callback")
	if err != nil {
		t.Fatal(err)
	}
	if done, err := s.SetMark(ctx, "callback", was, was+"+"); !done || err != nil {
		t.Fatalf("SetMark: %v, %v", done, err)
	}
}

// sql changes a database that nobody serves, behind the store's back.
func sql(t *testing.T, path, text string) {
	t.Helper()
	c, err := openConn(dsn(path))
	if err == nil {
		err = errors.Join(c.run(text), c.close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// tamperings are what somebody who can write the file may do, and what comes of it.
var tamperings = []struct {
	text   string
	want   []string // what fsck names
	breaks int64    // where the chain does; 0 = nowhere
}{
	{"UPDATE audit SET at = at", nil, 0},
	{"UPDATE audit SET actor = 'nobody' WHERE seq = 3", []string{"audit entry 3:"}, 3},
	{"UPDATE audit SET after = '{\"name\":\"tilt\"}' WHERE seq = 6", []string{"audit entry 6:"}, 6},
	{"UPDATE audit SET after = 'no JSON' WHERE seq = 6", []string{"audit entry 6:"}, 6},
	{"UPDATE audit SET before = x'00ff' WHERE seq = 1", []string{"audit entry 1:"}, 1},
	{"UPDATE audit SET at = at + 1 WHERE seq = 2", []string{"audit entry 2:"}, 2},
	{
		"UPDATE audit SET sum = x'0102' WHERE seq = 2",
		[]string{"audit entry 2:", "audit entry 3:"},
		2,
	},
	{"DELETE FROM audit WHERE seq = 4", []string{"the audit log between entries 3 and 5"}, 4},
	{"DELETE FROM audit WHERE seq < 3", []string{"the audit log between entries 0 and 3"}, 1},
	{
		"UPDATE audit SET seq = 9 WHERE seq = 6",
		[]string{"the audit log between entries 5 and 9"},
		6,
	},
	{"DELETE FROM audit WHERE seq > 4", nil, 0}, // nobody can see that
	{
		"UPDATE keys SET data = CAST(replace(data, 'till', 'tilt') AS BLOB) WHERE id = 'key00000'",
		[]string{"API key key00000"},
		0,
	},
	{"UPDATE keys SET id = 'admin' WHERE id = 'key00000'", []string{"API key admin"}, 0},
	{"UPDATE keys SET data = x''", []string{"API key key00000", "API key key00001"}, 0},
}

// Whoever changes the audit log or a key in the file is found out by fsck, which names the place; the server
// goes on, and a key that is not what was written opens nothing.
func TestTampered(t *testing.T) {
	ctx := context.Background()
	sound := filepath.Join(t.TempDir(), "sound.db")
	s := open(t, Options{Path: sound})
	act(t, s)
	act(t, s)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(sound)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range tamperings {
		path := filepath.Join(t.TempDir(), "tampered.db")
		if err := os.WriteFile(path, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		sql(t, path, c.text)
		rep, err := Fsck(path)
		n := len(c.want)
		if err != nil || len(rep.Damaged) != n || rep.DamagedTotal != n || len(rep.Integrity) > 0 {
			t.Errorf("%s: fsck finds %+v, %v", c.text, rep, err)
			continue
		}
		for i, want := range c.want {
			if !strings.HasPrefix(rep.Damaged[i], want) {
				t.Errorf("%s: fsck names %q, want %q", c.text, rep.Damaged[i], want)
			}
			if id, ok := strings.CutPrefix(want, "API key "); ok {
				noKey(t, path, id)
			}
		}
		s := open(t, Options{Path: path})
		log, err := s.AuditLog(ctx, 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		if at, ok := store.VerifyChain([32]byte{}, log); ok != (c.breaks == 0) || at != c.breaks {
			t.Errorf("%s: the chain breaks at %d, want %d", c.text, at, c.breaks)
		}
		if _, err := json.Marshal(log); err != nil {
			t.Errorf("%s: the log cannot be shown: %v", c.text, err)
		}
		last := log[len(log)-1]
		next, err := s.Audit(ctx, store.AuditEntry{Action: "start"})
		if err != nil || next.Seq != last.Seq+1 || next.Sum != next.Chain(last.Sum) {
			t.Errorf("%s: the log goes on with entry %d behind %d, %v", c.text, next.Seq, last.Seq, err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// noKey wants a damaged key to be unknown, and to be neither overwritten nor revoked by mistake.
func noKey(t *testing.T, path, id string) {
	t.Helper()
	ctx := context.Background()
	s := open(t, Options{Path: path})
	defer s.Close()
	if _, err := s.Key(ctx, id); !errors.Is(err, store.ErrNoKey) {
		t.Errorf("a damaged key: %v, want ErrNoKey", err)
	}
	if _, err := s.CreateKey(ctx, store.APIKey{ID: id}); !errors.Is(err, store.ErrExists) {
		t.Errorf("CreateKey over a damaged one: %v, want ErrExists", err)
	}
	if _, err := s.RevokeKey(ctx, id); !errors.Is(err, errDamaged) {
		t.Errorf("RevokeKey of a damaged one: %v", err)
	}
}

// A backup has keys, audit log and marks, and goes on with them.
func TestBackupOfAccess(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	s := open(t, Options{Path: filepath.Join(dir, "a.db")})
	act(t, s)
	var copied bytes.Buffer
	if err := s.Backup(ctx, &copied); err != nil {
		t.Fatal(err)
	}
	act(t, s) // not in the copy
	path := filepath.Join(dir, "b.db")
	if err := os.WriteFile(path, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if rep, err := Fsck(path); err != nil || !rep.Sound() || rep.Keys != 1 || rep.Audit != 3 {
		t.Fatalf("fsck of the copy: %+v, %v", rep, err)
	}
	restored := open(t, Options{Path: path})
	if k, err := restored.Key(ctx, "key00000"); err != nil || k.RevokedAt.IsZero() {
		t.Errorf("the revoked key in the copy: %+v, %v", k, err)
	}
	if _, err := restored.Key(ctx, "key00001"); !errors.Is(err, store.ErrNoKey) {
		t.Errorf("a key made after the copy: %v", err)
	}
	if mark, err := restored.Mark(ctx, "callback"); err != nil || mark != "+" {
		t.Errorf("the mark in the copy: %q, %v", mark, err)
	}
	act(t, restored)
	log, err := restored.AuditLog(ctx, 0, 100)
	if at, ok := store.VerifyChain([32]byte{}, log); !ok || len(log) != 6 || err != nil {
		t.Errorf("%d entries, broken at %d, %v", len(log), at, err)
	}
}

// An operation that fails takes nothing of keys and audit log with it, nor leaves any of it in memory.
func TestAccessRolledBack(t *testing.T) {
	ctx := context.Background()
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "a.db")})
	act(t, s)
	err := s.do(ctx, func(w *writer) error {
		e := store.AuditEntry{Action: "lost"}.Follow(&w.audited, w.time())
		if err := errors.Join(w.writeAudit(&e), w.writeKey(store.APIKey{ID: "lost"}, "key00000")); err != nil {
			return err
		}
		return w.c.run("INSERT INTO audit VALUES (1, 0, '', '', '', '', '', '', '', '', x'')") // it is there
	})
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("the operation that fails: %v", err)
	}
	if _, err := s.Key(ctx, "lost"); !errors.Is(err, store.ErrNoKey) {
		t.Errorf("a key that was rolled back: %v", err)
	}
	if _, err := s.Key(ctx, "key00000"); err != nil {
		t.Errorf("a key whose deletion was rolled back: %v", err)
	}
	act(t, s)
	log, err := s.AuditLog(ctx, 0, 100)
	if at, ok := store.VerifyChain([32]byte{}, log); !ok || len(log) != 6 || err != nil {
		t.Errorf("%d entries, broken at %d, %v", len(log), at, err)
	}
}

// Many that audit at once share commits, with each other and with what is accepted.
func TestAuditSharesCommits(t *testing.T) {
	commits := 0 // counted by the writer alone
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "a.db"), Point: func(name string) {
		if name == "commit" {
			commits++
		}
	}})
	ctx := context.Background()
	const callers = 64
	waiting, held := make(chan struct{}), make(chan struct{})
	s.gate <- func() { close(held); <-waiting } // the writer stands still until all have asked
	<-held
	done := make(chan error, callers)
	for range callers {
		go func() {
			_, err := s.Audit(ctx, store.AuditEntry{Action: "a"})
			done <- err
		}()
	}
	for end := time.Now().Add(10 * time.Second); len(s.ops) < callers && time.Now().Before(end); {
		runtime.Gosched()
	}
	close(waiting)
	for range callers {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if commits > callers/4 {
		t.Errorf("%d entries took %d commits", callers, commits)
	}
}
