package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/sandbox"
	"paynotify/store"
)

// sendAs sends one notification as the engine would, with everything that the merchant needs to verify it,
// and judges the reply.
func sendAs(t *testing.T, p *profile.Profile, m *sandbox.Merchant, options map[string]any) profile.Judgement {
	t.Helper()
	settings := &store.Merchant{MchID: "m1", Profile: p.Name, AppID: "app1", Options: options}
	key, faults := profile.NewMaterial(p, settings, profile.Material{}, profile.Material{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	keys, err := profile.LoadKeys(p, settings, []profile.Material{key})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	public, err := key.Public("m1", now)
	if err != nil {
		t.Fatal(err)
	}
	m.Profile, m.PublicKey, m.Secret = p.Name, public.PEM, key.Secret
	start(t, m)
	msg, err := profile.Encode(p, profile.Input{
		Notification: &store.Notification{
			NotifyID: store.NewID(now, 0), MchID: "m1", Profile: p.Name, NotifyType: p.NotifyType,
			OutTradeNo: "o1", Params: json.RawMessage(`{"attach":"测试 A&B"}`), CreatedAt: now,
		},
		Merchant: settings, Keys: keys, Now: now,
	})
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequest(msg.Method, m.URL()+"?"+msg.Query, bytes.NewReader(msg.Body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range msg.Header {
		req.Header[h.Name] = []string{h.Value}
	}
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return profile.Judge(profile.AckPolicy(p, settings), profile.Reply{
		Status: res.StatusCode, ContentType: res.Header.Get("Content-Type"), Body: body,
	})
}

// In every dialect, the merchant verifies what the engine signs, prints what is in it, and its yes and its
// no are understood as what they are.
func TestEveryDialect(t *testing.T) {
	for _, p := range profile.All() {
		t.Run(p.Name, func(t *testing.T) {
			m := &sandbox.Merchant{}
			if j := sendAs(t, p, m, nil); j.Verdict != store.Acked || j.Reason != store.AckExact {
				t.Errorf("a yes is %s %s: %s", j.Verdict, j.Reason, j.Detail)
			}
			h := m.Hits()[0]
			want := sandbox.Verified
			if p.Unsigned {
				want = sandbox.Unsigned
			}
			if h.Signature != want || h.OutTradeNo != "o1" {
				t.Errorf("%s %s: %s, out_trade_no %q", h.Signature, h.Rule, h.Detail, h.OutTradeNo)
			}
			if !slices.Contains(h.Params, sandbox.Param{Name: "attach", Value: "测试 A&B"}) {
				t.Errorf("params %q", h.Params)
			}
			j := sendAs(t, p, &sandbox.Merchant{Reply: "fail"}, nil)
			if j.Verdict == store.Acked || j.Reason.NearMiss() {
				t.Errorf("a no is %s %s: %s", j.Verdict, j.Reason, j.Detail)
			}
		})
	}
}

// The signature in headers is verified where the merchant has a key for it, also of an unsigned dialect.
func TestHeaderSignature(t *testing.T) {
	for _, name := range []string{"form", "epay"} {
		p, _ := profile.ByName(name)
		options := map[string]any{"header_signature": true}
		m := &sandbox.Merchant{Options: map[string]string{"header_signature": "true"}}
		if j := sendAs(t, p, m, options); j.Verdict != store.Acked || m.Hits()[0].Signature != sandbox.Verified {
			t.Errorf("%s: %s, %s", name, j.Verdict, m.Hits()[0].Signature)
		}
	}
	// A key given for an unsigned dialect can be for nothing else: what has no signature is refused.
	p, _ := profile.ByName("form")
	signed, plain := &sandbox.Merchant{}, &sandbox.Merchant{}
	sendAs(t, p, signed, map[string]any{"header_signature": true})
	plain.PublicKey = signed.PublicKey
	plain.Profile = "form"
	start(t, plain)
	if said, h := notify(t, plain, "", order); said != "fail" || h.Rule != "missing" {
		t.Errorf("said %s, %s %s", said, h.Signature, h.Rule)
	}
}
