package api_test

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/api"
	"paynotify/dispatcher/egress"
	"paynotify/signer"
	"paynotify/store"
)

func TestCreateMerchantWithRSA(t *testing.T) {
	w := newWorld(t)
	v := w.call("POST", "/v1/merchants", `{"mch_id":"m1","name":"Shop 1","profile":"alipay",`+
		`"notify_url":"https://shop.example.com/notify","app_id":"2021000000000001"}`).want(201)
	block, rest := pem.Decode([]byte(v["public_key"].(string)))
	if block == nil || len(rest) > 0 || block.Type != "PUBLIC KEY" {
		t.Fatalf("public_key %v", v["public_key"])
	}
	if v["public_key_base64"] != base64.StdEncoding.EncodeToString(block.Bytes) {
		t.Errorf("public_key_base64 %v", v["public_key_base64"])
	}
	if !strings.HasPrefix(v["certificate"].(string), "-----BEGIN CERTIFICATE-----") || v["serial"] == "" {
		t.Errorf("certificate %v, serial %v", v["certificate"], v["serial"])
	}
	for member, want := range map[string]any{
		"mch_id": "m1", "name": "Shop 1", "profile": "alipay", "notify_url": "https://shop.example.com/notify",
		"sign_type": "RSA2", "app_id": "2021000000000001", "charset": "utf-8", "schedule": "alipay",
		"state": "active", "paused_reason": nil, "paused_until": nil, "held_reason": nil, "whpk": nil,
		"secret": nil,
	} {
		if got, there := v[member]; !there || got != want {
			t.Errorf("%s is %v, want %v", member, got, want)
		}
	}
	got := fmt.Sprintf("%v %v %v", v["max_inflight"], v["rate_per_second"], v["warnings"])
	if got != "16 0 []" {
		t.Errorf("max_inflight, rate_per_second, warnings: %s", got)
	}
	checkAck(t, v, "map[lenient:[] match:trim path: status:[200] text:success]")
	wantMembers(t, v["options"].(map[string]any), map[string]any{
		"sign_type_in": "body", "notify_time": "renew", "partner": "m1",
	})
	checkNoPrivateKey(t, w)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","notify_url":"https://a.example.com/"}`).
		problem(409, "merchant-exists")
	keys := w.call("GET", "/v1/merchants/m1/public-key", "").want(200)
	for _, member := range []string{"public_key", "public_key_base64", "certificate", "serial", "whpk"} {
		if keys[member] != v[member] {
			t.Errorf("%s differs: %v and %v", member, keys[member], v[member])
		}
	}
}

// checkNoPrivateKey checks that no answer about a merchant has a key, and that the store has it sealed.
func checkNoPrivateKey(t *testing.T, w *world) {
	t.Helper()
	for _, target := range []string{"/v1/merchants/m1", "/v1/merchants", "/v1/merchants/m1/public-key"} {
		body := w.call("GET", target, "").body
		for _, never := range []string{"PRIVATE", `"key"`, `"secret"`, "sealed"} {
			if strings.Contains(body, never) {
				t.Errorf("%s shows %s: %s", target, never, body)
			}
		}
	}
	m, err := w.store.Merchant(context.Background(), "m1")
	if err != nil || len(m.Keys) != 1 {
		t.Fatalf("%+v %v", m.Keys, err)
	}
	if strings.Contains(string(m.Keys[0].Sealed), "PRIVATE") || len(m.Keys[0].Sealed) < 100 {
		t.Errorf("sealed %q", m.Keys[0].Sealed)
	}
	opened, err := w.options.Ring.Open("m1", m.Keys[0].ID, m.Keys[0].Sealed)
	if err != nil || !strings.Contains(string(opened), "PRIVATE") {
		t.Errorf("the sealed key opens as %v", err)
	}
}

func TestCreateMerchantWithSecret(t *testing.T) {
	w := newWorld(t)
	v := w.mapi("m1")
	secret, _ := v["secret"].(string)
	if len(secret) < 16 || v["public_key"] != nil || v["certificate"] != nil {
		t.Errorf("secret %q, public_key %v", secret, v["public_key"])
	}
	given := w.mapi("m2", `"key":{"secret":"an old secret of theirs"}`)
	if given["secret"] != "an old secret of theirs" {
		t.Errorf("secret %v", given["secret"])
	}
	for _, target := range []string{"/v1/merchants/m1", "/v1/merchants"} {
		if body := w.call("GET", target, "").body; strings.Contains(body, secret) {
			t.Errorf("%s shows the secret again", target)
		}
	}
	if strings.Contains(w.log.String(), secret) {
		t.Error("the secret is in the log")
	}
	short := w.mapi("m3", `"key":{"secret":"short"}`)
	if !strings.Contains(fmt.Sprint(short["warnings"]), "secret") {
		t.Errorf("no warning of a short secret: %v", short["warnings"])
	}
}

