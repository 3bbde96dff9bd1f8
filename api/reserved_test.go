package api_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/signer"
	"paynotify/store"
)

func ownCallback(secret string) api.Own {
	return api.Own{
		MchID: store.CallbackMerchant, Name: "platform callback", Secret: secret,
		URL: "https://platform.example.com/events?token=hunter2",
	}
}

// addM1 registers a merchant.
func (w *world) addM1() {
	w.t.Helper()
	w.call("POST", "/v1/merchants",
		`{"mch_id":"m1","profile":"form","notify_url":"https://shop.example.com/n"}`).want(201)
}

// tell has the engine tell something, as no caller can.
func (w *world) tell(n int) (ids []string) {
	w.t.Helper()
	for range n {
		as, err := w.intake.Accept(w.t.Context(), []store.Notification{{
			MchID: store.CallbackMerchant, Profile: "standard", Schedule: "standard", Params: []byte(`{}`),
			NotifyType: "notification.spent",
		}})
		if err != nil {
			w.t.Fatal(err)
		}
		ids = append(ids, as[0].NotifyID)
	}
	return ids
}

// TestOwnMerchantsAreOutOfReach: to every route that names a merchant they do not exist.
func TestOwnMerchantsAreOutOfReach(t *testing.T) {
	w := newWorld(t)
	if err := w.api.Service.KeepOwn(t.Context(), ownCallback(signer.GenerateWhsec())); err != nil {
		t.Fatal(err)
	}
	id := w.tell(1)[0]
	for _, route := range api.RoutePatterns() {
		if strings.Contains(route, "{mch_id}") {
			s := samples[route](w, "m0")
			_, rest, _ := strings.Cut(strings.TrimPrefix(s.target, "/v1/merchants/"), "/")
			s.target = strings.TrimSuffix("/v1/merchants/_callback/"+rest, "/")
			w.request(route, adminKey, s).problem(404, "merchant-not-found")
		}
	}
	w.call("POST", "/v1/notifications", `{"mch_id":"_callback","params":{}}`).
		problem(404, "merchant-not-found")
	w.call("POST", "/v1/notifications", `{"mch_id":"_callback","params":{}}`, "Idempotency-Key: k").
		problem(404, "merchant-not-found")
	w.call("POST", "/v1/merchants",
		`{"mch_id":"_callback","profile":"form","notify_url":"https://shop.example.com/"}`).
		problem(422, "validation-failed")

	w.addM1()
	if list := w.call("GET", "/v1/merchants", ""); strings.Contains(list.body, `"_callback"`) ||
		!strings.Contains(list.body, `"m1"`) {
		t.Errorf("listed: %s", list.body)
	}
	if v := w.call("GET", "/v1/notifications/"+id, "").want(200); v["mch_id"] != "_callback" {
		t.Errorf("by notify_id: %v", v)
	}
	w.call("POST", "/v1/notifications/"+id+"/resend", "").want(202)
}

