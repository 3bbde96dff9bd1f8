package dashboards

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"paynotify/test/product"
	"paynotify/test/redis"
)

// masterKey is for tests alone.
const masterKey = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// elsewhere are series that no exporter tells: Prometheus makes them.
var elsewhere = []string{"up", "ALERTS"}

// TestCatalogue holds the boards and rules against the running binary, with everything on that has metrics:
// what they read must be there, and what is there must be read by one of them.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	lines := scrape(t)
	told := families(lines)
	read := map[string][]string{} // by family, where
	for _, name := range []string{"alerts.yaml", "recording.yaml"} {
		for _, r := range rules(t, name) {
			for _, series := range names(r.Expr) {
				read[series] = append(read[series], name+", "+r.name())
			}
		}
	}
	for _, b := range boards(t) {
		for _, q := range b.queries() {
			for _, series := range names(q.Expr) {
				read[series] = append(read[series], q.Where)
			}
		}
		for _, v := range b.Templating.List {
			for _, series := range regexp.MustCompile(`paynotify_\w+`).FindAllString(v.Definition, -1) {
				read[series] = append(read[series], b.file+", variable "+v.Name)
			}
		}
	}
	known := map[string]bool{}
	for series, where := range read {
		if strings.Contains(series, ":") || slices.Contains(elsewhere, series) {
			continue
		}
		family, ok := told[series]
		if !ok {
			t.Errorf("%s is not told by the binary, but read by %s", series, strings.Join(where, "; "))
		}
		known[family] = true
	}
	for series, family := range told {
		if strings.HasPrefix(series, "paynotify_") && !known[family] {
			t.Errorf("%s is told by the binary, and on no board and in no rule", series)
			known[family] = true // once is enough
		}
	}
	t.Run("labels", func(t *testing.T) { labels(t, lines) })
}

// labels: what the boards and rules select by a label's value must be a value that the binary knows.
func labels(t *testing.T, lines []string) {
	for _, name := range []string{"alerts.yaml", "recording.yaml"} {
		for _, r := range rules(t, name) {
			checkLabels(t, name+", "+r.name(), r.Expr, lines)
			checkGrouping(t, name+", "+r.name(), r.Expr, "", lines)
		}
	}
	for _, b := range boards(t) {
		for _, q := range b.queries() {
			checkLabels(t, q.Where, q.Expr, lines)
			checkGrouping(t, q.Where, q.Expr, q.Legend, lines)
		}
	}
}

func checkLabels(t *testing.T, where, expr string, lines []string) {
	t.Helper()
	for _, m := range selector.FindAllStringSubmatch(expr, -1) {
		if !strings.HasPrefix(m[1], "paynotify_") {
			continue
		}
		for _, l := range regexp.MustCompile(`(\w+)(=~|!=|=)"([^"]*)"`).FindAllStringSubmatch(m[2], -1) {
			if l[1] == "job" || l[1] == "instance" || strings.Contains(l[3], "$") {
				continue
			}
			for _, value := range labelValues(l[3]) {
				pair := l[1] + `="` + value + `"`
				if !slices.ContainsFunc(lines, func(line string) bool {
					return strings.HasPrefix(line, m[1]+"{") && strings.Contains(line, pair)
				}) {
					t.Errorf("%s: the binary has no %s{%s}", where, m[1], pair)
				}
			}
		}
	}
}

// checkGrouping: a sum by a label that nothing has is one nameless line.
func checkGrouping(t *testing.T, where, expr, legend string, lines []string) {
	t.Helper()
	var labels []string
	for _, m := range byIn.FindAllStringSubmatch(expr, -1) {
		labels = append(labels, strings.Split(m[1], ", ")...)
	}
	for _, m := range regexp.MustCompile(`\{\{(\w+)\}\}`).FindAllStringSubmatch(legend, -1) {
		labels = append(labels, m[1])
	}
	read := names(expr)
	for _, label := range labels {
		known := slices.Contains([]string{"job", "instance"}, label)
		for _, line := range lines {
			name, rest, _ := strings.Cut(line, "{")
			known = known || slices.Contains(read, name) && strings.Contains(","+rest, ","+label+`="`)
		}
		if !known && !slices.ContainsFunc(read, func(name string) bool { return strings.Contains(name, ":") }) {
			t.Errorf("%s: no series of %v has a label %s", where, read, label)
		}
	}
}

// labelValues takes a pattern of ours apart: words with | between them; of the bound 5(\.0)? the plain form.
func labelValues(pattern string) []string {
	return strings.Split(strings.TrimSuffix(pattern, `(\\.0)?`), "|")
}

// families reads a scrape: the family of each name that a series has.
func families(lines []string) map[string]string {
	families := map[string]string{}
	var family string
	for _, line := range lines {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			family, _, _ = strings.Cut(rest, " ")
		}
		if !strings.HasPrefix(line, "#") {
			families[line[:strings.IndexAny(line, "{ ")]] = family
		}
	}
	return families
}

// scrape is one scrape of a process with everything on: Redis, an egress proxy, series for merchants, of
// which there are more than may have them.
func scrape(t *testing.T) []string {
	t.Helper()
	r := redis.Start(t)
	cmd := exec.Command(product.Build(t), "serve", "--dev", "--listen", "127.0.0.1:0", "--store", r.URL())
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(),
		"PAYNOTIFY_MASTER_KEY="+masterKey, "PAYNOTIFY_METRICS_MERCHANTS=1",
		"PAYNOTIFY_EGRESS_PROXY=http://127.0.0.1:9")
	server := product.Serve(t, cmd)
	merchant, err := json.Marshal(map[string]string{
		"mch_id": "m1", "profile": "form", "notify_url": "http://127.0.0.1:9000/",
	})
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.Post(server.URL+"/v1/merchants", "application/json", strings.NewReader(string(merchant)))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("a merchant: %s", resp.Status)
	}
	if resp, err = http.Get(server.URL + "/metrics"); err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var lines []string
	for s := bufio.NewScanner(io.LimitReader(resp.Body, 8<<20)); s.Scan(); {
		lines = append(lines, s.Text())
	}
	if len(lines) < 500 {
		t.Fatalf("a scrape of %d lines", len(lines))
	}
	return lines
}

// TestInhibitions: an inhibition by, or of, an alert that does not exist does nothing, and nobody would
// notice.
func TestInhibitions(t *testing.T) {
	text, err := os.ReadFile(folder + "alertmanager.yml")
	if err != nil {
		t.Fatal(err)
	}
	known := []string{"Paynotify"} // of the pattern for all
	for _, r := range rules(t, "alerts.yaml") {
		known = append(known, r.Alert)
	}
	named := regexp.MustCompile(`Paynotify\w*`).FindAllString(string(text), -1)
	if len(named) < 8 {
		t.Errorf("the sample names %d alerts: the pattern is broken", len(named))
	}
	for _, name := range named {
		if !slices.Contains(known, name) {
			t.Errorf("alertmanager.yml names %s, an alert that does not exist", name)
		}
	}
}

// TestAlertmanager: the sample is valid, and pages go where pages go.
func TestAlertmanager(t *testing.T) {
	t.Parallel()
	tool := tool(t, "amtool", "prometheus-alertmanager")
	file := filepath.Join(folder, "alertmanager.yml")
	run(t, tool, "check-config", file)
	for severity, receiver := range map[string]string{"page": "pager", "ticket": "tickets"} {
		run(t, tool, "config", "routes", "test", "--config.file="+file, "--verify.receivers="+receiver,
			"severity="+severity)
	}
}