func TestCreateMerchantRefusals(t *testing.T) {
	w := newWorld(t)
	const rest = `"profile":"alipay_mapi","notify_url":"https://shop.example.com/n"`
	for _, c := range []struct{ body, location string }{
		{`{}`, "body.mch_id"},
		{`{` + rest + `}`, "body.mch_id"},
		{`{"mch_id":"",` + rest + `}`, "body.mch_id"},
		{`{"mch_id":"-m",` + rest + `}`, "body.mch_id"},
		{`{"mch_id":"a b",` + rest + `}`, "body.mch_id"},
		{`{"mch_id":"m\u0000",` + rest + `}`, "body.mch_id"},
		{`{"mch_id":"` + strings.Repeat("m", 65) + `",` + rest + `}`, "body.mch_id"},
		{`{"mch_id":7,` + rest + `}`, "body.mch_id"},
		{`{"mch_id":"m","notify_url":"https://shop.example.com/n"}`, "body.profile"},
		{`{"mch_id":"m","profile":"alipai","notify_url":"https://shop.example.com/n"}`, "body.profile"},
		{`{"mch_id":"m","profile":"alipay"}`, "body.notify_url"},
		{`{"mch_id":"m","name":"a\u0007",` + rest + `}`, "body.name"},
		{`{"mch_id":"m","name":"` + strings.Repeat("n", 300) + `",` + rest + `}`, "body.name"},
		{`{"mch_id":"m","sign_type":"RSA2",` + rest + `}`, "body.sign_type"},
		{`{"mch_id":"m","charset":"latin1",` + rest + `}`, "body.charset"},
		{`{"mch_id":"m","schedule":"4",` + rest + `}`, "body.schedule"},
		{`{"mch_id":"m","max_inflight":0,` + rest + `}`, "body.max_inflight"},
		{`{"mch_id":"m","max_inflight":1001,` + rest + `}`, "body.max_inflight"},
		{`{"mch_id":"m","max_inflight":1.5,` + rest + `}`, "body.max_inflight"},
		{`{"mch_id":"m","max_inflight":"16",` + rest + `}`, "body.max_inflight"},
		{`{"mch_id":"m","rate_per_second":-1,` + rest + `}`, "body.rate_per_second"},
		{`{"mch_id":"m","rate_per_second":1e999,` + rest + `}`, "body.rate_per_second"},
		{`{"mch_id":"m","ack":{"match":"contains"},` + rest + `}`, "body.ack.match"},
		{`{"mch_id":"m","ack":{"mach":"exact"},` + rest + `}`, "body.ack.mach"},
		{`{"mch_id":"m","ack":{"status":[99]},` + rest + `}`, "body.ack.status"},
		{`{"mch_id":"m","ack":{"lenient":["ack_nothing"]},` + rest + `}`, "body.ack.lenient"},
		{`{"mch_id":"m","ack":[],` + rest + `}`, "body.ack"},
		{`{"mch_id":"m","options":{"nonsense":true},` + rest + `}`, "body.options.nonsense"},
		{`{"mch_id":"m","options":{"probe":"yes"},` + rest + `}`, "body.options.probe"},
		{`{"mch_id":"m","options":{"partner":1},` + rest + `}`, "body.options.partner"},
		{`{"mch_id":"m","options":{"hosts":[1]},` + rest + `}`, "body.options.hosts"},
		{`{"mch_id":"m","key":{"private_key":"x"},` + rest + `}`, "body.key.private_key"},
		{`{"mch_id":"m","key":{"secrets":"x"},` + rest + `}`, "body.key.secrets"},
		{`{"mch_id":"m","key":"x",` + rest + `}`, "body.key"},
		{`{"mch_id":"m","tls":[],` + rest + `}`, "body.tls"},
		{`{"mch_id":"m","tls":{"cert":"x"},` + rest + `}`, "body.tls.cert"},
		{`{"mch_id":"m","headers":"X-Shop: 7",` + rest + `}`, "body.headers"},
		{`{"mch_id":"m","state":"paused",` + rest + `}`, "body.state"},
		{
			`{"mch_id":"m","profile":"alipay","notify_url":"https://a.example.com/",` +
				`"key":{"private_key":"-----BEGIN SECRET-----"}}`,
			"body.key.private_key",
		},
	} {
		r := w.call("POST", "/v1/merchants", c.body)
		p := r.problem(422, "validation-failed")
		at(t, p, c.location)
		if strings.Contains(r.body, "BEGIN SECRET") {
			t.Errorf("key material is shown: %s", r.body)
		}
	}
	if v := w.call("GET", "/v1/merchants", "").want(200); len(v["merchants"].([]any)) > 0 {
		t.Errorf("something was stored: %v", v)
	}
}

