package habits

import (
	"go/ast"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "paynotify"

// importRule says what a package may import, beside the standard library, in files that are no tests.
type importRule struct {
	dir    string
	ours   []string // our packages
	others []string // third parties; whoever stands in any rule is for these packages and cmd alone
	strict bool     // no other third party either
	free   bool     // everything
	reason string
}

// importRules is the order of the house: from the pure core outwards. A package that stands here twice, or
// not at all, fails.
var importRules = []importRule{
	{
		dir: "retry", strict: true, others: []string{"golang.org/x/crypto", "golang.org/x/text"},
		reason: "schedules are pure arithmetic: instants in, instants out",
	},
	{
		dir: "signer", strict: true, others: []string{"golang.org/x/crypto", "golang.org/x/text"},
		reason: "what touches keys depends on nothing that somebody else can change",
	},
	{
		dir: "signer/keyring", ours: []string{"signer"}, strict: true,
		others: []string{"golang.org/x/crypto", "golang.org/x/text"},
		reason: "what touches keys depends on nothing that somebody else can change",
	},
	{
		dir: "store", ours: []string{"retry"}, strict: true,
		reason: "types and contract only: every store and everybody above can depend on it",
	},
	{
		dir: "profile", ours: []string{"retry", "signer", "store"}, others: []string{"golang.org/x/text"},
		reason: "a provider's wire habits are data and functions: no I/O, no engine",
	},
	{
		dir: "dispatcher/egress", strict: true, others: []string{"golang.org/x/net/idna"},
		reason: "the client that faces hostile servers is small enough to be read whole, and usable alone",
	},
	{
		dir: "queue", strict: true,
		reason: "the queue knows lanes by name: nothing of ours",
	},
	{
		dir:    "dispatcher",
		ours:   []string{"profile", "store", "queue", "retry", "signer/keyring", "dispatcher/egress"},
		others: []string{"github.com/prometheus/client_golang"},
		reason: "it knows contracts, not backends: a store or queue is chosen in cmd",
	},
	{
		dir: "store/packed", strict: true,
		reason: "how records are packed is shared by the stores, and knows none of them",
	},
	{
		dir: "store/sqlitestore", ours: []string{"store", "store/packed"}, others: []string{"modernc.org/sqlite"},
		reason: "a store knows no metrics, no queue and no other store; a decorator measures it",
	},
	{
		dir: "store/redisstore", ours: []string{"store", "store/packed"},
		others: []string{"github.com/redis/go-redis"},
		reason: "a store knows no metrics, no queue and no other store; a decorator measures it",
	},
	{
		dir: "store/migrate", ours: []string{"store"}, strict: true,
		reason: "it moves between stores of any kind: whatever one of them needs stands in store.Mover",
	},
	{
		dir: "queue/localqueue", ours: []string{"queue"}, strict: true,
		reason: "a queue knows no store and no metrics",
	},
	{
		dir: "queue/asynqqueue", ours: []string{"queue"},
		others: []string{"github.com/hibiken/asynq", "github.com/redis/go-redis"},
		reason: "a queue knows no store and no metrics; asynq has one importer",
	},
	{
		dir:  "api",
		ours: []string{"store", "profile", "retry", "replay", "signer/keyring", "dispatcher/egress"},
		others: []string{
			"github.com/prometheus/client_golang", "github.com/danielgtaylor/huma", "golang.org/x/time/rate",
		},
		reason: "never dispatcher: it declares the small interface it needs (Intake), cmd wires it",
	},
	{
		dir: "notices", ours: []string{"store", "profile"}, strict: true,
		reason: "it follows the store and hands in what it has to tell (Intake) like any caller: whoever made" +
			" the attempts and whoever sends the telling are not its business",
	},
	{
		dir: "tracing", ours: []string{"store"},
		others: []string{"go.opentelemetry.io", "github.com/go-logr/logr"},
		reason: "what is linked with a build tag alone has one importer; dispatcher knows a func, cmd wires it",
	},
	{
		dir: "replay", ours: []string{"store"}, strict: true, others: []string{"golang.org/x/time/rate"},
		reason: "it asks the store for sends like any caller, and makes none: the API begins replays, cmd carries" +
			" them out",
	},
	{
		dir: "console", ours: []string{"store", "api", "profile", "retry", "replay", "console/tmpl"},
		reason: "it reads, and acts through the same service functions as the API",
	},
	{
		dir: "sandbox", ours: []string{"signer", "profile"},
		reason: "a sandbox merchant verifies like a merchant would, with what a merchant has",
	},
	{
		dir: "certify", ours: []string{"profile", "store", "signer", "dispatcher/egress"},
		reason: "it sends like the engine, and knows nothing of it; only cmd prints what it finds",
	},
	{
		dir: "console/tmpl", strict: true,
		reason: "it executes templates, and knows nothing of what they show",
	},
	{
		dir: "cmd/paynotify", free: true,
		others: []string{"github.com/spf13/cobra", "github.com/spf13/viper"},
		reason: "it wires everything, and configuration is read nowhere else",
	},
	{
		dir: "examples/merchant/go", strict: true,
		reason: "a merchant copies it: it shows the standard library, and nothing of ours",
	},
	{dir: "store/storetest", free: true, reason: "suites are free"},
	{dir: "queue/queuetest", free: true, reason: "suites are free"},
	{dir: "test", free: true, reason: "tests are free"},
}

// nobody lists standard packages that product code does not import, with the reason.
var nobody = map[string]string{
	"log":               "log/slog only, passed in (slog.NewLogLogger makes a *log.Logger where one is wanted)",
	"math/rand":         "crypto/rand for secrets, math/rand/v2 for the rest",
	"net/http/pprof":    "it registers itself on a mux that anybody may reach",
	"encoding/gob":      "stored bytes outlive our types",
	"html":              "package tmpl escapes",
	"html/template":     "it calls methods by name, so that the linker keeps all: 10 MB; see package tmpl",
	"text/template":     "likewise",
	"plugin":            "one static binary",
	"testing":           "it puts test flags into the binary",
	"net/http/httptest": "it is for tests",
}

// core lists the packages that read no clock, no network and no files: the same input gives the same bytes.
var core = []string{"retry", "signer", "signer/keyring", "profile", "store", "store/packed"}

var notInCore = []string{"net", "net/http", "os", "os/exec", "syscall", "io/ioutil"}

func TestImports(t *testing.T) {
	rules := map[string]importRule{}
	for _, r := range importRules {
		if _, twice := rules[r.dir]; twice {
			t.Errorf("%s has two import rules", r.dir)
		}
		if r.reason == "" {
			t.Errorf("the import rule of %s has no reason", r.dir)
		}
		rules[r.dir] = r
	}
	for _, f := range sources(t) {
		rule, ok := rules[f.dir]
		if top, _, _ := strings.Cut(f.dir, "/"); !ok && top == "test" {
			rule, ok = rules["test"], true
		}
		if !ok {
			t.Errorf("%s: package %s has no import rule: add one, with its reason, to importRules", f.path, f.dir)
			continue
		}
		if f.test {
			continue
		}
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if fault := importFault(rule, f.dir, imported); fault != "" {
				t.Errorf("%s:%d imports %s: %s", f.path, line(spec.Pos()), imported, fault)
			}
		}
	}
}

