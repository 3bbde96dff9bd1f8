package storetest

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"time"

	"paynotify/store"
)

// Audit appends an entry to the audit log, durably: Seq, At and Sum are the store's … whose entries follow
// each other without a gap.
var auditCases = []testCase{
	{"Audit/keeps every field", auditKeeps},
	{"Audit/what is not right", auditRefused},
	{"Audit/pages", auditPages},
	{"Audit/at the same time", auditConcurrent},
	{"Audit/goes on after a crash", auditCrash},
	{"Audit/its clock does not go back", auditClock},
}

// deed is an entry with every field set that is not the store's.
func deed(i int) store.AuditEntry {
	return store.AuditEntry{
		Actor: "k0000001", Source: "2001:db8::1", Action: "merchant.update", Object: fmt.Sprintf("merchant/m%d", i),
		Before: json.RawMessage(fmt.Sprintf(`{"name":"Café <1> & “店”","n":%d,"rate":1.50}`, i)),
		After:  json.RawMessage(`{"name":"x","keys":["sha256/ab12"],"big":12345678901234567890}`),

		RequestID: fmt.Sprintf("req-%d", i), Result: "ok",
	}
}

func (e *env) audit(entry store.AuditEntry) store.AuditEntry {
	e.Helper()
	out, err := e.Store.Audit(e.ctx, entry)
	e.must("Audit", err)
	return out
}

// auditLog reads the whole log in pages and wants its chain to be whole.
func (e *env) auditLog(limit int) []store.AuditEntry {
	e.Helper()
	var all []store.AuditEntry
	for {
		prev := [32]byte{}
		if len(all) > 0 {
			prev = all[len(all)-1].Sum
		}
		page, err := e.Store.AuditLog(e.ctx, int64(len(all)), limit)
		e.must("AuditLog", err)
		if len(page) > limit {
			e.Fatalf("AuditLog answered %d entries, asked for at most %d", len(page), limit)
		}
		if at, ok := store.VerifyChain(prev, page); !ok {
			e.Fatalf("%s: at %d", auditBroken, at)
		}
		if len(page) == 0 {
			return all
		}
		all = append(all, page...)
	}
}

func auditKeeps(e *env) {
	if all := e.auditLog(10); len(all) != 0 {
		e.Fatalf("the log of a new store has %d entries", len(all))
	}
	var want []store.AuditEntry
	last := store.AuditEntry{}
	for i := range 5 {
		in := deed(i)
		switch i {
		case 1:
			in.Before, in.After = nil, json.RawMessage(" { \"a\" : [ 1 , 2 ] }\n")
		case 2:
			in = store.AuditEntry{} // nothing at all is an entry too
		}
		ready, err := in.Ready()
		e.must("Ready", err)
		before := e.Now().Truncate(time.Millisecond)
		got := e.audit(in)
		if got.At.Before(before) || got.At.After(e.Now().Add(time.Millisecond)) {
			e.Fatalf("entry %d: at %v, and it was %v", i, got.At, before)
		}
		e.diff("entry", ready.Follow(&last, got.At), got)
		want = append(want, got)
		last = got
		e.Advance(time.Second)
	}
	if string(want[1].Before) != "null" || string(want[1].After) != `{"a":[1,2]}` {
		e.Fatalf("nothing is kept as %q, an object as %q", want[1].Before, want[1].After)
	}
	for _, open := range []func() store.Store{func() store.Store { return e.Store }, e.Reopen, e.Crash} {
		e.Store = open()
		e.diff("audit log", want, e.auditLog(2))
	}
}