func TestNotifyURLRules(t *testing.T) {
	w := newWorld(t)
	for url, rule := range map[string]string{
		"http://127.0.0.1/n":           "ip-denied",
		"http://169.254.169.254/n":     "ip-denied",
		"http://2130706433/n":          "numeric-host",
		"http://localhost/n":           "single-label",
		"ftp://shop.example.com/n":     "scheme",
		"https://u:p@shop.example.com": "userinfo",
		"https://@shop.example.com/":   "userinfo",
		"https://shop.example.com/#a":  "fragment",
		"https://shop.example.com:22/": "port-not-allowed",
		"https://shop.example.com:/":   "port",
		"https://shop.example.com/a b": "illegal-char",
		"https:///n":                   "no-host",
	} {
		e := at(t, w.call("POST", "/v1/merchants", `{"mch_id":"m","profile":"alipay_mapi","notify_url":"`+url+`"}`).
			problem(422, "notify-url"), "body.notify_url")
		if !strings.Contains(e.Message, rule) {
			t.Errorf("%s: %+v, want rule %s", url, e, rule)
		}
	}
	at(t, w.call("POST", "/v1/merchants",
		`{"mch_id":"m","profile":"alipay_mapi","notify_url":"https://a.example.com/?q=1"}`).
		problem(422, "notify-url"), "body.notify_url")
	v := w.call("POST", "/v1/merchants",
		`{"mch_id":"f","profile":"form","notify_url":"HTTP://Shop.example.com/?q=1"}`).want(201)
	text := fmt.Sprint(v["warnings"])
	if !strings.Contains(text, "http") || !strings.Contains(text, "unsigned") || v["sign_type"] != "none" {
		t.Errorf("warnings %s, sign_type %v", text, v["sign_type"])
	}
	if keys := w.call("GET", "/v1/merchants/f/public-key", "").want(200); keys["public_key"] != nil {
		t.Errorf("%v", keys)
	}
	dev := newWorld(t, func(o *api.Options) { o.Rules = &egress.Rules{Dev: true} })
	dev.call("POST", "/v1/merchants",
		`{"mch_id":"d","profile":"alipay_mapi","notify_url":"http://127.0.0.1:9/n"}`).want(201)
}

