package dashboards

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const folder = "../../dashboards/"

// rule is one alert rule, or one recording rule.
type rule struct {
	Alert       string            `yaml:"alert,omitempty"`
	Record      string            `yaml:"record,omitempty"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels,omitempty"`
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

func (r *rule) name() string { return r.Alert + r.Record }

type ruleGroup struct {
	Name     string `yaml:"name"`
	Interval string `yaml:"interval,omitempty"`
	Rules    []rule `yaml:"rules"`
}

type ruleFile struct {
	Groups []ruleGroup `yaml:"groups"`
}

// readYAML reads one of the files that operators load; an unknown field is an error.
func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(folder + name)
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// rules are all rules of a file, in order.
func rules(t *testing.T, name string) []rule {
	t.Helper()
	var file ruleFile
	readYAML(t, name, &file)
	var all []rule
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", name)
	}
	return all
}

// tool is the path of a program of Debian's packages; the test is skipped where it is absent.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: apt-get install %s", name, debian)
	}
	return path
}

// promtool is the tool, of Prometheus 2: in version 3 a window no longer takes the sample at its begin, which
// changes figures that the unit tests state.
func promtool(t *testing.T) string {
	t.Helper()
	path := tool(t, "promtool", "prometheus")
	if version := run(t, path, "--version"); !strings.Contains(version, "version 2.") {
		t.Skipf("the unit tests are for promtool 2, this is %s", version)
	}
	return path
}

// run runs a tool to its end.
func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, out)
	}
	return string(out)
}

// TestRules runs the unit tests that operators can run too.
func TestRules(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	run(t, tool, "check", "rules", folder+"recording.yaml", folder+"alerts.yaml")
	files, err := filepath.Glob(folder + "*_test.yaml")
	if err != nil || len(files) < 2 {
		t.Fatalf("test files %v, %v", files, err)
	}
	run(t, tool, append([]string{"test", "rules"}, files...)...)
}

// TestCompose: the Prometheus of compose.yaml finds the rules where it mounts them, and the job has the
// name that the rules want.
func TestCompose(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	config, err := os.ReadFile("../../examples/compose/prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yaml"), config, 0o600); err != nil {
		t.Fatal(err)
	}
	rules, err := filepath.Abs(folder)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(rules, filepath.Join(dir, "paynotify")); err != nil {
		t.Fatal(err)
	}
	run(t, tool, "check", "config", filepath.Join(dir, "prometheus.yaml"))
	if !bytes.Contains(config, []byte("job_name: paynotify\n")) {
		t.Error("examples/compose/prometheus.yaml names its job otherwise: PaynotifyDown would fire")
	}
}

// TestAlertRules: what every alert has.
func TestAlertRules(t *testing.T) {
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	headings := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^### (Paynotify\w+)$`).FindAllStringSubmatch(string(runbook), -1) {
		if headings[m[1]] {
			t.Errorf("docs/runbook.md has two headings %s", m[1])
		}
		headings[m[1]] = true
	}
	for _, r := range rules(t, "alerts.yaml") {
		if !strings.HasPrefix(r.Alert, "Paynotify") {
			t.Errorf("alert %q: the name does not begin with Paynotify", r.Alert)
		}
		if got := r.Labels["severity"]; got != "page" && got != "ticket" {
			t.Errorf("%s: severity %q, want page or ticket", r.Alert, got)
		}
		for _, annotation := range []string{"summary", "description"} {
			if !strings.HasSuffix(r.Annotations[annotation], ".") {
				t.Errorf("%s: the %s is no sentence: %q", r.Alert, annotation, r.Annotations[annotation])
			}
		}
		if want := "docs/runbook.md#" + strings.ToLower(r.Alert); r.Annotations["runbook"] != want {
			t.Errorf("%s: runbook %q, want %q", r.Alert, r.Annotations["runbook"], want)
		}
		if !headings[r.Alert] {
			t.Errorf("docs/runbook.md has no heading ### %s", r.Alert)
		}
		delete(headings, r.Alert)
	}
	for name := range headings {
		t.Errorf("docs/runbook.md explains %s, an alert that does not exist", name)
	}
}

