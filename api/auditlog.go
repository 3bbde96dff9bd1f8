package api

import (
	"context"
	"encoding/hex"
	"encoding/json"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/store"
)

// AuditEntryView is an entry of the audit log.
type AuditEntryView struct {
	Seq       int64           `json:"seq" doc:"From 1, without gaps"`
	At        Time            `json:"at"`
	Actor     string          `json:"actor" doc:"A key's id; or admin, local, portal/MCH, system, anonymous"`
	Source    *string         `json:"source" doc:"IP address; null for the system"`
	Action    string          `json:"action" example:"merchant.create"`
	Object    string          `json:"object" example:"merchant/m1"`
	Before    json.RawMessage `json:"before" doc:"What was changed, as it was; secrets as fingerprints"`
	After     json.RawMessage `json:"after" doc:"What was changed, as it is"`
	RequestID *string         `json:"request_id" doc:"X-Request-Id of the request and its answer"`
	Result    string          `json:"result" doc:"ok, or the slug of the problem"`
	Sum       string          `json:"sum" doc:"SHA-256 over the entry and the sum before it, in hex"`
}

// AuditHead is the last entry of the audit log: its sum stands for everything up to there.
type AuditHead struct {
	Seq int64  `json:"seq" doc:"0 when the log is empty"`
	Sum string `json:"sum" doc:"64 hex digits; note it down elsewhere to prove later that nothing was cut off"`
}

// AuditPage is a page of the audit log, in its order.
type AuditPage struct {
	Entries []AuditEntryView `json:"entries" nullable:"false"`
	Head    AuditHead        `json:"head"`
	Next    *int64           `json:"next" doc:"Give it as after; null at the head"`
}

type auditInput struct {
	After int64 `query:"after" doc:"Entries with a greater seq; -n: the last n"`
	Limit int   `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Entries of a page"`
}

func (a *API) auditRoutes() {
	declare(a, huma.Operation{
		OperationID: "get-audit", Method: "GET", Path: "/v1/audit", Tags: tagAccess,
		Summary: "Read the audit log, oldest first",
		Description: "Who did what, and what came of it; nothing is ever deleted. The actor admin is the " +
			"configured key, local a user of this machine without one. Each entry is chained to the one before it: " +
			"\"paynotify audit verify\" recomputes the chain. Accepted notifications are not in it: each is a " +
			"record of its own.",
	}, nil, func(ctx context.Context, in *auditInput) (AuditPage, error) {
		return a.Service.AuditLog(ctx, in.After, in.Limit)
	})
}

// AuditLog shows entries of the audit log behind one, or the last n when after is -n; limit 0 is the default.
func (s *Service) AuditLog(ctx context.Context, after int64, limit int) (AuditPage, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := whole(ctx); err != nil {
		return AuditPage{}, err
	}
	entries, err := s.Store.AuditLog(ctx, after, page(limit))
	if err != nil {
		return AuditPage{}, fromStore(err)
	}
	// The head is read last: it is never behind the entries.
	head, err := s.Store.AuditLog(ctx, -1, 1)
	if err != nil {
		return AuditPage{}, fromStore(err)
	}
	out := AuditPage{Entries: make([]AuditEntryView, len(entries))}
	out.Head.Sum = hexSum(store.AuditEntry{})
	for i := range entries {
		out.Entries[i] = auditView(&entries[i])
	}
	if len(head) > 0 {
		out.Head = AuditHead{Seq: head[0].Seq, Sum: hexSum(head[0])}
	}
	if n := len(entries); n > 0 && entries[n-1].Seq < out.Head.Seq {
		out.Next = &entries[n-1].Seq
	}
	return out, nil
}

func auditView(e *store.AuditEntry) AuditEntryView {
	return AuditEntryView{
		Seq: e.Seq, At: Time{e.At}, Actor: e.Actor, Source: orNil(e.Source), Action: e.Action, Object: e.Object,
		Before: e.Before, After: e.After, RequestID: orNil(e.RequestID), Result: e.Result, Sum: hexSum(*e),
	}
}

func hexSum(e store.AuditEntry) string { return hex.EncodeToString(e.Sum[:]) }

// Entry is the entry as the store keeps it, for those who recompute the chain.
func (v *AuditEntryView) Entry() (store.AuditEntry, error) {
	e := store.AuditEntry{
		Seq: v.Seq, At: v.At.Time, Actor: v.Actor, Action: v.Action, Object: v.Object, Before: v.Before,
		After: v.After, Result: v.Result,
	}
	if v.Source != nil {
		e.Source = *v.Source
	}
	if v.RequestID != nil {
		e.RequestID = *v.RequestID
	}
	sum, err := hex.DecodeString(v.Sum)
	copy(e.Sum[:], sum)
	return e, err
}
