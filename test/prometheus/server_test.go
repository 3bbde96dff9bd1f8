package prometheus

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"paynotify/test/redis"
)

const (
	folder   = "../../dashboards/"
	readyMax = 20 * time.Second // from the start to the first answer
	stopMax  = 10 * time.Second
	logTail  = 4000 // bytes of a server's log in a failure
)

// watcher is a child process with an HTTP API.
type watcher struct {
	address string
	client  http.Client
}

// start runs a server until the end of the test and waits until /-/ready says so.
func start(t *testing.T, address, program string, args ...string) *watcher {
	t.Helper()
	dir := t.TempDir()
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = dir, log, log, dieWithUs()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is read from its log
		close(ended)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
		select {
		case <-ended:
		case <-time.After(stopMax):
			_ = cmd.Process.Kill()
			<-ended
		}
		_ = log.Close()
	})
	w := &watcher{address: address, client: http.Client{Timeout: 10 * time.Second}}
	for deadline := time.Now().Add(readyMax); ; {
		resp, err := w.client.Get("http://" + address + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return w
			}
		}
		select {
		case <-ended:
			t.Fatalf("%s ended at once\n%s", program, tail(log.Name()))
		case <-time.After(poll):
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not ready after %v\n%s", program, readyMax, tail(log.Name()))
		}
	}
}

func tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// get asks for JSON.
func (w *watcher) get(t *testing.T, path string, query url.Values, into any) {
	t.Helper()
	resp, err := w.client.Get("http://" + w.address + path + "?" + query.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %v: %s\n%s", path, query, resp.Status, text)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v\n%s", path, err, text)
	}
}

// write writes a file of a temporary folder and returns its path.
func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// hurried is a file of dashboards/ with every wait of that kind shortened to some seconds; there must be
// some.
func hurried(t *testing.T, name string, waits ...string) string {
	t.Helper()
	text, err := os.ReadFile(folder + name)
	if err != nil {
		t.Fatal(err)
	}
	re := regexp.MustCompile(`(?m)^( +(?:` + strings.Join(waits, "|") + `): )\w+$`)
	if !re.Match(text) {
		t.Fatalf("%s waits for nothing: no line of %v", name, waits)
	}
	return re.ReplaceAllString(string(text), "${1}2s")
}

// prometheus is a Prometheus that scrapes every second.
type prometheus struct{ *watcher }

// startPrometheus watches the targets, by job.
func startPrometheus(t *testing.T, alertmanager string, targets map[string]string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "recording.yaml", hurried(t, "recording.yaml", "interval"))
	write(t, dir, "alerts.yaml", hurried(t, "alerts.yaml", "for"))
	config := "global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\n" +
		"rule_files: [recording.yaml, alerts.yaml]\n" +
		"alerting: {alertmanagers: [{static_configs: [{targets: ['" + alertmanager + "']}]}]}\n" +
		"scrape_configs:\n"
	for job, target := range targets {
		config += "  - {job_name: " + job + ", static_configs: [{targets: ['" + target + "']}]}\n"
	}
	address := "127.0.0.1:" + redis.FreePort(t)
	return &prometheus{start(t, address, "prometheus", "--config.file="+write(t, dir, "prometheus.yaml", config),
		"--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--enable-feature=exemplar-storage", "--log.level=warn")}
}

// samples asks for an expression's value now; what is not a number is left out.
func (p *prometheus) samples(t *testing.T, expr string) (values []float64) {
	t.Helper()
	var answer struct {
		Data struct {
			ResultType string          `json:"resultType"`
			Result     json.RawMessage `json:"result"`
		} `json:"data"`
	}
	p.get(t, "/api/v1/query", url.Values{"query": {expr}}, &answer)
	var vector []struct {
		Value []any `json:"value"`
	}
	if err := json.Unmarshal(answer.Data.Result, &vector); err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	for _, sample := range vector {
		text, _ := sample.Value[1].(string)
		if n, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(n) {
			values = append(values, n)
		}
	}
	return values
}

func (p *prometheus) numbers(t *testing.T, expr string) int {
	t.Helper()
	return len(p.samples(t, expr))
}

// value is the value of an expression that has one, else NaN.
func (p *prometheus) value(t *testing.T, expr string) float64 {
	t.Helper()
	if all := p.samples(t, expr); len(all) == 1 {
		return all[0]
	}
	return math.NaN()
}

