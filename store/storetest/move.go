package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paynotify/store"
)

// moveCases follow store.Mover.
var moveCases = []testCase{
	{"Import/comes out as it went in", moveRoundTrip},
	{"Import/again changes nothing", moveAgain},
	{"Import/unknown merchant", moveNoMerchant},
	{"Import/is found by everything", moveFound},
	{"Import/is sent, settled and changed like any other", moveLives},
	{"Import/keys still replay", moveKeys},
	{"Import/survives a crash", moveCrash},
	{"Import/is pruned", movePruned},
	{"Export/what happened here", moveNative},
	{"Export/a damaged one goes without its content", moveDamaged},
	{"Release/every claim", moveRelease},
	{"Clear/everything", moveClear},
	{"Metas/all of them", moveMetas},
}

// RunMover checks that a store.Mover keeps its promises, also for notifications that another store made:
// their notify_ids name any shard, and many have the same microsecond.
func RunMover(t *testing.T, open func(t *testing.T) Harness) {
	for _, c := range slices.Concat(moveCases, moveAccessCases) {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := newEnv(t, open(t))
			defer e.close()
			c.run(e)
		})
	}
	t.Run("Surveys", func(t *testing.T) { surveys(t, open, func(e *env) { e.moveIn(12) }) })
}

func (e *env) mover() store.Mover {
	m, ok := e.Store.(store.Mover)
	if !ok {
		e.Fatalf("%T is no store.Mover", e.Store)
	}
	return m
}

var sameMoved = cmpopts.EquateEmpty()

// moveIn imports foreign notifications of the merchants m1, m2 and gone, which is deleted.
func (e *env) moveIn(n int) []store.Moved {
	e.Helper()
	var ms []store.MovedMerchant
	for i, id := range []string{"gone", "m1", "m2"} {
		m := store.MovedMerchant{Deleted: id == "gone"}
		m.MchID = id
		if !m.Deleted {
			m.Merchant = store.Merchant{
				MchID: id, Name: "Shop", Profile: "form", NotifyURL: "https://shop.example/n", MaxInflight: plenty,
				CreatedAt: e.Now().Add(-2 * time.Hour).UTC().Truncate(time.Microsecond), Revision: int64(i) + 40,
				Options: map[string]any{"a": "b", "on": true},
				Keys:    []store.Key{{ID: "k", Sealed: []byte{1, 2, 3}, From: e.in(-time.Hour)}},
			}
		}
		ms = append(ms, m)
	}
	items := Foreign(3, []string{"m1", "m2"}, n, e.Now())
	for _, m := range Foreign(4, []string{"gone"}, n, e.Now()) {
		if at, _ := m.Due(); m.State.Final() && at.IsZero() {
			items = append(items, m)
		}
	}
	slices.SortFunc(items, func(a, b store.Moved) int { return cmp.Compare(a.NotifyID, b.NotifyID) })
	e.must("ImportMerchants", e.mover().ImportMerchants(e.ctx, ms))
	for page := range slices.Chunk(items, 37) {
		e.must("Import", e.mover().Import(e.ctx, page))
	}
	return items
}

// exportAll reads everything and checks that each comes once.
func (e *env) exportAll() (ms []store.MovedMerchant, ns []store.Moved) {
	e.Helper()
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := e.mover().ExportMerchants(e.ctx, cursor, 2)
		e.must("ExportMerchants", err)
		ms, cursor = append(ms, page...), next
	}
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := e.mover().Export(e.ctx, cursor, 10)
		e.must("Export", err)
		ns, cursor = append(ns, page...), next
	}
	return ms, ns
}

func checksum(ns []store.Moved) (c store.Checksum) {
	for i := range ns {
		c.Add(&ns[i])
	}
	return c
}

