package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"

	"github.com/lmittmann/tint"
	"github.com/spf13/cobra"
)

// newServeCommand runs the engine until it is told to stop.
func newServeCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the engine: API, sending and metrics in one process",
		Long: `Run the engine: API, sending and metrics in one process. It needs no configuration and no other
service.

With --store redis://… any number of processes share the work: each accepts, each sends, any may go. A Redis
that is not there yet is waited for; one that would lose what was accepted is refused with the cure.

SIGTERM or Ctrl-C stops it: /readyz says 503, sends in flight get up to 20 s, a second one ends it at once.

Configuration: flag > environment > file > default. The environment variable of a key is PAYNOTIFY_ and
the key in capitals with _ for dots, lists by comma. Keys, defaults, meaning:
` + configHelp(),
		Example: "  paynotify serve --dev\n  paynotify serve --config /etc/paynotify.yaml",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := configOf(cmd)
			if err != nil {
				return err
			}
			return serve(cmd, cfg, warnings)
		},
	}
	configFlags(c)
	c.Flags().String("listen", "", "where the API listens, HOST:PORT; port 0 takes a free one")
	engineFlags(c)
	return c
}

// engineFlags adds the flags that change what the engine allows.
func engineFlags(c *cobra.Command) {
	c.Flags().Bool("dev", false, "for development: let sends reach loopback and private addresses and any port")
	c.Flags().Bool(volatileFlag, false,
		"start on a Redis without AOF, or one that evicts: what was accepted may then be lost")
}

// volatileFlag is the override for a Redis that may lose what was accepted.
const volatileFlag = "allow-volatile-redis"

// configFlags adds the flags of commands that read the configuration.
func configFlags(c *cobra.Command) {
	c.Flags().String("config", "", "configuration file (YAML)")
	c.Flags().String("store", "", "the store: sqlite:FILE, redis://HOST:PORT/DB, redis-sentinel://…, …")
}

// configOf loads the configuration that a command's flags ask for.
func configOf(cmd *cobra.Command) (Config, []string, error) {
	given := map[string]string{}
	for _, key := range []string{"listen", "store"} {
		if f := cmd.Flags().Lookup(key); f != nil && f.Changed {
			given[key] = f.Value.String()
		}
	}
	file := cmd.Flags().Lookup("config")
	if file.Changed && file.Value.String() == "" {
		return Config{}, nil, usagef("--config is empty; name a file, or leave it out")
	}
	cfg, warnings, err := loadConfig(file.Value.String(), os.Environ(), given)
	if err != nil {
		return Config{}, nil, err
	}
	on := func(flag string) bool {
		f := cmd.Flags().Lookup(flag)
		return f != nil && f.Value.String() == "true"
	}
	cfg.Dev, cfg.AllowVolatile = on("dev"), on(volatileFlag)
	if cfg.AllowVolatile && !isRedisURL(cfg.Store) {
		warnings = append(warnings, "--"+volatileFlag+" does nothing with this store; it is for Redis")
	}
	return cfg, warnings, nil
}

// serve runs the engine until the context ends or something fails.
func serve(cmd *cobra.Command, cfg Config, warnings []string) error {
	// A closed pipe behind stdout or stderr must not end a server; the lines are lost, nothing else.
	signal.Ignore(syscall.SIGPIPE)
	tuneMemory()
	ctx := cmd.Context()
	log := newLogger(cmd.ErrOrStderr(), cfg)
	if isRedisURL(cfg.Store) {
		log = log.With("node", nodeName())
	}
	e, err := startEngine(ctx, cfg, log)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil //nolint:nilerr // told to stop while it started: nothing has begun
	case err != nil:
		return err
	}
	announce(cmd, e, warnings)
	return e.wait(ctx)
}

// nodeName tells the processes that share a Redis apart in their logs.
func nodeName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	return host + ":" + strconv.Itoa(os.Getpid())
}

// announce says where the server is, what is unusual about it, and only then lets people on.
func announce(cmd *cobra.Command, e *engine, warnings []string) {
	if e.cfg.Dev {
		e.log.Warn("--dev: sends may reach loopback and private addresses and any port; never in production")
	}
	if e.cfg.AllowVolatile && isRedisURL(e.cfg.Store) {
		e.log.Warn("--" + volatileFlag + ": Redis may be one that loses what was accepted; never in production")
	}
	for _, w := range warnings {
		e.log.Warn(w)
	}
	if e.cfg.Auth.AdminKey == "" {
		e.log.Warn("no auth.admin_key: the API answers this machine only, and API keys")
	}
	if err := e.notYet(); err != nil {
		e.log.Warn("the store is not there: until it is, nothing is accepted or sent, and /readyz says why")
	}
	v := readVersion()
	e.log.Info("serving", "url", e.URL, "metrics_url", cmp.Or(e.MetricsURL, e.URL+"/metrics"),
		"store", storeName(e.cfg.Store), "version", v.Version, "revision", v.Revision)
	if wantsJSON(cmd) {
		//nolint:errcheck // nobody reads it: see serve
		json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]string{"listening": e.URL})
		return
	}
	fmt.Fprintf(cmd.OutOrStdout(), "listening on %s\n", e.URL)
}

// newLogger writes to stderr: coloured text on a terminal, JSON for machines.
func newLogger(w io.Writer, cfg Config) *slog.Logger {
	level, err := cfg.logLevel()
	if err != nil {
		level = slog.LevelInfo
	}
	format := cfg.Log.Format
	if format == "auto" && !isTerminal(w) {
		format = "json"
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: withUnits}))
	case "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: level}))
	}
	return slog.New(tint.NewTextHandler(w, &tint.Options{
		Level: level, TimeFormat: clock, NoColor: !paletteFor(w).on,
	}))
}

// withUnits writes durations with their unit; slog's JSON would have nanoseconds.
func withUnits(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// Memory of a server. Go collects whenever the heap has doubled. Ours is small and churns fast (every send
// makes a request, a reply and a record, and drops them), so that this happens many times a second and the
// collector competes with the sends. Letting the heap grow to five times what is live makes it rare. The
// limit takes that freedom back when much is live, with a large backlog say: near it the collector works as
// hard as it must, and the process stays within the 250 MB that it promises.
const (
	gcPercent      = 400
	memoryBytesMax = 192 << 20
)

// tuneMemory sets them, unless the operator has decided otherwise with GOGC or GOMEMLIMIT.
func tuneMemory() {
	if strings.TrimSpace(os.Getenv("GOGC")) == "" {
		debug.SetGCPercent(gcPercent)
	}
	if strings.TrimSpace(os.Getenv("GOMEMLIMIT")) == "" {
		debug.SetMemoryLimit(memoryBytesMax)
	}
}
