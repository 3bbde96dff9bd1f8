package dashboards

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// same lists mutants that change nothing, with the reason; their number is part of the test.
var same = map[string]string{
	"PaynotifyDown: sum → max #1":            "none is up, or one is: 0 either way",
	"PaynotifyEgressProxyDown: max → sum #1": "none is up, or one is: 0 either way",
	"PaynotifyNodeDown: sum → max #1":        "more than none is up, either way",
}

// mutant is a rule with one slip in it.
type mutant struct {
	what string
	rule rule
}

// TestMutants makes every slip in every rule that we can think of, one at a time, and wants a unit test to
// fail at each: a rule whose threshold can be moved without anybody noticing is not tested.
func TestMutants(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	recording := rules(t, "recording.yaml")
	tests := map[bool][]testFile{} // by "of alerts"
	for _, name := range []string{
		"alerts_test.yaml", "alerts_raw_test.yaml", "alerts_slow_test.yaml",
		"recording_test.yaml", "recording_slow_test.yaml", "recording_month_test.yaml",
	} {
		var file testFile
		readYAML(t, name, &file)
		ofAlerts := strings.HasPrefix(name, "alerts")
		tests[ofAlerts] = append(tests[ofAlerts], file)
	}
	dir := t.TempDir()
	var cases []string // folders
	what := map[string]string{}
	add := func(m mutant, original *rule) {
		where := filepath.Join(dir, strconv.Itoa(len(cases)))
		if err := os.Mkdir(where, 0o700); err != nil {
			t.Fatal(err)
		}
		writeCase(t, where, m.rule, around(original, recording), about(original, recording, tests))
		cases = append(cases, where)
		what[where] = original.name() + ": " + m.what
	}
	for _, r := range append(rules(t, "alerts.yaml"), recording...) {
		add(mutant{"as it is", r}, &r)
		for _, m := range mutants(r) {
			add(m, &r)
		}
	}
	checkSyntax(t, tool, cases)
	failed := runTests(t, tool, cases)
	unused := maps.Clone(same)
	for _, where := range cases {
		delete(unused, what[where])
		caught, _ := failed[where]
		switch plain := strings.HasSuffix(what[where], ": as it is"); {
		case plain && caught:
			t.Errorf("%s: its tests fail when they run alone", what[where])
		case !plain && caught == (same[what[where]] != ""):
			t.Errorf("%s: caught is %v; %s", what[where], caught, same[what[where]])
		}
	}
	for name := range unused {
		t.Errorf("no mutant is called %q", name)
	}
	t.Logf("%d mutants of %d rules", len(cases), len(recording)+len(rules(t, "alerts.yaml")))
}

// around are the other rules that a rule's tests need: what it reads, and what reads it, of the recorded
// ones.
func around(r *rule, recording []rule) []rule {
	wanted := map[string]bool{r.name(): true}
	for grown := true; grown; {
		grown = false
		for _, other := range append([]rule{*r}, recording...) {
			for _, name := range names(other.Expr) {
				reads := wanted[other.name()] && strings.Contains(name, ":") && !wanted[name]
				isRead := r.Record != "" && wanted[name] && !wanted[other.name()]
				if reads {
					wanted[name] = true
				}
				if isRead {
					wanted[other.name()] = true
				}
				grown = grown || reads || isRead
			}
		}
	}
	return slices.DeleteFunc(slices.Clone(recording), func(o rule) bool { return !wanted[o.Record] })
}

// about are the tests of a rule, in their files.
func about(r *rule, recording []rule, all map[bool][]testFile) []testFile {
	var wanted []string
	for _, near := range around(r, recording) {
		wanted = append(wanted, near.Record)
	}
	var files []testFile
	for _, file := range all[r.Alert != ""] {
		kept := file
		kept.Tests = nil
		for _, c := range file.Tests {
			if r.Alert != "" {
				if strings.HasPrefix(c.Name, r.Alert+": ") {
					kept.Tests = append(kept.Tests, c)
				}
				continue
			}
			c.Exprs = slices.DeleteFunc(slices.Clone(c.Exprs), func(e exprTest) bool {
				return !slices.ContainsFunc(names(e.Expr), func(n string) bool { return slices.Contains(wanted, n) })
			})
			if len(c.Exprs) > 0 {
				kept.Tests = append(kept.Tests, c)
			}
		}
		if len(kept.Tests) > 0 {
			files = append(files, kept)
		}
	}
	return files
}

