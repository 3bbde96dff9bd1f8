package certify_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paynotify/certify"
	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/sandbox"
	"paynotify/store"
)

// setup is one way in which a merchant can be set up.
type setup struct {
	profile  string
	signType string
	options  map[string]any
}

func (s setup) String() string {
	return strings.TrimSpace(fmt.Sprint(s.profile, " ", s.signType, s.options))
}

// setups are every profile as it is, and every sign_type and option that changes what is signed.
func setups() (all []setup) {
	for _, p := range profile.All() {
		all = append(all, setup{profile: p.Name})
		for _, signType := range p.SignTypes[min(1, len(p.SignTypes)):] {
			all = append(all, setup{profile: p.Name, signType: signType})
		}
		for _, o := range p.Options {
			for _, value := range o.Values[min(1, len(o.Values)):] {
				all = append(all, setup{profile: p.Name, options: map[string]any{o.Name: value}})
			}
		}
	}
	for _, name := range []string{"form", "epay"} {
		all = append(all, setup{profile: name, options: map[string]any{"header_signature": true}})
	}
	return all
}

// run prepares a certification, without its target.
func (s setup) run(t *testing.T) *certify.Run {
	t.Helper()
	p, ok := profile.ByName(s.profile)
	if !ok {
		t.Fatalf("no profile %s", s.profile)
	}
	m := &store.Merchant{
		MchID: "m1", Profile: p.Name, AppID: "2021000000000001", SignType: s.signType, Options: s.options,
	}
	given := profile.Material{}
	switch {
	case p.Key == profile.KeyRSA, p.Key == profile.KeyRSAAndSecret, s.options["header_signature"] == true:
		given.PrivateKey = certify.TestKey()
	}
	key, faults := profile.NewMaterial(p, m, given, profile.Material{})
	if len(faults) > 0 {
		t.Fatal(faults)
	}
	return &certify.Run{Profile: p, Merchant: m, Key: key}
}

// shop is a sandbox merchant of the setup: with keys it verifies, without it takes everything.
func (s setup) shop(t *testing.T, key profile.Material, reply string) *sandbox.Merchant {
	t.Helper()
	shop := &sandbox.Merchant{Profile: s.profile, Reply: reply, SignType: s.signType, Secret: key.Secret}
	shop.Options = map[string]string{}
	for name, value := range s.options {
		shop.Options[name] = fmt.Sprint(value)
	}
	public, err := key.Public("m1", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	shop.PublicKey = public.PEM
	if public.Whpk != "" {
		shop.PublicKey = public.Whpk
	}
	return shop
}

// do certifies a URL.
func do(t *testing.T, r *certify.Run, url string) (results []certify.Result, sum certify.Summary) {
	t.Helper()
	rules := egress.Rules{Dev: true}
	r.Client = egress.New(egress.Options{Rules: rules})
	defer r.Client.Close()
	var refused *egress.URLError
	if r.Target, refused = rules.CheckURL(url); refused != nil {
		t.Fatal(refused)
	}
	sum, err := r.Do(t.Context(), func(res certify.Result) { results = append(results, res) })
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, res := range results {
		names = append(names, res.Case)
	}
	if d := cmp.Diff(certify.Names(), names); d != "" {
		t.Fatal(d)
	}
	return results, sum
}

func failed(results []certify.Result) (names []string) {
	for _, res := range results {
		if !res.Passed {
			names = append(names, res.Case)
		}
	}
	return names
}

func start(t *testing.T, shop *sandbox.Merchant) *sandbox.Merchant {
	t.Helper()
	if err := shop.Start(nil); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shop.Close() })
	return shop
}

// wantRules are what the requests of a run break at a receiver that verifies: forgeries are well-formed.
var wantRules = []string{"", "", "signature", "signature", "encoding", "", "", "signature"}

