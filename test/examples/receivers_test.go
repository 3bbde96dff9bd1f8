package examples

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paynotify/test/product"
)

// TestReceivers sends to each receiver through the running product, attacks it, and has it certified.
func TestReceivers(t *testing.T) {
	binary := product.Build(t)
	server := product.Serve(t, exec.Command(binary, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "paynotify.db")))
	private := privatePEM(t)
	for _, r := range receivers {
		t.Run(r.name, func(t *testing.T) {
			cmd := r.command(t)
			wire := tap(t)
			api := client{t, server.URL}
			asked := map[string]any{
				"mch_id": r.name, "profile": r.profile, "notify_url": wire.URL + "/notify", "app_id": appID,
			}
			if r.profile == "alipay" {
				asked["key"] = map[string]any{"private_key": private}
			}
			merchant := api.call("POST", "/v1/merchants", asked)
			s := start(t, r, cmd, text(t, merchant, r.keyIn))
			wire.to = s
			checkSends(t, api, s)
			checkReplays(t, s, wire.last(t))
			checkBooks(t, api, s)
			if r.profile == "alipay" {
				certify(t, binary, wire, "--private-key", private)
			} else {
				certify(t, binary, wire, "--secret-file", s.key)
			}
		})
	}
}

func privatePEM(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// certify has a receiver pass every case of "paynotify certify", which makes up orders: the wire sells them.
func certify(t *testing.T, binary string, w *wire, flag, key string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "certify", w.URL+"/notify", "--profile", w.to.profile, flag, file,
		"--app-id", appID, "--json")
	out, err := cmd.Output()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	const want = `{"passed":7,"failed":0,"verifies_signatures":true}`
	if last := lines[len(lines)-1]; err != nil || last != want {
		t.Errorf("certify: %v\n%s", err, out)
	}
}

// checkSends: a payment is acknowledged and booked; sent again, it is acknowledged and not booked again.
func checkSends(t *testing.T, api client, s *shop) {
	t.Helper()
	s.sell(t, "20261121-1")
	id := text(t, api.notify(s, "20261121-1", nil), "notify_id")
	for n := 1; n <= 2; n++ {
		seen := api.waitAttempts(id, n)
		last := seen.Attempts[n-1]
		if seen.State != "spent" || last.Verdict != "acked" || last.Reason != "ack_exact" {
			t.Errorf("send %d: %s, %+v; want spent, acked, ack_exact", n, seen.State, last)
		}
		if paid, times := s.paid(t, "20261121-1"); !paid || times != 1 {
			t.Errorf("send %d: paid %t, booked %d times; want true, once", n, paid, times)
		}
		if n == 1 {
			api.call("POST", "/v1/notifications/"+id+"/resend", map[string]any{"force": true, "reason": "test"})
		}
	}
}

// checkReplays: the captured request is a duplicate when it is replayed as it is, also many times at once,
// and whatever is changed in it, it is refused and books nothing.
func checkReplays(t *testing.T, s *shop, good request) {
	t.Helper()
	for title, bad := range tampered(t, s, good) {
		if s.post(t, bad) {
			t.Errorf("tampered (%s): acknowledged", title)
		}
	}
	if !s.post(t, good) {
		t.Error("a duplicate is refused")
	}
	_, before := s.paid(t, "20261121-1")
	if err := os.Remove(filepath.Join(s.orders, "20261121-1.paid")); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if !s.post(t, good) {
				t.Error("one of 8 at a time is refused")
			}
		})
	}
	wg.Wait()
	if paid, times := s.paid(t, "20261121-1"); !paid || times != before+1 {
		t.Errorf("8 at a time: paid %t, booked %d times; want true, once", paid, times-before)
	}
	if entries, err := os.ReadDir(s.orders); err != nil || len(entries) != 2 {
		t.Errorf("the books hold %v, %v; want one order and its payment", entries, err)
	}
}

