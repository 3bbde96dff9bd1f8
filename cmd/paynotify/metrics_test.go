package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"paynotify/test/redis"
)

// family is all series of one name, as a scrape shows them.
type family struct {
	Name, Help, Type string
	Labels           []string            // names, in order
	Values           map[string][]string // by label
	Bounds           []string            // of a histogram, without +Inf
	Sets             []string            // of labels
	Series           int
}

var (
	sampleLine = regexp.MustCompile(`^(paynotify_\w+)(?:\{(.*)\})? \S+$`)
	labelPair  = regexp.MustCompile(`(\w+)="([^"]*)"`)
)

// families reads our part of a scrape in the text format.
func families(t *testing.T, text string) (all []family) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "# HELP paynotify_"); ok {
			name, help, _ := strings.Cut(rest, " ")
			all = append(all, family{Name: "paynotify_" + name, Help: help, Values: map[string][]string{}})
		} else if rest, ok := strings.CutPrefix(line, "# TYPE paynotify_"); ok {
			_, all[len(all)-1].Type, _ = strings.Cut(rest, " ")
		} else if strings.HasPrefix(line, "paynotify_") {
			m := sampleLine.FindStringSubmatch(line)
			if m == nil || !strings.HasPrefix(m[1], all[len(all)-1].Name) {
				t.Fatalf("cannot read %q", line)
			}
			all[len(all)-1].add(m[2])
		}
	}
	return all
}

func (f *family) add(labels string) {
	f.Series++
	set := ""
	for _, pair := range labelPair.FindAllStringSubmatch(labels, -1) {
		name, value := pair[1], pair[2]
		if f.Type == "histogram" && name == "le" {
			if value != "+Inf" && !slices.Contains(f.Bounds, value) {
				f.Bounds = append(f.Bounds, value)
			}
			continue
		}
		set += pair[0] + ","
		if !slices.Contains(f.Labels, name) {
			f.Labels = append(f.Labels, name)
		}
		if !slices.Contains(f.Values[name], value) {
			f.Values[name] = append(f.Values[name], value)
		}
	}
	if !slices.Contains(f.Sets, set) {
		f.Sets = append(f.Sets, set)
	}
}

// optional reports whether the series are there only where something is configured.
func (f *family) optional() bool { return strings.Contains(f.Help, " Only ") }

// open are labels with values that are not ours to list.
var open = map[string]string{
	"version": "", "revision": "", "goversion": "", "merchant": "the first `metrics.merchants`, `_other`",
}

// named are labels whose values stand above the table of the page.
var named = []string{"profile", "verdict"}

func (f *family) row() string {
	var labels []string
	for _, name := range f.Labels {
		text := "`" + name + "`"
		if what, isOpen := open[name]; isOpen && what != "" {
			text += ": " + what
		} else if !isOpen && !slices.Contains(named, name) {
			text += ": " + strings.Join(f.Values[name], ", ")
		}
		labels = append(labels, text)
	}
	series := fmt.Sprint(f.Series)
	if slices.Contains(f.Labels, "merchant") {
		series = "3 a merchant"
	}
	return "| " + strings.Join([]string{
		"`" + f.Name + "`", f.Type, strings.Join(labels, "; "), series, f.Help,
	}, " | ") + " |\n"
}

// tables is what docs/metrics.md has below its introduction.
func tables(all []family) string {
	var b strings.Builder
	for _, label := range named {
		for i := range all {
			if values := all[i].Values[label]; values != nil {
				fmt.Fprintf(&b, "`%s` is one of %s.\n", label, strings.Join(values, ", "))
				break
			}
		}
	}
	b.WriteString("\n| Metric | Type | Labels | Series | What it tells |\n|---|---|---|---|---|\n")
	for i := range all {
		b.WriteString(all[i].row())
	}
	b.WriteString("\n## Buckets of the histograms\n\n" +
		"| Histogram | Upper bounds, in the unit of the name |\n|---|---|\n")
	for i := range all {
		if all[i].Type == "histogram" {
			fmt.Fprintf(&b, "| `%s` | %s |\n", all[i].Name, strings.Join(all[i].Bounds, ", "))
		}
	}
	return b.String()
}

