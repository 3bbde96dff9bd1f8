package php

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"paynotify/profile"
	"paynotify/store"
	"paynotify/test/product"
)

// TestServe sends through the running product: API, store, queue, dispatcher, client, PHP, and back. Every
// merchant that acknowledges refuses the request that it got when one byte of it is another.
func TestServe(t *testing.T) {
	php := startPHP(t)
	between := startTap(t, php)
	cmd := exec.Command(product.Build(t), "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "paynotify.db"))
	url := product.Serve(t, cmd).URL
	for _, d := range slices.Concat(dialects, []dialect{
		{merchant: "v1", profile: "alipay", options: map[string]any{"sign_type_in": "omit"}},
		{merchant: "v1", profile: "alipay", options: map[string]any{"sign_type_in": "query"}},
		{merchant: "tutorial", profile: "alipay", options: map[string]any{"sign_type_in": "body"}, refuses: true},
	}) {
		t.Run(d.name(), func(t *testing.T) {
			d.skipWithout(t)
			api, path := client{t: t, url: url}, "/"+d.merchant+"/"+d.name()
			php.addKeys(t, d.name(), api.register(d, d.address(between.url)))
			id, state, verdict := api.send(d)
			if d.refuses {
				if state != "pending" || verdict != "refused" {
					t.Errorf("state %s, verdict %s; want pending, refused", state, verdict)
				}
				return
			}
			if state != "spent" || verdict != "acked" {
				t.Errorf("state %s, verdict %s; want spent, acked", state, verdict)
			}
			if d.profile == "alipay_mapi" {
				resp, _ := between.replay(t, between.request(t, path))
				if why := resp.Header.Get("X-Why"); why != "notify_verify" {
					t.Errorf("once more, after it was spent: refused for %q, want notify_verify", why)
				}
				php.removeKey(t, d.name(), "gateway") // from here on the signature alone
			}
			changeBytes(t, between, d, between.request(t, path), id)
		})
	}
}

// changeBytes replays a request, as it is and with each byte of the order, the payment and the notify_id
// replaced by another.
func changeBytes(t *testing.T, between *tap, d dialect, request []byte, id string) {
	t.Helper()
	p, _ := profile.ByName(d.profile)
	judge := func(request []byte) profile.Judgement {
		resp, body := between.replay(t, request)
		return profile.Judge(profile.AckPolicy(p, d.merchantOf()), profile.Reply{
			Status: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: body,
		})
	}
	if j := judge(request); j.Verdict != store.Acked {
		t.Fatalf("the request as it was is not acknowledged again: %+v\n%s", j, request)
	}
	changed := 0
	for _, text := range append(moved, id) {
		for from := 0; ; {
			at := bytes.Index(request[from:], []byte(text))
			if at < 0 {
				break
			}
			for i := from + at; i < from+at+len(text); i++ {
				bad := bytes.Clone(request)
				if bad[i]++; request[i] == '9' || request[i] == 'z' {
					bad[i] = request[i] - 1
				}
				changed++
				if j := judge(bad); (j.Verdict == store.Acked) != d.unsigned {
					t.Errorf("byte %d of %s changed: %+v\n%s", i-from-at, text, j, bad)
				}
			}
			from += at + len(text)
		}
	}
	if changed == 0 {
		t.Errorf("no byte was changed in\n%s", request)
	}
}

// client speaks to the API.
type client struct {
	t   *testing.T
	url string
}

func (c *client) call(method, path string, in any, status int, out any) {
	c.t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	if in == nil {
		req.Body = http.NoBody
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != status {
		c.t.Fatalf("%s %s answers %d, want %d: %s", method, path, resp.StatusCode, status, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		c.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
	}
}

// register makes the merchant of a dialect and returns what the answer gave it to verify with.
func (c *client) register(d dialect, notifyURL string) map[string]string {
	c.t.Helper()
	settings := map[string]any{
		"mch_id": d.name(), "profile": d.profile, "notify_url": notifyURL, "app_id": "2021000000000001",
	}
	if d.signType != "" {
		settings["sign_type"] = d.signType
	}
	if d.options != nil {
		settings["options"] = d.options
	}
	var merchant struct {
		PublicKey string `json:"public_key"`
		Secret    string
		Whpk      string
	}
	c.call("POST", "/v1/merchants", settings, http.StatusCreated, &merchant)
	keys := map[string]string{"pem": merchant.PublicKey, "secret": merchant.Secret, "whpk": merchant.Whpk}
	if d.profile == "alipay_mapi" {
		keys["gateway"] = c.url
	}
	return keys
}

// send accepts one notification, waits for its first attempt, and tells where it then stands.
func (c *client) send(d dialect) (id, state, verdict string) {
	c.t.Helper()
	var page struct {
		Attempts []struct {
			NotifyID string `json:"notify_id"`
		}
		NextCursor string `json:"next_cursor"`
	}
	c.call("GET", "/v1/attempts?wait=0s", nil, http.StatusOK, &page)
	var accepted struct {
		NotifyID string `json:"notify_id"`
	}
	c.call("POST", "/v1/notifications", map[string]any{
		"mch_id": d.name(), "out_trade_no": "20261121-1", "params": d.params(),
	}, http.StatusAccepted, &accepted)
	for deadline := time.Now().Add(startMax); time.Now().Before(deadline); {
		c.call("GET", "/v1/attempts?wait=5s&after="+url.QueryEscape(page.NextCursor), nil, http.StatusOK, &page)
		for _, a := range page.Attempts {
			if a.NotifyID == accepted.NotifyID {
				state, verdict = c.where(a.NotifyID)
				return a.NotifyID, state, verdict
			}
		}
	}
	c.t.Fatalf("no attempt of %s within %v", accepted.NotifyID, startMax)
	return "", "", ""
}

func (c *client) where(notifyID string) (state, verdict string) {
	c.t.Helper()
	var n struct {
		State    string `json:"notify_state"`
		Attempts []struct{ Verdict, Reply string }
	}
	c.call("GET", "/v1/notifications/"+notifyID, nil, http.StatusOK, &n)
	if len(n.Attempts) == 0 {
		c.t.Fatalf("notification %s has no attempt", notifyID)
	}
	return n.State, n.Attempts[0].Verdict
}