// checkBooks: what is signed is not yet true: another amount, an order that is not there or that leads out of
// the books, and another merchant's payment are refused; a status that pays nothing is heard and books
// nothing.
func checkBooks(t *testing.T, api client, s *shop) {
	t.Helper()
	type unpaid struct {
		title, order string
		params       map[string]any
		verdict      string
	}
	refused := "refused"
	if s.profile == "standard" {
		refused = "http_4xx"
	}
	cases := []unpaid{
		{"no such order", "20261121-3", nil, refused},
		{"a way out of the books", "../20261121-2", nil, refused},
		{"no order", "", nil, refused},
		{"no amount", "20261121-2", map[string]any{"total_amount": nil, "amount": nil}, refused},
		{"another amount", "20261121-2", map[string]any{"total_amount": "88.87", "amount": 8887}, refused},
	}
	if s.profile == "alipay" {
		cases = append(
			cases,
			unpaid{"the same number, another text", "20261121-2", map[string]any{"total_amount": "088.88"}, refused},
			unpaid{"another app", "20261121-2", map[string]any{"app_id": "2021000000000002"}, refused},
			unpaid{"not paid", "20261121-2", map[string]any{"trade_status": "WAIT_BUYER_PAY"}, "acked"},
			unpaid{"closed", "20261121-2", map[string]any{"trade_status": "TRADE_CLOSED"}, "acked"},
		)
	} else {
		refund := map[string]any{"notify_type": "payment.refunded"}
		cases = append(cases, unpaid{"refunded", "20261121-2", refund, "acked"})
	}
	s.sell(t, "20261121-2")
	s.sell(t, "../20261121-2")
	for _, c := range cases {
		seen := api.waitAttempts(text(t, api.notify(s, c.order, c.params), "notify_id"), 1)
		if got := seen.Attempts[0].Verdict; got != c.verdict {
			t.Errorf("%s: verdict %s, want %s", c.title, got, c.verdict)
		}
	}
	if paid, times := s.paid(t, "20261121-2"); paid || times > 0 {
		t.Errorf("paid %t, booked %d times; want it unpaid", paid, times)
	}
	api.notify(s, "20261121-2", nil)
	api.waitAttempts(text(t, api.notify(s, "20261121-2", nil), "notify_id"), 1)
	if paid, times := s.paid(t, "20261121-2"); !paid || times != 1 {
		t.Errorf("two notifications of one payment: paid %t, booked %d times; want true, once", paid, times)
	}
}

// tampered changes a captured request in ways that somebody on the way would, or without the key could.
func tampered(t *testing.T, s *shop, good request) map[string]request {
	t.Helper()
	bad := map[string]request{}
	body := func(title, from, to string) {
		r := request{good.header, strings.Replace(good.body, from, to, 1)}
		if r.body == good.body {
			t.Fatalf("%s: nothing was changed in %s", title, good.body)
		}
		bad[title] = r
	}
	head := func(title, name, value string) {
		r := request{good.header.Clone(), good.body}
		r.header.Set(name, value)
		bad[title] = r
	}
	amount := map[string]string{"alipay": "total_amount=88.88", "standard": `"amount":8888`}[s.profile]
	body("amount", amount, amount[:len(amount)-1]+"9")
	body("order", "20261121-1", "20261121-2")
	bad["empty"] = request{good.header, ""}
	bad["cut"] = request{good.header, good.body[:len(good.body)/2]}
	if s.profile == "standard" {
		now := strconv.FormatInt(time.Now().Unix(), 10)
		old := strconv.FormatInt(time.Now().Add(-time.Hour).Unix(), 10)
		body("white space", `{`, `{ `)
		head("id", "webhook-id", "another")
		head("timestamp", "webhook-timestamp", now+"0")
		head("no signature", "webhook-signature", "")
		signature := good.header.Get("webhook-signature")
		head("another scheme", "webhook-signature", strings.Replace(signature, "v1,", "v1a,", 1))
		stale := request{good.header.Clone(), good.body}
		stale.header.Set("webhook-timestamp", old)
		stale.header.Set("webhook-signature", sign(t, s.key, good.header.Get("webhook-id"), old, good.body))
		bad["an hour old"] = stale
		return bad
	}
	signature := regexp.MustCompile(`&sign=([^&]+)`).FindStringSubmatch(good.body)
	if signature == nil {
		t.Fatalf("no sign in %s", good.body)
	}
	body("status", "TRADE_SUCCESS", "TRADE_FINISHED")
	body("unsigned", signature[0], "")
	body("empty signature", signature[1], "")
	body("signature cut", signature[1], url.QueryEscape("AAAA"))
	bad["a second amount"] = request{good.header, good.body + "&total_amount=0.01"}
	if s.name != "php-alipay-sdk" { // PHP's own $_POST keeps the last of two, and that is the signed one
		bad["a first amount"] = request{good.header, "total_amount=0.01&" + good.body}
	}
	bad["added"] = request{good.header, good.body + "&extra=1"}
	bad["a broken escape"] = request{good.header, good.body + "&a=%zz"}
	return bad
}

// sign signs as the specification says, apart from the code under test.
func sign(t *testing.T, secret, id, timestamp, body string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + body))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
