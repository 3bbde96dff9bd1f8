package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// jsonLines are command lines with what they need, in an order in which they work: ID is a notification and
// KEY an API key that earlier lines made. With --json each must print JSON lines, at least one, and nothing
// else on stdout.
var jsonLines = []string{
	"version", "schedule alipay", "health", "doctor --store sqlite:DIR/other.db", "merchant list",
	"merchant show m1",
	"merchant set m1 --name Shop", "merchant pause m1 --reason why", "merchant resume m1",
	"merchant add m2 --profile alipay --option probe=true --notify-url URL", "merchant rotate-key m2",
	"merchant probe m2", "merchant sla m1", "merchant statement m1 --date TODAY", "merchant gaps m1 DIR/orders",
	"merchant add m3 --profile form --notify-url URL", "merchant remove m3",
	"send --mch m1", "list", "list --mch m1 --limit 1", "show ID", "show ID --evidence",
	"show ID --evidence --attempt 1", "resend ID --reason why --force", "tail --wait 0s --after CURSOR",
	"replay --mch m1 --dry-run",
	"sending stop --reason why", "sending status", "sending start --reason why",
	"key add --role read", "key list", "key login-link", "audit verify", "key revoke KEY",
	"backup DIR/copy.db", "fsck --store sqlite:DIR/copy.db",
	"migrate --from sqlite:DIR/copy.db --to sqlite:DIR/moved.db",
	"demo --for 1s",
}

// jsonElsewhere are commands that need more than a line: who tests their JSON, or why they have none.
var jsonElsewhere = map[string]string{
	"serve":      "testdata/script/serve.txtar",
	"listen":     "TestListenJSON",
	"verify":     "TestVerify…",
	"certify":    "TestCertify…JSON",
	"bench":      "TestBench…",
	"bench bare": "a part of bench",
	"completion": "a script for a shell",
	"help":       "it is for people",
}

func TestJSONEverywhere(t *testing.T) {
	e := testEngine(t, testConfig(t))
	defer e.Shutdown()
	shop := testMerchant(t, e, "success")
	id := must(t, e, "send", "--mch", "m1", "--json")
	var receipt struct {
		NotifyID string `json:"notify_id"`
	}
	if err := json.Unmarshal([]byte(id), &receipt); err != nil {
		t.Fatal(err)
	}
	eventually(t, "nothing is sent", func() bool {
		return strings.Contains(must(t, e, "show", receipt.NotifyID), "\n#1 ")
	})
	_, cursor, err := e.Store.Attempts(t.Context(), "", 1)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "orders"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	words := []string{
		"ID", receipt.NotifyID, "URL", shop.URL(), "DIR", dir, "CURSOR", cursor,
		"TODAY", time.Now().UTC().Format(time.DateOnly),
	}
	for _, line := range jsonLines {
		t.Run(line, func(t *testing.T) {
			var args []string
			for _, word := range strings.Fields(line) {
				args = append(args, strings.NewReplacer(words...).Replace(word))
			}
			code, out, errs := runAgainst(t, e.URL, append(args, "--json")...)
			if out == "" || !strings.HasSuffix(out, "\n") {
				t.Fatalf("exit %d, stdout %q, stderr %s", code, out, errs)
			}
			for text := range strings.Lines(out) {
				var v map[string]any
				if err := json.Unmarshal([]byte(text), &v); err != nil {
					t.Fatalf("not JSON: %q: %v", text, err)
				}
				if id, ok := v["id"].(string); ok && strings.HasPrefix(line, "key add") {
					words = append(words, "KEY", id)
				}
			}
		})
	}
}

// TestEveryCommandHasJSON demands a line for every command.
func TestEveryCommandHasJSON(t *testing.T) {
	root := newRootCommand()
	walk(root, func(c *cobra.Command) {
		name := strings.TrimPrefix(c.CommandPath(), root.Name()+" ")
		_, elsewhere := jsonElsewhere[name]
		for _, line := range jsonLines {
			if found, _, err := root.Find(strings.Fields(line)); err == nil && found == c {
				return
			}
		}
		if !elsewhere {
			t.Errorf("%q: does it honour --json? Give it a line in jsonLines", name)
		}
	})
}

// TestEverythingIsCompleted: whatever takes an id or a merchant offers those that there are.
func TestEverythingIsCompleted(t *testing.T) {
	walk(newRootCommand(), func(c *cobra.Command) {
		for _, id := range []string{"NOTIFY_ID", "MCH_ID", "ID"} {
			use := strings.ReplaceAll(" "+c.Use+" ", "--mch MCH_ID", "")
			takes := strings.Contains(use, " "+id+" ")
			if takes && c.ValidArgsFunction == nil && c.CommandPath() != "paynotify merchant add" {
				t.Errorf("%s does not complete %s", c.CommandPath(), id)
			}
		}
		if c.Flags().Lookup("mch") == nil {
			return
		}
		if _, ok := c.GetFlagCompletionFunc("mch"); !ok {
			t.Errorf("%s does not complete --mch", c.CommandPath())
		}
	})
}

// walk calls f for every command that does something.
func walk(c *cobra.Command, f func(*cobra.Command)) {
	if subs := c.Commands(); len(subs) > 0 {
		for _, sub := range subs {
			walk(sub, f)
		}
		if c.Name() != "bench" {
			return
		}
	}
	f(c)
}

func TestCompletionAsksTheServer(t *testing.T) {
	e := testEngine(t, testConfig(t))
	defer e.Shutdown()
	testMerchant(t, e, "success")
	must(t, e, "merchant", "add", "shop-2", "--profile", "form", "--notify-url", "http://127.0.0.1:1/")
	id := strings.TrimSpace(must(t, e, "send", "--mch", "m1", "--out-trade-no", "o-77"))
	t.Setenv("PAYNOTIFY_SERVER", e.URL)
	for _, tt := range []struct {
		line string
		want []string // the words that a shell shows
	}{
		{"merchant show ", []string{"m1", "shop-2"}},
		{"merchant pause s", []string{"shop-2"}},
		{"send --mch m", []string{"m1"}},
		{"tail --mch ", []string{"m1", "shop-2"}},
		{"merchant show m1 ", nil},
		{"show ", []string{id}},
		{"resend ", []string{id}},
		{"key revoke ", nil},
		{"help merchant resu", []string{"resume"}},
		{"send --schedule wechat_", []string{"wechat_v2", "wechat_v3"}},
	} {
		words := strings.Split(tt.line, " ")
		begun := words[len(words)-1]
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"__complete"}, words...), strings.NewReader(""), &stdout, &stderr)
		var got []string
		for offered := range strings.Lines(stdout.String()) {
			word, _, _ := strings.Cut(strings.TrimSpace(offered), "\t")
			if !strings.HasPrefix(word, ":") && strings.HasPrefix(word, begun) {
				got = append(got, word)
			}
		}
		if code != exitOK || strings.Join(got, " ") != strings.Join(tt.want, " ") {
			t.Errorf("%q: got %q, want %q (%s)", tt.line, got, tt.want, stderr.String())
		}
	}
}
