package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"paynotify/store"
	"paynotify/store/storetest"
)

// moved is a newborn notification of another store.
func moved(mch string, at time.Time, shard int) store.Moved {
	m := store.Moved{Notification: store.Notification{
		MchID: mch, Profile: "form", Schedule: "alipay", Params: []byte(`{}`), OutTradeNo: "no",
	}}
	m.Accept(store.NewID(at, shard), at)
	return m
}

func importMerchants(t testing.TB, s *Store, names ...string) {
	t.Helper()
	for _, name := range names {
		m := store.MovedMerchant{Merchant: store.Merchant{MchID: name, Revision: 1, MaxInflight: 1000}}
		if err := s.ImportMerchants(context.Background(), []store.MovedMerchant{m}); err != nil {
			t.Fatal(err)
		}
	}
}

// movedFor bounds how long TestMovedInAnyOrder looks for a counter-example.
const movedFor = 3 * time.Second

// TestMovedInAnyOrder moves notifications of a few microseconds in, in any order and any pages, some twice,
// with others accepted in between, and wants each to be found by everything, also after a restart.
func TestMovedInAnyOrder(t *testing.T) {
	started, failed := time.Now(), false
	rapid.Check(t, func(rt *rapid.T) {
		if time.Since(started) > movedFor && !failed {
			return
		}
		failed = true
		c := newClock()
		p := &movedProperty{t: t, c: c, want: map[string]store.Notification{}}
		p.o = Options{Path: filepath.Join(t.TempDir(), "p.db"), Now: c.now, ReserveBytes: 1 << 12}
		p.s = open(t, p.o)
		importMerchants(t, p.s, "m")
		ago := rapid.SampledFrom([]int{0, 3, 5000}).Draw(rt, "ago")
		p.base = c.now().Add(-time.Duration(ago) * time.Microsecond)
		for range rapid.IntRange(1, 12).Draw(rt, "steps") {
			rapid.SampledFrom([]func(*rapid.T){p.moveIn, p.moveIn, p.accept, p.wait, p.reopen}).Draw(rt, "step")(rt)
		}
		p.check(rt)
		p.sendAll(rt)
		failed = false
	})
}

// movedProperty is one history, and what it should have left.
type movedProperty struct {
	t    *testing.T
	c    *clock
	o    Options
	s    *Store
	base time.Time
	all  []store.Moved
	want map[string]store.Notification
}

func (p *movedProperty) moveIn(rt *rapid.T) {
	var page []store.Moved
	for range rapid.IntRange(1, 12).Draw(rt, "items") {
		at := p.base.Add(time.Duration(rapid.IntRange(0, 6).Draw(rt, "us")) * time.Microsecond)
		m := moved("m", at, rapid.IntRange(0, 3).Draw(rt, "shard"))
		page, p.want[m.NotifyID] = append(page, m), m.Notification
	}
	if len(p.all) > 0 && rapid.Bool().Draw(rt, "again") {
		page = append(page, rapid.SampledFrom(p.all).Draw(rt, "one of them"))
	}
	p.all = append(p.all, page...)
	if err := p.s.Import(context.Background(), page); err != nil {
		rt.Fatal(err)
	}
}

func (p *movedProperty) accept(rt *rapid.T) {
	n := moved("m", p.base, 0).Notification
	as, err := p.s.Accept(context.Background(), []store.Incoming{{Notification: n}}, time.Minute)
	if err != nil {
		rt.Fatal(err)
	}
	n.Accept(as[0].NotifyID, as[0].CreatedAt)
	p.want[n.NotifyID] = n
}

func (p *movedProperty) wait(rt *rapid.T) {
	p.c.advance(time.Duration(rapid.IntRange(1, 3000).Draw(rt, "us")) * time.Microsecond)
}

func (p *movedProperty) reopen(rt *rapid.T) {
	p.check(rt)
	if err := p.s.Close(); err != nil {
		rt.Fatal(err)
	}
	p.s = open(p.t, p.o)
	p.check(rt)
}

func (p *movedProperty) check(rt *rapid.T) {
	for id, n := range p.want {
		got, _, err := p.s.Get(context.Background(), id)
		if d := cmp.Diff(n, got); err != nil || d != "" {
			rt.Fatalf("Get %s: %v\n%s", id, err, d)
		}
	}
}

// sendAll claims and settles everything, each once, and looks at what is left on disk.
func (p *movedProperty) sendAll(rt *rapid.T) {
	p.c.advance(time.Second)
	for _, cl := range claimAll(rt, p.s) {
		if _, ok := p.want[cl.NotifyID]; !ok {
			rt.Fatalf("claimed %s twice, or it never was there", cl.NotifyID)
		}
		delete(p.want, cl.NotifyID)
		ns, _, err := p.s.List(context.Background(), store.Query{
			CreatedFrom: cl.CreatedAt, CreatedTo: cl.CreatedAt.Add(time.Microsecond), Limit: 500,
		})
		listed := func(n store.Notification) bool { return n.NotifyID == cl.NotifyID && n.InFlight }
		if err != nil || !slices.ContainsFunc(ns, listed) {
			rt.Fatalf("%s is not listed under its microsecond, in flight: %v", cl.NotifyID, err)
		}
		settleAcked(rt, p.s, cl)
	}
	if len(p.want) > 0 {
		rt.Fatalf("%d were never given out", len(p.want))
	}
	if err := p.s.Close(); err != nil {
		rt.Fatal(err)
	}
	if r, err := Fsck(p.o.Path); err != nil || !r.Sound() {
		rt.Fatalf("fsck: %+v, %v", r, err)
	}
}