// A merchant that verifies as the provider's SDKs do passes, in every dialect.
func TestVerifyingMerchantsPass(t *testing.T) {
	for _, s := range setups() {
		t.Run(s.String(), func(t *testing.T) {
			r := s.run(t)
			shop := start(t, s.shop(t, r.Key, ""))
			results, sum := do(t, r, shop.URL())
			signed := profile.Signs(r.Profile, r.Merchant)
			want := certify.Summary{Passed: 7, VerifiesSignatures: signed, Signed: signed}
			if d := cmp.Diff(want, sum); d != "" {
				t.Errorf("%s\n%+v", d, results)
			}
			hits := shop.Hits()
			if signed && len(hits) != 8 || !signed && len(hits) != 5 { // out_of_order has two
				t.Fatalf("%d requests", len(hits))
			}
			for i, h := range hits {
				if h.OutTradeNo != "" && !strings.HasPrefix(h.OutTradeNo, "certify-") {
					t.Errorf("out_trade_no %q", h.OutTradeNo)
				}
				if signed && h.Rule != wantRules[i] && i != 4 { // what the wrong charset breaks is the dialect's
					t.Errorf("request %d broke rule %q, want %q: %s", i+1, h.Rule, wantRules[i], h.Detail)
				}
			}
		})
	}
}

// A merchant that verifies nothing fails exactly where forgeries are sent, in every dialect.
func TestNaiveMerchantsAreFound(t *testing.T) {
	for _, s := range setups() {
		if s.signType != "" || len(s.options) > 0 && s.options["header_signature"] == nil {
			continue // what is taken unverified is taken in every form
		}
		t.Run(s.String(), func(t *testing.T) {
			r := s.run(t)
			shop := start(t, &sandbox.Merchant{Profile: s.profile})
			results, sum := do(t, r, shop.URL())
			want := []string{"tampered", "wrong_key", "probe"}
			if !profile.Signs(r.Profile, r.Merchant) {
				want = nil
			}
			if d := cmp.Diff(want, failed(results)); d != "" || sum.VerifiesSignatures {
				t.Errorf("%s, verifies %v", d, sum.VerifiesSignatures)
			}
			for _, res := range results {
				switch {
				case res.Skipped != "" && (res.Verdict != "" || !strings.Contains(res.Cure.Why, "Nothing is signed")):
					t.Errorf("%s was not sent, and has verdict %q and cure %q", res.Case, res.Verdict, res.Cure.Why)
				case !res.Passed && len(res.Cure.Snippets) != len(certify.Languages):
					t.Errorf("%s failed, and its cure has %d snippets", res.Case, len(res.Cure.Snippets))
				}
			}
		})
	}
}

// Replies that are no acknowledgement, by what they do to the cases.
func TestReplies(t *testing.T) {
	s := setup{profile: "alipay"}
	r := s.run(t)
	asked := []string{"good", "duplicate", "out_of_order"} // where a yes is wanted
	for _, c := range []struct {
		reply    string
		verifies bool
		want     []string
		cure     string // of the first failed case
	}{
		{"newline", true, nil, ""},
		{"html", true, asked, "inside an HTML page"},
		{"upper", true, asked, "another letter case"},
		{"fail", false, asked, "orders that it does not know"},
		{"redirect", false, asked, "redirect"},
		{"500", false, asked, "error status"},
		{"truncated", false, asked, "cut off"},
		{"reset", false, asked, "reset before any reply"},
	} {
		results, sum := do(t, r, start(t, s.shop(t, r.Key, c.reply)).URL())
		if d := cmp.Diff(c.want, failed(results)); d != "" || sum.VerifiesSignatures != c.verifies {
			t.Errorf("%s: %s, verifies %v", c.reply, d, sum.VerifiesSignatures)
		}
		if cure := results[0].Cure.String(); !strings.Contains(cure, c.cure) || (cure == "") != results[0].Passed {
			t.Errorf("%s: cure %q", c.reply, cure)
		}
	}
	// A yes that nobody understands is a yes all the same when it is said to a forgery.
	results, sum := do(t, r, start(t, &sandbox.Merchant{Profile: "alipay", Reply: "upper"}).URL())
	want := []string{"good", "duplicate", "tampered", "wrong_key", "out_of_order", "probe"}
	if d := cmp.Diff(want, failed(results)); d != "" || sum.VerifiesSignatures {
		t.Errorf("%s, verifies %v", d, sum.VerifiesSignatures)
	}
}

