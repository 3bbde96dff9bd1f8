package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"paynotify/store"
	"paynotify/store/migrate"
	"paynotify/store/redisstore"
	"paynotify/store/sqlitestore"
)

const (
	migrateWait  = 5 * time.Second // for a Redis to answer: a person waits
	migrateSpeak = 2 * time.Second // between two lines of progress
)

// newMigrateCommand moves everything from one store to another.
func newMigrateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate --from URL --to URL",
		Short: "Move everything from one store to another that nobody serves",
		Long: `Move merchants, notifications, attempts, idempotency keys and the sending switch from one store to
another, in either direction, while nobody serves either. Everything is read again from the target and
compared; then the source is marked, so that nobody serves it by mistake. Migrating back takes the mark off.

The target must be empty, or one that was moved away before; what was left in such a one is replaced. Killed,
run it again: it goes on. Until it says ok, serve the source; the target is refused.

Settings are read as serve reads them. The merchants' keys stay sealed with the master key of the source:
serve the target with the same one. Exit code 0 when all is moved, 75 while a store is in use, 78 when one
does not fit, 69 when Redis cannot be reached.`,
		Example: `  paynotify migrate --from sqlite:/var/lib/paynotify.db --to redis://127.0.0.1:6379/0
  paynotify migrate --config /etc/paynotify.yaml --from redis://127.0.0.1:6379/0 --to sqlite:paynotify.db`,
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			from, to := cmd.Flag("from").Value.String(), cmd.Flag("to").Value.String()
			cfg, err := migrateConfig(cmd, from, to)
			if err != nil {
				return err
			}
			return moveStore(cmd, cfg, from, to)
		},
	}
	configFlags(c)
	c.Flags().String("from", "", "the store to move, as serve takes it: sqlite:FILE, redis://HOST:PORT/DB, …")
	c.Flags().String("to", "", "the store to move it to")
	c.Flags().Bool(volatileFlag, false,
		"also with a Redis without AOF, or one that evicts: it may lose what is moved")
	c.Flags().Lookup("store").Hidden = true // set from the others: what a setting means may depend on the store
	return c
}

// migrateConfig checks the URLs and reads the configuration as serve would for the one of them on Redis.
func migrateConfig(cmd *cobra.Command, from, to string) (Config, error) {
	if cmd.Flags().Changed("store") {
		return Config{}, usagef("migrate takes --from and --to, and no --store")
	}
	main := to
	for flag, url := range map[string]string{"from": from, "to": to} {
		switch _, err := storePath(url); {
		case url == "":
			return Config{}, usagef("--%s is missing: name both stores, like --from sqlite:paynotify.db "+
				"--to redis://127.0.0.1:6379/0", flag)
		case isRedisURL(url) && !isRedisURL(main):
			main = url
		case err != nil && !isRedisURL(url):
			return Config{}, &problem{code: exitConfig, what: "--" + flag + " is wrong", why: err.Error()}
		}
	}
	if markName(from) == markName(to) {
		return Config{}, usagef("--from and --to are the same store, %s", markName(to))
	}
	if err := cmd.Flags().Set("store", main); err != nil {
		return Config{}, err
	}
	cfg, _, err := configOf(cmd)
	return cfg, err
}

// markName is what the marks of the other store call this one: the same each time, whatever the working
// directory, and without a password.
func markName(url string) string {
	path, err := storePath(url)
	if err != nil {
		return storeName(url)
	}
	if whole, err := filepath.Abs(path); err == nil {
		path = whole
	}
	return "sqlite:" + path
}

func moveStore(cmd *cobra.Command, cfg Config, from, to string) (err error) {
	ctx, cancel := context.WithCancelCause(cmd.Context())
	defer cancel(nil)
	log := newLogger(cmd.ErrOrStderr(), cfg)
	source, err := openToMove(ctx, cfg, from, true, log, cancel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	target, err := openToMove(ctx, cfg, to, false, log, cancel)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.Close()) }()
	if cfg.MasterKey != "" {
		keys, err := loadKeys(ctx, cfg, source, log)
		if err == nil {
			_, err = keys.known(ctx, source)
		}
		if err != nil {
			return err
		}
	}
	result, err := migrate.Run(ctx, source, target, migrate.Options{
		From: markName(from), To: markName(to), Log: log, Progress: progressTo(cmd.ErrOrStderr()),
	})
	if err != nil {
		if why := context.Cause(ctx); why != nil && cmd.Context().Err() == nil {
			err = why // the store itself said that it is to be left alone
		}
		return migrateProblem(err)
	}
	if result.Released > 0 {
		log.Info("attempts whose process had died are recorded as interrupted", "attempts", result.Released)
	}
	if advice := keyAdvice(cfg, from, to); advice != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), advice)
	}
	return printMoved(cmd.OutOrStdout(), result, wantsJSON(cmd))
}