// importFault says why an import is not allowed; empty when it is.
func importFault(rule importRule, dir, imported string) string {
	own, isOurs := strings.CutPrefix(imported, module+"/")
	standard := !isOurs && !strings.Contains(strings.Split(imported, "/")[0], ".")
	switch {
	case standard && contains(core, dir) && contains(notInCore, imported):
		return "the core reads no clock, no network and no files"
	case standard && !rule.isTest():
		return nobody[imported]
	case standard, rule.free:
		return ""
	case isOurs && contains(rule.ours, own):
		return ""
	case isOurs:
		return "not one of [" + strings.Join(rule.ours, " ") + "]: " + rule.reason
	case namedBy(rule, imported):
		return ""
	case rule.strict:
		return "beside the standard library only [" + strings.Join(rule.others, " ") + "]: " + rule.reason
	}
	for _, other := range importRules {
		if namedBy(other, imported) {
			return "it is for " + other.dir + ": " + other.reason
		}
	}
	return ""
}

func (r importRule) isTest() bool { return strings.HasSuffix(r.dir, "test") }

// namedBy reports whether a rule names the third party that an import belongs to.
func namedBy(rule importRule, imported string) bool {
	return slices.ContainsFunc(rule.others, func(named string) bool { return within(imported, named) })
}

