package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/store"
)

// entries reads the whole audit log, oldest first.
func (w *world) entries() []api.AuditEntryView {
	w.t.Helper()
	var page api.AuditPage
	r := w.call("GET", "/v1/audit?limit=500", "")
	if err := json.Unmarshal([]byte(r.body), &page); err != nil || r.status != 200 {
		w.t.Fatalf("%d %v: %s", r.status, err, r.body)
	}
	return page.Entries
}

// last is the newest entry.
func (w *world) last() api.AuditEntryView {
	w.t.Helper()
	all := w.entries()
	if len(all) == 0 {
		w.t.Fatal("the audit log is empty")
	}
	return all[len(all)-1]
}

// auditedChanges are requests one after the other, and what the audit log says of each.
var auditedChanges = []struct {
	method, target, body   string
	action, object, result string
	before, after          string // part of it
	notBefore, notAfter    string // never part of it
}{
	{
		"POST", "/v1/merchants", `{"mch_id":"m1","profile":"alipay_mapi","notify_url":"https://a.example.com/n"}`,
		"merchant.create", "merchant/m1", "ok", "null", `"fingerprint":"`, "", `"warnings"`,
	},
	{
		"POST", "/v1/merchants", `{"mch_id":"m1","profile":"alipay_mapi","notify_url":"https://a.example.com/n"}`,
		"merchant.create", "merchants", "merchant-exists", "null", "null", "", "",
	},
	{
		"PATCH", "/v1/merchants/m1", `{"notify_url":"https://b.example.com/n"}`,
		"merchant.change", "merchant/m1", "ok", `{"notify_url":"https://a.example.com/n"}`,
		`{"notify_url":"https://b.example.com/n"}`, "keys", "keys",
	},
	{
		"PATCH", "/v1/merchants/m1", `{"notify_url":"ftp://b"}`, "merchant.change", "merchant/m1", "notify-url",
		"null", "null", "", "",
	},
	{
		"PATCH", "/v1/merchants/m1", `{"na`, "merchant.change", "merchant/m1", "malformed-json",
		"null", "null", "", "",
	},
	{
		"PATCH", "/v1/merchants/no", `{"name":"x"}`, "merchant.change", "merchant/no", "merchant-not-found",
		"null", "null", "", "",
	},
	{
		"POST", "/v1/merchants/m1/rotate-key", "", "merchant.rotate-key", "merchant/m1", "ok", `"fingerprint":"`,
		`"fingerprint":"`, "notify_url", "notify_url",
	},
	{
		"PATCH", "/v1/merchants/m1", `{"headers":{"X-Token":"CANARY-1"}}`, "merchant.change", "merchant/m1", "ok",
		`"headers":null`, `"headers":{"X-Token":"`, "", "CANARY",
	},
	{ // the same name with another value is a change, too
		"PATCH", "/v1/merchants/m1", `{"headers":{"X-Token":"CANARY-2"}}`, "merchant.change", "merchant/m1", "ok",
		`"headers":{"X-Token":"`, `"headers":{"X-Token":"`, "CANARY", "CANARY",
	},
	{
		"POST", "/v1/merchants/m1/pause", `{"reason":"they asked"}`, "merchant.pause", "merchant/m1", "ok",
		`"state":"active"`, `"reason":"they asked"`, "", "",
	},
	{
		"POST", "/v1/merchants/m1/resume", `{"reason":"fixed"}`, "merchant.resume", "merchant/m1", "ok",
		`"state":"paused"`, `"reason":"fixed"`, "", "",
	},
	{
		"POST", "/v1/merchants/m1/probe", "", "merchant.probe", "merchant/m1", "probe-not-allowed",
		"null", "null", "", "",
	},
	{
		"POST", "/v1/notifications/ID/resend", `{"reason":"lost"}`, "notification.resend", "notification/ID", "ok",
		"null", `"reason":"lost"`, "", "",
	},
	{
		"POST", "/v1/notifications/ID/cancel", `{"reason":"void"}`, "notification.cancel", "notification/ID", "ok",
		"null", `"notify_state":"canceled","reason":"void","was":"pending"`, "", "",
	},
	{
		"PUT", "/v1/sending", `{"paused":true,"reason":"firewall"}`, "sending.switch", "sending", "ok",
		`{"paused":false}`, `{"paused":true,"reason":"firewall"}`, "", "",
	},
	{"GET", "/v1/backup", "", "store.backup", "store", "ok", "null", "null", "", ""},
	{
		"DELETE", "/v1/merchants/m1", "", "merchant.delete", "merchant/m1", "ok", `"mch_id":"m1"`, "null", "", "",
	},
	{
		"POST", "/v1/keys", `{"role":"read","name":"r"}`, "key.create", "key/", "ok",
		"null", `"role":"read"`, "", `"key"`,
	},
}

