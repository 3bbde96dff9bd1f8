package profile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"paynotify/retry"
	"paynotify/store"
)

// TestExplainIsComplete: every reason has one sentence of cause and one of cure, and no reason that is not in
// the closed list has any.
func TestExplainIsComplete(t *testing.T) {
	seen := map[string]store.Reason{}
	for _, r := range store.Reasons {
		e := Explain(r)
		for _, text := range []string{e.Cause, e.Cure} {
			if len(text) < 10 || !strings.HasSuffix(text, ".") || strings.Contains(text, ". ") {
				t.Errorf("%s: %q is not one sentence", r, text)
			}
		}
		if other, twice := seen[e.Cause]; twice {
			t.Errorf("%s and %s have the same cause", r, other)
		}
		seen[e.Cause] = r
		if e.Hint() != e.Cause+" "+e.Cure {
			t.Errorf("%s: hint %q", r, e.Hint())
		}
	}
	if len(explanations) != len(store.Reasons) {
		t.Errorf("%d explanations for %d reasons", len(explanations), len(store.Reasons))
	}
	if got := Explain("no_such").Hint(); got != "" {
		t.Errorf("got %q", got)
	}
}

// TestProfiles: each profile is complete, and its defaults are ones that a merchant could set.
func TestProfiles(t *testing.T) {
	for _, p := range All() {
		found, ok := ByName(p.Name)
		if !ok || found != p {
			t.Errorf("%s is not found", p.Name)
		}
		if _, err := retry.Parse(p.Schedule); err != nil {
			t.Errorf("%s: %v", p.Name, err)
		}
		if p.Encode == nil || p.Verify == nil || p.CheckParams == nil || p.Summary == "" || len(p.Charsets) == 0 {
			t.Errorf("%s is incomplete", p.Name)
		}
		if p.Unsigned != (p.Key == KeyNone) || p.Unsigned != (len(p.SignTypes) == 0) {
			t.Errorf("%s: unsigned %t, key %s, sign types %v", p.Name, p.Unsigned, p.Key, p.SignTypes)
		}
		for _, o := range p.options() {
			kinds := 0
			for _, is := range []bool{o.Bool, o.List, len(o.Values) > 0} {
				if is {
					kinds++
				}
			}
			if o.Doc == "" || kinds > 1 {
				t.Errorf("%s: option %+v", p.Name, o)
			}
		}
	}
	if _, ok := ByName("no_such"); ok {
		t.Error("a profile that is not there was found")
	}
}

// TestTable: the documentation's rows are what a send really does, and what the contract with users says.
func TestTable(t *testing.T) {
	const success = `HTTP 200 and "success", blanks round it allowed`
	promised := map[string]struct{ schedule, ack string }{
		"alipay":      {"8 sends in 24h24m0s", success},
		"alipay_mapi": {"8 sends in 24h24m0s", success},
		"form":        {"8 sends in 24h24m0s", success},
		"wechat_v2":   {"10 sends in 3h4m0s", "HTTP 200 and XML with return_code SUCCESS"},
		"wechat_v3":   {"16 sends in 24h4m0s", "HTTP 200, 204, whatever the body"},
		"standard":    {"10 sends in 75h35m5s", "HTTP 2xx, whatever the body"},
		"stripe":      {"10 sends in 75h35m5s", "HTTP 2xx, whatever the body"},
		"json_rsa":    {"8 sends in 24h24m0s", success},
		"epay":        {"8 sends in 24h24m0s", success},
		"jeepay":      {"6 sends in 7m30s", `HTTP 200 and "success" in any letter case, blanks round it allowed`},
	}
	rows := Table()
	if len(rows) != len(All()) {
		t.Fatalf("%d rows", len(rows))
	}
	for i, row := range rows {
		p := All()[i]
		m, n := sample(p)
		n.NotifyType = "x"
		n.Params = []byte(`{}`)
		msg := encode(t, p, m, n, vectorTime)
		sent := sentNames(t, p, msg)
		for _, name := range row.Adds {
			if !sent[name] {
				t.Errorf("%s: %s is in the table and not in %s%s", row.Name, name, msg.Query, msg.Body)
			}
			delete(sent, name)
		}
		for name := range sent {
			if !slices.Contains(strings.Fields(unlisted), name) {
				t.Errorf("%s: not in the table: %s", row.Name, name)
			}
		}
		for j, name := range row.Headers {
			if msg.Header[j].Name != name {
				t.Errorf("%s: header %s, want %s", row.Name, msg.Header[j].Name, name)
			}
		}
		want := promised[row.Name]
		if got := fmt.Sprintf("%d sends in %v", row.Sends, row.Sum); got != want.schedule || row.Ack != want.ack {
			t.Errorf("%s: %s, ack %s; want %+v", row.Name, got, row.Ack, want)
		}
	}
	for _, match := range matches {
		if AckText(store.Ack{Match: match, Text: "x", Path: "p", Status: onlyOK}) == "" {
			t.Errorf("no words for %s", match)
		}
	}
}

// unlisted are the signatures, and what holds the fields rather than being one.
const unlisted = "sign sign_type signature xml data original_type algorithm ciphertext associated_data nonce"

// sentNames are the names of all that a message tells, however deep, and of what is encrypted in it.
func sentNames(t *testing.T, p *Profile, msg Message) map[string]bool {
	t.Helper()
	_, keys := material(t, p)
	v, err := Verify(p, captured(msg), keys)
	if err != nil {
		t.Errorf("%s: %v", p.Name, err)
	}
	sent := map[string]bool{}
	for _, f := range v.Fields {
		sent[f.Name] = true
	}
	for _, pattern := range []string{`"(\w+)":`, `<(\w+)>`, `(?:^|&)(\w+)=`} {
		for _, found := range regexp.MustCompile(pattern).FindAllStringSubmatch(msg.Query+string(msg.Body), -1) {
			sent[found[1]] = true
		}
	}
	return sent
}
