package api_test

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/signer"
	"paynotify/signer/keyring"
	"paynotify/store"
)

// register creates a merchant of a profile; more are members of the request.
func (w *world) register(mchID, profileName string, more ...string) map[string]any {
	w.t.Helper()
	members := append([]string{
		`"mch_id":"` + mchID + `"`, `"profile":"` + profileName + `"`, `"notify_url":"https://shop.example.com/n"`,
	}, more...)
	return w.call("POST", "/v1/merchants", "{"+strings.Join(members, ",")+"}").want(201)
}

func (w *world) rotate(mchID, body string) map[string]any {
	w.t.Helper()
	return w.call("POST", "/v1/merchants/"+mchID+"/rotate-key", body).want(200)
}

func (w *world) stored(mchID string) store.Merchant {
	w.t.Helper()
	m, err := w.store.Merchant(context.Background(), mchID)
	if err != nil {
		w.t.Fatal(err)
	}
	return m
}

// signed encodes a send to a merchant at an instant, with the keys that are stored.
func (w *world) signed(mchID string, now time.Time) profile.Message {
	w.t.Helper()
	m := w.stored(mchID)
	p, _ := profile.ByName(m.Profile)
	keys, err := profile.OpenKeys(p, &m, w.options.Ring.Open)
	if err != nil {
		w.t.Fatal(err)
	}
	msg, err := profile.Encode(p, profile.Input{
		Notification: &store.Notification{
			NotifyID: store.NewID(now, 0), MchID: mchID, Profile: p.Name, NotifyType: p.NotifyType,
			OutTradeNo: "20261121-1", Params: json.RawMessage(`{"trade_no":"1"}`), CreatedAt: now,
		},
		Merchant: &m, Keys: keys, Now: now,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return msg
}

// verifies reports whether a message passes with what a merchant has; publicKey is PEM or whpk_….
func verifies(
	t *testing.T, profileName string, msg profile.Message, publicKey, secret, signType string,
) bool {
	t.Helper()
	p, _ := profile.ByName(profileName)
	keys, err := profile.ParseVerifyKeys(publicKey, secret, signType)
	if err != nil {
		t.Fatal(err)
	}
	_, err = profile.Verify(p, profile.CapturedRequest{
		Method: msg.Method, Query: msg.Query, Header: msg.Header, Body: msg.Body,
	}, keys)
	return err == nil
}

func text(v map[string]any, member string) string {
	s, _ := v[member].(string)
	return s
}

// TestRotateWithOverlap checks that a merchant with the old secret and one with the new are both served for
// the overlap, and only the new one after it.
func TestRotateWithOverlap(t *testing.T) {
	for _, c := range []struct {
		profile, header, body string
		overlap               time.Duration
	}{
		{"standard", "webhook-signature", ``, 24 * time.Hour},
		{"stripe", "Stripe-Signature", `{}`, 24 * time.Hour},
		{"standard", "webhook-signature", `{"overlap":"90m"}`, 90 * time.Minute},
		{"stripe", "Stripe-Signature", `{"overlap":"0s"}`, 0},
	} {
		t.Run(c.profile+c.body, func(t *testing.T) {
			now := time.Now().UTC().Truncate(time.Microsecond)
			w := newWorld(t, func(o *api.Options) { o.Now = func() time.Time { return now } })
			before := text(w.register("m1", c.profile), "secret")
			answer := w.rotate("m1", c.body)
			after := text(answer, "secret")
			if after == "" || after == before || fmt.Sprint(answer["warnings"]) != "[]" {
				t.Fatalf("secrets %q and %q, warnings %v", before, after, answer["warnings"])
			}
			for _, at := range []struct {
				after    time.Duration
				old      bool
				overlaps string
			}{
				{0, c.overlap > 0, "at once"},
				{c.overlap - time.Microsecond, c.overlap > 0, "at its end"},
				{c.overlap, false, "behind it"},
			} {
				msg := w.signed("m1", now.Add(at.after))
				if !verifies(t, c.profile, msg, "", after, "") {
					t.Errorf("%s: the new secret does not verify", at.overlaps)
				}
				if got := verifies(t, c.profile, msg, "", before, ""); got != at.old {
					t.Errorf("%s: the old secret verifies: %v, want %v", at.overlaps, got, at.old)
				}
			}
			if n := len(w.stored("m1").Keys); n != 1 && c.overlap == 0 {
				t.Errorf("%d keys are kept, one of them signs", n)
			}
		})
	}
}

// TestRotateAtWithOverlap checks a planned rotation: the new key begins at `at` and the old one ends an
// overlap later; a key that was planned and is replaced never signs.
func TestRotateAtWithOverlap(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Microsecond)
	w := newWorld(t, func(o *api.Options) { o.Now = func() time.Time { return now } })
	first := text(w.register("m1", "standard"), "secret")
	plan := func(in time.Duration, overlap string) string {
		t.Helper()
		at := now.Add(in).Format(time.RFC3339Nano)
		return text(w.rotate("m1", fmt.Sprintf(`{"at":%q,"overlap":%q}`, at, overlap)), "secret")
	}
	replaced := plan(2*time.Hour, "24h")
	second := plan(time.Hour, "2h")
	third := plan(90*time.Minute, "1h")
	for _, c := range []struct {
		after time.Duration
		valid []string
	}{
		{0, []string{first}},
		{time.Hour - 1, []string{first}},
		{time.Hour, []string{first, second}},
		{90 * time.Minute, []string{first, second, third}},
		{2*time.Hour + 29*time.Minute, []string{first, second, third}},
		{2*time.Hour + 30*time.Minute, []string{third}},
		{100 * time.Hour, []string{third}},
	} {
		msg := w.signed("m1", now.Add(c.after))
		for i, secret := range []string{first, replaced, second, third} {
			want := slices.Contains(c.valid, secret)
			if got := verifies(t, "standard", msg, "", secret, ""); got != want {
				t.Errorf("after %v secret %d verifies: %v, want %v", c.after, i, got, want)
			}
		}
	}
	// The next rotation forgets the keys that are over.
	now = now.Add(100 * time.Hour)
	w.rotate("m1", "")
	if n := len(w.stored("m1").Keys); n != 2 {
		t.Errorf("%d keys, want 2", n)
	}
}

// TestRotationsAreBounded checks that an old key is never cut silently, and that there is a way out.
func TestRotationsAreBounded(t *testing.T) {
	w := newWorld(t)
	first := text(w.register("m1", "stripe"), "secret")
	for range 9 {
		w.rotate("m1", "")
	}
	p := w.call("POST", "/v1/merchants/m1/rotate-key", "").problem(409, "too-many-keys")
	if !strings.Contains(p.Detail, "10 keys") || !strings.Contains(p.Detail, `"0s"`) {
		t.Errorf("detail %q", p.Detail)
	}
	if !verifies(t, "stripe", w.signed("m1", time.Now()), "", first, "") {
		t.Error("the first secret is cut before its overlap ends")
	}
	w.rotate("m1", `{"overlap":"0s"}`)
	if n := len(w.stored("m1").Keys); n != 1 {
		t.Errorf("%d keys, want the new one alone", n)
	}
}

// TestRotateWechatV3 checks that the signature's key changes and the APIv3 key stays, unless it is given.
func TestRotateWechatV3(t *testing.T) {
	w := newWorld(t)
	created := w.register("m1", "wechat_v3", `"key":{"serial":"PUB_KEY_ID_0116"}`)
	apiv3 := text(created, "secret")
	if len(apiv3) != 32 || created["serial"] != "PUB_KEY_ID_0116" {
		t.Errorf("secret %q, serial %v", apiv3, created["serial"])
	}
	rotated := w.rotate("m1", "")
	if rotated["secret"] != nil {
		t.Error("an APIv3 key that has not changed is shown again")
	}
	if rotated["public_key"] == created["public_key"] || rotated["serial"] == created["serial"] {
		t.Errorf("public key and serial are the old ones: %v", rotated["serial"])
	}
	msg := w.signed("m1", time.Now())
	if !verifies(t, "wechat_v3", msg, text(rotated, "public_key"), apiv3, "") {
		t.Error("the new public key with the old APIv3 key does not verify")
	}
	if verifies(t, "wechat_v3", msg, text(created, "public_key"), apiv3, "") {
		t.Error("the old public key verifies")
	}
	const other = "abcdefghijklmnopqrstuvwxyz012345"
	rotated = w.rotate("m1", `{"key":{"secret":"`+other+`"},"overlap":"24h"}`)
	warnings := fmt.Sprint(rotated["warnings"])
	if rotated["secret"] != other || !strings.Contains(warnings, "overlap has no effect") {
		t.Errorf("secret %v, warnings %v", rotated["secret"], warnings)
	}
	if !verifies(t, "wechat_v3", w.signed("m1", time.Now()), text(rotated, "public_key"), other, "") {
		t.Error("the given APIv3 key does not decrypt")
	}
	for body, location := range map[string]string{
		`{"key":{"secret":"short"}}`: "body.key.secret", `{"key":{"serial":"no hex"}}`: "body.key.serial",
	} {
		at(t, w.call("POST", "/v1/merchants/m1/rotate-key", body).problem(422, "validation-failed"), location)
	}
}

// TestRotateWithoutTheMasterKey checks that a key which nobody can open any more can still be replaced: it is
// opened only where something of it is kept.
func TestRotateWithoutTheMasterKey(t *testing.T) {
	w := newWorld(t)
	w.register("s", "stripe")
	w.register("w", "wechat_v3")
	ring, err := keyring.Load(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	w.options.Ring = ring
	w.api = api.New(w.options)
	w.rotate("s", `{"overlap":"0s"}`)
	w.call("POST", "/v1/merchants/w/rotate-key", "").problem(500, "internal")
	w.rotate("w", `{"key":{"secret":"abcdefghijklmnopqrstuvwxyz012345"}}`)
	w.signed("s", time.Now())
	w.signed("w", time.Now())
}

// TestRotateHeaderSignature checks a profile that has a key for the header signature alone.
func TestRotateHeaderSignature(t *testing.T) {
	w := newWorld(t)
	created := w.register("f", "form", `"options":{"header_signature":true}`)
	if created["public_key"] == nil || created["secret"] != nil {
		t.Fatalf("public key %v", created["public_key"])
	}
	rotated := w.rotate("f", "")
	served := w.get("/v1/merchants/f/public-key")
	if served["serial"] != rotated["serial"] || rotated["serial"] == created["serial"] {
		t.Errorf("created %v, rotated %v, served %v", created["serial"], rotated["serial"], served["serial"])
	}
	if !verifies(t, "form", w.signed("f", time.Now()), text(served, "public_key"), "", "") {
		t.Error("the header signature does not verify with the key served")
	}
	// Where the secret signs, a rotation is of the secret, and the header's key stays.
	created = w.register("s", "standard", `"options":{"header_signature":true}`)
	rotated = w.rotate("s", "")
	if rotated["serial"] != created["serial"] || rotated["secret"] == created["secret"] {
		t.Errorf("serial %v was %v", rotated["serial"], created["serial"])
	}
	w.call("PATCH", "/v1/merchants/f", `{"options":{"header_signature":false}}`).want(200)
	if keys := w.get("/v1/merchants/f/public-key"); keys["public_key"] != nil {
		t.Error("a key that signs nothing is served as the one that does")
	}
	w.call("POST", "/v1/merchants/f/rotate-key", "").problem(422, "validation-failed")
}

// TestPatchMakesTheKeyItNeeds checks that no setting can leave a merchant without the key that it signs with.
func TestPatchMakesTheKeyItNeeds(t *testing.T) {
	const header = `{"options":{"header_signature":true}}`
	w := newWorld(t)
	w.register("form", "form")
	secret := text(w.register("mapi", "alipay_mapi"), "secret")
	whsec := text(w.register("standard", "standard"), "secret")
	w.register("rsa", "alipay")
	for _, c := range []struct {
		mchID, body, member string // member of public-key that must be there afterwards
		made                bool
	}{
		{"form", header, "public_key", true},
		{"form", header, "public_key", false}, // it is there now
		{"mapi", header, "public_key", true},
		{"rsa", header, "public_key", false}, // it signs with RSA anyway
		{"standard", `{"sign_type":"v1a"}`, "whpk", true},
		{"standard", header, "public_key", true},
		{"standard", `{"sign_type":"v1","options":null}`, "whpk", false},
		{"standard", `{"sign_type":"v1a","options":{"header_signature":true}}`, "whpk", false},
	} {
		before := w.get("/v1/merchants/" + c.mchID + "/public-key")
		v := w.call("PATCH", "/v1/merchants/"+c.mchID, c.body).want(200)
		if warned := strings.Contains(fmt.Sprint(v["warnings"]), c.mchID+"/public-key"); warned != c.made {
			t.Errorf("%s %s: warnings %v", c.mchID, c.body, v["warnings"])
		}
		keys := w.get("/v1/merchants/" + c.mchID + "/public-key")
		if keys[c.member] == nil || before[c.member] != nil && keys[c.member] != before[c.member] {
			t.Errorf("%s %s: %s is %v, was %v", c.mchID, c.body, c.member, keys[c.member], before[c.member])
		}
	}
	for mchID, secret := range map[string]string{"form": "", "mapi": secret, "standard": whsec} {
		m := w.stored(mchID)
		keys := w.get("/v1/merchants/" + mchID + "/public-key")
		msg := w.signed(mchID, time.Now())
		if len(m.Keys) != 1 || !verifies(t, m.Profile, msg, text(keys, "public_key"), secret, "") {
			t.Errorf("%s: %d keys; what is sent does not verify with them", mchID, len(m.Keys))
		}
	}
	whpk := text(w.get("/v1/merchants/standard/public-key"), "whpk")
	if !verifies(t, "standard", w.signed("standard", time.Now()), whpk, "", "v1a") {
		t.Error("v1a does not verify with whpk")
	}
	// What the settings refuse makes no key.
	w.register("f2", "form")
	w.call("PATCH", "/v1/merchants/f2", `{"max_inflight":-1,"options":{"header_signature":true}}`).
		problem(422, "validation-failed")
	if m := w.stored("f2"); len(m.Keys) > 0 {
		t.Errorf("%d keys", len(m.Keys))
	}
}

// TestPatchBetweenRotations checks that the key of now and the planned one both get what the settings need,
// and that it is the same: the merchant installs one public key.
func TestPatchBetweenRotations(t *testing.T) {
	now := time.Now().UTC()
	w := newWorld(t, func(o *api.Options) { o.Now = func() time.Time { return now } })
	w.register("m1", "stripe")
	w.rotate("m1", "") // overlaps
	w.rotate("m1", `{"at":"`+now.Add(time.Hour).Format(time.RFC3339Nano)+`"}`)
	w.call("PATCH", "/v1/merchants/m1", `{"options":{"header_signature":true}}`).want(200)
	served := text(w.get("/v1/merchants/m1/public-key"), "public_key")
	keys := w.stored("m1").Keys
	if len(keys) != 3 || keys[0].PublicKey != served || keys[1].PublicKey != served || served == "" {
		t.Fatalf("%d keys; the public ones differ", len(keys))
	}
	if keys[0].From.IsZero() || keys[2].Until.IsZero() || keys[1].Until.IsZero() {
		t.Errorf("the times of service are lost: %+v", keys)
	}
	for _, after := range []time.Duration{0, 2 * time.Hour} {
		msg := w.signed("m1", now.Add(after))
		if !slices.ContainsFunc(msg.Header, func(h profile.Header) bool { return h.Name == "x-notify-signature" }) {
			t.Errorf("after %v there is no header signature", after)
		}
	}
}

// racing changes a merchant between the moment when a key was made for it and the one when it is stored.
type racing struct {
	store.Store

	changes []func(m *store.Merchant)
}

func (r *racing) UpdateMerchant(
	ctx context.Context, mchID string, change func(*store.Merchant) error,
) (store.Merchant, error) {
	if len(r.changes) > 0 {
		first := r.changes[0]
		r.changes = r.changes[1:]
		_, err := r.Store.UpdateMerchant(ctx, mchID, func(m *store.Merchant) error {
			first(m)
			return nil
		})
		if err != nil {
			return store.Merchant{}, err
		}
	}
	return r.Store.UpdateMerchant(ctx, mchID, change)
}

// TestKeysAgainstOtherChanges checks that a key which was made for settings or for a predecessor of before is
// never stored, and that somebody who changes all the time stops nobody for ever.
func TestKeysAgainstOtherChanges(t *testing.T) {
	r := &racing{}
	w := newWorld(t, func(o *api.Options) { r.Store, o.Store = o.Store, r })
	w.register("m1", "standard")
	v1a := func(m *store.Merchant) { m.SignType = "v1a" }
	r.changes = []func(m *store.Merchant){v1a}
	if v := w.rotate("m1", ""); v["whpk"] == nil {
		t.Error("the new key lacks what v1a needs")
	}
	w.signed("m1", time.Now())
	w.register("m2", "standard")
	swap := func(m *store.Merchant) {
		other := w.stored("m1").Keys[0]
		other.ID += strings.Repeat("x", len(m.Keys))
		m.Keys = append([]store.Key{other}, m.Keys...)
	}
	r.changes = []func(m *store.Merchant){swap}
	w.rotate("m2", "")
	if keys := w.stored("m2").Keys; len(keys) != 3 || !strings.HasSuffix(keys[1].ID, "x") {
		t.Errorf("%d keys", len(keys))
	}
	r.changes = []func(m *store.Merchant){swap, swap, swap, swap}
	w.call("POST", "/v1/merchants/m2/rotate-key", "").problem(409, "merchant-changing")
	r.changes = nil

	w.register("m3", "stripe")
	nothing := func(*store.Merchant) {}
	r.changes = []func(m *store.Merchant){nothing, func(m *store.Merchant) {
		m.Keys = slices.Clone(m.Keys)
		m.Keys[0].ID += "x" // a rotation came between
		material := w.open("m3", w.stored("m3").Keys[0])
		m.Keys[0].Sealed = w.seal("m3", m.Keys[0].ID, material)
	}}
	w.call("PATCH", "/v1/merchants/m3", `{"options":{"header_signature":true}}`).want(200)
	if keys := w.stored("m3").Keys; !strings.HasSuffix(keys[0].ID, "x") || keys[0].PublicKey == "" {
		t.Error("the rotation that came between is lost, or its key is not complete")
	}
	w.signed("m3", time.Now())
}

func (w *world) open(mchID string, k store.Key) profile.Material {
	w.t.Helper()
	material, err := profile.OpenKey(mchID, &k, w.options.Ring.Open)
	if err != nil {
		w.t.Fatal(err)
	}
	return material
}

func (w *world) seal(mchID, keyID string, material profile.Material) []byte {
	w.t.Helper()
	plain, err := json.Marshal(material)
	if err != nil {
		w.t.Fatal(err)
	}
	sealed, err := w.options.Ring.Seal(mchID, keyID, plain)
	if err != nil {
		w.t.Fatal(err)
	}
	return sealed
}

// TestKeysOfV1a checks that both halves of Standard Webhooks' asymmetric form rotate with an overlap, and
// what a caller may bring.
func TestKeysOfV1a(t *testing.T) {
	w := newWorld(t)
	created := w.register("m1", "standard", `"sign_type":"v1a"`)
	key, err := signer.GenerateEd25519()
	if err != nil {
		t.Fatal(err)
	}
	rotated := w.rotate("m1", `{"key":{"private_key":"`+signer.FormatWhsk(key)+`"}}`)
	if want := signer.FormatWhpk(key.Public().(ed25519.PublicKey)); rotated["whpk"] != want {
		t.Errorf("whpk %v, want %s", rotated["whpk"], want)
	}
	msg := w.signed("m1", time.Now())
	for name, v := range map[string]map[string]any{"old": created, "new": rotated} {
		if !verifies(t, "standard", msg, text(v, "whpk"), "", "v1a") {
			t.Errorf("the %s whpk does not verify", name)
		}
		if !verifies(t, "standard", msg, "", text(v, "secret"), "v1") {
			t.Errorf("the %s secret does not verify", name)
		}
	}
	if served := w.get("/v1/merchants/m1/public-key"); served["whpk"] != rotated["whpk"] {
		t.Errorf("served %v", served["whpk"])
	}
	for body, location := range map[string]string{
		`{"key":{"private_key":"whsk_AAAA"}}`: "body.key.private_key",
		`{"key":{"secret":"whsec_AAAA"}}`:     "body.key.secret",
		`{"key":{"serial":"AB"}}`:             "body.key.serial",
	} {
		at(t, w.call("POST", "/v1/merchants/m1/rotate-key", body).problem(422, "validation-failed"), location)
	}
}