func claimAll(rt *rapid.T, s *Store) []store.Claim {
	cs, err := s.Claim(context.Background(), "m", 1000, time.Minute)
	if err != nil {
		rt.Fatal(err)
	}
	return cs.Items
}

func settleAcked(rt *rapid.T, s *Store, c store.Claim) {
	_, err := s.Settle(context.Background(), []store.Settlement{{
		NotifyID: c.NotifyID, MchID: c.MchID, Token: c.Token, Outcome: store.Outcome{Attempt: store.Attempt{
			Send: c.Send, Charged: true, Trigger: c.Trigger, StartedAt: c.ClaimedAt, Verdict: store.Acked,
			Reason: store.AckExact,
		}},
	}})
	if err != nil {
		rt.Fatal(err)
	}
	if n, _, err := s.Get(context.Background(), c.NotifyID); err != nil || n.State != store.Spent || n.InFlight {
		rt.Fatalf("settled: %+v, %v", n, err)
	}
}

// TestMovedInOrder wants rows in the order of their notify_ids, however crowded they are, and pages that go
// on where they stopped when the process was another one.
func TestMovedInOrder(t *testing.T) {
	c := newClock()
	o := Options{Path: filepath.Join(t.TempDir(), "p.db"), Now: c.now, ReserveBytes: 1 << 12}
	s := open(t, o)
	importMerchants(t, s, "m")
	at := c.now().Add(-time.Hour)
	var items []store.Moved
	for i := range 1200 {
		items = append(items, moved("m", at.Add(time.Duration(i/4)*time.Microsecond), i%36))
	}
	slices.SortFunc(items, func(a, b store.Moved) int { return strings.Compare(a.NotifyID, b.NotifyID) })
	for i, page := range slices.Collect(slices.Chunk(items, 150)) {
		if err := s.Import(t.Context(), page); err != nil {
			t.Fatal(err)
		}
		if i%4 == 3 {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = open(t, o)
		}
	}
	for _, again := range []bool{false, true} {
		i := 0
		for cursor, more := "", true; more; more = cursor != "" {
			page, next, err := s.Export(t.Context(), cursor, 700)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range page {
				if m.NotifyID != items[i].NotifyID {
					t.Fatalf("row %d is %s, want %s", i, m.NotifyID, items[i].NotifyID)
				}
				i++
			}
			cursor = next
		}
		if i != len(items) {
			t.Fatalf("exported %d, want %d", i, len(items))
		}
		if again {
			break
		}
		if err := s.Import(t.Context(), items[300:900]); err != nil {
			t.Fatal(err)
		}
	}
}

// TestMovedTooCrowded fills every row behind a microsecond but one.
func TestMovedTooCrowded(t *testing.T) {
	c := newClock()
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "p.db"), Now: c.now, ReserveBytes: 1 << 12})
	importMerchants(t, s, "m")
	us := c.now().UnixMicro()
	err := s.do(t.Context(), func(w *writer) error {
		w.lastID = us + movedBehind
		return errors.Join(w.begin(), w.c.do("WITH RECURSIVE r(id) AS (SELECT ? UNION ALL SELECT id + 1 FROM r "+
			"WHERE id < ?) INSERT INTO n(id, mch, state, said, prog) SELECT id, 1, 0, 0, x'01' FROM r WHERE id <> ?",
			us, us+movedBehind, us+1000))
	})
	if err != nil {
		t.Fatal(err)
	}
	last, none := moved("m", c.now(), 1), moved("m", c.now(), 2)
	if err := s.Import(t.Context(), []store.Moved{last}); err != nil {
		t.Fatal(err)
	}
	if n, _, err := s.Get(t.Context(), last.NotifyID); err != nil || n.NotifyID != last.NotifyID {
		t.Fatalf("in the last free row: %v, %v", n.NotifyID, err)
	}
	err = s.Import(t.Context(), []store.Moved{none})
	if err == nil || !strings.Contains(err.Error(), none.NotifyID) {
		t.Fatalf("Import: %v, want the notify_id that has no place", err)
	}
	if _, _, err := s.Get(t.Context(), none.NotifyID); !errors.Is(err, store.ErrNotFound) {
		t.Fatalf("Get of what has no place: %v", err)
	}
}

