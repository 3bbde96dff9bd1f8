package console

import (
	"context"
	"encoding/csv"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"paynotify/api"
	"paynotify/signer"
	"paynotify/store"
)

func TestMerchant(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"form","name":"Shop 1",
		"notify_url":"http://shop.example.com/n","rate_per_second":2.5,
		"ack":{"lenient":["ack_case"]},"headers":{"X-Shop":"secret"},"options":{"partner":"2088"}}`)
	w.call("POST", "/v1/merchants",
		`{"mch_id":"m2","profile":"json_rsa","notify_url":"https://shop.example.com/n"}`)
	for range 3 {
		w.send("m1", "order")
	}
	w.settle("m1", acked)
	w.settle("m1", refused(store.AckHTML, "<html>success</html>"))
	r := w.get("merchants/m1").want(200, "<h1>Merchant m1</h1>", "active", "What is due is sent.", "http",
		"?mch_id=m1&amp;notify_state=pending", ">2</a>", "?mch_id=m1&amp;notify_state=spent", ">1</a>",
		"1 acknowledged, 1 near-misses, 0 failed, 0 unclear, 1 not sent yet", "50.0 % were acknowledged",
		"refused ack_html", "?mch_id=m1&amp;verdict=refused&amp;reason=ack_html", "notifications?mch_id=m1",
		"schedule?mch_id=m1", "audit?object=merchant%2Fm1", ">Pause</button>", ">Send test</button>",
		">Make portal link</button>", "The last 24 hours", "Notifications accepted", ">3<",
		"1 spent, 2 pending, 0 exhausted",
		"100.0 %", "99 of 100 within", "Sends per acknowledgement", "1.00", "50.0 %", "Shop 1",
		"http://shop.example.com/n", "sign_type", "none", "ack", "ack_case", "rate_per_second", "2.5",
		"2088", "X-Shop", "Statements", time.Now().UTC().Format(time.DateOnly), "CSV", ">Find gaps</button>")
	r.wantNone("secret", ">Resume</button>", ">Probe</button>", "The key that signs now", "The last probe")
	keys := w.call("GET", "/v1/merchants/m2/public-key", "")
	r = w.get("merchants/m2").want(200, "The key that signs now", "serial", keys["serial"].(string),
		"Fingerprint of the public key (SHA-256)", `id="public-key" data-copy>-----BEGIN PUBLIC KEY-----`,
		`id="certificate" data-copy>-----BEGIN CERTIFICATE-----`)
	if !strings.Contains(r.body, escaped(keys["public_key"].(string))) {
		t.Error("the page does not show the public key")
	}
	w.get("merchants/m2", "Accept-Language: zh-CN").want(200, "<h1>商户 m2</h1>", "active", "暂停", "99% 在 –", "公钥")
	w.get("merchants/m1", "HX-Request: true").want(200, `id="live"`).wantNone("The last 24 hours")
	own := api.Own{MchID: "_callback", URL: "https://ops.example.com/n", Secret: signer.GenerateWhsec()}
	if err := w.api.Service.KeepOwn(t.Context(), own); err != nil {
		t.Fatal(err)
	}
	w.get("merchants").want(200, ">m2</a>").wantNone("_callback")
	for _, none := range []string{"m3", own.MchID, url.PathEscape(hostile[0])} {
		inert(t, w.get("merchants/"+none).want(404))
	}
}

func TestPauseAndResume(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	at := root + "merchants/m1"
	w.post("merchants/m1/pause", url.Values{"reason": {"moving <b>house</b>"}, "until": {"2099-01-02T03:04"}}).
		goes(at + "?done=pause")
	v := w.call("GET", "/v1/merchants/m1", "")
	if v["state"] != "paused" || v["paused_until"] != "2099-01-02T03:04:00.000000Z" {
		t.Fatalf("the merchant is %v until %v", v["state"], v["paused_until"])
	}
	w.get("merchants/m1?done=pause").want(200, "It is paused.", "paused", "Nothing is sent to it until",
		"moving &lt;b&gt;house&lt;/b&gt;", "2099-01-02 03:04:00", ">Resume</button>").wantNone(">Pause</button>")
	w.post("merchants/m1/resume", url.Values{"reason": {"moved"}}).goes(at + "?done=resume")
	if v := w.call("GET", "/v1/merchants/m1", ""); v["state"] != "active" {
		t.Fatalf("the merchant is %v", v["state"])
	}
	w.get("merchants/m1?done=resume").want(200, "It is resumed", "active", ">Pause</button>")
	w.post("merchants/m1/pause", url.Values{"until": {"tomorrow"}}).want(422, "body.until", at)
	w.post("merchants/m1/pause", url.Values{"until": {"2001-01-01"}}).want(422, "body.until", "lies in the past")
	w.post("merchants/m1/pause", url.Values{"reason": {strings.Repeat("x", 257)}}).want(422, "body.reason")
	w.post("merchants/m1/resume", url.Values{"reason": {strings.Repeat("x", 257)}}).want(422, "body.reason")
	w.post("merchants/m2/pause", nil).want(404)
	w.post("merchants/m1/pause", nil, "Sec-Fetch-Site: cross-site").want(403)
	w.get("audit?object=merchant%2Fm1").want(200, "merchant.resume", "merchant.pause")
}

func TestTestSend(t *testing.T) {
	w := newWorld(t)
	w.call("POST", "/v1/merchants", `{"mch_id":"m1","profile":"epay","notify_url":"https://shop.example.com/n"}`)
	to := w.post("merchants/m1/test", nil).want(303).header.Get("Location")
	w.do("GET", to, "", nil).want(200, "pending", "TEST-20", "&#34;88.88&#34;")
	id := strings.TrimPrefix(to, root+"notifications/")
	if c := w.settle("m1", acked); c.NotifyID != id {
		t.Errorf("%s is sent, want %s", c.NotifyID, id)
	}
	w.post("merchants/m2/test", nil).want(404)
	w.get("audit?object="+url.QueryEscape("notification/"+id)).want(200, "notification.accept", "admin")
}

// fixedProber is a dispatcher that has found something out.
type fixedProber store.Probe

func (p fixedProber) Probe(context.Context, store.Merchant) (store.Probe, error) {
	return store.Probe(p), nil
}

func TestProbeButton(t *testing.T) {
	found := fixedProber{
		At: time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC), Verifies: new(false), Verdict: store.Acked,
		Reason: store.AckExact, Status: 200,
	}
	w := newWorld(t, func(o *api.Options) { o.Prober = found })
	w.mapi("m1", `"options":{"probe":true}`)
	w.mapi("m2")
	w.get("merchants/m1").want(200, ">Probe</button>").wantNone("The last probe")
	w.post("merchants/m1/probe", nil).goes(root + "merchants/m1?done=probe#probe")
	w.get("merchants/m1?done=probe").want(200, "The probe was made", "does not verify signatures",
		"The last probe", "acked ack_exact", "it does not verify them", "2026-11-21 10:00:00")
	w.post("merchants/m2/probe", nil).want(409, "options.probe", root+"merchants/m2")
	for verifies, says := range map[*bool]string{nil: "cannot be told", new(true): "refused a wrong signature"} {
		d := probeOf(&request{words: english}, &api.ProbeView{Verifies: verifies})
		if !strings.Contains(d.Says, says) {
			t.Errorf("the page says %q, want %q", d.Says, says)
		}
	}
}

func TestPortalLink(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.mapi("m2")
	r := w.post("merchants/m1/portal-link", url.Values{"expires_in": {"1h0m0s"}}).
		want(200, "Portal link of m1", "It is shown this once.", "/console/portal?token=", root+"merchants/m1")
	_, rest, _ := strings.Cut(r.body, `data-copy>http://127.0.0.1`)
	link, _, _ := strings.Cut(rest, "<")
	b := w.browser()
	b.ask(link, nil).goes(root)
	b.ask(root+"merchants", nil).want(200, ">m1</a>").wantNone("m2", `name="q" value`)
	b.ask(root+"merchants/m1", nil).want(200, "Merchant m1", ">Find gaps</button>", "m1 (portal)").
		want(200, "Statements").wantNone("</b>", ">Pause<", ">Send test<", ">Make portal link<", "audit?object")
	b.ask(root+"merchants/m1/gaps", url.Values{"out_trade_nos": {"x"}}).want(200, "Never seen")
	for _, at := range []string{"merchants/m2", "merchants/m2/statement?date=2026-11-01"} {
		if r := b.ask(root+at, nil); r.status != 404 {
			t.Errorf("%s: %d", at, r.status)
		}
	}
	if r := b.ask(root+"merchants/m2/gaps", url.Values{"out_trade_nos": {"x"}}); r.status != 404 {
		t.Errorf("the gaps of another merchant: %d", r.status)
	}
	for _, form := range []string{"pause", "resume", "test", "probe", "portal-link"} {
		if r := b.ask(root+"merchants/m1/"+form, url.Values{}); r.status != 403 {
			t.Errorf("%s: %d", form, r.status)
		}
	}
	w.post("merchants/m1/portal-link", url.Values{"expires_in": {"9999h"}}).want(422, "body.expires_in")
	w.post("merchants/m3/portal-link", nil).want(404)
	w.get("audit?object=merchant%2Fm1").want(200, "merchant.portal-link")
}

