package api_test

import (
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"paynotify/api"
)

// clock is a clock that a test moves.
type clock struct{ now time.Time }

func (c *clock) read() time.Time { return c.now }

func TestKeyText(t *testing.T) {
	w := newWorld(t)
	pattern := regexp.MustCompile(`^pn_[0-9a-z]{8}_[0-9A-Za-z]{49}$`)
	seen := map[string]bool{}
	for range 100 {
		id, secret, key := api.NewKeyText()
		if !pattern.MatchString(key) || !strings.HasPrefix(key, "pn_"+id+"_"+secret) || len(secret) != 43 {
			t.Fatalf("key %q of %q and %q", key, id, secret)
		}
		if seen[id] || seen[secret] {
			t.Fatalf("%q is there twice", key)
		}
		seen[id], seen[secret] = true, true
	}
	// A key that was mistyped or cut is told from one that nobody knows; the store is not asked.
	_, _, key := api.NewKeyText()
	for i := range key {
		other := byte('x')
		if key[i] == other {
			other = 'y'
		}
		bad := key[:i] + string(other) + key[i+1:]
		p := w.call("GET", "/v1/stats", "", as(bad)...).problem(401, "unauthorized")
		if i >= len("pn_") && !strings.Contains(p.Detail, "checksum") {
			t.Errorf("%s: %s", bad, p.Detail)
		}
	}
	p := w.call("GET", "/v1/stats", "", as(key)...).problem(401, "unauthorized")
	if strings.Contains(p.Detail, "checksum") {
		t.Errorf("a whole key: %s", p.Detail)
	}
}

// as is a header line that brings a key instead of the admin's.
func as(key string) []string { return []string{"Authorization:", "Authorization: Bearer " + key} }

func TestKeyLifecycle(t *testing.T) {
	c := &clock{time.Now()}
	w := newWorld(t, func(o *api.Options) { o.Now = c.read })
	w.mapi("m1")
	ends := c.now.Add(time.Hour).UTC().Format(time.RFC3339)
	made := w.call("POST", "/v1/keys",
		`{"name":"shop <1>","role":"read","mch_id":"m1","expires_at":"`+ends+`"}`).want(201)
	key, id := made["key"].(string), made["id"].(string)
	wantMembers(t, made, map[string]any{
		"name": "shop <1>", "role": "read", "mch_id": "m1", "state": "live", "revoked_at": nil,
	})
	if !strings.HasPrefix(key, "pn_"+id+"_") || len(made["warnings"].([]any)) != 0 {
		t.Errorf("made %v", made)
	}
	w.call("GET", "/v1/merchants/m1", "", as(key)...).want(200)
	// Two live keys of one holder, for rotation.
	second := w.call("POST", "/v1/keys", `{"role":"operator"}`).want(201)
	w.call("POST", "/v1/merchants/m1/pause", "", as(second["key"].(string))...).want(200)
	w.call("GET", "/v1/merchants/m1", "", as(key)...).want(200)

	c.now = c.now.Add(time.Hour)
	r := w.call("GET", "/v1/merchants/m1", "", as(key)...)
	r.problem(401, "token-expired")
	if r.header.Get("WWW-Authenticate") == "" {
		t.Error("a 401 without WWW-Authenticate")
	}
	// Whoever has only the id is not told that the key is there, nor that it has expired.
	forged := api.ForgeKey(id)
	w.call("GET", "/v1/merchants/m1", "", as(forged)...).problem(401, "unauthorized")

	for range 2 {
		if r := w.call("DELETE", "/v1/keys/"+second["id"].(string), ""); r.status != 204 || r.body != "" {
			t.Errorf("revoked: %d %s", r.status, r.body)
		}
	}
	p := w.call("GET", "/v1/merchants/m1", "", as(second["key"].(string))...).problem(401, "unauthorized")
	if !strings.Contains(p.Detail, "revoked") {
		t.Errorf("detail %q", p.Detail)
	}
	w.call("DELETE", "/v1/keys/zzzzzzzz", "").problem(404, "key-not-found")
	w.call("DELETE", "/v1/keys/%00", "").problem(404, "key-not-found")

	list := w.call("GET", "/v1/keys", "")
	keys := list.want(200)["keys"].([]any)
	if len(keys) != 2 {
		t.Fatalf("%d keys", len(keys))
	}
	wantMembers(t, keys[0].(map[string]any), map[string]any{"id": id, "state": "expired", "mch_id": "m1"})
	wantMembers(t, keys[1].(map[string]any), map[string]any{
		"state": "revoked", "mch_id": nil, "role": "operator",
	})
	for _, part := range []string{key[12:], second["key"].(string)[12:], "digest", `"key"`} {
		if strings.Contains(list.body, part) {
			t.Errorf("the list shows %s: %s", part, list.body)
		}
	}
}

