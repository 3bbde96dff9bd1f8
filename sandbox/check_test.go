package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"paynotify/sandbox"
)

// signedRequests are requests that the SDKs of real merchants were given.
type signedRequests struct {
	PublicKey string `json:"public_key"`
	Secret    string `json:"secret"`
	Cases     []struct {
		Case, Profile, Query, Body string
		Verified                   bool
	} `json:"cases"`
}

func readSigned(t *testing.T) (v signedRequests) {
	t.Helper()
	text, err := os.ReadFile("testdata/signed.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// notify POSTs a form as a provider would and returns the reply and what the merchant made of it.
func notify(t *testing.T, m *sandbox.Merchant, query, body string) (string, sandbox.Hit) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	const form = "application/x-www-form-urlencoded; charset=utf-8"
	res, err := c.Post(m.URL()+"?"+query, form, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	said, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	hits := m.Hits()
	return string(said), hits[len(hits)-1]
}

func TestSignaturesAreVerifiedAsByRealMerchants(t *testing.T) {
	v := readSigned(t)
	for _, c := range v.Cases {
		t.Run(c.Case, func(t *testing.T) {
			m := &sandbox.Merchant{Profile: c.Profile, PublicKey: v.PublicKey}
			if c.Profile == "alipay_mapi" {
				m.PublicKey, m.Secret = "", v.Secret
			}
			start(t, m)
			said, h := notify(t, m, c.Query, c.Body)
			want, signature, rule := "success", sandbox.Verified, ""
			if !c.Verified {
				want, signature, rule = "fail", sandbox.Rejected, "signature"
			}
			if said != want || h.Signature != signature || h.Rule != rule || m.Booked(h.NotifyID) != c.Verified {
				t.Errorf("said %q, %s %s (%s), booked %v", said, h.Signature, h.Rule, h.Detail, m.Booked(h.NotifyID))
			}
			if h.NotifyID != "ac05099524730693a8b330c5ecf72da9786" || h.OutTradeNo == "" {
				t.Errorf("notify_id %q, out_trade_no %q", h.NotifyID, h.OutTradeNo)
			}

			// Whatever the merchant would say, it says fail to a forgery.
			forged := strings.Replace(c.Body, "TRADE_SUCCESS", "TRADE_FINISHED", 1)
			if forged == c.Body {
				t.Fatal("nothing to forge")
			}
			if said, h := notify(t, m, c.Query, forged); said != "fail" || h.Rule != "signature" || h.Reply != "fail" {
				t.Errorf("a forgery: said %q, %s %s", said, h.Signature, h.Rule)
			}
		})
	}
}

func TestForgeriesGetFailWhateverTheReply(t *testing.T) {
	v := readSigned(t)
	for _, reply := range []string{"success", "bom", "html", "redirect", "reset", "endless", "500", "flaky:1"} {
		m := start(t, &sandbox.Merchant{Reply: reply, Profile: "alipay", PublicKey: v.PublicKey})
		if said, h := notify(t, m, "", "notify_id=n1&sign=AAAA"); said != "fail" || m.Booked("n1") {
			t.Errorf("%s: said %q (%s), booked %v", reply, said, h.Rule, m.Booked("n1"))
		}
	}
}

func TestWhatIsNotVerified(t *testing.T) {
	for _, c := range []struct {
		name string
		m    *sandbox.Merchant
		body string
		want sandbox.Signature
		said string
	}{
		{"no profile", &sandbox.Merchant{}, order, sandbox.Unchecked, "success"},
		{"no key", &sandbox.Merchant{Profile: "alipay"}, order, sandbox.Unchecked, "success"},
		{"nothing to sign", &sandbox.Merchant{Profile: "form"}, order, sandbox.Unsigned, "success"},
		{"a broken form", &sandbox.Merchant{Profile: "form"}, "notify_id=n1&a=%zz", sandbox.Rejected, "fail"},
	} {
		said, h := notify(t, start(t, c.m), "", c.body)
		if h.Signature != c.want || said != c.said {
			t.Errorf("%s: %s (%s), said %q, want %s and %q", c.name, h.Signature, h.Detail, said, c.want, c.said)
		}
	}
}