func moveRoundTrip(e *env) {
	items := e.moveIn(60)
	ms, got := e.exportAll()
	if d := gocmp.Diff(items, got, sameMoved); d != "" {
		e.Fatalf("Export (-imported +exported):\n%s", d)
	}
	if a, b := checksum(items), checksum(got); a != b {
		e.Fatalf("checksum %v, of what was imported %v", b, a)
	}
	if len(ms) != 3 || !ms[0].Deleted || ms[0].MchID != "gone" || ms[1].Revision != 41 || ms[2].Revision != 42 {
		e.Fatalf("ExportMerchants: %+v", ms)
	}
	m, err := e.Store.Merchant(e.ctx, "m1")
	e.must("Merchant", err)
	e.diff("merchant", ms[1].Merchant, m)
	if _, err := e.Store.Merchant(e.ctx, "gone"); !errors.Is(err, store.ErrNoMerchant) {
		e.Fatalf("Merchant of a deleted one: %v, want ErrNoMerchant", err)
	}
}

func moveAgain(e *env) {
	items := e.moveIn(60)
	e.advanceAll()
	_, before := e.exportAll()
	e.must("Import", e.mover().Import(e.ctx, items))
	_, after := e.exportAll()
	if d := gocmp.Diff(before, after, sameMoved); d != "" {
		e.Fatalf("imported again (-before +after):\n%s", d)
	}
	stats, err := e.Store.Stats(e.ctx)
	e.must("Stats", err)
	total := 0
	for _, n := range stats.States {
		total += n
	}
	if total != len(items) {
		e.Fatalf("Stats counts %d, want %d", total, len(items))
	}
}

// advanceAll makes an attempt of whatever is due.
func (e *env) advanceAll() {
	e.Helper()
	e.Advance(2 * time.Hour)
	for _, lane := range []string{"m1", "m2"} {
		for _, c := range e.claim(lane, plenty).Items {
			e.settle(c, refused(c, e.in(time.Hour)))
		}
	}
}

func moveNoMerchant(e *env) {
	items := Foreign(1, []string{"nobody"}, 1, e.Now())
	if err := e.mover().Import(e.ctx, items); !errors.Is(err, store.ErrNoMerchant) {
		e.Fatalf("Import: %v, want ErrNoMerchant", err)
	}
}

func moveFound(e *env) {
	items := e.moveIn(40)
	items = append(items, e.exportNew(e.add("m1", 5))...)
	var ns []store.Notification
	for _, m := range items {
		n, as := e.get(m.NotifyID)
		e.diff("Get", m.Notification, n)
		want := make([]store.Attempt, 0, len(m.Attempts))
		for _, a := range m.Attempts {
			want = append(want, a.Attempt)
		}
		e.diff("attempts", want, as)
		ns = append(ns, n)
		if n.IdempotencyKey != "" {
			byKey, err := e.Store.ByKey(e.ctx, n.MchID, n.IdempotencyKey)
			e.must("ByKey", err)
			if byKey.NotifyID != n.NotifyID {
				e.Fatalf("ByKey: %s, want %s", byKey.NotifyID, n.NotifyID)
			}
		}
	}
	if _, _, err := e.Store.Get(e.ctx, store.NewID(items[0].CreatedAt, 5)); !errors.Is(err, store.ErrNotFound) {
		e.Fatalf("Get of another notify_id of the same microsecond: %v, want ErrNotFound", err)
	}
	e.checkListed(ns)
	states := map[store.State]int{}
	for _, n := range ns {
		states[n.State]++
	}
	stats, err := e.Store.Stats(e.ctx)
	e.must("Stats", err)
	for state, n := range states {
		if stats.States[state] != n {
			e.Fatalf("Stats counts %d %s, want %d", stats.States[state], state, n)
		}
	}
}

// exportNew reads notifications of this store as they would be moved.
func (e *env) exportNew(ids []string) []store.Moved {
	e.Helper()
	var out []store.Moved
	_, all := e.exportAll()
	for _, m := range all {
		if slices.Contains(ids, m.NotifyID) {
			out = append(out, m)
		}
	}
	if len(out) != len(ids) {
		e.Fatalf("Export has %d of %d accepted here", len(out), len(ids))
	}
	return out
}

