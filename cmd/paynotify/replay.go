package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/replay"
	"paynotify/store"
)

// replayFlags are what the command line says.
type replayFlags struct {
	mch, state, from, to, reason string
	rate                         float64
	dryRun, yes, list            bool
	watch, cancel                string
}

// newReplayCommand sends many notifications again.
func newReplayCommand() *cobra.Command {
	var f replayFlags
	c := &cobra.Command{
		Use:   "replay [--mch M] [--state S] [--from T] [--to T] [--dry-run] [--rate N]",
		Short: "Send many notifications again, once each",
		Long: `Send many notifications again: those that are exhausted, or in another state in which nobody
acknowledged them. Each goes once, beside its schedule; one that is acknowledged on the way is left out.

First it says how many there are and, on a terminal, asks. The server does the work, also when this command
has ended and when the server is restarted: --watch goes on looking, --cancel ends it. With --json each line
is the replay as it stands, the last one at its end.`,
		Example: "  paynotify replay --mch m1 --from 24h --dry-run\n" +
			"  paynotify replay --mch m1 --from 24h --rate 50 --reason \"their server was down\"\n" +
			"  paynotify replay --watch REPLAY_ID",
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			return f.run(cmd, c)
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.mch, "mch", "", "only of this merchant")
	flags.StringVar(&f.state, "state", "", "exhausted (the default), canceled, quarantined or pending")
	flags.StringVar(&f.from, "from", "",
		"accepted since: an instant (RFC 3339), a date, or a duration ago such as 2h")
	flags.StringVar(&f.to, "to", "", "accepted before")
	flags.Float64Var(&f.rate, "rate", 0, "at most so many sends a second; 0 = as the merchants allow")
	flags.StringVar(&f.reason, "reason", "", "why, for whoever looks later")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only say what would be sent")
	flags.BoolVarP(&f.yes, "yes", "y", false, "do not ask")
	flags.StringVar(&f.watch, "watch", "", "follow a replay that was begun before")
	flags.StringVar(&f.cancel, "cancel", "", "end a replay; what was asked for before still goes out")
	flags.BoolVar(&f.list, "list", false, "list the last replays")
	completeFlag(c, "state", []string{
		string(store.Exhausted), string(store.Canceled), string(store.Quarantined), string(store.Pending),
	})
	for flag, complete := range map[string]completionFunc{
		"mch": completeMchFlag, "watch": completeReplays, "cancel": completeReplays,
	} {
		if err := c.RegisterFlagCompletionFunc(flag, complete); err != nil {
			panic(err) // they stand above
		}
	}
	return c
}

