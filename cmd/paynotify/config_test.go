package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// load is parseConfig with what a test cares about.
func load(t *testing.T, yaml string, environ ...string) (Config, error) {
	t.Helper()
	c, _, err := parseConfig("c.yaml", []byte(yaml), environ, nil)
	if err != nil && exitCode(t.Context(), err) != exitConfig {
		t.Errorf("exit code %d, want %d", exitCode(t.Context(), err), exitConfig)
	}
	return c, err
}

func why(t *testing.T, err error) string {
	t.Helper()
	var p *problem
	if !errors.As(err, &p) {
		t.Fatalf("got %v, want a problem", err)
	}
	return p.why
}

func TestDefaultsHoldWithoutAFile(t *testing.T) {
	got, warnings, err := loadConfig("", nil, nil)
	if err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	if diff := cmp.Diff(defaultConfig(), got); diff != "" {
		t.Error(diff)
	}
}

func TestFlagBeatsEnvBeatsFileBeatsDefault(t *testing.T) {
	file := "listen: 127.0.0.1:1\nstore: sqlite:file.db\nlog: {level: warn}\n"
	env := []string{"PAYNOTIFY_LISTEN=127.0.0.1:2", "PAYNOTIFY_STORE=sqlite:env.db"}
	c, _, err := parseConfig("c.yaml", []byte(file), env, map[string]string{"listen": "127.0.0.1:3"})
	if err != nil {
		t.Fatal(err)
	}
	got := []string{c.Listen, c.Store, c.Log.Level, c.Log.Format}
	want := []string{"127.0.0.1:3", "sqlite:env.db", "warn", "auto"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// A variable for one key of a section leaves the others as the file has them.
	c, err = load(t, "egress: {require_https: true, ports: [1]}\n", "PAYNOTIFY_EGRESS_PORTS=2")
	if err != nil || !c.Egress.RequireHTTPS || !slices.Equal(c.Egress.Ports, []int{2}) {
		t.Errorf("got %+v, %v", c.Egress, err)
	}
}

// otherValue is a value of a key's type that differs from its default, as text.
func otherValue(key string, v reflect.Value) (text string, want any) {
	switch v.Interface().(type) {
	case time.Duration:
		return "51h0m7s", 51*time.Hour + 7*time.Second
	case int:
		return "7", 7
	case float64:
		return "1.5", 1.5
	case bool:
		return "true", true
	case []int:
		return "81, 82", []int{81, 82}
	case []string:
		return "10.1.0.0/16,fd00::/8", []string{"10.1.0.0/16", "fd00::/8"}
	case secret:
		return "k-" + key, secret("k-" + key)
	}
	return "v-" + key, "v-" + key
}

// TestEveryKeyIsSettableByEnvAndFile is generated from the struct: a key that is added is tested.
func TestEveryKeyIsSettableByEnvAndFile(t *testing.T) {
	if len(configKeys) < 28 {
		t.Fatalf("only %d keys", len(configKeys))
	}
	for _, k := range configKeys {
		text, want := otherValue(k.name, reflect.ValueOf(defaultConfig()).FieldByIndex(k.index))
		section, leaf, nested := strings.Cut(k.name, ".")
		yaml := section + ": " + quoteYAML(text) + "\n"
		if nested {
			yaml = section + ":\n  " + leaf + ": " + quoteYAML(text) + "\n"
		}
		for source, read := range map[string]func() (Config, *faults){
			"env":  func() (Config, *faults) { return decodeOnly("", k.env()+"="+text) },
			"file": func() (Config, *faults) { return decodeOnly(yaml) },
		} {
			c, found := read()
			if len(found.list) > 0 {
				t.Errorf("%s from %s: %v", k.name, source, found.list)
				continue
			}
			got := reflect.ValueOf(c).FieldByIndex(k.index).Interface()
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s from %s: %s", k.name, source, diff)
			}
			if found.origin[k.name] == "" {
				t.Errorf("%s from %s: an error about it would not say where it came from", k.name, source)
			}
		}
	}
}

func quoteYAML(text string) string { return `"` + text + `"` }

// decodeOnly reads without the checks, which would refuse made-up values.
func decodeOnly(yaml string, environ ...string) (Config, *faults) {
	found := &faults{origin: map[string]string{}}
	c := decodeConfig("c.yaml", []byte(yaml), environ, nil, found)
	return c, found
}

