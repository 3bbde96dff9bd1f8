package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

// The audit log is one stream for all processes; an entry's ID is its Seq, and -0. What an entry must be
// depends on the one before it, and Go computes it: a script appends it if that one is still the last.
//
// The stream is never trimmed: who audits wants at least twelve months (PCI DSS 10.5.1), and a chain has no
// end that could be cut off. An entry takes some 500 bytes of memory.

var auditScript = newScript("audit")

const (
	auditTries = 256 // others appended before us so often
	auditPage  = 64  // entries in one script when they are imported
)

// auditor is what a Store remembers of the audit log.
type auditor struct {
	turn chan struct{}    // held by whoever appends: here we need not run against each other
	last store.AuditEntry // as far as known here
	sum  string           // of last as it stands there, whatever somebody has made of it
}

func newAuditor() auditor { return auditor{turn: make(chan struct{}, 1)} }

// auditFields are the names of an entry's fields, in their order. The last one is the sum: lua/audit.lua
// knows.
var auditFields = []string{
	"at", "actor", "source", "action", "object", "before", "after", "request", "result", "sum",
}

// auditArgs are the arguments of lua/audit.lua for one entry.
func auditArgs(args []any, e *store.AuditEntry) []any {
	args = append(args, e.Seq)
	for i, value := range []any{
		e.At.UnixMicro(), e.Actor, e.Source, e.Action, e.Object, []byte(e.Before), []byte(e.After), e.RequestID,
		e.Result, e.Sum[:],
	} {
		args = append(args, auditFields[i], value)
	}
	return args
}

// parseAudit reads an entry, whatever stands in it: the chain tells what was tampered with.
func parseAudit(id string, fields map[string]string) (e store.AuditEntry) {
	seq, _, _ := strings.Cut(id, "-")
	e.Seq, _ = strconv.ParseInt(seq, 10, 64)
	at, _ := strconv.ParseInt(fields["at"], 10, 64)
	e.At = time.UnixMicro(at).UTC()
	e.Actor, e.Source, e.Action, e.Object = fields["actor"], fields["source"], fields["action"], fields["object"]
	e.Before, e.After = store.StoredJSON(fields["before"]), store.StoredJSON(fields["after"])
	e.RequestID, e.Result = fields["request"], fields["result"]
	copy(e.Sum[:], fields["sum"])
	return e
}

// Audit appends an entry to the audit log; see store.Store.
func (s *Store) Audit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	if s.shards() == 0 {
		return store.AuditEntry{}, s.notReady()
	}
	e, err := e.Ready()
	if err != nil {
		return store.AuditEntry{}, err
	}
	select {
	case s.audit.turn <- struct{}{}:
	case <-ctx.Done():
		return store.AuditEntry{}, gaveUp(ctx)
	}
	defer func() { <-s.audit.turn }()
	for range auditTries {
		next := e.Follow(&s.audit.last, s.Now())
		done, err := s.appendAudit(ctx, []store.AuditEntry{next})
		if err != nil {
			return store.AuditEntry{}, err
		}
		if done {
			return next, nil
		}
	}
	return store.AuditEntry{}, fmt.Errorf("%w: others audit all the time", store.ErrUnavailable)
}

// appendAudit appends entries behind the last one that is known here. If that is not the last one, it learns
// which one is.
func (s *Store) appendAudit(ctx context.Context, es []store.AuditEntry) (bool, error) {
	a := &s.audit
	args := []any{a.last.Seq, a.sum, len(auditFields)}
	for i := range es {
		args = auditArgs(args, &es[i])
	}
	reply, err := s.run(ctx, call{script: auditScript, args: args, wait: true, grows: true})
	switch {
	case err != nil:
		return false, err
	case len(reply) < 2:
		return false, errShape
	case toInt(reply[1]) == 1:
		a.know(es[len(es)-1])
		return true, nil
	}
	a.last, a.sum = store.AuditEntry{}, ""
	if len(reply) < 3 {
		return false, nil // there is none yet
	}
	if entry := toList(reply[2]); len(entry) == 2 {
		fields := map[string]string{}
		for values := toTexts(toList(entry[1])); len(values) >= 2; values = values[2:] {
			fields[values[0]] = values[1]
		}
		a.last, a.sum = parseAudit(toText(entry[0]), fields), fields["sum"]
	}
	return false, nil
}

// know takes an entry for the last one.
func (a *auditor) know(e store.AuditEntry) { a.last, a.sum = e, string(e.Sum[:]) }

// AuditLog reads the audit log; see store.Store.
func (s *Store) AuditLog(ctx context.Context, after int64, limit int) ([]store.AuditEntry, error) {
	if s.shards() == 0 {
		return nil, s.notReady()
	}
	if limit <= 0 {
		return nil, nil
	}
	log := s.prefix(0) + "audit"
	if after < 0 {
		last, err := s.rdb.XRevRangeN(ctx, log, "+", "-", 1).Result()
		if err != nil {
			return nil, s.fault(err)
		}
		if len(last) == 1 {
			after = max(0, after+parseAudit(last[0].ID, nil).Seq)
		}
	}
	found, err := s.rdb.XRangeN(ctx, log, fmt.Sprintf("%d-0", max(after, 0)+1), "+", int64(limit)).Result()
	if err == nil && len(found) == 0 {
		return nil, s.marked(ctx, 0)
	}
	return auditEntries(found), s.fault(err)
}

func auditEntries(found []redis.XMessage) []store.AuditEntry {
	es := make([]store.AuditEntry, len(found))
	for i, m := range found {
		fields := make(map[string]string, len(m.Values))
		for name, value := range m.Values {
			fields[name] = toText(value)
		}
		es[i] = parseAudit(m.ID, fields)
	}
	return es
}

// ImportAudit appends entries as they are; see store.Mover.
func (s *Store) ImportAudit(ctx context.Context, es []store.AuditEntry) error {
	if err := s.aloneError(); err != nil {
		return err
	}
	select {
	case s.audit.turn <- struct{}{}:
	case <-ctx.Done():
		return gaveUp(ctx)
	}
	defer func() { <-s.audit.turn }()
	last, err := s.AuditLog(ctx, -1, 1)
	if err != nil {
		return err
	}
	s.audit.last, s.audit.sum = store.AuditEntry{}, ""
	if len(last) == 1 {
		s.audit.know(last[0])
	}
	for len(es) > 0 && es[0].Seq <= s.audit.last.Seq {
		es = es[1:]
	}
	for len(es) > 0 {
		page := es[:min(auditPage, len(es))]
		done, err := s.appendAudit(ctx, page)
		if err != nil {
			return err
		}
		if !done {
			return fmt.Errorf("the audit log: %w", &InUseError{By: "somebody who appended to it just now"})
		}
		es = es[len(page):]
	}
	return nil
}