func TestPatchMerchant(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1", `"name":"Shop"`, `"options":{"partner":"2088101106499364","hosts":["a.example.com"]}`,
		`"schedule":"15s,1m"`)
	patch := func(body string) map[string]any {
		t.Helper()
		return w.call("PATCH", "/v1/merchants/m1", body).want(200)
	}
	if v := patch(`{}`); v["name"] != "Shop" || v["schedule"] != "15s,1m" {
		t.Errorf("an empty patch changes something: %v", v)
	}
	v := patch(`{"name":"New","max_inflight":3,"rate_per_second":2.5,` +
		`"ack":{"status":["2xx",404],"lenient":["ack_case"]},"options":{"partner":null,"allow_query":true}}`)
	if v["name"] != "New" || fmt.Sprintf("%v %v", v["max_inflight"], v["rate_per_second"]) != "3 2.5" {
		t.Errorf("%v", v)
	}
	checkAck(t, v, "map[lenient:[ack_case] match:trim path: status:[2xx 404] text:success]")
	o := v["options"].(map[string]any)
	if o["partner"] != "m1" || o["allow_query"] != true || fmt.Sprint(o["hosts"]) != "[a.example.com]" {
		t.Errorf("options %v", o)
	}
	if fmt.Sprint(v["warnings"]) == "[]" {
		t.Error("lenient is no warning")
	}
	v = patch(`{"ack":{"status":null}}`)
	checkAck(t, v, "map[lenient:[ack_case] match:trim path: status:[200] text:success]")
	v = patch(`{"name":null,"schedule":null,"max_inflight":null,"rate_per_second":null,"ack":null,` +
		`"options":null,"app_id":null}`)
	got := fmt.Sprintf("%q %v %v %v", v["name"], v["schedule"], v["max_inflight"], v["rate_per_second"])
	if got != `"" alipay 16 0` {
		t.Errorf("null sets no default: %s", got)
	}
	checkAck(t, v, "map[lenient:[] match:trim path: status:[200] text:success]")
	patch(`{"mch_id":"m1","profile":"alipay_mapi"}`) // what it is already
	for body, location := range map[string]string{
		`{"mch_id":"m2"}`:             "body.mch_id",
		`{"profile":"form"}`:          "body.profile",
		`{"key":{"secret":"xxxxxx"}}`: "body.key",
		`{"notify_url":null}`:         "body.notify_url",
		`{"nam":"x"}`:                 "body.nam",
		`{"paused_until":null}`:       "body.paused_until",
		`{"max_inflight":-1}`:         "body.max_inflight",
		`{"options":{"hosts":{}}}`:    "body.options.hosts",
	} {
		at(t, w.call("PATCH", "/v1/merchants/m1", body).problem(422, "validation-failed"), location)
	}
	e := at(t, w.call("PATCH", "/v1/merchants/m1", `{"key":{}}`).problem(422, "validation-failed"), "body.key")
	if !strings.Contains(e.Cure, "rotate-key") {
		t.Errorf("cure %q", e.Cure)
	}
	w.call("PATCH", "/v1/merchants/m1", `{"notify_url":"http://10.0.0.1/"}`).problem(422, "notify-url")
	w.call("PATCH", "/v1/merchants/m1", ``).problem(400, "malformed-json")
	w.call("PATCH", "/v1/merchants/nobody", `{}`).problem(404, "merchant-not-found")
	w.call("GET", "/v1/merchants/nobody", ``).problem(404, "merchant-not-found")
}

func TestListMerchants(t *testing.T) {
	w := newWorld(t)
	for _, id := range []string{"c", "a", "b"} {
		w.mapi(id)
	}
	var seen []string
	cursor := ""
	for range 3 {
		v := w.call("GET", "/v1/merchants?limit=2"+cursor, "").want(200)
		for _, m := range v["merchants"].([]any) {
			seen = append(seen, m.(map[string]any)["mch_id"].(string))
		}
		next, more := v["next_cursor"].(string)
		if !more {
			break
		}
		cursor = "&cursor=" + next
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, seen); diff != "" {
		t.Error(diff)
	}
	for _, limit := range []string{"0", "-1", "501", "1000000000", "abc", "1.5", "99999999999999999999"} {
		e := at(t, w.call("GET", "/v1/merchants?limit="+limit, "").problem(422, "validation-failed"), "query.limit")
		if !strings.Contains(e.Cure, "1 to 500") {
			t.Errorf("cure %q", e.Cure)
		}
	}
	w.call("GET", "/v1/merchants?cursor=nonsense", "").problem(400, "bad-cursor")
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	v := w.call("POST", "/v1/merchants/m1/pause", "").want(200)
	wantMembers(t, v, map[string]any{
		"state": "paused", "paused_reason": nil, "paused_until": nil, "held_reason": "merchant_paused",
	})
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second).Format(time.RFC3339)
	v = w.call("POST", "/v1/merchants/m1/pause", `{"reason":"their deploy","until":"`+until+`"}`).want(200)
	if v["paused_reason"] != "their deploy" || !strings.HasPrefix(v["paused_until"].(string), until[:19]) {
		t.Errorf("%v", v)
	}
	nudges := w.intake.nudges.Load()
	v = w.call("POST", "/v1/merchants/m1/resume", "{}").want(200)
	wantMembers(t, v, map[string]any{"state": "active", "paused_reason": nil, "held_reason": nil})
	if w.intake.nudges.Load() == nudges {
		t.Error("nobody was told that the lane is open")
	}
	for body, location := range map[string]string{
		`{"until":"2020-01-01T00:00:00Z"}`: "body.until", `{"until":"tomorrow"}`: "body.until",
		`{"until":"2030-01-01T00:00:00"}`: "body.until", `{"until":5}`: "body.until",
		`{"reason":"a\u0000"}`: "body.reason", `{"why":"x"}`: "body.why",
	} {
		at(t, w.call("POST", "/v1/merchants/m1/pause", body).problem(422, "validation-failed"), location)
	}
	w.call("POST", "/v1/merchants/m1/pause", `[`).problem(400, "malformed-json")
	w.call("POST", "/v1/merchants/nobody/pause", "").problem(404, "merchant-not-found")
	w.call("POST", "/v1/merchants/nobody/resume", "").problem(404, "merchant-not-found")
	// The global switch is the first reason.
	w.call("PUT", "/v1/sending", `{"paused":true,"reason":"drill"}`).want(200)
	v = w.call("GET", "/v1/merchants/m1", "").want(200)
	wantMembers(t, v, map[string]any{"held_reason": "sending_paused", "state": "active"})
}