// TestFormsByRole: each sees the forms that it may send, and no others.
func TestFormsByRole(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1", `"options":{"probe":true}`)
	forms := []string{"pause", "test", "probe", "portal-link", "gaps"}
	for role, may := range map[api.Role][]string{
		api.RoleRead: {"gaps"}, api.RoleOperator: forms, api.RoleAdmin: forms,
	} {
		auth := "Authorization: Bearer " + w.key(role, "")
		r := w.get("merchants/m1", auth).want(200, "Merchant m1")
		for _, form := range forms {
			sees := strings.Contains(r.body, `action="/console/merchants/m1/`+form+`"`)
			if want := strings.Contains(fmt.Sprint(may), form); sees != want {
				t.Errorf("%s sees the form %s: %v, want %v", role, form, sees, want)
			}
		}
		if role == api.RoleRead {
			r.wantNone("Do something")
			for _, form := range []string{"pause", "resume", "test", "probe", "portal-link"} {
				w.post("merchants/m1/"+form, nil, auth).want(403)
			}
		}
	}
	w.get("merchants/m1", "Authorization: Bearer "+w.key(api.RoleIngest, "")).want(403)
	bound := "Authorization: Bearer " + w.key(api.RoleOperator, "m1")
	w.mapi("m2")
	w.post("merchants/m1/pause", nil, bound).want(303)
	w.post("merchants/m2/pause", nil, bound).want(404)
	w.post("merchants/m2/test", nil, bound).want(404)
}