// openToMove opens a store for the migration alone. stop is called when it may not go on.
func openToMove(
	ctx context.Context, cfg Config, url string, isSource bool, log *slog.Logger, stop func(error),
) (store.Mover, error) {
	if isRedisURL(url) {
		return openRedisToMove(ctx, cfg, url, log, stop)
	}
	path, err := storePath(url)
	if err != nil {
		return nil, &problem{code: exitConfig, what: "the configuration is wrong", why: err.Error()}
	}
	if _, err := os.Stat(path); isSource && errors.Is(err, fs.ErrNotExist) {
		p := &problem{code: exitNotFound, what: "there is no store " + path}
		p.do = "name it with --from sqlite:FILE"
		return nil, p
	}
	s, err := sqlitestore.Open(ctx, sqlitestore.Options{
		Path: path, MaxInflightDefault: cfg.Dispatcher.MaxInflight, Log: log, Fatal: stop, ForMigration: true,
	})
	if err != nil {
		return nil, whileInUse(storeProblem(path, err), err)
	}
	return s, nil
}

func openRedisToMove(
	ctx context.Context, cfg Config, url string, log *slog.Logger, stop func(error),
) (store.Mover, error) {
	s, err := redisstore.Open(ctx, redisstore.Options{
		URL: url, WaitReplicas: cfg.Redis.WaitReplicas, AllowVolatile: cfg.AllowVolatile,
		MaxInflightDefault: cfg.Dispatcher.MaxInflight, Log: log, OnFatal: stop, ForMigration: true,
	})
	if err != nil {
		return nil, whileInUse(cannotOpenRedis(url, err), err)
	}
	timer := time.NewTimer(migrateWait)
	defer timer.Stop()
	select {
	case <-s.Ready():
		return s, nil
	case <-ctx.Done():
		err = context.Cause(ctx)
		if in := whileInUse(cannotOpenRedis(url, err), err); ctx.Err() != nil && !errors.Is(err, context.Canceled) {
			err = in
		}
	case <-timer.C:
		err = &problem{
			code: exitUnavailable, what: "cannot reach the store " + storeName(url),
			why: fmt.Sprint(s.Health(ctx).Err), do: "start Redis, or look at the URL, and run it again",
		}
	}
	return nil, errors.Join(err, s.Close())
}

// whileInUse is the problem of a store that others use.
func whileInUse(p error, err error) error {
	var embedded *sqlitestore.InUseError
	var onRedis *redisstore.InUseError
	if !errors.As(err, &embedded) && !errors.As(err, &onRedis) {
		return p
	}
	in := &problem{code: exitTemporary, what: "the store is in use"}
	if embedded != nil {
		in.why, in.do = embedded.Error(), "stop that process first"
	} else {
		in.why = onRedis.Error()
		in.do = "stop every process that serves it first; one that was killed counts for 15 s more"
	}
	return in
}

// migrateProblem tells a person why a migration did not end.
func migrateProblem(err error) error {
	var refused *migrate.RefusedError
	var differ *migrate.DifferError
	p := &problem{code: exitIO, what: "the migration did not end", why: err.Error()}
	p.do = "run it again, it goes on; until it says ok, serve the source"
	switch {
	case errors.As(err, &refused):
		p.code, p.what, p.why, p.do = exitConfig, "these stores cannot be migrated", refused.Why, refused.Do
	case errors.As(err, &differ):
		p.what, p.why = "the target is not what the source is", differ.Error()
		p.do = "run it again, it starts over; until it says ok, serve the source"
	case errors.Is(err, store.ErrFull):
		p.do = "make room, then run it again, it goes on; until it says ok, serve the source"
	case errors.Is(err, store.ErrUnavailable):
		p.code = exitUnavailable
	case errors.Is(err, context.Canceled):
		return err
	}
	return whileInUse(p, err)
}

// keyAdvice says where the master key must be, if the settings do not say it.
func keyAdvice(cfg Config, from, to string) string {
	if cfg.MasterKey != "" {
		return ""
	}
	key := "the master key of " + markName(from)
	if path, err := storePath(from); err == nil {
		key = path + ".master_key"
	}
	path, err := storePath(to)
	if err != nil {
		return "the merchants' keys are sealed with " + key + ": give it to every process as master_key_file"
	}
	if _, err := os.Stat(path + ".master_key"); err == nil {
		return ""
	}
	return "the merchants' keys are sealed with " + key + ": copy it to " + path + ".master_key, or give it " +
		"to serve as master_key_file"
}

// progressTo writes a line now and then.
func progressTo(w io.Writer) func(migrate.Progress) {
	last := time.Now()
	return func(p migrate.Progress) {
		if time.Since(last) < migrateSpeak {
			return
		}
		last = time.Now()
		fmt.Fprintf(w, "%s: %d of %d notifications\n", p.Step, p.Done, p.Total)
	}
}

func printMoved(w io.Writer, r migrate.Result, asJSON bool) error {
	if asJSON {
		return json.NewEncoder(w).Encode(struct {
			Merchants     int    `json:"merchants"`
			Notifications int    `json:"notifications"`
			Checksum      string `json:"checksum"`
			OK            bool   `json:"ok"`
		}{r.Merchants, r.Notifications, r.Checksum.String(), true})
	}
	_, err := fmt.Fprintf(w, "merchants=%d notifications=%d checksum=%s ok\n", r.Merchants, r.Notifications,
		r.Checksum)
	return err
}
