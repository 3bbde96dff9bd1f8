package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const (
	sendMax = 20 * time.Second // from accept to spent, with both processors at work
	pollGap = 10 * time.Millisecond
)

// object is a JSON object that is sent.
type object = map[string]any

// known is what a merchant learns when it is registered: the 201 answer, which is all it verifies with.
type known struct {
	MchID           string `json:"mch_id"`
	PublicKey       string `json:"public_key"`
	PublicKeyBase64 string `json:"public_key_base64"`
	Certificate     string `json:"certificate"`
	Serial          string `json:"serial"`
	Secret          string `json:"secret"`
	Whpk            string `json:"whpk"`
}

// call asks the API and reads its answer, of which it returns the status.
func call(t *testing.T, method, path string, in, out any) int {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	status, answer := callRaw(t, method, path, body)
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("%s %s answers %d: %v in %s", method, path, status, err, answer)
	}
	return status
}

func callRaw(t *testing.T, method, path string, body []byte) (int, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, product.url+path, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if method == http.MethodGet {
		req.Body, req.ContentLength = http.NoBody, 0
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

var merchants atomic.Int64

// register adds a merchant with the given settings beside mch_id and notify_url.
func register(t *testing.T, settings object) known {
	t.Helper()
	mchID := fmt.Sprintf("m%d", merchants.Add(1))
	in := object{"mch_id": mchID, "notify_url": shop.server.URL + "/" + mchID}
	maps.Copy(in, settings)
	var answer json.RawMessage
	if status := call(t, http.MethodPost, "/v1/merchants", in, &answer); status != http.StatusCreated {
		t.Fatalf("POST /v1/merchants answers %d: %s", status, answer)
	}
	var m known
	if err := json.Unmarshal(answer, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// send has a notification accepted and returns its notify_id.
func send(t *testing.T, m known, notification object) string {
	t.Helper()
	in := object{"mch_id": m.MchID}
	maps.Copy(in, notification)
	var answer struct {
		NotifyID string `json:"notify_id"`
		Errors   json.RawMessage
	}
	if status := call(t, http.MethodPost, "/v1/notifications", in, &answer); status != http.StatusAccepted {
		t.Fatalf("POST /v1/notifications answers %d: %s", status, answer.Errors)
	}
	return answer.NotifyID
}

// sent is what the API tells of a notification.
type sent struct {
	State    string `json:"notify_state"`
	Attempts []struct{ Verdict, Reason, Reply string }
}

// attempts waits until a notification has so many attempts, and returns it.
func attempts(t *testing.T, notifyID string, count int) (n sent) {
	t.Helper()
	for deadline := time.Now().Add(sendMax); time.Now().Before(deadline); time.Sleep(pollGap) {
		n = sent{}
		status := call(t, http.MethodGet, "/v1/notifications/"+notifyID, nil, &n)
		if status != http.StatusOK {
			t.Fatalf("GET /v1/notifications/%s answers %d", notifyID, status)
		}
		if len(n.Attempts) >= count {
			return n
		}
	}
	t.Fatalf("%d of %d attempts of %s within %v", len(n.Attempts), count, notifyID, sendMax)
	return n
}

// spent waits for the first attempt of a notification, which must have made it spent.
func spent(t *testing.T, notifyID string) {
	t.Helper()
	n := attempts(t, notifyID, 1)
	if first := n.Attempts[0]; first.Verdict != "acked" || n.State != "spent" {
		t.Fatalf("%s after the first attempt, which is %s (%s), reply %q; want spent, acked",
			n.State, first.Verdict, first.Reason, first.Reply)
	}
}

// problem is what the API says about a refusal.
type problem struct {
	Type, Title, Detail string
	Status              int
	Errors              []struct{ Location, Message, Cure string }
}

// names reports whether the problem names a place in the request, with a cure.
func (p problem) names(location string) bool {
	for _, e := range p.Errors {
		if e.Location == location && e.Message != "" && e.Cure != "" {
			return true
		}
	}
	return false
}

func (p problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s", p.Status, p.Type, p.Detail)
	for _, e := range p.Errors {
		fmt.Fprintf(&b, "\n    %s: %s (%s)", e.Location, e.Message, e.Cure)
	}
	return b.String()
}