// TestRecordedSeriesAreUsed: a rule that nobody reads costs for nothing, and a recorded name that nobody
// records is a rule that never fires.
func TestRecordedSeriesAreUsed(t *testing.T) {
	used := map[string]bool{}
	for _, r := range append(rules(t, "alerts.yaml"), rules(t, "recording.yaml")...) {
		for _, name := range names(r.Expr) {
			used[name] = true
		}
	}
	for _, b := range boards(t) {
		for _, q := range b.queries() {
			for _, name := range names(q.Expr) {
				used[name] = true
			}
		}
	}
	for _, r := range rules(t, "recording.yaml") {
		if !used[r.Record] {
			t.Errorf("%s is recorded and read by no rule and no panel", r.Record)
		}
		delete(used, r.Record)
	}
	for name := range used {
		if strings.Contains(name, ":") {
			t.Errorf("%s is read and not recorded", name)
		}
	}
}

// testFile is a file of promtool's unit tests, as far as we take it apart.
type testFile struct {
	RuleFiles []string   `yaml:"rule_files"`
	Interval  string     `yaml:"evaluation_interval"`
	Tests     []testCase `yaml:"tests"`
}

type testCase struct {
	Name     string      `yaml:"name"`
	Interval string      `yaml:"interval"`
	Input    []yaml.Node `yaml:"input_series"`
	Alerts   []alertTest `yaml:"alert_rule_test,omitempty"`
	Exprs    []exprTest  `yaml:"promql_expr_test,omitempty"`
}

type alertTest struct {
	At     string      `yaml:"eval_time"`
	Alert  string      `yaml:"alertname"`
	Expect []yaml.Node `yaml:"exp_alerts"`
}

type exprTest struct {
	Expr   string      `yaml:"expr"`
	At     string      `yaml:"eval_time"`
	Expect []yaml.Node `yaml:"exp_samples"`
}

// TestEveryAlertIsTested: firing with all its labels and texts, firing at all, and not firing.
func TestEveryAlertIsTested(t *testing.T) {
	fires, quiet := map[string]int{}, map[string]int{}
	for _, name := range []string{"alerts_test.yaml", "alerts_raw_test.yaml", "alerts_slow_test.yaml"} {
		var file testFile
		readYAML(t, name, &file)
		for _, c := range file.Tests {
			alert, _, _ := strings.Cut(c.Name, ": ")
			for _, a := range c.Alerts {
				switch {
				case a.Alert != alert:
					t.Errorf("%s: test %q is about %s", name, c.Name, a.Alert)
				case len(a.Expect) > 0:
					fires[alert]++
				default:
					quiet[alert]++
				}
			}
			for _, e := range c.Exprs {
				if !strings.HasPrefix(e.Expr, `ALERTS{alertname="`+alert+`"`) {
					t.Errorf("%s: test %q asks for %s", name, c.Name, e.Expr)
				}
				if len(e.Expect) == 0 {
					quiet[alert]++
				}
			}
		}
	}
	for _, r := range rules(t, "alerts.yaml") {
		if fires[r.Alert] == 0 || quiet[r.Alert] == 0 {
			t.Errorf("%s: %d tests that it fires, %d that it does not", r.Alert, fires[r.Alert], quiet[r.Alert])
		}
	}
}

// names are the series that a PromQL expression reads.
func names(expr string) []string {
	expr = regexp.MustCompile(`"[^"]*"`).ReplaceAllString(expr, "")
	expr = regexp.MustCompile(`\{[^}]*\}|\[[^\]]*\]`).ReplaceAllString(expr, " ")
	expr = regexp.MustCompile(`\b(by|without|on|ignoring|group_left|group_right) *\([^)]*\)`).
		ReplaceAllString(expr, " ")
	var found []string
	for _, m := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*( *\()?`).FindAllString(expr, -1) {
		word := strings.TrimSpace(m)
		switch {
		case strings.HasSuffix(word, "("): // a function
		case slices.Contains([]string{"and", "or", "unless", "bool", "offset", "d", "h", "m", "s"}, word):
		case slices.Contains([]string{"sum", "max", "min", "count"}, word): // sum by (…) (…)
		default:
			found = append(found, word)
		}
	}
	return found
}

func TestNames(t *testing.T) {
	const expr = `sum by (job, le) (rate(a_total{x="b", y=~"c{2}"}[5m]))
		/ on (job) up offset 1d > 0.5 and i:r:s == 1`
	if got := strings.Join(names(expr), " "); got != "a_total up i:r:s" {
		t.Errorf("found %q", got)
	}
}
