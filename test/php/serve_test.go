package php

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"paynotify/test/product"
)

// TestServe sends through the running product: API, store, queue, dispatcher, client, PHP, and back.
func TestServe(t *testing.T) {
	php := startPHP(t)
	cmd := exec.Command(product.Build(t), "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(t.TempDir(), "paynotify.db"))
	api := client{t: t, url: product.Serve(t, cmd).URL}
	for _, c := range combinations {
		t.Run(c.signTypeIn+"-"+c.merchant, func(t *testing.T) {
			api := client{t: t, url: api.url}
			mch := c.signTypeIn + "-" + c.merchant
			var merchant struct {
				PublicKey string `json:"public_key"`
			}
			api.call("POST", "/v1/merchants", map[string]any{
				"mch_id": mch, "profile": "alipay", "notify_url": php.url + "/" + c.merchant + "/" + mch,
				"app_id": "2021000000000001", "options": map[string]any{"sign_type_in": c.signTypeIn},
			}, http.StatusCreated, &merchant)
			php.addKey(t, mch, merchant.PublicKey)
			state, verdict := api.send(mch)
			if c.acked && (state != "spent" || verdict != "acked") {
				t.Errorf("state %s, verdict %s; want spent, acked", state, verdict)
			}
			if !c.acked && (state != "pending" || verdict != "refused") {
				t.Errorf("state %s, verdict %s; want pending, refused", state, verdict)
			}
		})
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

// send accepts one notification, waits for its first attempt, and tells where it then stands.
func (c *client) send(mch string) (state, verdict string) {
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
		"mch_id": mch, "out_trade_no": "20261121-1", "params": json.RawMessage(params),
	}, http.StatusAccepted, &accepted)
	for deadline := time.Now().Add(startMax); time.Now().Before(deadline); {
		c.call("GET", "/v1/attempts?wait=5s&after="+url.QueryEscape(page.NextCursor), nil, http.StatusOK, &page)
		for _, a := range page.Attempts {
			if a.NotifyID == accepted.NotifyID {
				return c.where(a.NotifyID)
			}
		}
	}
	c.t.Fatalf("no attempt of %s within %v", accepted.NotifyID, startMax)
	return "", ""
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