func TestAuditOfEveryChange(t *testing.T) {
	w := newWorld(t)
	var id string
	for _, c := range auditedChanges {
		if strings.Contains(c.target, "ID/resend") {
			id = w.send("m1", "")
		}
		object := strings.ReplaceAll(c.object, "ID", id)
		w.call(c.method, strings.ReplaceAll(c.target, "ID", id), c.body, "X-Request-Id: req-7")
		e := w.last()
		if e.Action != c.action || !strings.HasPrefix(e.Object, object) || e.Result != c.result ||
			e.Actor != "admin" || e.Source == nil || *e.Source != "192.0.2.1" || e.RequestID == nil ||
			*e.RequestID != "req-7" {
			t.Errorf("%s %s: entry %+v, want %s %s %s", c.method, c.target, e, c.action, object, c.result)
		}
		before, after := string(e.Before), string(e.After)
		if !strings.Contains(before, c.before) || !strings.Contains(after, c.after) ||
			c.notBefore != "" && strings.Contains(before, c.notBefore) ||
			c.notAfter != "" && strings.Contains(after, c.notAfter) {
			t.Errorf("%s %s: from %s to %s", c.method, c.target, before, after)
		}
	}
	if n := len(w.entries()); n != len(auditedChanges) {
		t.Errorf("%d entries for %d requests: accepting, and looking, are none", n, len(auditedChanges))
	}
}

// TestAuditHasNoSecrets grows a log over everything that is secret, and looks for it there and in the log of
// the process.
func TestAuditHasNoSecrets(t *testing.T) {
	w := newWorld(t)
	const secret = "CANARY0123456789CANARY0123456789"
	made := w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"alipay_mapi","notify_url":`+
		`"https://a.example.com/n","key":{"secret":"`+secret+`"}}`).want(201)
	if made["secret"] != secret {
		t.Fatalf("made %v", made)
	}
	first := w.last()
	w.call("POST", "/v1/merchants/m1/rotate-key", `{"key":{"secret":"`+secret+`2"}}`).want(200)
	rotated := w.last()
	key := w.call("POST", "/v1/keys", `{"role":"admin"}`).want(201)["key"].(string)
	w.call("DELETE", "/v1/keys/"+key[3:11], "", as(key)...)
	e := w.last()
	if e.Actor != key[3:11] || e.Action != "key.revoke" || !strings.Contains(string(e.After), "revoked") {
		t.Errorf("entry %+v", e)
	}
	w.call("DELETE", "/v1/keys/"+key, "") // by mistake the key instead of its id
	all := w.call("GET", "/v1/audit", "").body
	for _, hidden := range []string{secret, key[len("pn_12345678_") : len("pn_12345678_")+43], adminKey} {
		if strings.Contains(all, hidden) || strings.Contains(w.log.String(), hidden) {
			t.Errorf("%s shows itself", hidden)
		}
	}
	print := func(e json.RawMessage) string {
		_, rest, _ := strings.Cut(string(e), `"fingerprint":"`)
		return rest[:8]
	}
	if print(first.After) != print(rotated.Before) || print(rotated.Before) == print(rotated.After) {
		t.Errorf("fingerprints %s, %s → %s", print(first.After), print(rotated.Before), print(rotated.After))
	}
}

