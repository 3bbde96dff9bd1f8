package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// level is how a check of doctor ended.
type level string

const (
	levelOK   level = "ok"
	levelWarn level = "warn" // works, and should not stay
	levelFail level = "fail" // serve would not start, would not send, or would lose something
)

// finding is what one check found.
type finding struct {
	Check string `json:"check"`
	Level level  `json:"level"`
	Found string `json:"found"`
	Cure  string `json:"cure"` // empty when all is well

	code int // of the process, when it failed
}

// doctor checks what serve depends on. Nothing it does changes the store or disturbs who serves it.
type doctor struct {
	cfg   Config
	print func(finding)

	count map[level]int
	code  int // of the first check that failed
}

func newDoctorCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "doctor",
		Short: "Check what serve depends on: store, disk or Redis, clock, limits, DNS, egress, keys",
		Long: `Check what serve depends on. It reads the configuration as serve does, needs no server, changes
nothing and disturbs nobody. One line a check: ok, warn or fail, what was found, and the cure.

Exit code 0 when nothing failed, also with warnings. Otherwise that of the first check that failed: 69 what
is needed does not answer (Redis, its replicas, DNS), 74 the disk or Redis's memory, 77 a permission, 78 the
configuration, a key, or a Redis that would lose what was accepted.`,
		Example: "  paynotify doctor --config /etc/paynotify.yaml\n" +
			"  paynotify doctor --store redis://127.0.0.1:6379/0 --json",
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, warnings, err := configOf(cmd)
			if err != nil {
				return err
			}
			return examine(cmd, cfg, warnings)
		},
	}
	configFlags(c)
	c.Flags().String("listen", "", "where the API will listen, HOST:PORT")
	engineFlags(c)
	return c
}

// examine makes every check, in the order in which a start would meet them.
func examine(cmd *cobra.Command, cfg Config, warnings []string) error {
	d := &doctor{cfg: cfg, count: map[level]int{}}
	out, people := cmd.OutOrStdout(), cmd.OutOrStdout()
	if wantsJSON(cmd) {
		people = cmd.ErrOrStderr()
		lines := json.NewEncoder(out)
		lines.SetEscapeHTML(false)
		d.print = func(f finding) { lines.Encode(f) } //nolint:errcheck // a closed pipe: nobody reads
	} else {
		paint := paletteFor(out)
		d.print = func(f finding) { printFinding(out, paint, f) }
	}
	ctx := cmd.Context()
	for _, w := range warnings {
		d.warn("configuration", "", "%s", w)
	}
	checks := []func(context.Context){d.embedded}
	if isRedisURL(cfg.Store) {
		checks = []func(context.Context){d.redis}
	}
	for _, check := range append(checks, d.clock, d.descriptors, d.dns, d.egress, d.proxy, d.access) {
		if check(ctx); ctx.Err() != nil {
			return ctx.Err()
		}
	}
	_, err := fmt.Fprintf(people, "%d ok, %d to look at, %d failed\n", d.count[levelOK], d.count[levelWarn],
		d.count[levelFail])
	if d.code != exitOK {
		return silent{d.code}
	}
	return err
}

// printFinding writes a finding for people. A cure that is a command stands alone on its line.
func printFinding(w io.Writer, paint palette, f finding) {
	colour := map[level]func(string) string{
		levelOK: paint.green, levelWarn: paint.yellow, levelFail: paint.red,
	}[f.Level]
	fmt.Fprintf(w, "%s  %-18s %s\n", colour(fmt.Sprintf("%-4s", f.Level)), f.Check, printable(f.Found))
	for line := range strings.Lines(f.Cure) {
		fmt.Fprintf(w, "      do: %s\n", printable(strings.TrimSpace(line)))
	}
}

func (d *doctor) add(f finding) {
	d.count[f.Level]++
	if f.Level == levelFail {
		d.code = cmp.Or(d.code, f.code)
	}
	d.print(f)
}

func (d *doctor) ok(check, format string, args ...any) {
	d.add(finding{Check: check, Level: levelOK, Found: fmt.Sprintf(format, args...)})
}

func (d *doctor) warn(check, cure, format string, args ...any) {
	d.add(finding{Check: check, Level: levelWarn, Found: fmt.Sprintf(format, args...), Cure: cure})
}

func (d *doctor) fail(code int, check, cure, format string, args ...any) {
	d.add(finding{
		Check: check, Level: levelFail, Found: fmt.Sprintf(format, args...), Cure: cure, code: code,
	})
}

// failed reports a check that ended with a problem, as serve would tell it.
func (d *doctor) failed(check string, p *problem) {
	cure := strings.TrimSpace(strings.Join(append([]string{p.do}, p.commands...), "\n"))
	d.fail(p.code, check, cure, "%s", p.Error())
}
