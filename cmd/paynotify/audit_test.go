package main

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/store"
)

// auditLog makes a log of n entries as the API shows it.
func auditLog(n int) (log []api.AuditEntryView) {
	var last store.AuditEntry
	for i := range n {
		e := store.AuditEntry{Actor: "admin", Action: "merchant.pause", Object: "merchant/<m>", Result: "ok"}
		if i%2 == 0 {
			e.Source, e.After = "192.0.2.1", json.RawMessage(`{"a":1,"b":"\u003c"}`)
		}
		e, _ = e.Ready()
		e = e.Follow(&last, time.Unix(int64(1790000000+i), 5000))
		last = e
		v := api.AuditEntryView{
			Seq: e.Seq, At: api.Time{Time: e.At}, Actor: e.Actor, Action: e.Action, Object: e.Object,
			Before: e.Before, After: e.After, Result: e.Result, Sum: hex.EncodeToString(e.Sum[:]),
		}
		if e.Source != "" {
			v.Source = &e.Source
		}
		log = append(log, v)
	}
	return log
}

func TestAuditVerify(t *testing.T) {
	const n = 7
	for _, c := range []struct {
		name   string
		change func(log []api.AuditEntryView) []api.AuditEntryView
		noted  int64
		sum    string
		broken int64
	}{
		{"whole", nil, 0, "", 0},
		{"empty", func([]api.AuditEntryView) []api.AuditEntryView { return nil }, 0, "", 0},
		{"noted", nil, 5, auditLog(n)[4].Sum, 0},
		{"changed", func(log []api.AuditEntryView) []api.AuditEntryView {
			log[3].Actor = "nobody"
			return log
		}, 0, "", 4},
		{"before changed", func(log []api.AuditEntryView) []api.AuditEntryView {
			log[4].After = json.RawMessage(`{"a":2}`)
			return log
		}, 0, "", 5},
		{"spoilt sum", func(log []api.AuditEntryView) []api.AuditEntryView {
			log[2].Sum = "x"
			return log
		}, 0, "", 3},
		{"one missing", func(log []api.AuditEntryView) []api.AuditEntryView {
			return slices.Delete(log, 2, 3)
		}, 0, "", 3},
		{"first missing", func(log []api.AuditEntryView) []api.AuditEntryView { return log[1:] }, 0, "", 1},
		{"two exchanged", func(log []api.AuditEntryView) []api.AuditEntryView {
			log[1], log[2] = log[2], log[1]
			return log
		}, 0, "", 2},
		{"twice", func(log []api.AuditEntryView) []api.AuditEntryView {
			return slices.Insert(log, 3, log[2])
		}, 0, "", 4},
		{"cut", func(log []api.AuditEntryView) []api.AuditEntryView { return log[:4] }, n, auditLog(n)[6].Sum, 5},
		{"made anew", nil, 5, strings.Repeat("0", 64), 5},
	} {
		log := auditLog(n)
		if c.change != nil {
			log = c.change(log)
		}
		v := auditVerifier{noted: c.noted, notedSum: c.sum}
		for page := range slices.Chunk(append([]api.AuditEntryView{}, log...), 3) {
			p := api.AuditPage{Entries: page, Head: api.AuditHead{Seq: log[len(log)-1].Seq}}
			if last := page[len(page)-1].Seq; last != p.Head.Seq {
				p.Next = &last
			}
			if !v.check(&p) {
				break
			}
		}
		if len(log) == 0 {
			v.check(&api.AuditPage{})
		}
		if v.broken != c.broken || (v.why == "") != (c.broken == 0) {
			t.Errorf("%s: broken at %d (%s), want %d", c.name, v.broken, v.why, c.broken)
		}
	}
	// A head that promises more than there is.
	v := auditVerifier{}
	if more := v.check(&api.AuditPage{Head: api.AuditHead{Seq: 3}}); more || v.broken != 1 {
		t.Errorf("an empty page below the head: more %t, broken at %d", more, v.broken)
	}
}

// TestConfigDigest checks that the digest in the audit log tells configurations apart and tells no secret.
func TestConfigDigest(t *testing.T) {
	first := defaultConfig()
	same, other, keyed, rekeyed, dev := first, first, first, first, first
	other.Egress.Ports = []int{443}
	keyed.Auth.AdminKey, rekeyed.Auth.AdminKey = "one", "two"
	dev.Dev = true
	if first.digest() != same.digest() || keyed.digest() != rekeyed.digest() {
		t.Error("digests of the same configuration, or of two keys, differ")
	}
	seen := map[string]bool{}
	for _, c := range []Config{first, other, keyed, dev} {
		seen[c.digest()] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d digests of 4 configurations", len(seen))
	}
}
