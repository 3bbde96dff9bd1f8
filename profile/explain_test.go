package profile

import (
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

// TestTable: the documentation's rows are what a send really does.
func TestTable(t *testing.T) {
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
		sent := " " + names(t, append([]byte(msg.Query), msg.Body...)) + " "
		for _, name := range row.Adds {
			if !strings.Contains(sent, " "+name+" ") {
				t.Errorf("%s: %s is in the table and not in %s", row.Name, name, sent)
			}
			sent = strings.Replace(sent, " "+name+" ", " ", 1)
		}
		signs := []string{"", "sign", "sign_type sign", "sign sign_type"}
		if rest := strings.TrimSpace(sent); !slices.Contains(signs, rest) {
			t.Errorf("%s: not in the table: %s", row.Name, rest)
		}
		for j, name := range row.Headers {
			if msg.Header[j].Name != name {
				t.Errorf("%s: header %s, want %s", row.Name, msg.Header[j].Name, name)
			}
		}
		sends, sum, ack := 8, "24h24m0s", `HTTP 200 and "success", blanks round it allowed`
		if row.Name == "jeepay" {
			sends, sum, ack = 6, "7m30s", `HTTP 200 and "success" in any letter case, blanks round it allowed`
		}
		if row.Sends != sends || row.Sum.String() != sum {
			t.Errorf("%s: %d sends in %v", row.Name, row.Sends, row.Sum)
		}
		if row.Ack != ack {
			t.Errorf("%s: ack %s", row.Name, row.Ack)
		}
	}
	for _, match := range matches {
		if AckText(store.Ack{Match: match, Text: "x", Path: "p", Status: onlyOK}) == "" {
			t.Errorf("no words for %s", match)
		}
	}
}
