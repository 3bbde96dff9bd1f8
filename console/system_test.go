package console

import (
	"context"
	"net/url"
	"strings"
	"testing"

	"paynotify/api"
	"paynotify/store"
)

func TestSystem(t *testing.T) {
	w := newWorld(t, func(o *api.Options) {
		o.Ready = func() (reasons, warnings []string) { return nil, []string{"--dev: <everything> may be reached"} }
	})
	w.console.doctor = func(context.Context) []Check {
		return []Check{
			{Name: "clock", State: "ok", Detail: "right"},
			{Name: "disk", State: "warning", Detail: "100 MB free", Cure: "make room"},
			{Name: "redis", State: "fault", Detail: "does not answer", Cure: "start it"},
		}
	}
	w.get("system").want(200, "ready", "--dev: &lt;everything&gt; may be reached", "goes on", "Stop all sending",
		"Commits", "yes", "clock", "fine", "right", "disk", "to look at", "100 MB free", "make room", "redis",
		"wrong", "does not answer", "start it")
	w.get("system", "Accept-Language: zh").want(200, "系统", "存储")

	w.post("system/sending", url.Values{"paused": {"true"}, "reason": {"the <i>bank</i> is down"}}).want(303)
	w.get("system").want(200, "sending is paused", "stopped", "the &lt;i&gt;bank&lt;/i&gt; is down", "since",
		`name="paused" value="false"`, "Start sending")
	if v := w.call("GET", "/v1/sending", ""); v["paused"] != true || v["reason"] != "the <i>bank</i> is down" {
		t.Errorf("sending %v", v)
	}
	w.post("system/sending", url.Values{"paused": {"perhaps"}}).
		want(422, "paused must be true", `href="/console/system"`)
	w.post("system/sending", url.Values{"paused": {"false"}, "reason": {strings.Repeat("为", 257)}}).
		want(422, "257 characters")
	w.post("system/sending", url.Values{"paused": {"false"}, "reason": {strings.Repeat("为", 256)}}).want(303)
	w.get("system").want(200, "goes on", "Stop all sending")
	log, err := w.api.Service.AuditLog(t.Context(), 0, 50)
	if err != nil {
		t.Fatal(err)
	}
	var results []string
	for _, e := range log.Entries {
		if e.Action == "sending.switch" {
			results = append(results, e.Result)
		}
	}
	if got := strings.Join(results, " "); got != "ok validation-failed validation-failed ok" {
		t.Errorf("audited %q", got)
	}
}

func TestSystemIsNotForMerchants(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	reader := "Authorization: Bearer " + w.key(api.RoleRead, "")
	w.get("system", reader).want(200, "goes on").wantNone("Stop all sending")
	w.post("system/sending", url.Values{"paused": {"true"}}, reader).want(403, "needs operator or admin")
	w.get("system", "Authorization: Bearer "+w.key(api.RoleRead, "m1")).want(403)
}

// sickStore is a store whose disk is ill.
type sickStore struct {
	store.Store

	health store.Health
}

func (s *sickStore) Health(context.Context) store.Health { return s.health }

func TestSickStore(t *testing.T) {
	w := newWorld(t)
	s := &sickStore{Store: w.store, health: store.Health{Err: store.ErrFull}}
	w.useStore(s)
	w.get("system").want(200, "not ready", "the store is full", "Commits", "no", "may be lost", "perhaps")
	s.health = store.Health{Durable: true}
	w.get("system").want(200, "ready", "Commits", "yes", "yes", "perhaps")
}