func TestGapsForm(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.send("m1", "order-1")
	w.settle("m1", acked)
	open := w.send("m1", "order-2")
	const at = "merchants/m1/gaps"
	list := "order-1\r\n  order-2 \r\n\r\nmissing\r\n<b>missing</b>\r\n"
	inert(t, w.post(at, url.Values{"out_trade_nos": {list}}).want(200, "Asked about", ">4<",
		"Acknowledged orders", ">1<", "Not acknowledged", ">1<", "Never seen", ">2<",
		"missing\n&lt;b&gt;missing&lt;/b&gt;", "order-2", "pending", root+"notifications/"+open))
	w.post(at, url.Values{"out_trade_nos": {"order-1"}}).want(200, "There are no gaps.")
	w.post(at, url.Values{"out_trade_nos": {" \n"}}).want(422, "body.out_trade_nos", "0 order numbers", "Back")
	w.post(at, url.Values{"out_trade_nos": {"a\n" + strings.Repeat("x", 65)}}).want(422, "line of more than 64")
	w.post(at, url.Values{"out_trade_nos": {strings.Repeat("a\n", gapsMost+1)}}).want(422, "10001 order numbers")
	w.post(at, url.Values{"out_trade_nos": {"x"}}, "Sec-Fetch-Site: cross-site").want(403)
	w.post("merchants/m2/gaps", url.Values{"out_trade_nos": {"x"}}).want(404)
	for _, text := range hostile {
		text = text[:min(len(text), 60)]
		inert(t, w.post(at, url.Values{"out_trade_nos": {text}}).want(200, "Never seen"))
	}
}

func TestStatementLinks(t *testing.T) {
	w := newWorld(t)
	w.mapi("m1")
	w.send("m1", "order-1")
	page := w.get("merchants/m1")
	links := 0
	for rest := page.body; ; links++ {
		_, after, more := strings.Cut(rest, `href="/console/merchants/m1/statement`)
		if !more {
			break
		}
		query, then, _ := strings.Cut(after, `"`)
		r := w.get("merchants/m1/statement" + strings.ReplaceAll(query, "&amp;", "&")).want(200)
		if !strings.HasPrefix(r.header.Get("Content-Disposition"), `attachment; filename="statement-m1-20`) {
			t.Errorf("disposition %q", r.header.Get("Content-Disposition"))
		}
		if links == 0 {
			rows, err := csv.NewReader(strings.NewReader(r.body)).ReadAll()
			if err != nil || rows[len(rows)-1][0] != "checksum" || rows[1][2] != "order-1" {
				t.Errorf("rows %v, error %v", rows, err)
			}
		}
		rest = then
	}
	if links != 2*statementDays {
		t.Errorf("%d links, want %d", links, 2*statementDays)
	}
	w.get("merchants/m1/statement?date=tomorrow").want(422, "query.date", "</html>")
	w.get("merchants/m1/statement?date=2026-11-01&x=1").want(422, "</html>")
	w.get("merchants/m2/statement?date=2026-11-01").want(404, "</html>")
}

// slowSurvey is a store whose counts take longer than a page may.
type slowSurvey struct{ store.Store }

func (s slowSurvey) Count(ctx context.Context, q store.Query, most int) (store.Counts, error) {
	if most == 0 {
		<-ctx.Done()
		return store.Counts{}, ctx.Err()
	}
	return s.Store.Count(ctx, q, most)
}

func TestSLATakesTooLong(t *testing.T) {
	w := newWorld(t, func(o *api.Options) { o.Store = slowSurvey{o.Store} })
	w.mapi("m1")
	w.get("merchants/m1").want(200, "–, it has too many notifications", "GET /v1/merchants/m1/sla")
}