// completeReplays offers the replays that are running.
func completeReplays(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionWait)
	defer cancel()
	c, err := newClient(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list api.ReplayList
	if _, err := c.do(ctx, get("v1", "replays"), &list); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for i := range list.Replays {
		if v := &list.Replays[i]; v.State == replay.Running {
			about := fmt.Sprintf("%d of %d", ended(v), v.Matched)
			words = append(words, cobra.CompletionWithDesc(v.ReplayID, about))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

func (f *replayFlags) run(cmd *cobra.Command, c *client) error {
	if alone := given(cmd, "list", "watch", "cancel", "dry-run"); len(alone) > 1 {
		return usagef("%s and %s do not go together", alone[0], alone[1])
	}
	switch {
	case f.list:
		return listReplays(cmd, c)
	case f.cancel != "":
		return f.end(cmd, c)
	case f.watch != "":
		return newReplayWatch(cmd, c, f.watch).run(cmd.Context())
	}
	body, err := f.body()
	if err != nil {
		return err
	}
	plan, raw, err := planReplay(cmd, c, body)
	if err != nil {
		return err
	}
	people := cmd.OutOrStdout()
	if wantsJSON(cmd) {
		people = cmd.ErrOrStderr()
	}
	if f.dryRun && wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	printPlan(people, &plan)
	if f.dryRun || plan.Matched == 0 {
		return nil
	}
	if !f.yes && !sure(cmd, plan.Matched) {
		fmt.Fprintln(people, "Nothing was sent.")
		return silent{exitInterrupted}
	}
	var begun api.ReplayView
	if raw, err = c.do(cmd.Context(), post(body, "v1", "notifications", "replay"), &begun); err != nil {
		return err
	}
	if wantsJSON(cmd) {
		if err := printLine(cmd.OutOrStdout(), raw); err != nil {
			return err
		}
	}
	fmt.Fprintln(people, "replay", begun.ReplayID)
	return newReplayWatch(cmd, c, begun.ReplayID).run(cmd.Context())
}

// given are those of some flags that the command line has.
func given(cmd *cobra.Command, flags ...string) (names []string) {
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			names = append(names, "--"+name)
		}
	}
	return names
}

// body is what the flags ask for, as the API takes it.
func (f *replayFlags) body() (map[string]any, error) {
	body := map[string]any{}
	for name, text := range map[string]string{"mch_id": f.mch, "notify_state": f.state, "reason": f.reason} {
		if text != "" {
			body[name] = text
		}
	}
	for flag, text := range map[string]string{"from": f.from, "to": f.to} {
		if text == "" {
			continue
		}
		at, err := parseInstant("--"+flag, text, time.Now(), -1)
		if err != nil {
			return nil, err
		}
		body["created_"+flag] = at
	}
	if f.rate != 0 {
		body["rate_per_second"] = f.rate
	}
	return body, nil
}

func planReplay(cmd *cobra.Command, c *client, body map[string]any) (api.ReplayPlan, json.RawMessage, error) {
	var plan api.ReplayPlan
	dry := maps.Clone(body)
	dry["dry_run"] = true
	raw, err := c.do(cmd.Context(), post(dry, "v1", "notifications", "replay"), &plan)
	return plan, raw, err
}

// merchantsShown are the merchants of a plan that get a line of their own, those with the most first.
const merchantsShown = 10

// printPlan says what a replay would do.
func printPlan(w io.Writer, p *api.ReplayPlan) {
	if p.Matched == 0 {
		fmt.Fprintln(w, "No notification matches.")
	} else {
		verb := "match"
		if p.Matched == 1 {
			verb = "matches"
		}
		fmt.Fprintf(w, "%s of %s %s.\n", counted(p.Matched, "notification"),
			counted(len(p.Merchants), "merchant"), verb)
	}
	ids := slices.SortedFunc(maps.Keys(p.Merchants), func(a, b string) int {
		return cmp.Or(p.Merchants[b]-p.Merchants[a], cmp.Compare(a, b))
	})
	if len(ids) > 1 {
		tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
		for _, id := range ids[:min(len(ids), merchantsShown)] {
			fmt.Fprintf(tw, "%d\t  %s\n", p.Merchants[id], id)
		}
		_ = tw.Flush() // as other printing
		if more := len(ids) - merchantsShown; more > 0 {
			fmt.Fprintf(w, "  and %s more\n", counted(more, "merchant"))
		}
	}
	if len(p.Amounts) > 0 {
		var sums []string
		for _, name := range slices.Sorted(maps.Keys(p.Amounts)) {
			sums = append(sums, printable(name)+" "+printable(p.Amounts[name]))
		}
		about := ""
		if p.AmountsEstimated {
			about = "about "
		}
		fmt.Fprintf(w, "Sums: %s%s\n", about, strings.Join(sums, ", "))
	}
	if p.SkippedSpent > 0 {
		more := ""
		if p.SkippedSpentMore {
			more = " or more"
		}
		fmt.Fprintf(w, "%d%s in the same range are acknowledged and stay as they are.\n", p.SkippedSpent, more)
	}
}

// counted is a number of things.
func counted(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// sure asks a person on a terminal. Scripts have thought before.
func sure(cmd *cobra.Command, matched int) bool {
	in, stderr := cmd.InOrStdin(), cmd.ErrOrStderr()
	if !isTerminalReader(in) || !isTerminal(stderr) {
		return true
	}
	fmt.Fprintf(stderr, "Send %s again? [y/N] ", counted(matched, "notification"))
	answer := make(chan string, 1)
	go func() { // it ends with the process: nothing interrupts a read of a terminal
		line, _ := bufio.NewReader(in).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		line = strings.ToLower(strings.TrimSpace(line))
		return line == "y" || line == "yes"
	case <-cmd.Context().Done():
		fmt.Fprintln(stderr)
		return false
	}
}

func isTerminalReader(in io.Reader) bool {
	f, ok := in.(io.Writer) // a terminal is a file that can be written, too
	return ok && isTerminal(f)
}

// end cancels a replay.
func (f *replayFlags) end(cmd *cobra.Command, c *client) error {
	body := map[string]any{}
	if f.reason != "" {
		body["reason"] = f.reason
	}
	var v api.ReplayView
	raw, err := c.do(cmd.Context(), post(body, "v1", "replays", f.cancel, "cancel"), &v)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is canceled: %d of %d were asked for, and these go out\n",
		v.ReplayID, v.Asked, v.Matched)
	return err
}

// listReplays prints the last replays.
func listReplays(cmd *cobra.Command, c *client) error {
	var page struct {
		Replays []json.RawMessage `json:"replays"`
	}
	if _, err := c.do(cmd.Context(), get("v1", "replays"), &page); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for i, raw := range page.Replays {
		if wantsJSON(cmd) {
			if err := printLine(cmd.OutOrStdout(), raw); err != nil {
				return err
			}
			continue
		}
		var v api.ReplayView
		if err := json.Unmarshal(raw, &v); err != nil {
			return err
		}
		if i == 0 {
			fmt.Fprintln(tw, "REPLAY_ID\tSTATE\tMERCHANT\tMATCHED\tSENT\tSPENT\tCREATED\tREASON")
		}
		mch, reason := "all", ""
		if v.MchID != nil {
			mch = *v.MchID
		}
		if v.Reason != nil {
			reason = *v.Reason
		}
		fmt.Fprintf(tw, "%s\t%s\t%s\t%d\t%d\t%d\t%s\t%s\n", v.ReplayID, v.State, mch, v.Matched, v.Sent, v.Spent,
			v.CreatedAt.Local().Format(time.DateTime), printable(reason))
	}
	return tw.Flush()
}