// TestListsLeaveOwnOnesOut: a list shows them to whoever asks for them, and whole pages to whoever does not.
func TestListsLeaveOwnOnesOut(t *testing.T) {
	w := newWorld(t)
	if err := w.api.Service.KeepOwn(t.Context(), ownCallback(signer.GenerateWhsec())); err != nil {
		t.Fatal(err)
	}
	w.addM1()
	var want []string
	for i := range 7 {
		id := w.call("POST", "/v1/notifications", `{"mch_id":"m1","params":{}}`).want(202)["notify_id"]
		want = append([]string{fmt.Sprint(id)}, want...)
		w.tell(i % 3 * 2)
	}
	var got []string
	for cursor := ""; ; {
		page := w.call("GET", "/v1/notifications?limit=2&cursor="+cursor, "").want(200)
		list := page["notifications"].([]any)
		for _, n := range list {
			got = append(got, fmt.Sprint(n.(map[string]any)["notify_id"]))
		}
		if page["next_cursor"] == nil {
			break
		}
		if cursor = fmt.Sprint(page["next_cursor"]); len(list) != 2 {
			t.Errorf("a page of %d that is not the last", len(list))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("listed %v, want %v", got, want)
	}
	own := w.call("GET", "/v1/notifications?mch_id=_callback", "").want(200)["notifications"].([]any)
	if len(own) != 12 {
		t.Errorf("%d of the platform's are listed", len(own))
	}
}

func TestCallbackView(t *testing.T) {
	w := newWorld(t)
	v := w.call("GET", "/v1/callback", "").want(200)
	if v["callback"] != nil || v["notices"] != nil {
		t.Errorf("nothing configured: %v", v)
	}
	secret := signer.GenerateWhsec()
	if err := w.api.Service.KeepOwn(t.Context(), ownCallback(secret)); err != nil {
		t.Fatal(err)
	}
	first := w.tell(1)[0]
	w.tell(2)
	n, _, err := w.store.Get(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	answer := w.call("GET", "/v1/callback", "")
	own := answer.want(200)["callback"].(map[string]any)
	since := n.CreatedAt.UTC().Format("2006-01-02T15:04:05.000000Z")
	if own["url"] != "https://platform.example.com/events" || own["state"] != "active" ||
		fmt.Sprint(own["pending"]) != "3" || own["oldest_pending_at"] != since || own["last_verdict"] != nil {
		t.Errorf("got %v", own)
	}
	if strings.Contains(answer.body, "hunter2") || strings.Contains(answer.body, secret) {
		t.Errorf("a secret is shown: %s", answer.body)
	}
	if err := w.api.Service.KeepOwn(t.Context(), api.Own{MchID: store.CallbackMerchant}); err != nil {
		t.Fatal(err)
	}
	own = w.call("GET", "/v1/callback", "").want(200)["callback"].(map[string]any)
	if own["state"] != "paused" || own["held_reason"] != "merchant_paused" || fmt.Sprint(own["pending"]) != "3" {
		t.Errorf("taken out of the configuration: %v", own)
	}
}

// TestManyPendingForThePlatform: more than are counted, and still the oldest is the oldest.
func TestManyPendingForThePlatform(t *testing.T) {
	w := newWorld(t)
	if err := w.api.Service.KeepOwn(t.Context(), ownCallback(signer.GenerateWhsec())); err != nil {
		t.Fatal(err)
	}
	first := w.tell(1)[0]
	ns := make([]store.Notification, 2500)
	for i := range ns {
		ns[i] = store.Notification{
			MchID: store.CallbackMerchant, Profile: "standard", Schedule: "standard", Params: []byte(`{}`),
		}
	}
	if _, err := w.intake.Accept(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	n, _, err := w.store.Get(t.Context(), first)
	if err != nil {
		t.Fatal(err)
	}
	own := w.call("GET", "/v1/callback", "").want(200)["callback"].(map[string]any)
	at, err := time.Parse(time.RFC3339, fmt.Sprint(own["oldest_pending_at"]))
	if err != nil || at.Sub(n.CreatedAt).Abs() > time.Millisecond || own["pending_more"] != true ||
		fmt.Sprint(own["pending"]) != "2000" {
		t.Errorf("%v, %v; the oldest is of %s", own, err, n.CreatedAt)
	}
}

// TestKeepOwn: the merchant follows the configuration, and a start that finds it as it should be writes
// nothing.
func TestKeepOwn(t *testing.T) {
	w := newWorld(t)
	old, fresh := signer.GenerateWhsec(), signer.GenerateWhsec()
	keep := func(own api.Own) store.Merchant {
		t.Helper()
		if err := w.api.Service.KeepOwn(t.Context(), own); err != nil {
			t.Fatal(err)
		}
		m, err := w.store.Merchant(t.Context(), store.CallbackMerchant)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first := keep(ownCallback(old))
	if again := keep(ownCallback(old)); again.Revision != first.Revision {
		t.Error("a start with the same configuration changes the merchant")
	}
	if strings.Contains(fmt.Sprintf("%q", first.Keys[0].Sealed), old) {
		t.Error("the secret is not sealed")
	}
	second := keep(ownCallback(fresh))
	if len(second.Keys) != 2 || second.Keys[1].ID != first.Keys[0].ID || second.Keys[1].Until.IsZero() {
		t.Fatalf("keys after another secret: %+v", second.Keys)
	}
	material, err := profile.OpenKey(second.MchID, &second.Keys[0], w.options.Ring.Open)
	if err != nil || material.Secret != fresh {
		t.Errorf("the new secret does not sign: %v", err)
	}
	if _, err := w.store.UpdateMerchant(t.Context(), store.CallbackMerchant, func(m *store.Merchant) error {
		m.Blocked = true
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	moved := ownCallback(fresh)
	moved.URL = "https://elsewhere.example.com/"
	if m := keep(moved); m.Blocked || m.NotifyURL != moved.URL || len(m.Keys) != 2 {
		t.Errorf("after another url: %+v", m)
	}
	if m := keep(api.Own{MchID: store.CallbackMerchant}); !m.Paused {
		t.Error("without a url it is not paused")
	}
	if m := keep(moved); m.Paused {
		t.Error("with a url again it is paused")
	}
	moved.URL = "http://127.0.0.1/"
	err = w.api.Service.KeepOwn(t.Context(), moved)
	if err == nil || !strings.Contains(err.Error(), "notify_url") {
		t.Errorf("an inside address: %v", err)
	}
	moved = ownCallback("hunter2")
	if err := w.api.Service.KeepOwn(t.Context(), moved); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret that is none: %v", err)
	}
}
