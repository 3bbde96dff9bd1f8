package php

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// The tutorial's function must not be mended by accident: it stands for what merchants run.
func TestTutorialIsVerbatim(t *testing.T) {
	oneLine := func(name string) string {
		text, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(strings.Fields(string(text)), " ")
	}
	if !strings.HasSuffix(oneLine("verify_sign.php"), oneLine("verify_sign.txt")) {
		t.Error("verifySign in verify_sign.php is not the tutorial's, which stands in verify_sign.txt")
	}
}

// params hold what notifications really carry, and what breaks careless verifiers.
const params = `{"trade_no":"2026112122001","trade_status":"TRADE_SUCCESS","total_amount":"88.88",` +
	`"subject":"当面付 A&B=C+D 100% \"q\" <b> /x/ \\ '~*","body":"line one\nline two","count":3,"empty":"",` +
	`"seller_id":"2088101106499364",` +
	`"fund_bill_list":"[{\"amount\":\"15.00\",\"fundChannel\":\"ALIPAYACCOUNT\"}]",` +
	`"passback_params":"merchantBizType=3C&merchantBizNo=2016010101111"}`

// Who acknowledges what: the tutorial signs all that it finds in the body, the official algorithm (V1) leaves
// sign_type out.
var combinations = []struct {
	signTypeIn, merchant string
	acked                bool
}{
	{"body", "v1", true},
	{"body", "tutorial", false},
	{"omit", "v1", true},
	{"omit", "tutorial", true},
	{"query", "v1", true},
	{"query", "tutorial", true},
}

func TestMerchants(t *testing.T) {
	php := startPHP(t)
	for _, charset := range []string{"utf-8", "gbk"} {
		for _, c := range combinations {
			name := charset + "-" + c.signTypeIn + "-" + c.merchant
			t.Run(name, func(t *testing.T) {
				s := newShop(t, alipayMerchant(charset, c.signTypeIn), json.RawMessage(params))
				php.addKeys(t, name, s.public)
				at := php.url + "/" + c.merchant + "/" + name
				msg := s.encode(t)
				checkReply(t, s, at, msg, c.acked)
				for title, bad := range tampered(t, msg) {
					if verdict := s.post(t, at, bad); verdict.Verdict != store.Refused {
						t.Errorf("tampered (%s): %+v, want it refused", title, verdict)
					}
				}
			})
		}
	}
}

func checkReply(t *testing.T, s *shop, at string, msg profile.Message, acked bool) {
	t.Helper()
	got, want := s.post(t, at, msg), store.Refused
	if acked {
		want = store.Acked
	}
	if got.Verdict != want {
		t.Errorf("judged %+v, want %s\nsigned %s\nsent   %s", got, want, msg.StringToSign, msg.Body)
	}
}

// shop is a merchant as the engine knows it, with one notification.
type shop struct {
	profile      *profile.Profile
	merchant     *store.Merchant
	notification *store.Notification
	keys         *profile.Keys
	public       map[string]string // what the merchant verifies with, by kind
}

func alipayMerchant(charset, signTypeIn string) *store.Merchant {
	return &store.Merchant{
		MchID: "m1", Profile: "alipay", NotifyURL: "https://shop.example/notify", AppID: "2021000000000001",
		Charset: charset, Options: map[string]any{"sign_type_in": signTypeIn}, Keys: []store.Key{{ID: "k1"}},
	}
}

func newShop(t *testing.T, m *store.Merchant, params json.RawMessage) *shop {
	t.Helper()
	p, ok := profile.ByName(m.Profile)
	if !ok {
		t.Fatalf("there is no profile %s", m.Profile)
	}
	now := time.Now()
	n := &store.Notification{
		NotifyID: store.NewID(now, 0), MchID: m.MchID, Profile: m.Profile, OutTradeNo: "20261121-1",
		Params: params, CreatedAt: now, Schedule: "alipay",
	}
	if faults := append(profile.CheckMerchant(p, m), profile.Check(p, m, n)...); len(faults) > 0 {
		t.Fatalf("refused: %+v", faults)
	}
	material, faults := profile.NewMaterial(p, m, profile.Material{}, profile.Material{})
	if len(faults) > 0 {
		t.Fatalf("key: %+v", faults)
	}
	public, err := material.Public(m.MchID, now)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := profile.LoadKeys(p, m, []profile.Material{material})
	if err != nil {
		t.Fatal(err)
	}
	return &shop{p, m, n, keys, map[string]string{
		"pem": public.PEM, "secret": material.Secret, "whpk": public.Whpk,
	}}
}

func (s *shop) encode(t *testing.T) profile.Message {
	t.Helper()
	msg, err := profile.Encode(s.profile, profile.Input{
		Notification: s.notification, Merchant: s.merchant, Keys: s.keys, Now: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// post sends a message as it is and judges the reply as the engine does.
func (s *shop) post(t *testing.T, at string, msg profile.Message) profile.Judgement {
	t.Helper()
	judgement, _ := s.ask(t, at, msg)
	return judgement
}

// ask is post that also tells why the merchant refused, where it says so.
func (s *shop) ask(t *testing.T, at string, msg profile.Message) (judgement profile.Judgement, why string) {
	t.Helper()
	if msg.Query != "" && strings.Contains(at, "?") {
		at += "&" + msg.Query
	} else if msg.Query != "" {
		at += "?" + msg.Query
	}
	req, err := http.NewRequestWithContext(t.Context(), msg.Method, at, bytes.NewReader(msg.Body))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range msg.Header {
		req.Header[h.Name] = []string{h.Value}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return profile.Judge(profile.AckPolicy(s.profile, s.merchant), profile.Reply{
		Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body,
	}), resp.Header.Get("X-Why")
}

// tampered changes a message in ways that somebody between us and the merchant would.
func tampered(t *testing.T, msg profile.Message) map[string]profile.Message {
	t.Helper()
	body := string(msg.Body)
	sign := regexp.MustCompile(`(^|&)sign=([^&]+)`).FindStringSubmatch(body)
	if sign == nil {
		t.Fatalf("no sign in %s", body)
	}
	text, err := url.QueryUnescape(sign[2])
	if err != nil {
		t.Fatal(err)
	}
	other := "A"
	if text[0] == 'A' {
		other = "B"
	}
	changed := map[string]string{
		"amount":        strings.Replace(body, "total_amount=88.88", "total_amount=8888", 1),
		"order":         strings.Replace(body, "out_trade_no=20261121-1", "out_trade_no=20261121-2", 1),
		"status":        strings.Replace(body, "TRADE_SUCCESS", "TRADE_FINISHED", 1),
		"added":         body + "&extra=1",
		"removed":       strings.Replace(body, "trade_no=2026112122001&", "", 1),
		"signature":     strings.Replace(body, sign[2], url.QueryEscape(other+text[1:]), 1),
		"signature cut": strings.Replace(body, sign[2], url.QueryEscape(text[:len(text)-8]), 1),
		"unsigned":      strings.Replace(body, sign[0], "", 1),
	}
	messages := map[string]profile.Message{}
	for title, b := range changed {
		if b == body {
			t.Fatalf("%s: nothing was changed in %s", title, body)
		}
		bad := msg
		bad.Body = []byte(b)
		messages[title] = bad
	}
	return messages
}