// checkListed asks for notifications in every way and wants them newest first.
func (e *env) checkListed(ns []store.Notification) {
	e.Helper()
	middle := ns[len(ns)/2].CreatedAt
	queries := []store.Query{
		{},
		{MchID: "m1"},
		{MchID: "gone"},
		{OutTradeNo: "no-3"},
		{CreatedFrom: middle},
		{CreatedTo: middle},
		{CreatedFrom: middle, CreatedTo: middle.Add(2 * time.Microsecond)},
		{MchID: "m2", CreatedFrom: middle, CreatedTo: middle.Add(3 * time.Microsecond)},
		{MchID: "m2", Verdict: store.Refused},
		{Verdict: store.Timeout, Reason: store.TimeoutHeaders, CreatedTo: middle},
	}
	for _, s := range store.States {
		queries = append(queries, store.Query{State: s}, store.Query{MchID: "m1", State: s, CreatedFrom: middle})
	}
	for _, q := range queries {
		want := []string{}
		for _, n := range ns {
			if matches(q, n, "") {
				want = append(want, n.NotifyID)
			}
		}
		slices.Sort(want)
		slices.Reverse(want)
		got := []string{}
		for _, n := range e.listAll(q) {
			got = append(got, n.NotifyID)
		}
		e.diff(fmt.Sprintf("List %+v", q), want, got)
	}
}

func moveLives(e *env) {
	items := e.moveIn(40)
	e.Advance(2 * time.Hour)
	due := map[string]bool{}
	for i := range items {
		if at, _ := items[i].Due(); !at.IsZero() {
			due[items[i].NotifyID] = true
		}
	}
	late := map[string]store.Claim{}
	for _, lane := range []string{"m1", "m2"} {
		for i, c := range e.claim(lane, plenty).Items {
			if !due[c.NotifyID] {
				e.Fatalf("claimed %s, which is not due or was claimed already", c.NotifyID)
			}
			delete(due, c.NotifyID)
			if n, _ := e.get(c.NotifyID); !n.InFlight {
				e.Fatalf("%s is claimed and not in flight", c.NotifyID)
			}
			switch i % 3 {
			case 0:
				e.settle(c, acked(c))
				e.state(c.NotifyID, store.Spent)
			case 1:
				e.settle(c, refused(c, e.in(time.Hour)))
			case 2:
				late[c.NotifyID] = c
			}
		}
	}
	if len(due) > 0 {
		e.Fatalf("%d due notifications were not given out", len(due))
	}
	e.Advance(lease + time.Second)
	e.wakes(plenty)
	for id, c := range late {
		e.settle(c, acked(c))
		e.state(id, store.Spent)
	}
	for i := range items {
		n, _ := e.get(items[i].NotifyID)
		if n.MchID == "gone" || n.Shrunk {
			continue
		}
		if n.State == store.Pending {
			e.cancel(n.NotifyID)
			e.state(n.NotifyID, store.Canceled)
		}
		if n = e.resend(n.NotifyID, true); n.Resend == "" {
			e.Fatalf("%s: no resend is owed after it was asked for", n.NotifyID)
		}
	}
}

func moveKeys(e *env) {
	items := e.moveIn(60)
	seen := 0
	for _, m := range items {
		if m.IdempotencyKey == "" || m.MchID == "gone" {
			continue
		}
		seen++
		in := incoming(m.MchID)
		in.IdempotencyKey, in.ContentDigest = m.IdempotencyKey, m.ContentDigest
		a := e.accept(in)[0]
		if a.Status != store.Replayed || a.NotifyID != m.NotifyID || !a.CreatedAt.Equal(m.CreatedAt) {
			e.Fatalf("accepted again: %+v, want %s of %v replayed", a, m.NotifyID, m.CreatedAt)
		}
		in.ContentDigest = []byte("another")
		if a := e.accept(in)[0]; a.Status != store.Conflict {
			e.Fatalf("other content under the key: %+v, want a conflict", a)
		}
	}
	if seen == 0 {
		e.Fatalf("no item has a key")
	}
}

func moveCrash(e *env) {
	items := e.moveIn(60)
	e.Store = e.Crash()
	_, got := e.exportAll()
	if d := gocmp.Diff(items, got, sameMoved); d != "" {
		e.Fatalf("after a crash (-imported +exported):\n%s", d)
	}
	e.Store = e.Reopen()
	for _, m := range items {
		n, _ := e.get(m.NotifyID)
		e.diff("Get after a restart", m.Notification, n)
	}
}

