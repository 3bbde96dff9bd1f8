package sqlitestore

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"paynotify/store"
)

func TestDurable(t *testing.T) {
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "a.db")})
	if err := s.do(context.Background(), func(w *writer) error { return durable(w.c) }); err != nil {
		t.Fatal(err)
	}
	if h := s.Health(context.Background()); h.Err != nil || !h.Durable || !h.FsyncAlways {
		t.Fatalf("Health is %+v", h)
	}
	c, err := openConn(dsn(filepath.Join(t.TempDir(), "b.db")), "synchronous=NORMAL", "journal_mode=WAL")
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	if durable(c) == nil {
		t.Fatal("synchronous=NORMAL passes for durable")
	}
}

func TestSchemaVersions(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.db")
	if err := open(t, Options{Path: path}).Close(); err != nil {
		t.Fatal(err)
	}
	alter := func(path, text string) {
		t.Helper()
		c, err := openConn(dsn(path))
		if err == nil {
			err = errors.Join(c.run(text), c.close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	alter(path, "PRAGMA user_version = 99")
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Options{Path: path})
	var newer *NewerSchemaError
	if !errors.As(err, &newer) || !errors.Is(err, ErrNewerSchema) || newer.Have != 99 {
		t.Errorf("Open of a newer schema: %v", err)
	}
	if _, err := Fsck(path); !errors.Is(err, ErrNewerSchema) {
		t.Errorf("Fsck of a newer schema: %v", err)
	}
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
		t.Errorf("the refused file was changed (%v)", err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	alter(foreign, "CREATE TABLE theirs (a)")
	_, err = Open(context.Background(), Options{Path: foreign})
	if err == nil || !strings.Contains(err.Error(), "not one of paynotify") {
		t.Errorf("Open of a foreign database: %v", err)
	}
}

// fill opens a store with n notifications of one merchant and closes it again.
func fill(t *testing.T, path string, n int) (ids []string) {
	t.Helper()
	ctx := context.Background()
	s := open(t, Options{Path: path})
	if _, err := s.CreateMerchant(ctx, store.Merchant{MchID: "m1", MaxInflight: 1000}); err != nil {
		t.Fatal(err)
	}
	items := make([]store.Incoming, n)
	for i := range items {
		items[i] = benchItem("m1", false)
	}
	as, err := s.Accept(ctx, items, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range as {
		ids = append(ids, a.NotifyID)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ids
}

// flip copies a database with one bit changed.
func flip(t *testing.T, from string, at int64, bit int) string {
	t.Helper()
	b, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	b[at] ^= 1 << bit
	to := filepath.Join(t.TempDir(), "flipped.db")
	if err := os.WriteFile(to, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return to
}

// One flipped bit in what a merchant is sent: that notification is quarantined, all others go out as they
// were accepted, and fsck names it.
func TestFlippedBody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sound.db")
	ids := fill(t, path, 50)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	marks := [][]byte{[]byte("TRADE_SUCCESS"), []byte(`"total_amount":"88.88"`), []byte("trade_status_sync")}
	flipped := 0
	for round := 0; flipped < 10; round++ {
		mark := marks[round%len(marks)]
		at := int64(0)
		for range 1 + rand.IntN(45) {
			at += int64(bytes.Index(b[at+1:], mark)) + 1
		}
		bad := flip(t, path, at+int64(rand.IntN(len(mark))), rand.IntN(8))
		rep, err := Fsck(bad)
		if err == nil && rep.Sound() && round < 100 {
			continue // a dead copy, left over from the split of a page
		}
		flipped++
		if err != nil || rep.DamagedTotal != 1 || rep.Notifications != len(ids) {
			t.Fatalf("fsck: %+v, %v; want one damaged of %d", rep, err, len(ids))
		}
		s := open(t, Options{Path: bad})
		cs, err := s.Claim(context.Background(), "m1", 1000, time.Minute)
		if err != nil || len(cs.Items) != len(ids)-1 || len(cs.Quarantined) != 1 {
			t.Fatalf("claimed %d, quarantined %v, %v", len(cs.Items), cs.Quarantined, err)
		}
		if rep.Damaged[0] != cs.Quarantined[0] {
			t.Fatalf("fsck names %v, the claim %v", rep.Damaged, cs.Quarantined)
		}
		if n, _, err := s.Get(context.Background(), cs.Quarantined[0]); err != nil || n.State != store.Quarantined {
			t.Fatalf("the damaged one is %s, %v", n.State, err)
		}
	}
}

// One flipped bit anywhere: whatever is claimed is what was accepted, and claimed once. The store may refuse
// to work on such a file; it never invents.
func TestFlippedAnywhere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sound.db")
	ids := fill(t, path, 50)
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	refused, quarantined := 0, 0
	for range 60 {
		at, bit := rand.Int64N(st.Size()), rand.IntN(8)
		bad := flip(t, path, at, bit)
		s, err := Open(context.Background(), Options{Path: bad})
		if err != nil {
			refused++
			continue
		}
		seen := map[string]bool{}
		for range 5 {
			cs, err := s.Claim(context.Background(), "m1", 1000, time.Minute)
			if err != nil {
				refused++
				break
			}
			quarantined += len(cs.Quarantined)
			for _, c := range cs.Items {
				if string(c.Params) != string(benchParams) || c.Profile != "alipay" || seen[c.NotifyID] {
					t.Fatalf("bit %d of byte %d: %s was given out altered or twice", bit, at, c.NotifyID)
				}
				seen[c.NotifyID] = true
			}
		}
		if len(seen) > len(ids) {
			t.Fatalf("bit %d of byte %d: %d claimed of %d", bit, at, len(seen), len(ids))
		}
		_ = s.Close()
	}
	t.Logf("refused %d, quarantined %d of 60", refused, quarantined)
}

// A copy made under load is whole, and a store opened on it sends nothing until somebody says so.
func TestBackup(t *testing.T) {
	ctx := context.Background()
	dir := t.TempDir()
	ids := fill(t, filepath.Join(dir, "a.db"), 2000)
	s := open(t, Options{Path: filepath.Join(dir, "a.db")})
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for !isClosed(stop) {
			if _, err := s.Accept(ctx, []store.Incoming{benchItem("m1", false)}, time.Minute); err != nil {
				t.Errorf("Accept during a backup: %v", err)
				return
			}
		}
	}()
	copied, err := os.Create(filepath.Join(dir, "b.db"))
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(s.Backup(ctx, copied), copied.Close())
	close(stop)
	<-stopped
	if err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".backup-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if rep, err := Fsck(copied.Name()); err != nil || !rep.Sound() || rep.Notifications < len(ids) {
		t.Fatalf("fsck of the copy: %+v, %v", rep, err)
	}
	restored := open(t, Options{Path: copied.Name()})
	sending, err := restored.Sending(ctx)
	if err != nil || !sending.Paused || !strings.Contains(sending.Reason, "restored from a backup: 2") ||
		!strings.Contains(sending.Reason, "uncertain") {
		t.Fatalf("the copy's switch is %+v, %v", sending, err)
	}
	if cs, err := restored.Claim(ctx, "m1", 10, time.Minute); err != nil || cs.Lane != store.LaneHeld {
		t.Fatalf("the copy gives out %d, %v", len(cs.Items), err)
	}
	if sending, err := s.Sending(ctx); err != nil || sending.Paused {
		t.Fatalf("the original's switch is %+v, %v", sending, err)
	}
	for _, id := range ids {
		if _, _, err := restored.Get(ctx, id); err != nil {
			t.Fatalf("the copy has no %s: %v", id, err)
		}
	}
}

func TestMeta(t *testing.T) {
	ctx := context.Background()
	o := Options{Path: filepath.Join(t.TempDir(), "a.db")}
	s := open(t, o)
	if v, err := s.Meta(ctx, "k"); v != "" || err != nil {
		t.Fatalf("Meta of nothing: %q, %v", v, err)
	}
	for _, v := range []string{"one", "two"} {
		if err := s.SetMeta(ctx, "k", v); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if v, err := open(t, o).Meta(ctx, "k"); v != "two" || err != nil {
		t.Fatalf("Meta after reopening: %q, %v", v, err)
	}
	if _, err := s.Meta(ctx, "k"); !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("Meta of a closed store: %v", err)
	}
}
