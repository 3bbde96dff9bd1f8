package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/replay"
	"paynotify/store"
)

// replay begins one for a merchant and returns its replay_id. Nobody carries it out here.
func (w *world) replay(mchID string) string {
	w.t.Helper()
	v := w.call("POST", "/v1/notifications/replay", `{"mch_id":"`+mchID+`"}`).want(202)
	return v["replay_id"].(string)
}

// canceledReplay makes room for others at once.
func (w *world) canceledReplay(mchID string) string {
	w.t.Helper()
	id := w.replay(mchID)
	w.call("POST", "/v1/replays/"+id+"/cancel", "").want(200)
	return id
}

// exhausted is the outcome of a last attempt that met a page.
func exhausted(c store.Claim) store.Outcome {
	o := refused(c)
	o.State = store.Exhausted
	return o
}

func TestPlanReplay(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	for mchID, sums := range map[string][]string{"m1": {"10.10", "0.9"}, "m2": {"5"}} {
		for _, sum := range sums {
			w.call("POST", "/v1/notifications", `{"mch_id":"`+mchID+`","params":{"total_fee":"`+sum+`"}}`).want(202)
			w.settle(mchID, exhausted)
		}
	}
	w.send("m1", "")
	w.settle("m1", acked)
	w.send("m1", "") // is pending
	plan := func(body string) api.ReplayPlan {
		var p api.ReplayPlan
		r := w.call("POST", "/v1/notifications/replay", body)
		if err := json.Unmarshal([]byte(r.body), &p); err != nil || r.status != 200 {
			t.Fatalf("%s: %d %s", body, r.status, r.body)
		}
		return p
	}
	for body, want := range map[string]api.ReplayPlan{
		`{"dry_run":true}`: {
			Matched: 3, Merchants: map[string]int{"m1": 2, "m2": 1}, SkippedSpent: 1,
			Amounts: map[string]string{"total_fee": "16.00"},
		},
		`{"dry_run":true,"mch_id":"m2","notify_state":"exhausted","rate_per_second":2.5,"reason":"r"}`: {
			Matched: 1, Merchants: map[string]int{"m2": 1}, Amounts: map[string]string{"total_fee": "5"},
		},
		`{"dry_run":true,"notify_state":"pending"}`: {
			Matched: 1, Merchants: map[string]int{"m1": 1}, SkippedSpent: 1,
			Amounts: map[string]string{"total_fee": "1.00"},
		},
		`{"dry_run":true,"created_to":"2020-01-01T00:00:00Z"}`: {
			Merchants: map[string]int{}, Amounts: map[string]string{},
		},
	} {
		if diff := cmp.Diff(want, plan(body)); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	if all := w.call("GET", "/v1/replays", "").want(200)["replays"].([]any); len(all) > 0 {
		t.Errorf("a dry run has begun %v", all)
	}
	if e := w.last(); e.Action != "notification.replay" || !strings.Contains(string(e.After), `"dry_run":true`) {
		t.Errorf("audited as %s: %s", e.Action, e.After)
	}
}

// TestReplaySums: where there are more than are read, what is read stands for the rest.
func TestReplaySums(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Store = sampled{o.Store} })
	w.mapi("m1")
	for range 6 {
		w.send("m1", "")
		w.settle("m1", exhausted)
	}
	wantMembers(t, w.call("POST", "/v1/notifications/replay", `{"dry_run":true}`).want(200), map[string]any{
		"matched": json.Number("6"), "amounts": map[string]any{"total_fee": "6.00"}, "amounts_estimated": true,
	})
}

// sampled is a store whose samples are small.
type sampled struct{ store.Store }

func (s sampled) Sample(ctx context.Context, q store.Query, _ int) ([]store.Notification, error) {
	ns, err := s.Store.Sample(ctx, q, 10_000)
	return ns[:min(4, len(ns))], err
}