func auditRefused(e *env) {
	for what, spoil := range map[string]func(entry *store.AuditEntry){
		"before is no JSON": func(entry *store.AuditEntry) { entry.Before = json.RawMessage(`{"a":`) },
		"after is two":      func(entry *store.AuditEntry) { entry.After = json.RawMessage(`1 2`) },
		"too large": func(entry *store.AuditEntry) {
			entry.Object = strings.Repeat("x", store.AuditBytesMax)
		},
	} {
		entry := deed(1)
		spoil(&entry)
		if got, err := e.Store.Audit(e.ctx, entry); err == nil {
			e.Fatalf("%s: kept as entry %d", what, got.Seq)
		}
	}
	large := deed(2)
	large.After = json.RawMessage(`"` + strings.Repeat("x", store.AuditBytesMax-1000) + `"`)
	large.Actor = "a\xffb" // no UTF-8: JSON could not show it
	got := e.audit(large)
	if got.Seq != 1 || got.Actor != "a\uFFFDb" {
		e.Fatalf("entry %d by %q", got.Seq, got.Actor)
	}
	e.diff("audit log", []store.AuditEntry{got}, e.auditLog(5))
}

func auditPages(e *env) {
	const all = 23
	for i := range all {
		e.audit(deed(i))
	}
	for _, page := range []struct {
		after       int64
		limit       int
		first, last int64
	}{
		{0, 5, 1, 5},
		{5, 5, 6, 10},
		{20, 5, 21, 23},
		{22, 1, 23, 23},
		{23, 5, 1, 0}, // none
		{99, 5, 1, 0},
		{0, 500, 1, 23},
		{-1, 5, 23, 23},
		{-10, 4, 14, 17},
		{-23, 3, 1, 3},
		{-99, 3, 1, 3},
		{3, 0, 1, 0},
	} {
		got, err := e.Store.AuditLog(e.ctx, page.after, page.limit)
		e.must("AuditLog", err)
		want, seqs := []int64{}, []int64{}
		for seq := page.first; seq <= page.last; seq++ {
			want = append(want, seq)
		}
		for _, entry := range got {
			seqs = append(seqs, entry.Seq)
		}
		e.diff(fmt.Sprintf("AuditLog after %d, at most %d", page.after, page.limit), want, seqs)
	}
}

// auditConcurrent has many append at once, also while the store is busy with other things.
func auditConcurrent(e *env) {
	const callers, each = 16, 12
	e.merchant("m1", nil)
	var mu sync.Mutex
	said := map[int64]store.AuditEntry{}
	together(callers, func(i int) {
		for n := range each {
			got, err := e.Store.Audit(e.ctx, deed(100*i+n))
			if err != nil {
				e.Errorf("Audit: %v", err)
				return
			}
			mu.Lock()
			said[got.Seq] = got
			mu.Unlock()
			if n%4 == 0 {
				if _, err := e.Store.Accept(e.ctx, []store.Incoming{wanted("m1")}, lease); err != nil {
					e.Errorf("Accept: %v", err)
				}
			}
		}
	})
	all := e.auditLog(50)
	if len(said) != callers*each || len(all) != callers*each {
		e.Fatalf("%d entries were appended as %d different ones, and the log has %d", callers*each, len(said),
			len(all))
	}
	for _, entry := range all {
		e.diff("entry as it was answered", said[entry.Seq], entry)
	}
}

func auditCrash(e *env) {
	var want []store.AuditEntry
	for i, open := range []func() store.Store{e.Crash, e.Reopen, e.Crash, e.Crash} {
		want = append(want, e.audit(deed(2*i)), e.audit(deed(2*i+1)))
		e.Store = open()
		e.diff("audit log", want, e.auditLog(3))
	}
	if last := e.audit(deed(8)); last.Seq != 9 || last.Sum != last.Chain(want[7].Sum) {
		e.Fatalf("after four restarts entry %d comes, not chained to the last one", last.Seq)
	}
}

// auditClock appends while time passes: whatever the order, the log's clock does not go back.
func auditClock(e *env) {
	together(8, func(i int) {
		for n := range 5 {
			if _, err := e.Store.Audit(e.ctx, deed(i)); err != nil {
				e.Errorf("Audit: %v", err)
			}
			if n%2 == 0 {
				e.Advance(time.Millisecond)
			}
		}
	})
	last := time.Time{}
	for _, entry := range e.auditLog(100) {
		if entry.At.Before(last) {
			e.Fatalf("entry %d is of %v, the one before it of %v", entry.Seq, entry.At, last)
		}
		last = entry.At
	}
}