func TestAuditOfRefusals(t *testing.T) {
	c := &clock{time.Now()}
	w := newWorld(t, func(o *api.Options) { o.Now = c.read })
	w.mapi("m1")
	id, reader := w.key(api.RoleRead, "")
	before := len(w.entries())
	w.call("GET", "/v1/keys", "", as(reader)...).problem(403, "missing-scope")    // looking is no deed,
	w.call("GET", "/v1/stats", "", "Authorization:").problem(401, "unauthorized") // also not by strangers
	w.call("POST", "/v1/nothing", "{}", "Authorization:").problem(401, "unauthorized")
	if n := len(w.entries()); n != before {
		t.Errorf("%d entries for looking", n-before)
	}
	w.call("POST", "/v1/merchants/m1/pause", "", as(reader)...).problem(403, "missing-scope")
	e := w.last()
	if e.Actor != id || e.Action != "merchant.pause" || e.Object != "merchant/m1" ||
		e.Result != "missing-scope" {
		t.Errorf("entry %+v", e)
	}
	w.call("GET", "/v1/backup", "", as(reader)...).problem(403, "missing-scope")
	if e := w.last(); e.Action != "store.backup" || e.Result != "missing-scope" {
		t.Errorf("entry %+v", e)
	}
	// Strangers share a bucket, so that what keys are refused does not drown in their noise.
	before = len(w.entries())
	for range 200 {
		w.call("POST", "/v1/notifications", "{}", "Authorization:").problem(401, "unauthorized")
	}
	if n := len(w.entries()) - before; n != 30 {
		t.Errorf("%d entries for 200 refused requests", n)
	}
	w.call("PUT", "/v1/sending", `{"paused":true}`, as(reader)...).problem(403, "missing-scope")
	if e := w.last(); e.Actor != id || string(e.After) != `{"left_out":170}` {
		t.Errorf("entry %+v %s", e, e.After)
	}
	c.now = c.now.Add(time.Second)
	w.call("DELETE", "/v1/merchants/"+strings.Repeat("a%0a", 500), "", "Authorization:")
	if e := w.last(); e.Actor != "anonymous" || len(e.Object) > 600 || strings.Contains(e.Object, "\n") {
		t.Errorf("entry %+v", e)
	}
}

// badAudit is a store whose audit log cannot be written while fail is set.
type badAudit struct {
	store.Store
	fail   atomic.Bool
	before func() // each entry
}

func (s *badAudit) Audit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	if s.before != nil {
		s.before()
	}
	if s.fail.Load() {
		return e, fmt.Errorf("%w: no disk", store.ErrUnavailable)
	}
	return s.Store.Audit(ctx, e)
}

func (s *badAudit) Backup(ctx context.Context, w io.Writer) error {
	return s.Store.(store.Backuper).Backup(ctx, w)
}

func TestAuditThatCannotBeWritten(t *testing.T) {
	bad := &badAudit{}
	w := newWorld(t, func(o *api.Options) {
		bad.Store = o.Store
		o.Store = bad
	})
	w.mapi("m1")
	bad.fail.Store(true)
	r := w.call("POST", "/v1/merchants/m1/pause", `{"reason":"x"}`)
	p := r.problem(503, "storage-unavailable")
	if r.header.Get("Retry-After") != "1" || !strings.Contains(p.Detail, "done") {
		t.Errorf("%s, Retry-After %q", p.Detail, r.header.Get("Retry-After"))
	}
	made := w.call("POST", "/v1/keys", `{"role":"read"}`)
	made.problem(503, "storage-unavailable")
	if strings.Contains(made.body, "pn_") {
		t.Error("a key leaves without its entry")
	}
	w.call("POST", "/v1/merchants/no/pause", "").problem(404, "merchant-not-found") // nothing was done
	w.call("POST", "/v1/merchants/m1/pause", "", "Authorization:").problem(401, "unauthorized")
	if r := w.call("GET", "/v1/backup", ""); r.status != 503 || strings.Contains(r.body, "SQLite") {
		t.Errorf("backup: %d %.60s", r.status, r.body)
	}
	w.send("m1", "") // accepting goes on
	if n := strings.Count(w.log.String(), "audit entry not written"); n != 5 {
		t.Errorf("%d lines in the log: %s", n, w.log)
	}
	bad.fail.Store(false)
	w.call("GET", "/v1/backup", "")
	if e := w.last(); e.Action != "store.backup" || e.Result != "ok" {
		t.Errorf("entry %+v", e)
	}
}