func TestConfigRefuses(t *testing.T) {
	for _, tt := range []struct{ name, yaml, env, want string }{
		{"unknown key", "retires: 3\n", "", "retires (c.yaml:1): no such key"},
		{"misspelt key", "lisen: x\n", "", `lisen (c.yaml:1): no such key; did you mean "listen"?`},
		{"misspelt nested", "dispatcher:\n  worker: 3\n", "", `dispatcher.worker (c.yaml:2): no such key; did`},
		{"key in the wrong place", "workers: 3\n", "", `"workers" belongs under "dispatcher"`},
		{"top key in a section", "log:\n  listen: x\n", "", `"listen" belongs at the top`},
		{"dotted key", "dispatcher.workers: 3\n", "", `"workers" belongs under "dispatcher"`},
		{"other letter case", "Listen: 127.0.0.1:1\n", "", `did you mean "listen"?`},
		{"twice", "listen: 127.0.0.1:1\nlisten: 127.0.0.1:2\n", "", "listen (c.yaml:2): is there twice"},
		{"no value", "store:\n", "", "store (c.yaml:1): has no value"},
		{
			"variable in a value", "auth: {admin_key: '${ADMIN_KEY}'}\n", "",
			"auth.admin_key (c.yaml:1): holds ${…}, which nothing replaces here; write the value, or set " +
				"PAYNOTIFY_AUTH_ADMIN_KEY",
		},
		{"variable in a list", "egress: {deny_cidrs: [10.0.0.0/8, '${NET}']}\n", "", "holds ${…}"},
		{"variable in a URL", "store: redis://:${PASSWORD}@h/0\n", "", "store (c.yaml:1): holds ${…}"},
		{"variable behind an alias", "listen: &a '${A}'\nstore: *a\n", "", "store (c.yaml:2): holds ${…}"},
		{"section is a list", "log: [info]\n", "", "log (c.yaml:1): want keys and values: level, format"},
		{"not a mapping", "hello\n", "", "want keys and values: listen"},
		{"two documents", "listen: 127.0.0.1:1\n---\nlisten: 127.0.0.1:2\n", "", "more than one YAML document"},
		{"tab", "log:\n\tlevel: info\n", "", "line 2"},
		{"letter in a number", "dispatcher: {workers: 8O80}\n", "", `(c.yaml:1): want a whole number, have "8O80"`},
		{"fraction", "dispatcher: {workers: 1.5}\n", "", "dispatcher.workers (c.yaml:1)"},
		{"empty number", `dispatcher: {workers: ""}`, "", "dispatcher.workers (c.yaml:1)"},
		{"duration without unit", "dispatcher: {timeout: 15}\n", "", "(c.yaml:1): want a duration with a unit"},
		{"duration text without unit", `dispatcher: {timeout: "15"}`, "", "want a duration with a unit"},
		{"duration with a blank", "dispatcher: {timeout: 4 m}\n", "", "want a duration with a unit"},
		{"negative duration", "dispatcher: {timeout: -4m}\n", "", "want 100ms to 1m, have -4m0s"},
		{"yes is no boolean", `egress: {require_https: "yes"}`, "", "want true or false"},
		{"number as text", "listen: 8080\n", "", "listen (c.yaml:1): want a text"},
		{"no port", "listen: localhost\n", "", "want HOST:PORT"},
		{"port too high", "listen: 127.0.0.1:70000\n", "", "want HOST:PORT"},
		{"bare address", "egress: {allow_cidrs: [10.0.0.1]}\n", "", "write 10.0.0.1/32"},
		{"host bits", "egress: {deny_cidrs: [10.0.0.1/8]}\n", "", "write 10.0.0.0/8"},
		{"no ports", "egress: {ports: []}\n", "", "nothing could be sent"},
		{"port 0", "egress: {ports: [0]}\n", "", "want 1 to 65535, have 0"},
		{"two admin keys", "auth: {admin_key: a, admin_key_file: /f}\n", "", "keep one"},
		{"admin key with a blank", `auth: {admin_key: "a b"}`, "", "visible ASCII"},
		{"bad master key", "master_key: abc\n", "", "master_key (c.yaml:1)"},
		{"no such key file", "master_key_file: /no/such/file\n", "", "master_key_file (c.yaml:1)"},
		{"same listener twice", "metrics: {listen: 127.0.0.1:8080}\n", "", "same as listen"},
		{"log level", "log: {level: loud}\n", "", "want debug, info, warn or error"},
		{"no retention", "retention: {spent: 0s}\n", "", "want a positive duration"},
		{"unknown variable", "", "PAYNOTIFY_LISTN=x", `PAYNOTIFY_LISTN: did you mean "PAYNOTIFY_LISTEN"?`},
		{"empty variable", "", "PAYNOTIFY_AUTH_ADMIN_KEY=", "PAYNOTIFY_AUTH_ADMIN_KEY: set but empty"},
		{"bad variable", "", "PAYNOTIFY_DISPATCHER_WORKERS=many", "workers (PAYNOTIFY_DISPATCHER_WORKERS)"},
		{"proxy", "egress: {proxy: 'https://u:hunter2@p:1'}\n", "", "egress.proxy (c.yaml:1): want http://HOST"},
		{"proxy to ourselves", "egress: {proxy: 'http://127.0.0.1:8080'}\n", "", "is a listener of this server"},
		{"rate", "auth: {rate_per_second: -5}\n", "", "auth.rate_per_second (c.yaml:1): want 0 to 1000000"},
		{"merchant metrics", "metrics: {merchants: 10001}\n", "", "metrics.merchants (c.yaml:1): want 0 to 10000"},
		{"callback without secret", "callback: {url: 'https://x'}\n", "", "keep one like whsec_"},
		{"notices without url", "notices: {secret: whsec_x}\n", "", "notices.url: is missing; say where to POST"},
		{
			"secret of another kind", "callback: {url: 'https://x.example/', secret: hunter2}\n", "",
			"callback.secret (c.yaml:1): ",
		},
	} {
		refuses(t, tt.name, tt.yaml, tt.env, tt.want)
	}
}