func TestReplayRoutes(t *testing.T) {
	begun := 0
	w := newWorld(t, func(o *api.Options) { o.ReplayBegun = func() { begun++ } })
	w.mapi("m1")
	w.send("m1", "")
	w.settle("m1", exhausted)
	v := w.call("POST", "/v1/notifications/replay", `{"mch_id":"m1","created_from":"2020-01-01T00:00:00+08:00",`+
		`"rate_per_second":2.5,"reason":"their server was down"}`).want(202)
	id, _ := v["replay_id"].(string)
	want := map[string]any{
		"replay_id": id, "state": "running", "matched": json.Number("1"), "asked": json.Number("0"),
		"sent": json.Number("0"), "spent": json.Number("0"), "skipped": json.Number("0"), "held": json.Number("0"),
		"mch_id": "m1", "notify_state": "exhausted", "created_from": "2019-12-31T16:00:00.000000Z",
		"created_to": nil, "rate_per_second": json.Number("2.5"), "reason": "their server was down",
		"ended_at": nil,
	}
	wantMembers(t, v, want)
	if e := w.last(); e.Action != "notification.replay" || e.Object != "replay/"+id ||
		!strings.Contains(string(e.After), `"reason":"their server was down"`) {
		t.Errorf("audited as %s of %s: %s", e.Action, e.Object, e.After)
	}
	if begun != 1 {
		t.Errorf("told %d times of one that was begun", begun)
	}
	wantMembers(t, w.call("GET", "/v1/replays/"+id, "").want(200), want)
	second := w.call("POST", "/v1/notifications/replay", "").want(202)["replay_id"]
	all := w.call("GET", "/v1/replays", "").want(200)["replays"].([]any)
	if len(all) != 2 || all[0].(map[string]any)["replay_id"] != second {
		t.Fatalf("replays %v", all)
	}
	wantMembers(t, all[1].(map[string]any), want)
	wantMembers(t, all[0].(map[string]any), map[string]any{"mch_id": nil, "reason": nil})

	v = w.call("POST", "/v1/replays/"+id+"/cancel", `{"reason":"not now"}`).want(200)
	wantMembers(t, v, map[string]any{"state": "canceled", "replay_id": id})
	if v["ended_at"] == nil {
		t.Error("it has no end")
	}
	if e := w.last(); e.Action != "replay.cancel" || e.Object != "replay/"+id ||
		!strings.Contains(string(e.After), `"reason":"not now"`) {
		t.Errorf("audited as %s of %s: %s", e.Action, e.Object, e.After)
	}
	w.call("POST", "/v1/replays/"+id+"/cancel", "").want(200)

	const unknown = "00000000000000000000000000"
	w.call("GET", "/v1/replays/"+unknown, "").problem(404, "replay-not-found")
	w.call("GET", "/v1/replays/x", "").problem(404, "replay-not-found")
	w.call("POST", "/v1/replays/"+unknown+"/cancel", "").problem(404, "replay-not-found")
	if e := w.last(); e.Object != "replay/"+unknown || e.Result != "replay-not-found" {
		t.Errorf("audited as %s: %s", e.Object, e.Result)
	}
}

func TestReplayRefused(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for _, c := range []struct{ body, location string }{
		{`{"notify_state":"spent"}`, "body.notify_state"},
		{`{"notify_state":"exhaust"}`, "body.notify_state"},
		{`{"created_from":"2026-01-02T00:00:00Z","created_to":"2026-01-01T00:00:00Z"}`, "body.created_to"},
		{`{"created_from":"0026-01-01T00:00:00Z"}`, "body.created_from"},
		{`{"created_to":"yesterday"}`, "body.created_to"},
		{`{"rate_per_second":-1}`, "body.rate_per_second"},
		{`{"rate_per_second":10001}`, "body.rate_per_second"},
		{`{"rate_per_second":"1"}`, "body.rate_per_second"},
		{`{"reason":"` + strings.Repeat("x", 257) + `"}`, "body.reason"},
		{`{"verdict":"refused"}`, "body.verdict"},
	} {
		at(t, w.call("POST", "/v1/notifications/replay", c.body).problem(422, "validation-failed"), c.location)
	}
	for _, nobody := range []string{"m2", store.CallbackMerchant} {
		body := `{"mch_id":"` + nobody + `"}`
		w.call("POST", "/v1/notifications/replay", body).problem(404, "merchant-not-found")
	}
	for range replay.ActiveMax {
		w.replay("m1")
	}
	w.call("POST", "/v1/notifications/replay", "").problem(409, "too-many-replays")
}

// TestReplayDone: what is done cannot be canceled.
func TestReplayDone(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.replay("m1")
	r := replay.New(replay.Options{Store: w.store, Sole: true})
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		r.Run(ctx)
	}()
	for state := ""; state != "done"; {
		state = fmt.Sprint(w.call("GET", "/v1/replays/"+id, "").want(200)["state"])
	}
	stop()
	<-ended
	w.call("POST", "/v1/replays/"+id+"/cancel", "").problem(409, "replay-done")
}

// TestReplayBound: a key that is bound to a merchant replays that merchant's alone, and sees no others.
func TestReplayBound(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"m1", "m2"} {
		w.mapi(id)
		w.send(id, "")
		w.settle(id, exhausted)
	}
	_, key := w.key(api.RoleOperator, "m1")
	v := w.call("POST", "/v1/notifications/replay", `{"dry_run":true}`, as(key)...).want(200)
	wantMembers(t, v, map[string]any{"merchants": map[string]any{"m1": json.Number("1")}})
	v = w.call("POST", "/v1/notifications/replay", "", as(key)...).want(202)
	wantMembers(t, v, map[string]any{"matched": json.Number("1"), "mch_id": "m1"})
	every := w.call("POST", "/v1/notifications/replay", "").want(202)["replay_id"].(string)
	for _, id := range []string{every, w.replay("m2")} {
		w.call("GET", "/v1/replays/"+id, "", as(key)...).problem(404, "replay-not-found")
		w.call("POST", "/v1/replays/"+id+"/cancel", "", as(key)...).problem(404, "replay-not-found")
	}
	if all := w.call("GET", "/v1/replays", "", as(key)...).want(200)["replays"].([]any); len(all) != 1 {
		t.Errorf("replays %v", all)
	}
	if all := w.call("GET", "/v1/replays", "").want(200)["replays"].([]any); len(all) != 3 {
		t.Errorf("replays %v", all)
	}
}
