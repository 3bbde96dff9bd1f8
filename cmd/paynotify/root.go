// Command paynotify is the whole product in one static binary: the engine that owes merchants their payment
// results (serve), a demonstration of it (demo), a merchant to test against (listen), and a client for people
// and scripts.
//
// Each command has a file of its own, named after it. Two more things live here and nowhere else: the
// configuration (config.go, the only importer of viper) and the wiring of all packages (engine.go).
//
// Start reading at newRootCommand in root.go, then at startEngine in engine.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func main() { os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr)) }

// run runs one command line and is all of main except the exit.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) (code int) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(stderr, "error: paynotify stopped on a fault of its own: %v\n%s", r, debug.Stack())
			code = exitBug
		}
	}()
	ctx, stop := withSignals(context.Background())
	defer stop()
	root := newRootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	code = exitCode(ctx, err)
	report(stderr, code, err)
	return code
}

// errTerminated is the cause of a context that ended because the process was asked to end.
var errTerminated = errors.New("terminated")

// withSignals ends the context at the first SIGINT or SIGTERM, and the process at once at the second.
func withSignals(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-done:
				return
			case s := <-signals:
				if ctx.Err() != nil {
					os.Exit(exitInterrupted)
				}
				cause := errTerminated
				if s == os.Interrupt {
					cause = errInterrupted
				}
				cancel(cause)
			}
		}
	}()
	return ctx, func() {
		signal.Stop(signals)
		close(done)
		cancel(nil)
	}
}

// newRootCommand puts the commands together.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "paynotify",
		Short: "Tells merchants about their payments until they have acknowledged",
		Long: `paynotify accepts payment results over HTTP, stores them durably, signs them as the payment
providers do, POSTs them to the merchants, judges the replies and retries on the providers' schedules.

Start with "paynotify demo", then "paynotify serve --dev".`,
		SilenceErrors:     true,
		SilenceUsage:      true,
		CompletionOptions: cobra.CompletionOptions{DisableDefaultCmd: true},
	}
	asGroup(root)
	root.SetHelpCommand(newHelpCommand())
	root.PersistentFlags().String("server", envOr("PAYNOTIFY_SERVER", defaultServer),
		"base URL of the server, for the commands that talk to one; or PAYNOTIFY_SERVER")
	root.PersistentFlags().String("token", "",
		"key for the server; better PAYNOTIFY_TOKEN, which other users of this machine cannot see")
	root.PersistentFlags().Bool("json", false, "print JSON lines on stdout, everything for people on stderr")
	root.SetFlagErrorFunc(flagError)
	root.AddGroup(
		&cobra.Group{ID: groupRun, Title: "Run:"},
		&cobra.Group{ID: groupUse, Title: "Use a running server:"},
		&cobra.Group{ID: groupCare, Title: "Take care of it:"},
	)
	addAll(root, groupRun, newServeCommand(), newDemoCommand(), newListenCommand(), newCertifyCommand(),
		newVerifyCommand(), newBenchCommand())
	addAll(root, groupUse, newMerchantCommand(), newSendCommand(), newShowCommand(), newListCommand(),
		newTailCommand(), newResendCommand(), newReplayCommand(), newSendingCommand())
	addAll(root, groupCare, newHealthCommand(), newDoctorCommand(), newBackupCommand(), newFsckCommand(),
		newMigrateCommand(),
		newKeyCommand(), newAuditCommand(), newScheduleCommand(), newVersionCommand(), newCompletionCommand())
	return root
}

const (
	groupRun  = "run"
	groupUse  = "use"
	groupCare = "care"

	defaultServer = "http://127.0.0.1:8080"
)

func addAll(parent *cobra.Command, group string, commands ...*cobra.Command) {
	for _, c := range commands {
		c.GroupID = group
		parent.AddCommand(c)
	}
}

func envOr(name, fallback string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return fallback
}

// asGroup makes a command that only holds others: alone it prints its help, with an unknown word it names the
// nearest known one. It looks at the words before the flags, because a misspelt command is the likelier
// cause of a flag that nobody knows.
func asGroup(c *cobra.Command) {
	c.DisableFlagParsing = true
	c.Args = cobra.ArbitraryArgs
	c.RunE = func(cmd *cobra.Command, args []string) error {
		names := commandNames(cmd)
		word, flag, help := firstWords(cmd, args)
		see := fmt.Sprintf("see %q", cmd.CommandPath()+" --help")
		switch {
		case word != "":
			p := usagef("unknown command %q for %q", word, cmd.CommandPath())
			p.do = didYouMean(word, names, see)
			return p
		case flag != "":
			p := usagef("unknown flag: %s", flag)
			p.do = didYouMean(flag, flagNames(cmd), see)
			if flag == "--version" {
				p.do = `write "paynotify version"`
			}
			return p
		case help || !cmd.HasParent():
			return cmd.Help()
		}
		p := usagef("%q needs one of: %s", cmd.CommandPath(), strings.Join(names, ", "))
		p.do = see
		return p
	}
}

// firstWords finds the first word and the first unknown flag of a line that named no command.
func firstWords(cmd *cobra.Command, args []string) (word, flag string, help bool) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" || !strings.HasPrefix(a, "-") || a == "-" {
			if a == "--" {
				continue
			}
			return a, flag, help
		}
		if a == "-h" || a == "--help" {
			help = true
			continue
		}
		name, _, inline := strings.Cut(strings.TrimLeft(a, "-"), "=")
		f := lookupFlag(cmd, name)
		switch {
		case f == nil && flag == "":
			flag, _, _ = strings.Cut(a, "=")
		case f != nil && !inline && f.NoOptDefVal == "":
			i++
		}
	}
	return "", flag, help
}

func lookupFlag(cmd *cobra.Command, name string) *pflag.Flag {
	if f := cmd.Flags().Lookup(name); f != nil {
		return f
	}
	return cmd.InheritedFlags().Lookup(name)
}

// flagError makes a usage error of what pflag says, with the nearest flag.
func flagError(cmd *cobra.Command, err error) error {
	p := usagef("%s", err.Error())
	p.do = fmt.Sprintf("see %q", cmd.CommandPath()+" --help")
	if unknown, ok := errors.AsType[*pflag.NotExistError](err); ok {
		p.do = didYouMean("--"+unknown.GetSpecifiedName(), flagNames(cmd), p.do)
	}
	return p
}

func flagNames(cmd *cobra.Command) (names []string) {
	add := func(f *pflag.Flag) { names = append(names, "--"+f.Name) }
	cmd.LocalFlags().VisitAll(add)
	cmd.InheritedFlags().VisitAll(add)
	return names
}

// needs checks the positional arguments: exactly the named ones.
func needs(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			p := usagef("%q needs %s", cmd.CommandPath(), strings.Join(names[len(args):], " and "))
			p.do = "usage: " + cmd.UseLine()
			return p
		case len(args) > len(names):
			p := usagef("%q does not take %q", cmd.CommandPath(), args[len(names)])
			p.do = "usage: " + cmd.UseLine()
			return p
		}
		return nil
	}
}

// wantsJSON reports whether --json was given.
func wantsJSON(cmd *cobra.Command) bool {
	on, err := cmd.Flags().GetBool("json")
	return err == nil && on
}