func TestConfigRefusesStores(t *testing.T) {
	for _, tt := range []struct{ name, yaml, env, want string }{
		{"store without scheme", "store: paynotify.db\n", "", "want sqlite:FILE"},
		{"store with slashes", "store: sqlite://paynotify.db\n", "", "want sqlite:FILE"},
		{"store in memory", `store: "sqlite::memory:"`, "", "want a file"},
		{"password in a store", "store: postgres://u:hunter2@h/x\n", "", `have "…@h/x"`},
		{"Redis without a host", "store: redis://\n", "", "store (c.yaml:1): "},
		{"Redis database", "store: redis://127.0.0.1/x\n", "", "number of a database"},
		{"Sentinel without a master", "store: redis-sentinel://u:hunter2@h1,h2\n", "", "?master=NAME"},
		{"Redis parameter", "store: 'redis://:hunter2@h/0?pool=9'\n", "", "parameter"},
		{"two hosts", "store: redis://h1,h2\n", "", "redis-sentinel:// or redis-cluster://"},
		{"password in it", "store: redis:///hunter2@h\n", "", "store (c.yaml:1): "},
		{"replicas of a file", "redis: {wait_replicas: 1}\n", "", "redis.wait_replicas (c.yaml:1): is for a store"},
		{"replicas", "store: redis://h\nredis: {wait_replicas: -1}\n", "", "want 0 or more, have -1"},
	} {
		refuses(t, tt.name, tt.yaml, tt.env, tt.want)
	}
}

// refuses checks that a file, or a variable, is refused with these words.
func refuses(t *testing.T, name, yaml, env, want string) {
	t.Helper()
	t.Run(name, func(t *testing.T) {
		var environ []string
		if env != "" {
			environ = append(environ, env)
		}
		_, err := load(t, yaml, environ...)
		if err == nil {
			t.Fatal("was accepted")
		}
		if got := why(t, err); !strings.Contains(got, want) {
			t.Errorf("got  %q\nwant %q in it", got, want)
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Error("shows a password")
		}
	})
}