// merchants of another kind: verify says what the signature is worth, answer what follows.
func custom(t *testing.T, s setup, r *certify.Run, answer func(w http.ResponseWriter, h sandbox.Hit)) string {
	t.Helper()
	shop := s.shop(t, r.Key, "")
	seen := make(chan sandbox.Hit, 1)
	shop.Log = func(h sandbox.Hit) { seen <- h }
	start(t, shop)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		shop.ServeHTTP(httptest.NewRecorder(), r)
		answer(w, <-seen)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestMerchantsOfOtherKinds(t *testing.T) {
	s := setup{profile: "alipay"}
	r := s.run(t)
	say := func(w http.ResponseWriter, status int, text string) {
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}
	finished := map[string]bool{}
	for _, c := range []struct {
		name   string
		answer func(w http.ResponseWriter, h sandbox.Hit)
		want   []string
		cure   string
	}{
		{"refuses duplicates", func(w http.ResponseWriter, h sandbox.Hit) {
			if h.Rule != "" || h.Duplicate {
				say(w, 200, "fail")
				return
			}
			say(w, 200, "success")
		}, []string{"duplicate"}, "INSERT IGNORE"},
		{"refuses what comes late", func(w http.ResponseWriter, h sandbox.Hit) {
			if h.Rule != "" || finished[h.OutTradeNo] {
				say(w, 200, "fail")
				return
			}
			last := sandbox.Param{Name: "trade_status", Value: "TRADE_FINISHED"}
			finished[h.OutTradeNo] = slices.Contains(h.Params, last)
			say(w, 200, "success")
		}, []string{"out_of_order"}, "state_rank"},
		{"breaks down on charsets", func(w http.ResponseWriter, h sandbox.Hit) {
			switch h.Rule {
			case "encoding":
				say(w, 500, "<html><body>Incorrect string value: '\\xB6\\xA9'</body></html>")
			case "":
				say(w, 200, "success")
			default:
				say(w, 200, "fail")
			}
		}, []string{"wrong_charset"}, "mb_check_encoding"},
		{"prints a trace", func(w http.ResponseWriter, h sandbox.Hit) {
			switch h.Rule {
			case "encoding":
				say(w, 200, "Traceback (most recent call last):\n  File \"notify.py\", line 3\n")
			case "":
				say(w, 200, "success")
			default:
				say(w, 400, "signature")
			}
		}, []string{"wrong_charset"}, "UnicodeDecodeError"},
		{"looks at the key alone", func(w http.ResponseWriter, h sandbox.Hit) {
			if h.Rule == "" || h.OutTradeNo == "" || strings.HasSuffix(h.OutTradeNo, "-2") {
				say(w, 200, "success")
				return
			}
			say(w, 200, "fail")
		}, []string{"tampered"}, "rsaCheckV1($_POST, null, 'RSA2')"},
	} {
		results, _ := do(t, r, custom(t, s, r, c.answer))
		if d := cmp.Diff(c.want, failed(results)); d != "" {
			t.Errorf("%s: %s", c.name, d)
			continue
		}
		i := slices.IndexFunc(results, func(res certify.Result) bool { return !res.Passed })
		if cure := results[i].Cure.String(); !strings.Contains(cure, c.cure) {
			t.Errorf("%s: cure %q", c.name, cure)
		}
	}
}

// Where nothing listens the other cases are not sent, and fail without a verdict.
func TestNobodyThere(t *testing.T) {
	gone := start(t, &sandbox.Merchant{})
	gone.Close()
	results, sum := do(t, setup{profile: "alipay_mapi"}.run(t), gone.URL())
	if sum.Failed != 7 || sum.VerifiesSignatures {
		t.Errorf("%+v", sum)
	}
	good := results[0]
	if good.Verdict != store.ConnectError || good.Reason != store.ConnRefused || good.Cure.String() == "" {
		t.Errorf("%+v", good)
	}
	for _, res := range results[1:] {
		if res.Verdict != "" || !strings.Contains(res.Skipped, "cannot be reached") {
			t.Errorf("%+v", res)
		}
	}
}

func TestInterrupted(t *testing.T) {
	ctx, stop := context.WithCancelCause(t.Context())
	why := errors.New("enough")
	shop := &sandbox.Merchant{Reply: "slow", Log: func(sandbox.Hit) { stop(why) }}
	start(t, shop)
	r := setup{profile: "alipay_mapi"}.run(t)
	rules := egress.Rules{Dev: true}
	r.Client = egress.New(egress.Options{Rules: rules})
	defer r.Client.Close()
	r.Target, _ = rules.CheckURL(shop.URL())
	sum, err := r.Do(ctx, func(res certify.Result) { t.Errorf("told of %+v", res) })
	if !errors.Is(err, why) || sum.Passed+sum.Failed > 0 {
		t.Errorf("got %v, %+v", err, sum)
	}
}
