package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/store"
)

func TestGaps(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	w.send("m2", "theirs")
	send := func(order, kind string, outcome func(c store.Claim) store.Outcome) string {
		id := w.call("POST", "/v1/notifications", `{"mch_id":"m1","notify_type":"`+kind+`","out_trade_no":"`+order+
			`","params":{"total_fee":"1.00"}}`).want(202)["notify_id"].(string)
		if outcome != nil {
			w.settle("m1", outcome)
		}
		return id
	}
	exhausted := func(c store.Claim) store.Outcome {
		o := refused(c)
		o.State = store.Exhausted
		return o
	}
	send("spent", "pay", acked)
	send("paid twice", "pay", exhausted)
	send("paid twice", "pay", acked)
	send("paid, refund lost", "pay", acked)
	refund := send("paid, refund lost", "refund", exhausted)
	send("lost twice", "pay", exhausted)
	newest := send("lost twice", "pay", exhausted)
	canceled := send("taken back", "pay", nil)
	w.call("POST", "/v1/notifications/"+canceled+"/cancel", "").want(200)
	waiting := send("waiting", "", nil)

	r := w.call("POST", "/v1/merchants/m1/gaps", `{"out_trade_nos":["waiting","theirs","spent","lost twice",
		"spent","paid, refund lost","taken back","paid twice","nobody's"]}`)
	r.want(200)
	var got api.GapsView
	if err := json.Unmarshal([]byte(r.body), &got); err != nil {
		t.Fatal(err)
	}
	want := api.GapsView{
		NeverSeen: []string{"theirs", "nobody's"},
		NotSpent: []api.GapView{
			{OutTradeNo: "waiting", NotifyType: "trade_status_sync", NotifyID: waiting, NotifyState: store.Pending},
			{OutTradeNo: "lost twice", NotifyType: "pay", NotifyID: newest, NotifyState: store.Exhausted},
			{OutTradeNo: "paid, refund lost", NotifyType: "refund", NotifyID: refund, NotifyState: store.Exhausted},
			{OutTradeNo: "taken back", NotifyType: "pay", NotifyID: canceled, NotifyState: store.Canceled},
		},
		Spent: 2,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Without gaps the lists are there, and empty.
	r = w.call("POST", "/v1/merchants/m1/gaps", `{"out_trade_nos":["spent"]}`)
	if want := `{"never_seen":[],"not_spent":[],"spent":1}` + "\n"; r.body != want {
		t.Errorf("%s, want %s", r.body, want)
	}
}

func TestGapsOfMany(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	orders := make([]string, 10_000) // each is there ten times
	var known []store.Notification
	for i := range orders {
		orders[i] = fmt.Sprintf("%064d", i%1000)
		if i < 1000 && i%10 == 0 {
			known = append(known, store.Notification{
				MchID: "m1", Profile: "alipay_mapi", OutTradeNo: orders[i], Params: json.RawMessage(`{}`),
			})
		}
	}
	w.accept(known...)
	body, _ := json.Marshal(map[string]any{"out_trade_nos": orders})
	got := w.call("POST", "/v1/merchants/m1/gaps", string(body)).want(200)
	if seen := len(got["never_seen"].([]any)); seen != 900 {
		t.Errorf("%d were never seen, want 900", seen)
	}
	if open := len(got["not_spent"].([]any)); open != 100 {
		t.Errorf("%d are not spent, want 100", open)
	}

	body, _ = json.Marshal(map[string]any{"out_trade_nos": slices.Concat(orders, []string{"one more"})})
	w.call("POST", "/v1/merchants/m1/gaps", string(body)).problem(413, "too-many-items")
	long := `{"out_trade_nos":["` + strings.Repeat("1", 5<<20) + `"]}`
	p := w.call("POST", "/v1/merchants/m1/gaps", long).problem(413, "too-large")
	if !strings.Contains(p.Detail, "4194304") {
		t.Errorf("which limit? %s", p.Detail)
	}
	// The limit of the other routes is the old one.
	w.call("PATCH", "/v1/merchants/m1", `{"name":"`+strings.Repeat("1", 300<<10)+`"}`).problem(413, "too-large")
}

func TestGapsRefuses(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	for body, location := range map[string]string{
		`{}`:                         "body.out_trade_nos",
		`{"out_trade_nos":[]}`:       "body.out_trade_nos",
		`{"out_trade_nos":"1"}`:      "body.out_trade_nos",
		`{"out_trade_nos":["1",""]}`: "body.out_trade_nos.1",
		`{"out_trade_nos":[1]}`:      "body.out_trade_nos.0",
		`{"out_trade_nos":["` + strings.Repeat("中", 65) + `"]}`: "body.out_trade_nos.0",
		`{"out_trade_no":["1"]}`:                                "body.out_trade_no",
	} {
		p := w.call("POST", "/v1/merchants/m1/gaps", body).problem(422, "validation-failed")
		at(t, p, location)
	}
	for _, wrong := range []string{`""`, `7`} { // all of 1000: some are told
		body := `{"out_trade_nos":[` + wrong + strings.Repeat(","+wrong, 999) + `]}`
		p := w.call("POST", "/v1/merchants/m1/gaps", body).problem(422, "validation-failed")
		if len(p.Errors) != 20 {
			t.Errorf("%d faults are told of 1000 times %s", len(p.Errors), wrong)
		}
	}
	w.call("POST", "/v1/merchants/m9/gaps", `{"out_trade_nos":["1"]}`).problem(404, "merchant-not-found")
	w.call("POST", "/v1/merchants/_callback/gaps", `{"out_trade_nos":["1"]}`).problem(404, "merchant-not-found")
	w.call("POST", "/v1/merchants/m1/gaps", "").problem(400, "malformed-json")
	// The list may have as many characters as order numbers can have.
	widest := `{"out_trade_nos":["` + strings.Repeat("中", 64) + `"]}`
	w.call("POST", "/v1/merchants/m1/gaps", widest).want(200)
}

// failing is a store whose lists fail from the nth call on.
type failing struct {
	store.Store
	good int
}

func (f *failing) List(ctx context.Context, q store.Query) ([]store.Notification, string, error) {
	if f.good--; f.good < 0 {
		return nil, "", errors.Join(store.ErrUnavailable, errors.New("gone"))
	}
	return f.Store.List(ctx, q)
}

func TestGapsOfAStoreThatFails(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Store = &failing{Store: o.Store} })
	w.mapi("m1")
	w.call("POST", "/v1/merchants/m1/gaps", `{"out_trade_nos":["1"]}`).problem(503, "storage-unavailable")
}
