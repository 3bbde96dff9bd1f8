package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"paynotify/profile"
	"paynotify/store"
)

// corpusCase is a recorded reply, and the near-miss that it is.
type corpusCase struct {
	Dialect     string  `json:"dialect"`
	Status      int     `json:"status"`
	ContentType string  `json:"content_type"`
	Body        []byte  `json:"body_b64"`
	NearMiss    *string `json:"near_miss"`
}

// corpusRules are the rules of the corpus's dialects whose profile has another name, or none.
var corpusRules = map[string][]string{
	"alipay": {}, "alipay_legacy": {}, "epay": {},
	"wechat_v2":         {"--ack-match", "xml_return_code"},
	"wechat_v3":         {"--ack-match", "status", "--ack-status", "200,204"},
	"standard_webhooks": {"--ack-match", "status", "--ack-status", "2xx"},
	"stripe":            {"--ack-match", "status", "--ack-status", "2xx"},
	"jeepay":            {"--ack-match", "trim_fold"},
	"adyen":             {"--ack-match", "exact", "--ack-text", "[accepted]"},
}

// nearMisses are the replies of the corpus that are refused for a cause that it names, and one for each
// reason that it has no case of.
func nearMisses(t *testing.T) (cases []corpusCase) {
	t.Helper()
	raw, err := os.ReadFile("../../profile/testdata/ack_corpus.json")
	if err != nil {
		t.Fatal(err)
	}
	var corpus struct {
		Cases []corpusCase `json:"cases"`
	}
	if err := json.Unmarshal(raw, &corpus); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, c := range corpus.Cases {
		if c.NearMiss != nil {
			cases, seen[*c.NearMiss] = append(cases, c), true
		}
	}
	add := func(word, body string) {
		if !seen[word] {
			cases = append(cases, corpusCase{"alipay", 200, "text/plain", []byte(body), &word})
		}
	}
	add("repeated", "successsuccess")
	add("utf16", "\xff\xfes\x00u\x00c\x00c\x00e\x00s\x00s\x00")
	add("invisible", "\u200bsuccess")
	add("mismatch", "fail")
	return cases
}

// TestShowExplainsNearMisses: for every near-miss of the corpus, sent through the engine and answered so by a
// merchant, show names the cause and the cure, and sets what came beside what should have come.
func TestShowExplainsNearMisses(t *testing.T) {
	cases := nearMisses(t)
	if len(cases) < 25 {
		t.Fatalf("the corpus has %d near-misses only", len(cases))
	}
	merchant := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(strings.TrimPrefix(r.URL.Path, "/"))
		if err != nil || n >= len(cases) {
			return
		}
		w.Header().Set("Content-Type", cases[n].ContentType)
		w.WriteHeader(cases[n].Status)
		w.Write(cases[n].Body)
	}))
	defer merchant.Close()
	e := testEngine(t, testConfig(t))
	defer e.Shutdown()
	for dialect, rule := range corpusRules {
		must(t, e, append([]string{
			"merchant", "add", dialect, "--profile", "form", "--schedule", "1h", "--notify-url", merchant.URL,
		}, rule...)...)
	}
	reasons := map[store.Reason]bool{}
	for i, c := range cases {
		t.Run(fmt.Sprintf("%s/%s/%d", c.Dialect, *c.NearMiss, i), func(t *testing.T) {
			body := fmt.Sprintf(`{"mch_id":%q,"params":{},"notify_url":"%s/%d"}`, c.Dialect, merchant.URL, i)
			file := t.TempDir() + "/n.json"
			if err := os.WriteFile(file, []byte(body), 0o600); err != nil {
				t.Fatal(err)
			}
			id := strings.TrimSpace(must(t, e, "send", "--file", file))
			reason := store.Reason("ack_" + *c.NearMiss)
			if *c.NearMiss == "redirect" {
				reason = store.Redirect
			}
			reasons[reason] = true
			var out string
			eventually(t, "there is no attempt", func() bool {
				out = must(t, e, "show", id)
				return strings.Contains(out, "\n#1 ")
			})
			shows(t, out, reason, c)
		})
	}
	for _, reason := range store.Reasons {
		if reason.NearMiss() && !reasons[reason] {
			t.Errorf("no case of %s", reason)
		}
	}
}

func shows(t *testing.T, out string, reason store.Reason, c corpusCase) {
	t.Helper()
	flat := strings.Join(strings.Fields(out), " ")
	about := profile.Explain(reason)
	wants := []string{string(reason), about.Cause, about.Cure}
	judged := reason.NearMiss() || reason == store.AckEmpty || reason == store.AckMismatch
	if judged && c.Status < 300 {
		wants = append(wants, "expected ", "received ")
	}
	if len(c.Body) > 0 && c.Status != http.StatusNoContent {
		wants = append(wants, cut(profile.Visible(c.Body), replyColumns))
	}
	missing := slices.DeleteFunc(wants, func(want string) bool {
		return strings.Contains(flat, strings.Join(strings.Fields(want), " "))
	})
	if len(missing) > 0 {
		t.Errorf("%d %s is not told %q:\n%s", c.Status, base64.StdEncoding.EncodeToString(c.Body), missing, out)
	}
}
