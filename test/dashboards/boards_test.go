package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// board is a Grafana dashboard, as far as it is checked.
type board struct {
	file string

	UID         string   `json:"uid"`
	Title       string   `json:"title"`
	Description string   `json:"description"`
	Editable    *bool    `json:"editable"`
	Tags        []string `json:"tags"`
	Templating  struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Links []struct {
		Title string `json:"title"`
		URL   string `json:"url"`
	} `json:"links"`
	Panels []panel `json:"panels"`
}

type variable struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	Definition string `json:"definition"`
	Multi      bool   `json:"multi"`
	IncludeAll bool   `json:"includeAll"`
	AllValue   string `json:"allValue"`
}

type panel struct {
	ID          int               `json:"id"`
	Type        string            `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Datasource  map[string]string `json:"datasource"`
	GridPos     struct{ X, Y, W, H int }
	Panels      []panel `json:"panels"`
	FieldConfig struct {
		Defaults struct {
			Unit  string `json:"unit"`
			Links []struct {
				URL string `json:"url"`
			} `json:"links"`
		} `json:"defaults"`
	} `json:"fieldConfig"`
	Targets []target `json:"targets"`
}

type target struct {
	RefID      string            `json:"refId"`
	Datasource map[string]string `json:"datasource"`
	Expr       string            `json:"expr"`
	Instant    bool              `json:"instant"`
	Legend     string            `json:"legendFormat"`
}

// query is one PromQL expression of a board, and where it stands.
type query struct{ Where, Expr, Legend string }

func (b *board) queries() []query {
	var all []query
	for _, p := range b.Panels {
		for _, x := range p.Targets {
			all = append(all, query{fmt.Sprintf("%s, panel %q, query %s", b.file, p.Title, x.RefID), x.Expr, x.Legend})
		}
	}
	return all
}

// boards are all dashboards.
func boards(t *testing.T) []board {
	t.Helper()
	files, err := filepath.Glob(folder + "*.json")
	if err != nil || len(files) != 2 {
		t.Fatalf("dashboards: %v, %v; want 2", files, err)
	}
	var all []board
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b := board{file: filepath.Base(file)}
		if err := json.Unmarshal(text, &b); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, b)
	}
	return all
}

const (
	dataSource = "${datasource}"
	// jobAndInstance is what everything is selected by, so that a board can show one service, or one process.
	jobAndInstance = `job=~"$job", instance=~"$instance"`
	// ofAlerts is the same for ALERTS: rules over a whole service give alerts without an instance.
	ofAlerts = `job=~"$job|", instance=~"$instance|"`
)

// units of Grafana that we use.
var units = []string{"short", "percentunit", "s", "reqps", "ops", "bytes", "bool_yes_no"}

// TestBoards: the rules of the house, most of them those of Grafana's dashboard-linter.
func TestBoards(t *testing.T) {
	uids := map[string]string{}
	for _, b := range boards(t) {
		if b.UID == "" || uids[b.UID] != "" {
			t.Errorf("%s: uid %q is empty or that of %s", b.file, b.UID, uids[b.UID])
		}
		uids[b.UID] = b.file
		if b.Title == "" || b.Description == "" || len(b.Tags) == 0 {
			t.Errorf("%s: no title, description or tag", b.file)
		}
		if b.Editable == nil || *b.Editable {
			t.Errorf("%s is editable: what is clicked together there is lost with the next version", b.file)
		}
		checkVariables(t, &b)
		ids := map[int]bool{}
		for i, p := range b.Panels {
			if ids[p.ID] {
				t.Errorf("%s: two panels have the id %d", b.file, p.ID)
			}
			ids[p.ID] = true
			if len(p.Panels) > 0 {
				t.Errorf("%s: row %q has panels inside, which nobody looks at", b.file, p.Title)
			}
			for _, other := range b.Panels[:i] {
				if overlap(&p, &other) {
					t.Errorf("%s: panels %q and %q lie on each other", b.file, p.Title, other.Title)
				}
			}
			if p.Type != "row" {
				checkPanel(t, b.file, &p)
			}
		}
	}
}

func checkVariables(t *testing.T, b *board) {
	t.Helper()
	found := map[string]variable{}
	sources := 0
	for _, v := range b.Templating.List {
		found[v.Name] = v
		if v.Type == "datasource" {
			sources++
		}
	}
	if sources != 1 || found["datasource"].Type != "datasource" {
		t.Errorf("%s: %d variables choose a data source, want one, called datasource", b.file, sources)
	}
	for _, name := range []string{"job", "instance"} {
		v := found[name]
		if v.Type != "query" || !v.Multi || !v.IncludeAll || v.AllValue != ".+" {
			t.Errorf("%s: variable %s is %+v, want a query, multi, with an allValue of .+", b.file, name, v)
		}
	}
}

func overlap(a, b *panel) bool {
	p, q := a.GridPos, b.GridPos
	return p.X < q.X+q.W && q.X < p.X+p.W && p.Y < q.Y+q.H && q.Y < p.Y+p.H
}

func checkPanel(t *testing.T, file string, p *panel) {
	t.Helper()
	where := fmt.Sprintf("%s, panel %d %q", file, p.ID, p.Title)
	if p.Title == "" || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("%s: no title, or the description is no sentence", where)
	}
	if !slices.Contains(units, p.FieldConfig.Defaults.Unit) {
		t.Errorf("%s: unit %q, want one of %v", where, p.FieldConfig.Defaults.Unit, units)
	}
	if p.Datasource["uid"] != dataSource || len(p.Targets) == 0 {
		t.Errorf("%s: data source %v, %d queries", where, p.Datasource, len(p.Targets))
	}
	if g := p.GridPos; g.W < 1 || g.H < 1 || g.X+g.W > 24 {
		t.Errorf("%s: placed at %+v of 24 columns", where, g)
	}
	refs := map[string]bool{}
	for _, x := range p.Targets {
		where := where + ", query " + x.RefID
		if refs[x.RefID] || x.Datasource["uid"] != dataSource {
			t.Errorf("%s: its name is taken, or its data source %v is not $datasource", where, x.Datasource)
		}
		refs[x.RefID] = true
		if now := slices.Contains([]string{"stat", "table", "bargauge"}, p.Type); now != x.Instant {
			t.Errorf("%s: instant is %v in a %s", where, x.Instant, p.Type)
		}
		for _, fault := range exprFaults(x.Expr, x.Instant) {
			t.Errorf("%s: %s\n\t%s", where, fault, x.Expr)
		}
	}
}

var (
	selector = regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)?\{([^}]*)\}`)
	ranged   = regexp.MustCompile(`\[([^\]]*)\]`)
)