func checkAck(t *testing.T, merchant map[string]any, want string) {
	t.Helper()
	if got := fmt.Sprint(merchant["ack"]); got != want {
		t.Errorf("ack %s, want %s", got, want)
	}
}

// TestBlockedMerchant checks what lifts the hold of a refused address.
func TestBlockedMerchant(t *testing.T) {
	w := newWorld(t)
	for lift, body := range map[string]string{
		"PATCH /v1/merchants/m1":       `{"notify_url":"https://new.example.com/n"}`,
		"POST /v1/merchants/m1/resume": ``,
	} {
		w.call("DELETE", "/v1/merchants/m1", "")
		w.mapi("m1")
		if _, err := w.store.UpdateMerchant(context.Background(), "m1", func(m *store.Merchant) error {
			m.Blocked = true
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		v := w.call("PATCH", "/v1/merchants/m1", `{"name":"other"}`).want(200)
		wantMembers(t, v, map[string]any{"held_reason": "address_blocked"})
		method, target, _ := strings.Cut(lift, " ")
		if v := w.call(method, target, body).want(200); v["held_reason"] != nil {
			t.Errorf("%s: %v", lift, v)
		}
	}
}

func TestDeleteMerchant(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	id := w.send("m1", "1")
	w.call("DELETE", "/v1/merchants/m1", "").problem(409, "merchant-has-pending")
	w.settle("m1", acked)
	r := w.call("DELETE", "/v1/merchants/m1", "")
	if r.status != 204 || r.body != "" {
		t.Errorf("%d %q", r.status, r.body)
	}
	w.call("DELETE", "/v1/merchants/m1", "").problem(404, "merchant-not-found")
	v := w.call("GET", "/v1/notifications/"+id, "").want(200)
	if v["notify_url"] != nil || v["notify_state"] != "spent" {
		t.Errorf("%v", v)
	}
	w.call("POST", "/v1/notifications/"+id+"/resend", `{"force":true}`).problem(404, "merchant-not-found")
}

func TestRotateKey(t *testing.T) {
	w := newWorld(t)
	old := w.mapi("m1")
	v := w.call("POST", "/v1/merchants/m1/rotate-key", "").want(200)
	if v["secret"] == nil || v["secret"] == old["secret"] || v["mch_id"] != "m1" {
		t.Errorf("%v", v)
	}
	keys := func(mchID string) []store.Key {
		t.Helper()
		m, err := w.store.Merchant(context.Background(), mchID)
		if err != nil {
			t.Fatal(err)
		}
		return m.Keys
	}
	if n := len(keys("m1")); n != 1 {
		t.Errorf("%d keys; the old one never signs again", n)
	}
	at1 := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	v = w.call("POST", "/v1/merchants/m1/rotate-key",
		`{"key":{"secret":"their own new secret"},"overlap":"24h","at":"`+at1.Format(time.RFC3339)+`"}`).want(200)
	if v["secret"] != "their own new secret" || !strings.Contains(fmt.Sprint(v["warnings"]), "overlap") {
		t.Errorf("%v", v)
	}
	ks := keys("m1")
	if len(ks) != 2 || !ks[0].From.Equal(at1) || !ks[1].Until.Equal(at1) || !ks[0].Until.IsZero() {
		t.Errorf("%+v", ks)
	}
	// A second rotation before the first takes over replaces it.
	at2 := at1.Add(-30 * time.Minute)
	w.call("POST", "/v1/merchants/m1/rotate-key", `{"at":"`+at2.Format(time.RFC3339)+`"}`).want(200)
	if ks = keys("m1"); len(ks) != 2 || !ks[0].From.Equal(at2) || !ks[1].Until.Equal(at2) {
		t.Errorf("%+v", ks)
	}
	for body, location := range map[string]string{
		`{"at":"2020-01-01T00:00:00Z"}`: "body.at", `{"overlap":"a day"}`: "body.overlap",
		`{"overlap":"10000h"}`: "body.overlap", `{"key":{"private_key":"x"}}`: "body.key.private_key",
		`{"secret":"x"}`: "body.secret",
	} {
		at(t, w.call("POST", "/v1/merchants/m1/rotate-key", body).problem(422, "validation-failed"), location)
	}
	w.call("POST", "/v1/merchants", `{"mch_id":"f","profile":"form","notify_url":"https://a.example.com/"}`).
		want(201)
	w.call("POST", "/v1/merchants/f/rotate-key", "").problem(422, "validation-failed")
	w.call("POST", "/v1/merchants/nobody/rotate-key", "").problem(404, "merchant-not-found")
}

// TestRotateRSAKey checks that the key that signs now is the one that is served, until the other takes over.
func TestRotateRSAKey(t *testing.T) {
	now := time.Now()
	w := newWorld(t, func(o *api.Options) { o.Now = func() time.Time { return now } })
	key, err := signer.GenerateRSA()
	if err != nil {
		t.Fatal(err)
	}
	private, err := signer.PrivatePEM(key)
	if err != nil {
		t.Fatal(err)
	}
	oneLine := strings.ReplaceAll(private, "\n", `\\n`)
	old := w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"alipay",`+
		`"notify_url":"https://a.example.com/n","key":{"private_key":"`+oneLine+`"}}`).want(201)
	if want, _ := signer.PublicBase64(&key.PublicKey); old["public_key_base64"] != want {
		t.Errorf("the given key is not used")
	}
	fresh := w.call("POST", "/v1/merchants/m1/rotate-key",
		`{"at":"`+now.Add(time.Hour).UTC().Format(time.RFC3339Nano)+`"}`).want(200)
	served := func() any { return w.call("GET", "/v1/merchants/m1/public-key", "").want(200)["serial"] }
	if served() != old["serial"] || fresh["serial"] == old["serial"] || fresh["secret"] != nil {
		t.Errorf("served %v, old %v, new %v", served(), old["serial"], fresh["serial"])
	}
	now = now.Add(time.Hour + time.Second)
	if served() != fresh["serial"] {
		t.Errorf("served %v, new %v", served(), fresh["serial"])
	}
}

// TestServiceFromInside checks the typed way in that the console takes.
func TestServiceFromInside(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	m, err := w.api.Service.CreateMerchant(ctx, api.MerchantRequest{
		MchID: "m1", Profile: "alipay_mapi", NotifyURL: "https://a.example.com/n", MaxInflight: 4,
		Ack:     &api.AckRequest{Status: []api.AckStatus{"200", "2xx"}},
		Options: map[string]any{"hosts": []string{"a.example.com"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if m.MaxInflight != 4 || !slices.Equal(m.Ack.Status, []api.AckStatus{"200", "2xx"}) || m.Secret == nil {
		t.Errorf("%+v", m)
	}
	if _, err = w.api.Service.UpdateMerchant(ctx, "m1", api.MerchantRequest{Name: "Shop"}); err != nil {
		t.Error(err)
	}
	_, err = w.api.Service.UpdateMerchant(ctx, "m1", api.MerchantRequest{Profile: "form"})
	var p *api.Problem
	if !errors.As(err, &p) || p.Slug() != "validation-failed" || !strings.Contains(p.Error(), "body.profile") {
		t.Errorf("%v", err)
	}
	receipt, err := w.api.Service.Accept(ctx,
		api.NotificationRequest{MchID: "m1", Params: []byte(`{"a":"b"}`)}, "")
	if err != nil || receipt.NotifyState != store.Pending {
		t.Errorf("%+v %v", receipt, err)
	}
}
