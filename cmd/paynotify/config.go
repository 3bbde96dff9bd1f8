package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
)

// Config is everything that can be configured. Each leaf is a key of the YAML file and, as PAYNOTIFY_ and the
// key in capitals with _ for the dots, an environment variable. What each means stands in
// configDocs, in the words of paynotify.example.yaml; the defaults stand in defaultConfig.
type Config struct {
	Listen     string           `mapstructure:"listen"`
	Store      string           `mapstructure:"store"`
	Dispatcher DispatcherConfig `mapstructure:"dispatcher"`
	Egress     EgressConfig     `mapstructure:"egress"`
	Auth       AuthConfig       `mapstructure:"auth"`

	MasterKey     secret `mapstructure:"master_key"`
	MasterKeyFile string `mapstructure:"master_key_file"`

	Retention RetentionConfig `mapstructure:"retention"`
	Metrics   MetricsConfig   `mapstructure:"metrics"`
	Callback  HookConfig      `mapstructure:"callback"`
	Notices   HookConfig      `mapstructure:"notices"`
	Redis     RedisConfig     `mapstructure:"redis"`
	Log       LogConfig       `mapstructure:"log"`

	// Dev lifts the address and port rules of egress. Only the flag --dev sets it.
	Dev bool `mapstructure:"-"`
	// AllowVolatile starts on a Redis that may lose what was accepted. Only --allow-volatile-redis sets it.
	AllowVolatile bool `mapstructure:"-"`
}

// DispatcherConfig bounds what is sent at the same time, and how long one send may take.
type DispatcherConfig struct {
	Workers     int           `mapstructure:"workers"`
	Timeout     time.Duration `mapstructure:"timeout"`
	MaxInflight int           `mapstructure:"max_inflight_per_merchant"`
}

// EgressConfig says what the sender may connect to.
type EgressConfig struct {
	AllowCIDRs   []string `mapstructure:"allow_cidrs"`
	DenyCIDRs    []string `mapstructure:"deny_cidrs"`
	Ports        []int    `mapstructure:"ports"`
	Proxy        secret   `mapstructure:"proxy"` // it may hold a password
	RequireHTTPS bool     `mapstructure:"require_https"`
	Resolver     string   `mapstructure:"resolver"`
}

// AuthConfig says who may use the API.
type AuthConfig struct {
	AdminKey      secret  `mapstructure:"admin_key"`
	AdminKeyFile  string  `mapstructure:"admin_key_file"`
	RatePerSecond float64 `mapstructure:"rate_per_second"`
}

// RetentionConfig says how long a notification is kept after it became final.
type RetentionConfig struct {
	Spent     time.Duration `mapstructure:"spent"`
	Exhausted time.Duration `mapstructure:"exhausted"`
	Shrink    time.Duration `mapstructure:"shrink"`
}

// MetricsConfig says where and in what detail metrics are served.
type MetricsConfig struct {
	Listen    string `mapstructure:"listen"`
	Merchants int    `mapstructure:"merchants"`
}

// HookConfig is a URL that is told what happens.
type HookConfig struct {
	URL    string `mapstructure:"url"`
	Secret secret `mapstructure:"secret"`
}

// RedisConfig is for stores on Redis.
type RedisConfig struct {
	WaitReplicas int `mapstructure:"wait_replicas"`
}

// LogConfig says what is logged, on stderr.
type LogConfig struct {
	Level  string `mapstructure:"level"`
	Format string `mapstructure:"format"`
}

// defaultConfig is what holds where flag, environment and file are silent.
func defaultConfig() Config {
	return Config{
		Listen:     "127.0.0.1:8080",
		Store:      "sqlite:paynotify.db",
		Dispatcher: DispatcherConfig{Workers: 256, Timeout: 15 * time.Second, MaxInflight: 16},
		Egress: EgressConfig{
			AllowCIDRs: []string{}, DenyCIDRs: []string{}, Ports: []int{80, 443, 8080, 8443},
		},
		Retention: RetentionConfig{Spent: 720 * time.Hour, Exhausted: 2160 * time.Hour, Shrink: 24 * time.Hour},
		Log:       LogConfig{Level: "info", Format: "auto"},
	}
}

// secret is a text that never shows itself.
type secret string

func (s secret) String() string {
	if s == "" {
		return ""
	}
	return "[secret]"
}

// GoString keeps the secret out of %#v.
func (s secret) GoString() string { return s.String() }

const (
	envPrefix      = "PAYNOTIFY_"
	configBytesMax = 1 << 20 // a configuration is a page; more is the wrong file
)

// envOthers are variables of ours that are no configuration keys.
var envOthers = []string{"PAYNOTIFY_SERVER", "PAYNOTIFY_TOKEN"}