// TestAuditOutlivesItsCaller checks that who hangs up does not get round the entry.
func TestAuditOutlivesItsCaller(t *testing.T) {
	bad := &badAudit{}
	w := newWorld(t, func(o *api.Options) {
		bad.Store = o.Store
		o.Store = bad
	})
	ctx, hangUp := context.WithCancel(t.Context())
	bad.before = hangUp
	ctx = api.WithCaller(ctx, api.Caller{Principal: api.Principal{Name: "local", Role: api.RoleAdmin}})
	err := w.api.Service.Record(ctx, "merchant.pause", "merchant/m1", func(context.Context) error { return nil })
	if e := w.last(); err != nil || e.Action != "merchant.pause" || e.Actor != "local" || e.Result != "ok" {
		t.Errorf("%v, entry %+v", err, e)
	}
	// Nor does a panic.
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		_ = w.api.Service.Record(ctx, "x", "y", func(context.Context) error { panic("no") })
	}()
	if e := w.last(); e.Action != "x" || e.Result != "internal" {
		t.Errorf("entry %+v", e)
	}
	failed := errors.New("no")
	err = w.api.Service.Record(ctx, "x", "z", func(context.Context) error { return failed })
	if !errors.Is(err, failed) {
		t.Errorf("got %v", err)
	}
}

func TestAuditPages(t *testing.T) {
	w := newWorld(t)
	v := w.call("GET", "/v1/audit", "").want(200)
	head := v["head"].(map[string]any)
	if len(v["entries"].([]any)) != 0 || v["next"] != nil || head["seq"].(json.Number) != "0" {
		t.Errorf("empty: %v", v)
	}
	for i := range 7 {
		w.call("PUT", "/v1/sending", fmt.Sprintf(`{"paused":false,"reason":"<%d> & é"}`, i)).want(200)
	}
	var chain []store.AuditEntry
	after := int64(0)
	for range 10 {
		var page api.AuditPage
		r := w.call("GET", fmt.Sprintf("/v1/audit?limit=3&after=%d", after), "")
		if err := json.Unmarshal([]byte(r.body), &page); err != nil {
			t.Fatal(err)
		}
		for i := range page.Entries {
			e, err := page.Entries[i].Entry()
			if err != nil {
				t.Fatal(err)
			}
			chain = append(chain, e)
		}
		if page.Head.Seq != 7 || len(page.Head.Sum) != 64 {
			t.Errorf("head %+v", page.Head)
		}
		if page.Next == nil {
			if page.Head.Sum != page.Entries[len(page.Entries)-1].Sum {
				t.Errorf("the head is not the last entry")
			}
			break
		}
		after = *page.Next
	}
	if at, whole := store.VerifyChain([32]byte{}, chain); !whole || len(chain) != 7 {
		t.Errorf("%d entries, broken at %d", len(chain), at)
	}
	last := w.call("GET", "/v1/audit?after=-2", "").want(200)["entries"].([]any)
	if len(last) != 2 || last[0].(map[string]any)["seq"].(json.Number) != "6" {
		t.Errorf("the last two: %v", last)
	}
	at(t, w.call("GET", "/v1/audit?limit=501", "").problem(422, "validation-failed"), "query.limit")
	at(t, w.call("GET", "/v1/audit?after=x", "").problem(422, "validation-failed"), "query.after")
}