// writeCase writes rules.yaml, in which m stands for the rule of its name, and the tests.
func writeCase(t *testing.T, where string, m rule, others []rule, files []testFile) {
	t.Helper()
	all := slices.Clone(others)
	if i := slices.IndexFunc(all, func(o rule) bool { return o.name() == m.name() }); i >= 0 {
		all[i] = m
	} else {
		all = append(all, m)
	}
	write := func(name string, v any) {
		text, err := yaml.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(where, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("rules.yaml", ruleFile{[]ruleGroup{{Name: "one", Rules: all}}})
	for i, file := range files {
		file.RuleFiles = []string{"rules.yaml"}
		write(testName(i), file)
	}
}

// checkSyntax sees to it that no mutant is caught just because Prometheus would not load it.
func checkSyntax(t *testing.T, tool string, cases []string) {
	t.Helper()
	args := []string{"check", "rules", "--lint=none"}
	for _, where := range cases {
		args = append(args, filepath.Join(where, "rules.yaml"))
	}
	run(t, tool, args...)
}

// runTests runs the tests of all cases, as many at a time as there are processors, and tells which fail. What
// fails in its first file need not run the others, which take longer.
func runTests(t *testing.T, tool string, cases []string) map[string]bool {
	t.Helper()
	failed := map[string]bool{}
	for round := range filesMax {
		var files []string
		for _, where := range cases {
			file := filepath.Join(where, testName(round))
			if _, err := os.Stat(file); err == nil && !failed[where] {
				files = append(files, file)
			}
		}
		runFiles(tool, files, failed)
	}
	for _, where := range cases {
		if _, ok := failed[where]; !ok {
			t.Errorf("%s was not tested", where)
		}
	}
	return failed
}

// filesMax is how many files the tests of one rule can stand in.
const filesMax = 3

func testName(i int) string { return "test" + strconv.Itoa(i) + ".yaml" }

func runFiles(tool string, files []string, failed map[string]bool) {
	var (
		mu   sync.Mutex
		all  sync.WaitGroup
		work = make(chan []string)
	)
	for range runtime.NumCPU() {
		all.Go(func() {
			for some := range work {
				cmd := exec.Command(tool, append([]string{"test", "rules"}, some...)...)
				cmd.Env = append(os.Environ(), "GOGC=400") // it lives for a second
				out, _ := cmd.CombinedOutput()             // the exit code says that one of them failed, this which
				mu.Lock()
				readFailures(failed, string(out))
				mu.Unlock()
			}
		})
	}
	for some := range slices.Chunk(files, 16) {
		work <- some
	}
	close(work)
	all.Wait()
}

// readFailures reads what promtool prints: the name of a test file, then what became of it.
func readFailures(failed map[string]bool, out string) {
	where := ""
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		if file, ok := strings.CutPrefix(line, "Unit Testing: "); ok {
			where = filepath.Dir(strings.TrimSpace(file))
			failed[where] = false
		}
		if strings.HasPrefix(line, "FAILED") {
			failed[where] = true
		}
	}
}

// swap replaces one word by another where it stands alone in an expression.
type swap struct{ from, to string }

var swaps = []swap{
	{" > ", " < "},
	{" < ", " > "},
	{" >= ", " < "},
	{" == ", " != "},
	{"and ", "or "},
	{"or ", "and "},
	{" / ", " * "},
	{" * ", " / "},
	{" - ", " + "},
	{"sum by", "max by"},
	{"max by", "sum by"},
	{"min by", "max by"},
}

var (
	numberIn  = regexp.MustCompile(`(?:^|[\s(])(\d+(?:\.\d+)?)(?:$|[\s)])`)
	windowIn  = regexp.MustCompile(`\[(\d+)([smhd])\]`)
	matcherIn = regexp.MustCompile(`\w+(=~|!=|=)"[^"]*"`)
	byIn      = regexp.MustCompile(`\bby \(([^)]*)\)`)
)

// mutants are the slips of a rule.
func mutants(r rule) []mutant {
	var all []mutant
	change := func(what, expr string) {
		m := r
		m.Expr = expr
		all = append(all, mutant{what, m})
	}
	// replace makes a mutant of each place where re matches (its group, if it has one).
	replace := func(what string, re *regexp.Regexp, by func(string) string) {
		for i, at := range re.FindAllStringSubmatchIndex(r.Expr, -1) {
			from, to := at[0], at[1]
			if len(at) > 2 && re != windowIn && re != matcherIn {
				from, to = at[2], at[3]
			}
			change(fmt.Sprintf("%s #%d", what, i+1), r.Expr[:from]+by(r.Expr[from:to])+r.Expr[to:])
		}
	}
	for _, s := range swaps {
		word := regexp.MustCompile(`(` + strings.Replace(`\b`+regexp.QuoteMeta(s.from), `\b `, ` `, 1) + `)`)
		replace(strings.TrimSuffix(strings.TrimSpace(s.from), " by")+" → "+
			strings.TrimSuffix(strings.TrimSpace(s.to), " by"), word, func(string) string { return s.to })
	}
	replace("number more", numberIn, func(n string) string { return scaled(n, 1.5, 1) })
	replace("number less", numberIn, func(n string) string { return scaled(n, 1/1.5, -1) })
	replace("window longer", windowIn, func(w string) string { return resized(w, 12, 1) })
	replace("window shorter", windowIn, func(w string) string { return resized(w, 1, 5) })
	replace("matcher of another", matcherIn, func(m string) string {
		return matcherIn.FindString(m)[:strings.IndexAny(m, "=!")] + `="nobody"`
	})
	replace("matcher of all", matcherIn, func(m string) string {
		return m[:strings.IndexAny(m, "=!")] + `=~".*"`
	})
	for i, at := range byIn.FindAllStringSubmatchIndex(r.Expr, -1) {
		labels := strings.Split(r.Expr[at[2]:at[3]], ", ")
		for _, drop := range labels {
			rest := slices.DeleteFunc(slices.Clone(labels), func(l string) bool { return l == drop })
			change(fmt.Sprintf("by without %s #%d", drop, i+1),
				r.Expr[:at[2]]+strings.Join(rest, ", ")+r.Expr[at[3]:])
		}
	}
	if r.Alert != "" {
		all = append(all, alertMutants(r)...)
	}
	return all
}

// alertMutants are the slips beside the expression.
func alertMutants(r rule) []mutant {
	longer := "30m"
	if d, err := time.ParseDuration(strings.Replace(r.For, "1d", "24h", 1)); err == nil {
		longer = strconv.Itoa(int(3*d.Seconds())) + "s"
	}
	waits, atOnce, other, none := r, r, r, r
	waits.For, atOnce.For = longer, ""
	severity := "page"
	if r.Labels["severity"] == severity {
		severity = "ticket"
	}
	other.Labels = map[string]string{"severity": severity}
	none.Labels = nil
	all := []mutant{{"for longer", waits}, {"other severity", other}, {"no severity", none}}
	if r.For != "" {
		all = append(all, mutant{"for nothing", atOnce})
	}
	return all
}

// scaled multiplies a number; nought becomes zero.
func scaled(number string, by, zero float64) string {
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		panic(err) // the pattern takes numbers only
	}
	if n == 0 {
		return fmt.Sprint(zero)
	}
	return fmt.Sprint(n * by)
}