func TestConfigAccepts(t *testing.T) {
	for _, tt := range []struct {
		name, yaml, env string
		check           func(Config) bool
	}{
		{
			"BOM and CRLF", "\xef\xbb\xbflisten: 127.0.0.1:1\r\nlog:\r\n  level: warn\r\n", "",
			func(c Config) bool { return c.Listen == "127.0.0.1:1" && c.Log.Level == "warn" },
		},
		{
			"0 = never", "retention: {shrink: 0}\n", "",
			func(c Config) bool { return c.Retention.Shrink == 0 },
		},
		{
			"empty list by the file", "egress: {deny_cidrs: []}\n", "",
			func(c Config) bool { return len(c.Egress.DenyCIDRs) == 0 },
		},
		{
			"list as text", `egress: {ports: "80, 443"}`, "",
			func(c Config) bool { return reflect.DeepEqual(c.Egress.Ports, []int{80, 443}) },
		},
		{
			"a dollar is a dollar", "auth: {admin_key: 'a$b${1}c$(d)-0123456789'}\n", "",
			func(c Config) bool { return c.Auth.AdminKey == "a$b${1}c$(d)-0123456789" },
		},
		{"all interfaces", "listen: :9\n", "", func(c Config) bool { return c.Listen == ":9" }},
		{
			"port 0 twice", "listen: 127.0.0.1:0\nmetrics: {listen: '127.0.0.1:0'}\n", "",
			func(c Config) bool { return c.Metrics.Listen == "127.0.0.1:0" },
		},
		{
			"Redis", "store: redis://h:1/2\nredis: {wait_replicas: 2}\nretention: {shrink: 1h}\n", "",
			func(c Config) bool { return c.Redis.WaitReplicas == 2 && c.Retention.Shrink == time.Hour },
		},
		{"Sentinel", "store: redis-sentinel://a,b/0?master=m\n", "", func(Config) bool { return true }},
		{"Cluster", "store: rediss-cluster://u:p@a:1,b:2\n", "", func(Config) bool { return true }},
		{"variables of clients", "", "PAYNOTIFY_TOKEN=x", func(Config) bool { return true }},
		{
			"a person's alias", "listen: &here 127.0.0.1:0\nmetrics: {listen: *here}\n", "",
			func(c Config) bool { return c.Metrics.Listen == "127.0.0.1:0" },
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := load(t, tt.yaml, strings.Fields(tt.env)...)
			if err != nil {
				t.Fatal(why(t, err))
			}
			if !tt.check(c) {
				t.Errorf("got %+v", c)
			}
		})
	}
}

func TestAllFaultsAtOnce(t *testing.T) {
	_, err := load(t, "listen: here\ndispatcher: {workers: 0}\nlog: {level: loud}\n")
	if got := strings.Count(why(t, err), "\n") + 1; got != 3 {
		t.Errorf("%d lines, want 3: %v", got, err)
	}
}

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("admin key", "0123456789abcdef\r\n", 0o600)
	c, warnings, err := loadConfig("", []string{"PAYNOTIFY_AUTH_ADMIN_KEY_FILE=" + good}, nil)
	if err != nil || len(warnings) > 0 || c.Auth.AdminKey != "0123456789abcdef" {
		t.Errorf("got %q, %v, %v", string(c.Auth.AdminKey), warnings, err)
	}
	open := write("open", "0123456789abcdef", 0o644)
	_, warnings, _ = loadConfig("", []string{"PAYNOTIFY_AUTH_ADMIN_KEY_FILE=" + open}, nil)
	if len(warnings) != 1 {
		t.Errorf("a key that everybody can read: got %v", warnings)
	}
	for _, bad := range []string{write("empty", " \n", 0o600), dir, filepath.Join(dir, "none")} {
		if _, _, err := loadConfig("", []string{"PAYNOTIFY_AUTH_ADMIN_KEY_FILE=" + bad}, nil); err == nil {
			t.Errorf("%s was accepted", bad)
		}
	}
}