// within reports whether an import path lies in a module or package, whatever its major version.
func within(imported, root string) bool {
	return imported == root || strings.HasPrefix(imported, root+"/")
}

// TestCoreReadsNoClock looks for calls of time.Now and its kind where an instant must be a parameter.
func TestCoreReadsNoClock(t *testing.T) {
	clock := []string{"Now", "Since", "Until", "After", "Sleep", "NewTimer", "NewTicker", "Tick", "AfterFunc"}
	for _, f := range sources(t) {
		if f.test || !contains(core, f.dir) {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			s, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if p, ok := s.X.(*ast.Ident); ok && p.Name == "time" && contains(clock, s.Sel.Name) {
				t.Errorf("%s:%d calls time.%s: the core reads no clock, the instant is a parameter",
					f.path, line(s.Pos()), s.Sel.Name)
			}
			return true
		})
	}
}

// The checker itself, on imports that must and must not pass.
func TestImportFault(t *testing.T) {
	rules := map[string]importRule{}
	for _, r := range importRules {
		rules[r.dir] = r
	}
	for _, c := range []struct {
		dir, imported string
		allowed       bool
	}{
		{"retry", "time", true},
		{"retry", "paynotify/store", false},
		{"retry", "golang.org/x/text/width", true},
		{"retry", "golang.org/x/net/idna", false},
		{"retry", "log", false},
		{"signer", "net/http", false},
		{"signer/keyring", "paynotify/signer", true},
		{"signer", "paynotify/signer/keyring", false},
		{"store", "paynotify/retry", true},
		{"store", "github.com/google/uuid", false},
		{"profile", "github.com/go-json-experiment/json/jsontext", true},
		{"profile", "paynotify/dispatcher", false},
		{"dispatcher/egress", "golang.org/x/net/idna", true},
		{"dispatcher/egress", "golang.org/x/net/http2", false},
		{"dispatcher/egress", "net/http", true},
		{"dispatcher/egress", "paynotify/store", false},
		{"dispatcher", "paynotify/store/sqlitestore", false},
		{"dispatcher", "github.com/prometheus/client_golang/prometheus", true},
		{"store/sqlitestore", "github.com/prometheus/client_golang/prometheus", false},
		{"store/sqlitestore", "modernc.org/sqlite/lib", true},
		{"queue/localqueue", "paynotify/store", false},
		{"queue/localqueue", "golang.org/x/time/rate", false},
		{"api", "github.com/danielgtaylor/huma/v2", true},
		{"api", "paynotify/dispatcher", false},
		{"api", "paynotify/dispatcher/egress", true},
		{"sandbox", "paynotify/store", false},
		{"cmd/paynotify", "github.com/spf13/viper", true},
		{"cmd/paynotify", "modernc.org/sqlite", true},
		{"api", "github.com/spf13/viper", false},
		{"api", "log", false},
		{"store/storetest", "testing", true},
		{"test", "net/http/httptest", true},
	} {
		if fault := importFault(rules[c.dir], c.dir, c.imported); (fault == "") != c.allowed {
			t.Errorf("%s imports %s: fault %q, allowed should be %v", c.dir, c.imported, fault, c.allowed)
		}
	}
}
