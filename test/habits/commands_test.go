package habits

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// target is a line of the Makefile that "make help" shows.
var target = regexp.MustCompile(`(?m)^([a-z-]+):.*## \S`)

func targets(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range target.FindAllStringSubmatch(readRoot(t, "Makefile"), -1) {
		names = append(names, m[1])
	}
	return names
}

// fenced returns the command lines of a Markdown text's code blocks, without a prompt.
func fenced(markdown string) (lines []string) {
	inside := false
	for text := range strings.Lines(markdown) {
		text = strings.TrimSpace(text)
		switch {
		case strings.HasPrefix(text, "```"):
			inside = !inside
		case inside && text != "":
			lines = append(lines, strings.TrimSpace(strings.TrimPrefix(text, "$ ")))
		}
	}
	return lines
}

// A newcomer copies these two lines, and nothing else is needed.
func TestReadmeCommands(t *testing.T) {
	readme, offered := readRoot(t, "README.md"), targets(t)
	lines := fenced(readme)
	for _, command := range []string{"make demo", "make test"} {
		found := slices.ContainsFunc(lines, func(l string) bool {
			return l == command || strings.HasPrefix(l, command+" ") // a comment may follow
		})
		if !found {
			t.Errorf("README.md has no line %q in a code block", command)
		}
		if !contains(offered, strings.TrimPrefix(command, "make ")) {
			t.Errorf("the Makefile does not offer %q in its help", command)
		}
	}
	checkMakeNames(t, "README.md", readme, offered)
	checkMakeNames(t, "CONTRIBUTING.md", readRoot(t, "CONTRIBUTING.md"), offered)
}

// checkMakeNames looks up every make command that a text shows as code.
func checkMakeNames(t *testing.T, file, text string, offered []string) {
	t.Helper()
	shown := fenced(text)
	for _, m := range regexp.MustCompile("`(make [^`]+)`").FindAllStringSubmatch(text, -1) {
		shown = append(shown, m[1])
	}
	for _, command := range shown {
		words := strings.Fields(command)
		if len(words) > 1 && words[0] == "make" && !contains(offered, words[1]) {
			t.Errorf("%s shows %q, which the Makefile does not offer", file, command)
		}
	}
}

func TestMakefile(t *testing.T) {
	offered, makefile := targets(t), readRoot(t, "Makefile")
	for _, name := range []string{
		"help", "build", "demo", "test", "test-race", "test-faults", "bench", "bench-redis", "lint", "fmt", "fuzz",
		"clean",
	} {
		if !contains(offered, name) {
			t.Errorf("the Makefile does not offer %s in its help", name)
		}
		if !regexp.MustCompile(`(?m)^\.PHONY:.*\b` + name + `\b`).MatchString(makefile) {
			t.Errorf("%s is not .PHONY", name)
		}
	}
	// What CI shows last are go test's own lines.
	recipe := regexp.MustCompile(`(?m)^test:.*\n((?:\t.*\n)+)`).FindStringSubmatch(makefile)
	if recipe == nil {
		t.Fatal("make test has no recipe")
	}
	lines := strings.Split(strings.TrimSpace(recipe[1]), "\n")
	if last := lines[len(lines)-1]; !regexp.MustCompile(`^\t?\$\(GO\) test .*\./\.\.\.$`).MatchString(last) {
		t.Errorf("make test ends with %q, not with go test of everything", last)
	}
	out, err := exec.Command("make", "-C", "../..", "--no-print-directory", "help").CombinedOutput()
	if err != nil {
		t.Errorf("make help: %v\n%s", err, out)
	} else if n := strings.Count(string(out), "\n"); n != len(offered) {
		t.Errorf("make help shows %d lines for %d targets:\n%s", n, len(offered), out)
	}
}

// CI runs the command that people run, and nothing beside it.
func TestContinuousIntegration(t *testing.T) {
	var commands []string
	for text := range strings.Lines(readRoot(t, ".ci/run")) {
		text = strings.TrimSpace(text)
		if text != "" && !strings.HasPrefix(text, "#") {
			commands = append(commands, text)
		}
	}
	want := []string{"set -euo pipefail", `cd "$(dirname "$0")/.."`, "exec make test"}
	if !slices.Equal(commands, want) {
		t.Errorf(".ci/run does\n%s\nwant\n%s", strings.Join(commands, "\n"), strings.Join(want, "\n"))
	}
	for _, script := range []string{"../../.ci/run", "../install-tools", "../bench-redis"} {
		info, err := os.Stat(script)
		if err != nil {
			t.Error(err)
		} else if info.Mode()&0o111 == 0 {
			t.Errorf("%s is not executable", script)
		}
	}
}

// The image is empty but for the binary, and runs as nobody.
func TestDockerfile(t *testing.T) {
	_, last, ok := strings.Cut(readRoot(t, "Dockerfile"), "\nFROM scratch\n")
	if !ok {
		t.Fatal("the Dockerfile's last stage is not FROM scratch")
	}
	if regexp.MustCompile(`(?m)^(FROM|RUN|ADD|SHELL) `).MatchString(last) {
		t.Error("the last stage runs or adds something: scratch has no shell")
	}
	for _, want := range []string{
		"USER 65532", "VOLUME /data", `HEALTHCHECK .*CMD \["/paynotify", "health"\]`,
		`ENTRYPOINT \["/paynotify"\]`, "COPY --from=build /etc/ssl/certs/ca-certificates.crt ",
		"COPY --from=build --chown=65532:65532 /out/data /data",
	} {
		if !regexp.MustCompile(`(?m)^` + want).MatchString(last) {
			t.Errorf("the last stage has no line %q", want)
		}
	}
}