func TestKeyRefusals(t *testing.T) {
	w := newWorld(t)
	for body, location := range map[string]string{
		`{}`:                            "body.role",
		`{"role":""}`:                   "body.role",
		`{"role":"root"}`:               "body.role",
		`{"role":"portal"}`:             "body.role",
		`{"role":7}`:                    "body.role",
		`{"role":"read","x":1}`:         "body.x",
		`{"role":"read","name":"a\nb"}`: "body.name",
		`{"role":"read","name":"` + strings.Repeat("é", 129) + `"}`: "body.name",
		`{"role":"admin","mch_id":"m1"}`:                            "body.mch_id",
		`{"role":"auditor","mch_id":"m1"}`:                          "body.mch_id",
		`{"role":"read","expires_at":"tomorrow"}`:                   "body.expires_at",
		`{"role":"read","expires_at":"2020-01-01T00:00:00Z"}`:       "body.expires_at",
		`{"role":"read","expires_at":"9999-01-01T00:00:00Z"}`:       "body.expires_at",
	} {
		at(t, w.call("POST", "/v1/keys", body).problem(422, "validation-failed"), location)
	}
	w.call("POST", "/v1/keys", `{"role":"read","mch_id":"nobody"}`).problem(404, "merchant-not-found")
	e := at(t, w.call("POST", "/v1/keys", `{"role":"operater"}`).problem(422, "validation-failed"), "body.role")
	if e.Cure != "did you mean operator?" {
		t.Errorf("cure %q", e.Cure)
	}
	if keys := w.call("GET", "/v1/keys", "").want(200)["keys"].([]any); len(keys) != 0 {
		t.Errorf("made %v", keys)
	}
}

// TestFirstKeysOfAKeylessServer checks who is served while keys come and go on a server that was configured
// without one.
func TestFirstKeysOfAKeylessServer(t *testing.T) {
	c := &clock{time.Now()}
	w := newWorld(t, func(o *api.Options) { o.AdminKey, o.Now = "", c.read })
	local := func(want int) {
		t.Helper()
		r := w.ask("GET", "http://127.0.0.1/v1/keys", "127.0.0.1:5000")
		if r.status != want {
			t.Errorf("this machine without a key: status %d, want %d: %s", r.status, want, r.body)
		}
	}
	post := func(body string, head ...string) map[string]any {
		t.Helper()
		r := httptest.NewRequest("POST", "http://127.0.0.1/v1/keys", strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:5000"
		for _, line := range head {
			r.Header.Set("Authorization", line)
		}
		return w.do(r).want(201)
	}
	warned := func(made map[string]any, want string) {
		t.Helper()
		if ws := made["warnings"].([]any); len(ws) != 1 || !strings.Contains(ws[0].(string), want) {
			t.Errorf("warnings %v, want one of %q", ws, want)
		}
	}
	local(200)
	reader := post(`{"role":"read"}`)
	warned(reader, "this machine's own users still need none")
	local(200) // or nobody could make an admin's key

	// A key is a key, wherever it is used from: one that may not, or is not ours, does not fall back.
	w.call("GET", "/v1/keys", "", as(reader["key"].(string))...).problem(403, "missing-scope")
	w.call("GET", "/v1/keys", "", as(reader["key"].(string)+"x")...).problem(401, "unauthorized")
	w.ask("GET", "http://pay.example.com/v1/stats", "203.0.113.9:5000",
		"Authorization: Bearer "+reader["key"].(string)).want(200)

	admin := post(`{"role":"admin","expires_at":"` + c.now.Add(time.Hour).UTC().Format(time.RFC3339) + `"}`)
	warned(admin, "this machine's own users need a key too")
	local(401) // at once
	w.call("GET", "/v1/keys", "", as(admin["key"].(string))...).want(200)
	ingest := post(`{"role":"ingest"}`, "Bearer "+admin["key"].(string))
	if ws := ingest["warnings"]; len(ws.([]any)) > 0 {
		t.Errorf("warnings %v", ws)
	}

	// What the calendar does opens nothing; what an admin does, does.
	c.now = c.now.Add(2 * time.Hour)
	w.call("GET", "/v1/keys", "", as(admin["key"].(string))...).problem(401, "token-expired")
	local(401)
	next := newAdmin(w)
	w.call("DELETE", "/v1/keys/"+admin["id"].(string), "", as(next)...).want(204)
	local(401)
	w.call("DELETE", "/v1/keys/"+next[len("pn_"):len("pn_12345678")], "", as(next)...).want(204)
	local(200)
	if !strings.Contains(w.log.String(), "last key for an admin") {
		t.Error("the log does not say that the doors are open again")
	}
}

// newAdmin puts an admin's key into the store, as another node would.
func newAdmin(w *world) (key string) {
	w.t.Helper()
	_, key = w.key(api.RoleAdmin, "")
	return key
}