func TestConfigFileOnDisk(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty file.yaml")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := loadConfig(empty, nil, nil); err != nil || len(warnings) != 1 {
		t.Errorf("an empty file: got %v, %v; want one warning", warnings, err)
	}
	open := filepath.Join(dir, "open.yaml")
	if err := os.WriteFile(open, []byte("auth: {admin_key: 0123456789abcdef}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := loadConfig(open, nil, nil); err != nil || len(warnings) != 1 {
		t.Errorf("secrets that everybody can read: got %v, %v; want one warning", warnings, err)
	}
	if err := os.WriteFile(open, []byte("store: redis://:hunter2@127.0.0.1:1/0\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, warnings, err := loadConfig(open, nil, nil); err != nil || len(warnings) != 1 {
		t.Errorf("a password that everybody can read: got %v, %v; want one warning", warnings, err)
	}
	for _, bad := range []string{dir, filepath.Join(dir, "none.yaml")} {
		_, _, err := loadConfig(bad, nil, nil)
		if exitCode(t.Context(), err) != exitConfig || !strings.Contains(err.Error(), bad) {
			t.Errorf("%s: got %v", bad, err)
		}
	}
}

// TestSample keeps paynotify.example.yaml the same as the struct. PAYNOTIFY_… variables would be refused by
// the binary, so the switch that rewrites the file has another name.
func TestSample(t *testing.T) {
	const path = "../../paynotify.example.yaml"
	want := sampleConfig()
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("run UPDATE=1 go test ./cmd/paynotify -run TestSample:\n%s", diff)
	}
	c, err := load(t, string(got))
	if err != nil {
		t.Fatal(why(t, err))
	}
	if diff := cmp.Diff(defaultConfig(), c); diff != "" {
		t.Errorf("the sample does not mean the defaults: %s", diff)
	}
	for _, k := range configKeys {
		if configDocs[k.name] == "" {
			t.Errorf("%s has no line in configDocs", k.name)
		}
	}
}

func TestStoreName(t *testing.T) {
	for store, want := range map[string]string{
		"sqlite:a@b.db":                    "sqlite:a@b.db",
		"redis://u:hunter2@h:1/2":          "redis://h:1/2",
		"redis-cluster://:hunter2@h1,h2:7": "redis-cluster://h1:6379,h2:7",
		"redis-sentinel://hunter2@h/0?master=m&sentinel_password=hunter2": "redis-sentinel://h:26379/0?master=m",
		"redis://:hunter/2@h": "redis://…",
	} {
		if got := storeName(store); got != want {
			t.Errorf("%s: got %q, want %q", store, got, want)
		}
	}
}

func TestSecretsDoNotShow(t *testing.T) {
	c := defaultConfig()
	c.Auth.AdminKey, c.MasterKey = "hunter2", "hunter2"
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, c); strings.Contains(text, "hunter2") {
			t.Errorf("%s shows it: %s", format, text)
		}
	}
}

func TestNearest(t *testing.T) {
	for _, tt := range []struct{ word, want string }{
		{"srve", "serve"}, {"sevre", "serve"}, {"SERVE", "serve"}, {"lst", "list"}, {"xyzzy", ""}, {"", ""},
	} {
		if got := nearest(tt.word, []string{"serve", "list", "schedule"}); got != tt.want {
			t.Errorf("nearest(%q) = %q, want %q", tt.word, got, tt.want)
		}
	}
}

func FuzzParseConfig(f *testing.F) {
	for _, seed := range []string{
		sampleConfig(), "listen: :1", "log: [", "a: &a [*a]", "? {a: b}\n: c", "<<: {listen: x}",
		"dispatcher: {workers: 1e9}", "master_key: !!binary aGVsbG8=", "listen: !!float 1",
		"egress: {ports: [[1]]}", "log: {level: {a: b}}", "---\n---",
	} {
		f.Add([]byte(seed), "PAYNOTIFY_LISTEN=:1")
	}
	f.Fuzz(func(t *testing.T, text []byte, variable string) {
		if len(text) > 1<<16 || strings.Contains(variable, "_FILE=") || strings.Contains(string(text), "_file") {
			t.Skip()
		}
		c, _, err := parseConfig("c.yaml", text, []string{variable}, nil)
		if err != nil {
			if exitCode(t.Context(), err) != exitConfig {
				t.Fatalf("%v is not an error of configuration", err)
			}
			return
		}
		// What is accepted is usable as it is.
		if _, err := storePath(c.Store); err != nil && !isRedisURL(c.Store) {
			t.Fatalf("accepted the store %s", c.Store)
		}
		if c.Dispatcher.Workers < 1 || len(c.Egress.Ports) == 0 {
			t.Fatalf("accepted %+v", c)
		}
		c.rules(nil)
	})
}
