package product_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"paynotify/sandbox"
	"paynotify/test/product"
)

// TestNotifyVerify: a merchant of the legacy gateway asks whether a notify_id is ours, from inside the
// handler that received it, while our POST is still waiting for its answer.
func TestNotifyVerify(t *testing.T) {
	serve := exec.Command(product.Build(t), "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "verify.db"))
	serve.Env = os.Environ()
	s := product.Serve(t, serve)
	ask := func(query string) string { return get(t, s.URL+"/gateway.do?"+query) }
	valid := func(id string) string { return ask("service=notify_verify&partner=m1&notify_id=" + id) }

	inside := make(chan string, 1)
	m := &sandbox.Merchant{Reply: "success", Profile: "alipay_mapi", Secret: "verifyverifyverifyverifyverify00"}
	m.Log = func(h sandbox.Hit) {
		select {
		case inside <- valid(h.NotifyID):
		default:
		}
	}
	if err := m.Start(nil); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	post(t, s.URL+"/v1/merchants", map[string]any{
		"mch_id": "m1", "profile": "alipay_mapi", "notify_url": m.URL(),
		"key": map[string]any{"secret": m.Secret},
	})
	post(t, s.URL+"/v1/merchants/m1/pause", map[string]any{"reason": "to look at a pending one"})
	id, _ := post(t, s.URL+"/v1/notifications", map[string]any{
		"mch_id": "m1", "out_trade_no": "1", "params": map[string]any{"trade_status": "TRADE_SUCCESS"},
	})["notify_id"].(string)

	if got := valid(id); got != "true" {
		t.Errorf("pending: %q, want true", got)
	}
	post(t, s.URL+"/v1/merchants/m1/resume", nil)
	if got := <-inside; got != "true" {
		t.Errorf("inside the handler: %q, want true", got)
	}
	waitSpent(t, s.URL, id)
	for query, want := range map[string]string{
		"service=notify_verify&partner=m1&notify_id=" + id:                             "false", // spent
		"service=notify_verify&partner=m2&notify_id=" + id:                             "false",
		"service=notify_verify&partner=m1&notify_id=" + "00000000000000000000000000":   "false",
		"service=notify_verify&partner=m1&notify_id=":                                  "invalid",
		"service=notify_verify&notify_id=" + id:                                        "invalid",
		"partner=m1&notify_id=" + id:                                                   "invalid",
		"service=create_direct_pay_by_user&partner=m1&notify_id=" + id:                 "invalid",
		"service=notify_verify&partner=m1&notify_id=" + id + "&sign=x&_input_charset=": "false",
	} {
		if got := ask(query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	if got := get(t, s.URL+"/trade/notify_query.do?partner=m1&notify_id="+url.QueryEscape(id)); got != "false" {
		t.Errorf("notify_query.do: %q, want false", got)
	}
}

func get(t *testing.T, address string) string {
	t.Helper()
	resp, err := http.Get(address)
	if err != nil {
		t.Error(err) // not Fatal: also called from the merchant's goroutine
		return ""
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

func post(t *testing.T, address string, in any) map[string]any {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if in == nil {
		text = nil
	}
	resp, err := http.Post(address, "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var out map[string]any
	if err := json.NewDecoder(resp.Body).Decode(&out); err != nil || resp.StatusCode/100 != 2 {
		t.Fatalf("POST %s: %s %v %v", address, resp.Status, out, err)
	}
	return out
}

// waitSpent waits until the notification is spent.
func waitSpent(t *testing.T, server, id string) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for ; time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		var n struct {
			State string `json:"notify_state"`
		}
		if err := json.Unmarshal([]byte(get(t, server+"/v1/notifications/"+id)), &n); err != nil {
			t.Fatal(err)
		}
		if n.State == "spent" {
			return
		}
	}
	t.Fatalf("%s is not spent", id)
}
