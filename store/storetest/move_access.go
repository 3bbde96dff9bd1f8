package storetest

import (
	"errors"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"paynotify/store"
)

// moveAccessCases follow what store.Mover says of API keys, the audit log and marks.
var moveAccessCases = []testCase{
	{"ImportKeys/as they are", moveAPIKeys},
	{"ImportAudit/as it is, and goes on", moveAudit},
	{"ImportAudit/also when it was tampered with", moveTampered},
	{"Marks/all of them", moveMarks},
	{"Clear/access", moveClearAccess},
}

func moveAPIKeys(e *env) {
	at := func(minutes int) time.Time { return e.in(time.Duration(minutes) * time.Minute) }
	ks := []store.APIKey{apiKey("k0000002", at(60)), apiKey("k0000001", time.Time{}), {ID: "k0000003"}}
	ks[0].CreatedAt, ks[1].CreatedAt, ks[2].CreatedAt = at(-30), at(-20), at(-10)
	ks[1].RevokedAt = at(-5)
	e.noKey("k0000001")
	e.must("ImportKeys", e.mover().ImportKeys(e.ctx, ks[:2]))
	e.must("ImportKeys", e.mover().ImportKeys(e.ctx, ks))
	e.diff("API keys", ks, e.keys())
	e.key(ks[1])
	e.key(ks[2])
	ks[2].Name = "another"
	e.must("ImportKeys", e.mover().ImportKeys(e.ctx, ks[2:]))
	e.Store = e.Crash()
	e.key(ks[2])
	e.diff("API keys after a crash", ks, e.keys())
	if _, err := e.Store.CreateKey(e.ctx, store.APIKey{ID: "k0000001"}); !errors.Is(err, store.ErrExists) {
		e.Fatalf("CreateKey of an imported one: %v, want ErrExists", err)
	}
}

// foreignAudit are entries that another store has kept.
func foreignAudit(e *env, n int) []store.AuditEntry {
	e.Helper()
	var es []store.AuditEntry
	last := store.AuditEntry{}
	for i := range n {
		ready, err := deed(i).Ready()
		e.must("Ready", err)
		last = ready.Follow(&last, e.Now().Add(time.Duration(i-n)*time.Minute))
		es = append(es, last)
	}
	return es
}

func moveAudit(e *env) {
	es := foreignAudit(e, 200)
	for _, to := range []int{70, 70, 130, 200} { // what is there already is left alone
		e.must("ImportAudit", e.mover().ImportAudit(e.ctx, es[:to]))
	}
	e.must("ImportAudit", e.mover().ImportAudit(e.ctx, es[190:]))
	e.must("ImportAudit", e.mover().ImportAudit(e.ctx, nil))
	e.diff("audit log", es, e.auditLog(33))
	e.Store = e.Crash()
	es = append(es, e.audit(deed(1000)))
	if last := es[200]; last.Seq != 201 {
		e.Fatalf("the log goes on with entry %d, want 201", last.Seq)
	}
	e.diff("audit log that went on", es, e.auditLog(500))
}

// moveTampered moves a log that is not whole: what is evidence stays as it is.
func moveTampered(e *env) {
	es := foreignAudit(e, 10)
	es[4].Actor = "nobody"
	es = append(es[:7], es[8:]...)
	e.must("ImportAudit", e.mover().ImportAudit(e.ctx, es))
	got, err := e.Store.AuditLog(e.ctx, 0, plenty)
	e.must("AuditLog", err)
	e.diff("audit log", es, got)
	if at, ok := store.VerifyChain([32]byte{}, got); ok || at != 5 {
		e.Fatalf("the chain breaks at %d, %v; want 5", at, ok)
	}
	if at, ok := store.VerifyChain(got[4].Sum, got[5:]); ok || at != 8 {
		e.Fatalf("the rest of the chain breaks at %d, %v; want 8", at, ok)
	}
	next := e.audit(deed(11))
	if at, ok := store.VerifyChain(got[7].Sum, append(got[8:], next)); !ok || next.Seq != 11 {
		e.Fatalf("it goes on with entry %d, broken at %d", next.Seq, at)
	}
}

func moveMarks(e *env) {
	e.setMark("a", "", "1", true)
	e.setMark("b", "", "2", true)
	e.setMark("c", "", "3", true)
	e.setMark("b", "2", "", true)
	e.must("SetMeta", e.mover().SetMeta(e.ctx, "d", "4"))
	e.Store = e.Reopen()
	got, err := e.mover().Marks(e.ctx)
	e.must("Marks", err)
	e.diff("marks", map[string]string{"a": "1", "c": "3"}, got)
	metas, err := e.mover().Metas(e.ctx)
	e.must("Metas", err)
	e.diff("metas", map[string]string{"d": "4"}, metas)
}

func moveClearAccess(e *env) {
	e.createKey(apiKey("k0000001", time.Time{}))
	e.audit(deed(1))
	e.audit(deed(2))
	e.setMark("a", "", "1", true)
	e.must("Clear", e.mover().Clear(e.ctx))
	for range 2 {
		marks, err := e.mover().Marks(e.ctx)
		e.must("Marks", err)
		if keys, log := e.keys(), e.auditLog(5); len(keys)+len(log)+len(marks) > 0 {
			e.Fatalf("after Clear: %d keys, %d audit entries, %d marks", len(keys), len(log), len(marks))
		}
		e.noKey("k0000001")
		e.mark("a", "")
		e.Store = e.Reopen()
	}
	es := foreignAudit(e, 3)
	e.must("ImportAudit", e.mover().ImportAudit(e.ctx, es))
	if got := e.auditLog(5); !gocmp.Equal(es, got) {
		e.Fatalf("imported after Clear (-want +got):\n%s", gocmp.Diff(es, got))
	}
	e.setMark("a", "", "2", true)
}