// configKey is one leaf of Config.
type configKey struct {
	name  string // as in YAML, with dots
	index []int  // of the field, for reflect
}

func (k configKey) env() string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(k.name, ".", "_"))
}

// configKeys lists all leaves in the order of the struct.
var configKeys = leaves(reflect.TypeFor[Config](), "", nil)

func leaves(t reflect.Type, prefix string, index []int) (keys []configKey) {
	for f := range t.Fields() {
		tag := f.Tag.Get("mapstructure")
		if tag == "-" {
			continue
		}
		at := append(slices.Clone(index), f.Index...)
		if f.Type.Kind() == reflect.Struct {
			keys = append(keys, leaves(f.Type, prefix+tag+".", at)...)
			continue
		}
		keys = append(keys, configKey{name: prefix + tag, index: at})
	}
	return keys
}

// faults collects what is wrong with a configuration, so that a person sees all of it at once.
type faults struct {
	origin map[string]string // key → where its value came from: --listen, PAYNOTIFY_LISTEN, file:3
	list   []string
}

func (f *faults) add(key, format string, args ...any) {
	text := key
	if from := f.origin[key]; from != "" {
		text += " (" + from + ")"
	}
	f.list = append(f.list, text+": "+fmt.Sprintf(format, args...))
}

func (f *faults) err() error {
	if len(f.list) == 0 {
		return nil
	}
	what := "the configuration is wrong"
	if len(f.list) > 1 {
		what = fmt.Sprintf("the configuration is wrong in %d places", len(f.list))
	}
	return &problem{
		code: exitConfig, what: what, why: strings.Join(f.list, "\n"),
		do: `see paynotify.example.yaml or "paynotify serve --help" for every key`,
	}
}

// loadConfig reads the configuration: flag > environment > file > default. flags holds the keys that were
// given on the command line. An empty file name means none; a file that was named must be there.
func loadConfig(file string, environ []string, flags map[string]string) (Config, []string, error) {
	if file == "" {
		return parseConfig(file, nil, environ, flags)
	}
	text, err := readConfigFile(file)
	if err != nil {
		return Config{}, nil, err
	}
	c, warnings, err := parseConfig(file, text, environ, flags)
	info, statErr := os.Stat(file)
	if statErr == nil && info.Mode().Perm()&0o007 != 0 && holdsSecrets(file, text, c) {
		warnings = append(warnings, "everybody on this machine can read the secrets in "+file+"; chmod 600 it")
	}
	return c, warnings, err
}

// holdsSecrets reports whether a configuration file has a key in it, or the password of store or proxy.
func holdsSecrets(file string, text []byte, c Config) bool {
	found := &faults{origin: map[string]string{}}
	checkFile(file, text, found)
	password := found.origin["store"] != "" && isRedisURL(c.Store) && strings.Contains(c.Store, "@") ||
		found.origin["egress.proxy"] != "" && strings.Contains(string(c.Egress.Proxy), "@")
	return password || found.origin["auth.admin_key"] != "" || found.origin["master_key"] != ""
}

func readConfigFile(file string) ([]byte, error) {
	fail := func(why, do string) ([]byte, error) {
		return nil, &problem{code: exitConfig, what: "cannot read the configuration file " + file, why: why, do: do}
	}
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail("there is no such file", "name an existing file with --config, or leave --config out")
	case err == nil && info.IsDir():
		return fail("it is a directory", "name the YAML file inside it")
	case err == nil && info.Size() > configBytesMax:
		return fail(fmt.Sprintf("it has %d bytes, a configuration has at most %d", info.Size(), configBytesMax), "")
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fail(errors.Unwrap(err).Error(), "")
	}
	return text, nil
}

// parseConfig is loadConfig without the disk.
func parseConfig(
	file string, text []byte, environ []string, flags map[string]string,
) (Config, []string, error) {
	found := &faults{origin: map[string]string{}}
	c := decodeConfig(file, text, environ, flags, found)
	if len(found.list) > 0 {
		return Config{}, nil, found.err()
	}
	warnings := c.check(found)
	return c, append(warnings, emptyFile(file, text)...), found.err()
}