func resized(window string, by, per int) string {
	m := windowIn.FindStringSubmatch(window)
	n, err := strconv.Atoi(m[1])
	if err != nil {
		panic(err) // the pattern takes numbers only
	}
	return fmt.Sprintf("[%ds]", n*by*map[string]int{"s": 1, "m": 60, "h": 3600, "d": 86400}[m[2]]/per)
}

// TestMutantsOf checks the slips themselves.
func TestMutantsOf(t *testing.T) {
	r := rule{Alert: "A", Expr: `sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 2`, For: "1d"}
	var got bytes.Buffer
	for _, m := range mutants(r) {
		fmt.Fprintf(&got, "%s: %s %s\n", m.what, m.rule.Expr, m.rule.For)
	}
	const want = `> → < #1: sum by (job, x) (rate(a_total{y="z"}[5m])) < 0 and b > 2 1d
> → < #2: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b < 2 1d
and → or #1: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 or b > 2 1d
sum → max #1: max by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 2 1d
number more #1: sum by (job, x) (rate(a_total{y="z"}[5m])) > 1 and b > 2 1d
number more #2: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 3 1d
number less #1: sum by (job, x) (rate(a_total{y="z"}[5m])) > -1 and b > 2 1d
number less #2: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 1.3333333333333333 1d
window longer #1: sum by (job, x) (rate(a_total{y="z"}[3600s])) > 0 and b > 2 1d
window shorter #1: sum by (job, x) (rate(a_total{y="z"}[60s])) > 0 and b > 2 1d
matcher of another #1: sum by (job, x) (rate(a_total{y="nobody"}[5m])) > 0 and b > 2 1d
matcher of all #1: sum by (job, x) (rate(a_total{y=~".*"}[5m])) > 0 and b > 2 1d
by without job #1: sum by (x) (rate(a_total{y="z"}[5m])) > 0 and b > 2 1d
by without x #1: sum by (job) (rate(a_total{y="z"}[5m])) > 0 and b > 2 1d
for longer: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 2 259200s
other severity: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 2 1d
no severity: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 2 1d
for nothing: sum by (job, x) (rate(a_total{y="z"}[5m])) > 0 and b > 2 
`
	if got.String() != want {
		t.Errorf("got\n%s", got.String())
	}
}
