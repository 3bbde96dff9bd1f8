package examples

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// settleMax is how long an attempt may take to show in the timeline.
const settleMax = 20 * time.Second

// client speaks to the API.
type client struct {
	t   *testing.T
	url string
}

func (c client) call(method, path string, in any) map[string]any {
	c.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		c.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, bytes.NewReader(raw))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	var out map[string]any
	if err := json.Unmarshal(c.do(req), &out); err != nil {
		c.t.Fatal(err)
	}
	return out
}

func (c client) do(req *http.Request) []byte {
	c.t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode/100 != 2 {
		c.t.Fatalf("%s %s: %s %v\n%s", req.Method, req.URL.Path, resp.Status, err, answer)
	}
	return answer
}

// notify has a receiver told of a payment of 88.88; params replace what it says, null leaves out.
func (c client) notify(s *shop, order string, params map[string]any) map[string]any {
	c.t.Helper()
	all := map[string]any{
		"trade_no": "2026112122001", "subject": `当面付 A&B=C+D 100% "q" <b> /x/ \ '~*`,
		"body": "line one\nline two",
	}
	notifyType := ""
	if s.profile == "alipay" {
		all["trade_status"], all["total_amount"] = "TRADE_SUCCESS", "88.88"
	} else {
		all["amount"], notifyType = 8888, "payment.succeeded"
	}
	for name, value := range params {
		switch {
		case name == "notify_type":
			notifyType = value.(string)
		case value == nil:
			delete(all, name)
		default:
			all[name] = value
		}
	}
	return c.call("POST", "/v1/notifications", map[string]any{
		"mch_id": s.name, "out_trade_no": order, "notify_type": notifyType, "params": all,
	})
}

// record is what the tests look at of a notification.
type record struct {
	State    string `json:"notify_state"`
	Attempts []struct{ Verdict, Reason, Reply string }
}

// waitAttempts follows a notification until its timeline has n attempts.
func (c client) waitAttempts(id string, n int) (r record) {
	c.t.Helper()
	cursor := c.follow("", "0s") // before the first look: what is settled behind it wakes us
	for deadline := time.Now().Add(settleMax); time.Now().Before(deadline); {
		req, err := http.NewRequestWithContext(c.t.Context(), "GET", c.url+"/v1/notifications/"+id, http.NoBody)
		if err != nil {
			c.t.Fatal(err)
		}
		r = record{}
		if err := json.Unmarshal(c.do(req), &r); err != nil {
			c.t.Fatal(err)
		}
		if len(r.Attempts) >= n {
			return r
		}
		cursor = c.follow(cursor, "5s")
	}
	c.t.Fatalf("%s has no %d attempts after %v: %+v", id, n, settleMax, r)
	return r
}

// follow waits for attempts that are settled behind the cursor, and returns the cursor behind them.
func (c client) follow(cursor, wait string) string {
	c.t.Helper()
	at := c.url + "/v1/attempts?wait=" + wait
	if cursor != "" {
		at += "&after=" + url.QueryEscape(cursor)
	}
	req, err := http.NewRequestWithContext(c.t.Context(), "GET", at, http.NoBody)
	if err != nil {
		c.t.Fatal(err)
	}
	var page struct {
		NextCursor string `json:"next_cursor"`
	}
	if err := json.Unmarshal(c.do(req), &page); err != nil {
		c.t.Fatal(err)
	}
	return page.NextCursor
}

func text(t *testing.T, object map[string]any, name string) string {
	t.Helper()
	value, ok := object[name].(string)
	if !ok {
		t.Fatalf("no %s in %v", name, object)
	}
	return value
}
