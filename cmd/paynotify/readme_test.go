package main

import (
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// readme HEADING runs the shell block under a heading of README.md as a reader would, with free ports in
// place of fixed ones. What the block starts in the background is started with start, named server and shop.
func readme(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: readme HEADING")
	}
	lines := readmeBlock(ts, args[0])
	if len(lines) < 3 {
		ts.Fatalf("README.md: only %d commands under %q", len(lines), args[0])
	}
	for _, line := range lines {
		ts.Logf("README: %s", line)
		line = strings.ReplaceAll(line, "bin/paynotify ", "paynotify ")
		command, _, inBackground := strings.Cut(line, " &")
		words := strings.Fields(command)
		switch {
		case words[0] == "go":
			// The test binary is what it would build.
		case inBackground && words[1] == "serve":
			start(ts, false, append([]string{"server"}, append(words[1:], "--listen", "127.0.0.1:0")...))
			ts.Setenv("PAYNOTIFY_SERVER", ts.Getenv("server_URL"))
		case inBackground:
			for i := range words {
				words[i] = strings.ReplaceAll(words[i], "127.0.0.1:9000", "127.0.0.1:0")
			}
			start(ts, false, append([]string{"shop"}, words[1:]...))
		case words[0] == "curl":
			line = strings.ReplaceAll(line, "localhost:8080", ts.Getenv("server_ADDR"))
			line = strings.ReplaceAll(line, "127.0.0.1:9000", ts.Getenv("shop_ADDR"))
			ts.Check(ts.Exec("sh", "-c", strings.Replace(line, "curl ", "curl --fail-with-body ", 1)))
			if id := regexp.MustCompile(`"notify_id":"(\w+)"`).FindStringSubmatch(ts.ReadFile("stdout")); id != nil {
				ts.Setenv("ID", id[1])
			}
		case words[0] == "paynotify":
			command, _, _ := strings.Cut(line, " #")
			words := strings.Fields(regexp.MustCompile(`\S*…`).ReplaceAllString(command, ts.Getenv("ID")))
			ts.Check(ts.Exec(words[0], words[1:]...))
		default:
			ts.Fatalf("README.md has a command that this test does not know: %s", line)
		}
	}
}

// readmeBlock is the first shell block under a heading: one element a command, comments left out.
func readmeBlock(ts *testscript.TestScript, heading string) (lines []string) {
	text, err := os.ReadFile("../../README.md")
	ts.Check(err)
	_, rest, found := strings.Cut(string(text), "\n## "+heading+"\n")
	_, rest, fenced := strings.Cut(rest, "\n```sh\n")
	block, _, closed := strings.Cut(rest, "\n```")
	if !found || !fenced || !closed {
		ts.Fatalf("README.md has no shell block under %q", heading)
	}
	for line := range strings.Lines(strings.ReplaceAll(block, "\\\n", "") + "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}