// exprFaults says which rules for queries an expression breaks.
func exprFaults(expr string, instant bool) (faults []string) {
	selectors := selector.FindAllStringSubmatch(expr, -1)
	for _, m := range selectors {
		want := jobAndInstance
		if m[1] == "ALERTS" {
			want = ofAlerts
		}
		if !strings.Contains(m[2], want) {
			faults = append(faults, fmt.Sprintf("%s is not selected by %s", m[1], want))
		}
	}
	if all := names(expr); len(all) != len(selectors) {
		faults = append(faults, fmt.Sprintf("of %v some have no selector", all))
	}
	for _, m := range ranged.FindAllStringSubmatch(expr, -1) {
		// A number over the time shown is one number: a range query would have it at every point.
		if m[1] != "$__rate_interval" && (!instant || m[1] != "$__range") {
			faults = append(faults, "the window "+m[0]+" is not [$__rate_interval]")
		}
	}
	return faults
}

// TestExprFaults checks the checker.
func TestExprFaults(t *testing.T) {
	for expr, want := range map[string]int{
		`sum(rate(a_total{job=~"$job", instance=~"$instance"}[$__rate_interval]))`: 0,
		`sum(rate(a_total{job=~"$job", instance=~"$instance"}[5m]))`:               1,
		`sum(rate(a_total{job=~"$job"}[$__rate_interval]))`:                        1,
		`a{job=~"$job", instance=~"$instance"} / b`:                                1,
		`a / b{instance=~"$instance"}`:                                             2,
		`increase(a{job=~"$job", instance=~"$instance"}[$__range])`:                1,
		`ALERTS{job=~"$job|", instance=~"$instance|"}`:                             0,
	} {
		if got := exprFaults(expr, false); len(got) != want {
			t.Errorf("%s: found %q, want %d faults", expr, got, want)
		}
	}
}

// TestMerchantLinks: percentiles of one merchant are the store's business, and one click away.
func TestMerchantLinks(t *testing.T) {
	for _, b := range boards(t) {
		if b.file != "merchant.json" {
			continue
		}
		if !slices.ContainsFunc(b.Links, func(l struct {
			Title string `json:"title"`
			URL   string `json:"url"`
		},
		) bool {
			return strings.Contains(l.URL, "/v1/merchants/${merchant}/sla?window=24h")
		}) {
			t.Errorf("%s has no link to the SLA of the merchant chosen: %v", b.file, b.Links)
		}
		for _, p := range b.Panels {
			if len(p.Targets) > 0 && strings.Contains(p.Targets[0].Expr, "by (merchant)") && p.Type != "stat" &&
				len(p.FieldConfig.Defaults.Links) == 0 {
				t.Errorf("%s: panel %q has no link from a merchant to its SLA", b.file, p.Title)
			}
		}
	}
}

// filled is what Grafana makes of an expression when everything is chosen.
func filled(expr string) string {
	return strings.NewReplacer(
		"$job", ".+", "$instance", ".+", "$merchant", ".+", "$__rate_interval", "1m", "$__range", "1h",
	).Replace(expr)
}

// TestQueriesParse has promtool read the query of every panel, as a rule.
func TestQueriesParse(t *testing.T) {
	t.Parallel()
	tool := promtool(t)
	var all []rule
	for _, b := range boards(t) {
		for _, q := range b.queries() {
			if expr := filled(q.Expr); strings.Contains(expr, "$") {
				t.Errorf("%s: a variable that no board has:\n\t%s", q.Where, expr)
			}
			all = append(all, rule{Record: "panel:query:" + strconv.Itoa(len(all)), Expr: filled(q.Expr)})
		}
	}
	text, err := yaml.Marshal(ruleFile{[]ruleGroup{{Name: "panels", Rules: all}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "panels.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, tool, "check", "rules", file)
}
