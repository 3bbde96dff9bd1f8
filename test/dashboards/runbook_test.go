package dashboards

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"paynotify/test/product"
)

// TestRunbookCommands asks the binary for the help of every command that the runbook shows: whoever is
// woken by an alert must not find out that a flag has another name.
func TestRunbookCommands(t *testing.T) {
	t.Parallel()
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	binary := product.Build(t)
	command := regexp.MustCompile("(?m)(?:^|`)paynotify ([a-z][^`#\n]*)")
	shown := command.FindAllStringSubmatch(string(runbook), -1)
	if len(shown) < 20 {
		t.Fatalf("the runbook shows %d commands: the pattern is broken", len(shown))
	}
	for _, m := range shown {
		line := regexp.MustCompile(`"[^"]*"`).ReplaceAllString(m[1], "x")
		words := strings.Fields(line)
		out, err := exec.Command(binary, append(words, "--help")...).CombinedOutput()
		if err != nil {
			t.Errorf("paynotify %s: %v\n%s", m[1], err, out)
			continue
		}
		// An unknown command has the help of the one above it.
		name := "paynotify"
		for _, w := range words {
			if !regexp.MustCompile(`^[a-z][a-z-]*$`).MatchString(w) {
				break
			}
			name += " " + w
		}
		if !strings.Contains(string(out), "\n  "+name+" ") {
			t.Errorf("the runbook shows %q, which is no command:\n%s", name, out)
		}
	}
}