func TestImportRefuses(t *testing.T) {
	c := newClock()
	s := open(t, Options{Path: filepath.Join(t.TempDir(), "p.db"), Now: c.now, ReserveBytes: 1 << 12})
	importMerchants(t, s, "m")
	for what, change := range map[string]func(m *store.Moved){
		"no notify_id":        func(m *store.Moved) { m.NotifyID = "x" },
		"another microsecond": func(m *store.Moved) { m.CreatedAt = m.CreatedAt.Add(time.Microsecond) },
		"in flight":           func(m *store.Moved) { m.InFlight = true },
		"no merchant":         func(m *store.Moved) { m.MchID = "nobody" },
	} {
		good, bad := moved("m", c.now(), 1), moved("m", c.now(), 1)
		change(&bad)
		if err := s.Import(t.Context(), []store.Moved{good, bad}); err == nil {
			t.Errorf("%s: taken in", what)
		}
		if _, _, err := s.Get(t.Context(), good.NotifyID); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("%s: refused, and half of it is there: %v", what, err)
		}
	}
}

// TestMarksKeepServeAway: a store that was moved, or is being filled, opens for a migration only.
func TestMarksKeepServeAway(t *testing.T) {
	o := Options{Path: filepath.Join(t.TempDir(), "p.db"), ReserveBytes: 1 << 12}
	mark := func(name, text string) {
		t.Helper()
		o.ForMigration = true
		s := open(t, o)
		if err := errors.Join(s.SetMeta(t.Context(), name, text), s.Close()); err != nil {
			t.Fatal(err)
		}
		o.ForMigration = false
	}
	mark(store.MetaMovingRun, "run")
	s := open(t, o)
	if text, err := s.Meta(t.Context(), store.MetaMovingRun); text != "" || err != nil {
		t.Errorf("served, and still marked as the source of %q, %v", text, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	mark(store.MetaMovedTo, "redis://r/0")
	_, err := Open(t.Context(), o)
	if moved, ok := errors.AsType[*store.MovedError](err); !ok || moved.To != "redis://r/0" {
		t.Errorf("moved away: %v", err)
	}
	mark(store.MetaMigrating, "redis://q/0")
	_, err = Open(t.Context(), o)
	if from, ok := errors.AsType[*store.MigratingError](err); !ok || from.From != "redis://q/0" {
		t.Errorf("being filled: %v", err)
	}
	mark(store.MetaMigrating, "")
	mark(store.MetaMovedTo, "")
	if err := open(t, o).Close(); err != nil {
		t.Error(err)
	}
}

// TestExportOfDamage goes through everything that may be damaged of a row: what can be named is moved without
// its content, and reads the same again; the rest ends the migration.
func TestExportOfDamage(t *testing.T) {
	c := newClock()
	o := Options{Path: filepath.Join(t.TempDir(), "p.db"), Now: c.now, ReserveBytes: 1 << 12}
	s := open(t, o)
	importMerchants(t, s, "m")
	items := storetest.Foreign(5, []string{"m"}, 30, c.now())
	if err := s.Import(t.Context(), items); err != nil {
		t.Fatal(err)
	}
	sql := func(text string, args ...any) {
		t.Helper()
		err := s.do(t.Context(), func(w *writer) error { return errors.Join(w.begin(), w.c.do(text, args...)) })
		if err != nil {
			t.Fatal(err)
		}
	}
	sql("UPDATE body SET data = substr(data, 1, length(data) - 1) || x'00' WHERE id % 2 = 0")
	sql("UPDATE n SET state = 0 WHERE state = 2")
	var before []store.Moved
	for range 2 {
		got, _, err := s.Export(t.Context(), "", 100)
		if err != nil || len(got) != len(items) {
			t.Fatalf("exported %d of %d: %v", len(got), len(items), err)
		}
		rescued := 0
		for i := range got {
			if !cmp.Equal(got[i], items[i], cmpopts.EquateEmpty()) {
				rescued++
				if n := got[i].Notification; !n.Shrunk || n.Params != nil || n.State == store.Pending ||
					n.NotifyID != items[i].NotifyID || (n.State == store.Spent) != (items[i].State == store.Spent) {
					t.Fatalf("damaged: %+v, was %+v", n, items[i])
				}
			}
		}
		if rescued == 0 || rescued == len(items) {
			t.Fatalf("%d of %d were damaged", rescued, len(items))
		}
		if before != nil && !cmp.Equal(before, got) {
			t.Fatal("the same damage reads otherwise the second time")
		}
		before = got
	}
	sql("UPDATE n SET prog = x'07'")
	if _, _, err := s.Export(t.Context(), "", 100); err == nil || !strings.Contains(err.Error(), "fsck") {
		t.Errorf("without notify_ids: %v", err)
	}
	sql(fmt.Sprintf("UPDATE merchants SET data = x'%08x'", 7))
	_, _, err := s.ExportMerchants(t.Context(), "", 100)
	if err == nil || !strings.Contains(err.Error(), "fsck") {
		t.Errorf("a damaged merchant: %v", err)
	}
}