// TestMetricsPage keeps docs/metrics.md, which operators build on, the same as the first scrape of an engine
// with everything, row by row; and an engine without anything has the same series but for the optional ones.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	cfg := redisConfig(t, redis.Start(t).URL())
	cfg.Metrics.Merchants, cfg.Egress.Proxy = 2, "http://127.0.0.1:1"
	e := testEngine(t, cfg)
	defer e.Shutdown()
	_, text := fetch(t, e.URL+"/metrics")
	all := families(t, text)

	const path, begin = "../../docs/metrics.md", "\n`profile` is one of "
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	intro, _, _ := strings.Cut(string(page), begin)
	want := intro + "\n" + tables(all)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		page = []byte(want)
	}
	if diff := cmp.Diff(want, string(page)); diff != "" {
		t.Errorf("run UPDATE=1 go test ./cmd/paynotify -run TestMetricsPage:\n%s", diff)
	}

	embedded := testEngine(t, testConfig(t))
	defer embedded.Shutdown()
	_, text = fetch(t, embedded.URL+"/metrics")
	always := slices.DeleteFunc(slices.Clone(all), func(f family) bool { return f.optional() })
	if diff := cmp.Diff(always, families(t, text)); diff != "" {
		t.Errorf("an embedded engine tells something else: %s", diff)
	}
}

// TestMetricsAreSound: names and units as Prometheus wants them, and every combination of label values from
// the first scrape on, at zero: an alert on increase() never sees a counter whose first sample is 3.
func TestMetricsAreSound(t *testing.T) {
	cfg := testConfig(t)
	cfg.Metrics.Merchants = 2
	e := testEngine(t, cfg)
	defer e.Shutdown()
	_, text := fetch(t, e.URL+"/metrics")
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for _, f := range families(t, text) {
		want := 1
		for _, values := range f.Values {
			want *= len(values)
		}
		if len(f.Sets) != want {
			t.Errorf("%s has %d sets of labels of %d", f.Name, len(f.Sets), want)
		}
		perSet := 1
		if f.Type == "histogram" {
			perSet = len(f.Bounds) + 3
		}
		if f.Series != perSet*len(f.Sets) {
			t.Errorf("%s has %d series, want %d for each of %d sets", f.Name, f.Series, perSet, len(f.Sets))
		}
	}
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "paynotify_store_operations_total") {
			continue // the engine looks at its store by itself
		}
		if strings.HasPrefix(name, "paynotify_") && strings.Contains(name, "_total") && value != "0" {
			t.Errorf("before anything has happened: %s", line)
		}
	}
}

// TestExemplarsAreServed: whoever asks for OpenMetrics gets from a bucket to a notification.
func TestExemplarsAreServed(t *testing.T) {
	e := testEngine(t, testConfig(t))
	defer e.Shutdown()
	testMerchant(t, e, "success")
	id := sent(t, e)
	_, plain := fetch(t, e.URL+"/metrics")
	if strings.Contains(plain, id) {
		t.Error("the text format, which has no exemplars, names a notification")
	}
	q, err := http.NewRequestWithContext(t.Context(), http.MethodGet, e.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	q.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := resp.Header.Get("Content-Type"); !strings.HasPrefix(kind, "application/openmetrics-text") ||
		!strings.HasSuffix(string(text), "# EOF\n") {
		t.Errorf("got %s … %q", kind, text[max(0, len(text)-20):])
	}
	for _, name := range []string{
		`attempt_duration_seconds_bucket{profile="form",verdict_class="acked"`,
		`schedule_lag_seconds_bucket{trigger="first"`,
		`time_to_ack_seconds_bucket{profile="form"`,
	} {
		want := regexp.MustCompile(`(?m)^paynotify_` + regexp.QuoteMeta(name) +
			`,le="[^"]+"\} 1 # \{notify_id="` + id + `"\} \S+ \S+$`)
		if !want.Match(text) {
			t.Errorf("%s} names no notification", name)
		}
	}
}

// TestScrapeWhileRedisHangs: a scrape does not wait for Redis for long, and tells what it knows without.
func TestScrapeWhileRedisHangs(t *testing.T) {
	t.Parallel()
	r := redis.Start(t)
	e := testEngine(t, redisConfig(t, r.URL()))
	defer e.Shutdown()
	const queues = "\npaynotify_queue_tasks{"
	if _, text := fetch(t, e.URL+"/metrics"); !strings.Contains(text, queues) {
		t.Errorf("nothing about the queue in\n%s", text)
	}
	time.Sleep(figuresFor) // what is known is no older than that
	r.Freeze()
	began := time.Now()
	status, text := fetch(t, e.URL+"/metrics")
	if took := time.Since(began); status != http.StatusOK || took > 5*time.Second {
		t.Errorf("%d after %s", status, took)
	}
	if strings.Contains(text, queues) || !strings.Contains(text, "\npaynotify_worker_capacity 256\n") {
		t.Errorf("while Redis hangs:\n%s", text)
	}
	r.Thaw()
	eventually(t, "the figures of the queue do not come back", func() bool {
		_, text := fetch(t, e.URL+"/metrics")
		return strings.Contains(text, queues)
	})
}