// firing names the alerts that fire.
func (p *prometheus) firing(t *testing.T) (names []string) {
	t.Helper()
	var answer struct {
		Data struct {
			Alerts []struct {
				State  string            `json:"state"`
				Labels map[string]string `json:"labels"`
			} `json:"alerts"`
		} `json:"data"`
	}
	p.get(t, "/api/v1/alerts", nil, &answer)
	for _, a := range answer.Data.Alerts {
		if a.State == "firing" {
			names = append(names, a.Labels["alertname"])
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ruleErrors says which rules cannot be evaluated, and why.
func (p *prometheus) ruleErrors(t *testing.T) map[string]string {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string } `json:"rules"`
			} `json:"groups"`
		} `json:"data"`
	}
	p.get(t, "/api/v1/rules", nil, &answer)
	faults, rules := map[string]string{}, 0
	for _, g := range answer.Data.Groups {
		for _, r := range g.Rules {
			rules++
			if r.Health != "ok" {
				faults[r.Name] = r.Health + ": " + r.LastError
			}
		}
	}
	if rules < 30 {
		t.Errorf("Prometheus has %d rules", rules)
	}
	return faults
}

// exemplars are the labels of what a series names.
func (p *prometheus) exemplars(t *testing.T, series string) (labels []map[string]string) {
	t.Helper()
	now := time.Now()
	var answer struct {
		Data []struct {
			Exemplars []struct {
				Labels map[string]string `json:"labels"`
			} `json:"exemplars"`
		} `json:"data"`
	}
	p.get(t, "/api/v1/query_exemplars", url.Values{
		"query": {series},
		"start": {strconv.FormatInt(now.Add(-time.Hour).Unix(), 10)}, "end": {strconv.FormatInt(now.Unix()+1, 10)},
	}, &answer)
	for _, s := range answer.Data {
		for _, e := range s.Exemplars {
			labels = append(labels, e.Labels)
		}
	}
	return labels
}

// alertmanager is an Alertmanager with the sample configuration.
type alertmanager struct{ *watcher }

// alertmanagerName is what the program is called: Debian's, or its own name; empty when there is none.
func alertmanagerName() string {
	for _, name := range []string{"prometheus-alertmanager", "alertmanager"} {
		if _, err := exec.LookPath(name); err == nil {
			return name
		}
	}
	return ""
}

func startAlertmanager(t *testing.T, inbox string) *alertmanager {
	t.Helper()
	dir := t.TempDir()
	const sample = "http://127.0.0.1:9095"
	text := hurried(t, "alertmanager.yml", "group_wait", "group_interval")
	if strings.Count(text, sample+"/") != 2 {
		t.Fatalf("the sample of Alertmanager's configuration does not tell two listeners at %s", sample)
	}
	config := write(t, dir, "alertmanager.yml", strings.ReplaceAll(text, sample, inbox))
	address := "127.0.0.1:" + redis.FreePort(t)
	return &alertmanager{start(t, address, alertmanagerName(), "--config.file="+config,
		"--storage.path="+filepath.Join(dir, "data"), "--web.listen-address="+address,
		"--cluster.listen-address=", "--log.level=warn")}
}

// inhibited is how many alerts keep those of that name from being told.
func (a *alertmanager) inhibited(t *testing.T, name string) (by int) {
	t.Helper()
	var alerts []struct {
		Status struct {
			InhibitedBy []string `json:"inhibitedBy"`
		} `json:"status"`
	}
	a.get(t, "/api/v2/alerts", url.Values{"filter": {`alertname="` + name + `"`}}, &alerts)
	for _, alert := range alerts {
		by += len(alert.Status.InhibitedBy)
	}
	return by
}

// query is the expression of a panel, with everything chosen.
type query struct{ where, expr string }

// queries are those of all panels of all boards.
func queries(t *testing.T) (all []query) {
	t.Helper()
	chosen := strings.NewReplacer("$job", ".+", "$instance", ".+", "$merchant", ".+",
		"$__rate_interval", "10s", "$__range", "1h")
	files, err := filepath.Glob(folder + "*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var board struct {
			Panels []struct {
				Title   string `json:"title"`
				Targets []struct {
					RefID string `json:"refId"`
					Expr  string `json:"expr"`
				} `json:"targets"`
			} `json:"panels"`
		}
		if err := json.Unmarshal(text, &board); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for _, p := range board.Panels {
			for _, x := range p.Targets {
				all = append(all, query{filepath.Base(file) + ", " + p.Title + ", " + x.RefID, chosen.Replace(x.Expr)})
			}
		}
	}
	return all
}