func movePruned(e *env) {
	items := e.moveIn(60)
	left := 0
	for i := range items {
		if at, _ := items[i].Due(); items[i].State == store.Pending || !at.IsZero() {
			left++
		}
	}
	e.Advance(time.Hour)
	for {
		n, err := e.Store.Prune(e.ctx, e.Now(), e.Now(), 25)
		e.must("Prune", err)
		if n == 0 {
			break
		}
	}
	if _, got := e.exportAll(); len(got) != left {
		e.Fatalf("%d are left after pruning, want %d", len(got), left)
	}
}

func moveNative(e *env) {
	ids := e.zoo()
	_, err := e.mover().Release(e.ctx)
	e.must("Release", err)
	_, got := e.exportAll()
	if len(got) < len(ids) {
		e.Fatalf("Export has %d of %d", len(got), len(ids))
	}
	for _, m := range got {
		n, as := e.get(m.NotifyID)
		e.diff("exported", n, m.Notification)
		if len(as) != len(m.Attempts) {
			e.Fatalf("%s: %d attempts exported, want %d", n.NotifyID, len(m.Attempts), len(as))
		}
		for i, a := range m.Attempts {
			e.diff("attempt", as[i], a.Attempt)
		}
		if len(as) > 0 && (m.Attempts[len(as)-1].State == "" || m.FinalAt.IsZero() != (n.State == store.Pending)) {
			e.Fatalf("%s: last attempt left it %q, final at %v", n.NotifyID, m.Attempts[len(as)-1].State, m.FinalAt)
		}
	}
}

func moveDamaged(e *env) {
	if e.Damage == nil {
		return
	}
	e.merchant("m1", nil)
	id := e.add("m1", 3)[1]
	e.Damage(id)
	_, got := e.exportAll()
	if len(got) != 3 || got[1].NotifyID != id || got[1].State != store.Quarantined || !got[1].Shrunk ||
		got[1].Params != nil {
		e.Fatalf("damaged: %+v", got)
	}
}

func moveRelease(e *env) {
	e.merchant("m1", nil)
	e.add("m1", 3)
	cs := e.claimN("m1", 2)
	n, err := e.mover().Release(e.ctx)
	e.must("Release", err)
	if n != 2 {
		e.Fatalf("released %d, want 2", n)
	}
	for _, c := range cs {
		n, as := e.get(c.NotifyID)
		if n.InFlight || n.NotifyCount != 0 || len(as) != 1 || as[0].Verdict != store.Interrupted || as[0].Charged {
			e.Fatalf("released: %+v, attempts %+v", n, as)
		}
	}
	e.Advance(tick)
	e.claimN("m1", 3)
}

func moveClear(e *env) {
	e.moveIn(40)
	e.setSending(true, "maintenance")
	e.must("SetMeta", e.mover().SetMeta(e.ctx, "key_check", "x"))
	e.must("Clear", e.mover().Clear(e.ctx))
	for range 2 {
		ms, ns := e.exportAll()
		stats, err := e.Store.Stats(e.ctx)
		e.must("Stats", err)
		s, err := e.Store.Sending(e.ctx)
		e.must("Sending", err)
		if len(ms) != 0 || len(ns) != 0 || s.Paused || stats.States[store.Pending] != 0 ||
			stats.States[store.Spent] != 0 || stats.Merchants != (store.MerchantStats{}) {
			e.Fatalf("after Clear: %d merchants, %d notifications, %+v, %+v", len(ms), len(ns), s, stats)
		}
		if text, err := e.mover().Meta(e.ctx, "key_check"); err != nil || text != "x" {
			e.Fatalf("Meta after Clear: %q, %v", text, err)
		}
		e.Store = e.Reopen()
	}
	items := e.moveIn(40)
	if _, got := e.exportAll(); len(got) != len(items) {
		e.Fatalf("imported after Clear: %d, want %d", len(got), len(items))
	}
}

func moveMetas(e *env) {
	for _, name := range []string{"a", "b", "c"} {
		e.must("SetMeta", e.mover().SetMeta(e.ctx, name, "value of "+name))
	}
	e.must("SetMeta", e.mover().SetMeta(e.ctx, "b", ""))
	got, err := e.mover().Metas(e.ctx)
	e.must("Metas", err)
	e.diff("Metas", map[string]string{"a": "value of a", "c": "value of c"}, got)
}