// decodeConfig puts flags, environment, file and defaults together.
func decodeConfig(
	file string, text []byte, environ []string, flags map[string]string, found *faults,
) (c Config) {
	text = bytes.TrimPrefix(text, []byte("\xef\xbb\xbf")) // a BOM, as Windows editors write it
	checkFile(file, text, found)
	checkEnv(environ, found)
	if len(found.list) > 0 {
		return c // nothing that follows would make sense to a reader
	}
	v := viper.New()
	v.SetConfigType("yaml")
	defaults := reflect.ValueOf(defaultConfig())
	for _, k := range configKeys {
		v.SetDefault(k.name, defaults.FieldByIndex(k.index).Interface())
	}
	if err := v.ReadConfig(bytes.NewReader(text)); err != nil {
		found.add(file, "%s", err)
		return c
	}
	// The environment is set by hand: viper reads the process's own, and ignores variables for keys that
	// neither the file nor a default names.
	for _, k := range configKeys {
		for _, e := range environ {
			if value, found := strings.CutPrefix(e, k.env()+"="); found {
				v.Set(k.name, value)
			}
		}
	}
	for key, value := range flags {
		v.Set(key, value)
		found.origin[key] = "--" + key
	}
	err := v.UnmarshalExact(&c, func(d *mapstructure.DecoderConfig) {
		// viper's default would turn "" into 0, 1.5 into 1 and 15 into 15 ns without a word.
		d.WeaklyTypedInput = false
		d.DecodeHook = mapstructure.DecodeHookFuncType(decodeText)
	})
	decodeFaults(err, found)
	return c
}

func emptyFile(file string, text []byte) []string {
	if file != "" && len(bytes.TrimSpace(text)) == 0 {
		return []string{"the configuration file " + file + " is empty: the defaults hold"}
	}
	return nil
}

// checkEnv refuses variables that look like ours and are not, and empty ones: an unset ${VAR} in a compose
// file must not quietly switch authentication off.
func checkEnv(environ []string, found *faults) {
	known := map[string]string{}
	names := slices.Clone(envOthers)
	for _, k := range configKeys {
		known[k.env()] = k.name
		names = append(names, k.env())
	}
	environ = slices.Clone(environ)
	sort.Strings(environ)
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		key, ok := known[name]
		switch {
		case !strings.HasPrefix(name, envPrefix), slices.Contains(envOthers, name):
		case !ok:
			found.add(name, "%s", didYouMean(name, names, "no such environment variable"))
		case value == "":
			found.add(name, "set but empty; unset it, or give it a value")
		default:
			found.origin[key] = name
		}
	}
}

// decodeFaults turns what mapstructure says into one fault a key.
func decodeFaults(err error, found *faults) {
	var joined interface{ Unwrap() []error }
	var field *mapstructure.DecodeError
	switch {
	case err == nil:
	case errors.As(err, &joined) && !errors.As(err, &field):
		for _, e := range joined.Unwrap() {
			decodeFaults(e, found)
		}
	case errors.As(err, &field):
		if inner := field.Unwrap(); errors.As(inner, new(*mapstructure.DecodeError)) {
			decodeFaults(inner, found)
			return
		}
		found.add(field.Name(), "%s", field.Unwrap())
	default:
		found.add("configuration", "%s", err)
	}
}

// decodeText gives every key one way to be written: durations need a unit, numbers are numbers, lists may be
// a text with commas (that is how the environment brings them).
func decodeText(_, to reflect.Type, data any) (any, error) {
	text, isText := data.(string)
	if to == reflect.TypeFor[time.Duration]() {
		return decodeDuration(data)
	}
	switch {
	case to.Kind() == reflect.String && !isText && reflect.TypeOf(data).Kind() != reflect.String:
		return nil, fmt.Errorf("want a text, have %v; put it in quotes", data)
	case to.Kind() == reflect.Int && reflect.TypeOf(data).Kind() == reflect.Float64:
		return nil, fmt.Errorf("want a whole number, have %v", data)
	case !isText:
		return data, nil
	}
	text = strings.TrimSpace(text)
	switch to.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("want a whole number, have %q", text)
		}
		return n, nil
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("want a number, have %q", text)
		}
		return n, nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, fmt.Errorf("want true or false, have %q", text)
		}
		return text == "true", nil
	case reflect.Slice:
		if text == "" {
			return []any{}, nil
		}
		var items []any
		for item := range strings.SplitSeq(text, ",") {
			items = append(items, strings.TrimSpace(item))
		}
		return items, nil
	}
	return data, nil
}

func decodeDuration(data any) (any, error) {
	switch d := data.(type) {
	case time.Duration:
		return d, nil
	case string:
		parsed, err := time.ParseDuration(strings.TrimSpace(d))
		if err != nil {
			return nil, fmt.Errorf("want a duration with a unit, like 15s, 4m or 720h; have %q", d)
		}
		return parsed, nil
	case int:
		if d == 0 {
			return time.Duration(0), nil
		}
	}
	return nil, fmt.Errorf("want a duration with a unit, like 15s, 4m or 720h; have %v", data)
}
