package console

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"paynotify/api"
	"paynotify/store"
)

// log appends entries to the audit log.
func (w *world) log(entries ...store.AuditEntry) {
	w.t.Helper()
	for _, e := range entries {
		if _, err := w.store.Audit(w.t.Context(), e); err != nil {
			w.t.Fatal(err)
		}
	}
}

func TestAudit(t *testing.T) {
	w := newWorld(t)
	w.get("audit").want(200, "whole", "There is no entry yet.")
	w.mapi("m1")
	id := w.send("m1", "o1")
	w.call("POST", "/v1/notifications/"+id+"/resend", `{"reason":"the <b>shop</b> asked"}`)
	w.do("POST", "/v1/merchants/m9/pause", "", nil)
	w.get("audit").want(200, "3 of 3 entries", "--noted 3:", "merchant-not-found", "notification.resend",
		`<a href="/console/notifications/`+id+`">notification/`+id, "the &lt;b&gt;shop", "merchant.create").
		wantNone("<b>")
	w.log(store.AuditEntry{
		Actor: "k1", Action: "merchant.pause", Object: "merchant/m1", Result: "missing-scope",
	})
	w.get("audit").want(200, "4 of 4 entries", ">4<", "missing-scope", ">3<", ">2<", ">1<")
	for query, want := range map[string][]string{
		"actor=k1":                        {"missing-scope"},
		"action=merchant.":                {"merchant.pause", "merchant.pause", "merchant.create"},
		"object=notification%2F" + id:     {"notification.resend"},
		"failed=1":                        {"missing-scope", "merchant-not-found"},
		"failed=1&actor=admin":            {"merchant-not-found"},
		"failed=1&action=resend":          {"No entry fits."},
		"object=merchant/m1&action=pause": {"merchant.pause"},
	} {
		r := w.get("audit?"+query).want(200, want...)
		if rows := strings.Count(r.body, "<tr data-row>"); rows != len(want) && want[0] != "No entry fits." {
			t.Errorf("%s: %d rows, want %d", query, rows, len(want))
		}
	}
	w.get("audit", "Accept-Language: zh-CN").want(200, "审计", "完整")
}

// TestAuditPages walks through the log from the newest entry to the oldest.
func TestAuditPages(t *testing.T) {
	w := newWorld(t)
	const all = 2*auditPageSize + 17
	for i := range all {
		w.log(store.AuditEntry{
			Actor: "a", Action: "x", Object: fmt.Sprintf("o/%04d", i+1), Result: "ok",
			After: json.RawMessage(`"` + strings.Repeat("x", 2*auditTextMax) + `"`),
		})
	}
	for name, filter := range map[string]string{"all": "", "filtered": "actor=a"} {
		next, seen := "audit?"+filter, all
		for pages := 1; next != ""; pages++ {
			r := w.get(next).want(200)
			for _, row := range strings.Split(r.body, "<tr data-row>")[1:] {
				if want := fmt.Sprintf("o/%04d", seen); !strings.Contains(row, want) {
					t.Fatalf("%s, page %d: no %s: %s", name, pages, want, row)
				}
				seen--
			}
			_, rest, more := strings.Cut(r.body, `rel="next" href="/console/`)
			next, _, _ = strings.Cut(rest, `"`)
			if next = strings.ReplaceAll(next, "&amp;", "&"); !more {
				next = ""
			}
			if pages > 3 || more != (pages < 3) {
				t.Fatalf("%s: page %d leads to %q", name, pages, next)
			}
		}
		if seen != 0 {
			t.Errorf("%s: %d entries were not shown", name, seen)
		}
	}
	w.get("audit?before=1000").want(200, ">117<")
	w.get("audit?before=x").want(200, ">117<")
	if n := len(w.get("audit").body); n > auditPageSize*(2*auditTextMax) {
		t.Errorf("a page has %d bytes", n)
	}
}

// TestAuditScan: a filter that little fits does not read the whole log for one page.
func TestAuditScan(t *testing.T) {
	w := newWorld(t)
	s := &forgedLog{Store: w.store, head: 3 * auditScanMax}
	w.useStore(s)
	r := w.get("audit?actor=nobody").want(200, "No entry fits.",
		fmt.Sprintf("%d entries were gone through, back to number %d.", auditScanMax, 2*auditScanMax+1),
		fmt.Sprintf("before=%d", 2*auditScanMax+1))
	if strings.Contains(r.body, "<tr data-row>") {
		t.Error("something fits")
	}
	w.get("audit?actor=nobody&before="+fmt.Sprint(auditScanMax+1)).wantNone("gone through", `rel="next"`)
}

func TestChain(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.log(store.AuditEntry{Actor: "a", Action: "x", Object: "o", Result: "ok"})
	}
	w.get("audit").want(200, "3 of 3 entries")
	w.log(store.AuditEntry{Actor: "a", Action: "x", Object: "o", Result: "ok"})
	w.get("audit").want(200, "4 of 4 entries")
	for name, forge := range map[string]func(s *forgedLog){
		"changed":         func(s *forgedLog) { s.changed = 5 },
		"the end cut off": func(s *forgedLog) { s.head = 2 },
		"missing":         func(s *forgedLog) { s.missing = 5 },
	} {
		s := &forgedLog{Store: w.store, head: 10}
		w.useStore(s)
		w.get("audit").want(200, "10 of 10 entries")
		s.head = 20
		w.console.chain.last = store.AuditEntry{}
		forge(s)
		if name == "the end cut off" {
			s.head = 10
			w.get("audit").want(200, "10 of 10 entries")
			s.head = 2
		}
		broken := map[string]string{"changed": "5", "the end cut off": "3", "missing": "5"}[name]
		w.get("audit").want(200, "broken at entry "+broken)
		s.changed, s.missing, s.head = 0, 0, 20
		w.get("audit").want(200, "broken at entry "+broken) // it does not heal
	}
}

// useStore has the world read another store.
func (w *world) useStore(s store.Store) {
	w.api.Service.Store = s
	w.console.chain = chain{}
}

// forgedLog is a long audit log, which somebody may have changed.
type forgedLog struct {
	store.Store

	head, changed, missing int64
	sums                   [][32]byte
}

func (s *forgedLog) entry(seq int64) store.AuditEntry {
	e := store.AuditEntry{Seq: seq, Actor: "a", Action: "x", Object: "o", Result: "ok"}
	for n := int64(len(s.sums)); n < seq; n++ {
		made, prev := e, [32]byte{}
		if made.Seq = n + 1; n > 0 {
			prev = s.sums[n-1]
		}
		s.sums = append(s.sums, made.Chain(prev))
	}
	if e.Sum = s.sums[seq-1]; seq == s.changed {
		e.Actor = "b"
	}
	return e
}

func (s *forgedLog) AuditLog(_ context.Context, after int64, limit int) (out []store.AuditEntry, err error) {
	if after < 0 {
		after = max(0, s.head+after)
	}
	for seq := after + 1; seq <= s.head && len(out) < limit; seq++ {
		if seq != s.missing {
			out = append(out, s.entry(seq))
		}
	}
	return out, nil
}

func TestAuditIsForAuditors(t *testing.T) {
	w := newWorld(t)
	for role, want := range map[api.Role]int{
		api.RoleAuditor: 200, api.RoleRead: 403, api.RoleOperator: 403, api.RoleIngest: 403,
	} {
		w.get("audit", "Authorization: Bearer "+w.key(role, "")).want(want)
	}
}
