package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
)

func merchantSLA() *cobra.Command {
	var window string
	c := &cobra.Command{
		Use:   "sla MCH_ID",
		Short: "Show how notifications to a merchant went lately",
		Long: `Show how notifications to a merchant went that were accepted within --window: how many it has
acknowledged, how long that took, and how many of its replies were meant as an acknowledgement and are none.`,
		Example:           "  paynotify merchant sla m1\n  paynotify merchant sla m1 --window 7d --json",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			r := get("v1", "merchants", args[0], "sla")
			r.query = url.Values{"window": {window}}
			var v api.SLAView
			raw, err := c.do(cmd.Context(), r, &v)
			switch {
			case err != nil:
				return err
			case wantsJSON(cmd):
				return printLine(cmd.OutOrStdout(), raw)
			}
			return printSLA(cmd.OutOrStdout(), &v, time.Now())
		},
	}
	c.Flags().StringVar(&window, "window", "24h", "how far back: 1m to 366d, like 90m, 24h or 7d")
	return c
}

func printSLA(w io.Writer, v *api.SLAView, now time.Time) error {
	fmt.Fprintf(w, "merchant %s, accepted in the last %s\n", v.MchID, v.Window)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(tw, "  %s\t%s\n", name, value) }
	row("accepted", strconv.Itoa(v.Accepted))
	row("spent", strconv.Itoa(v.Spent))
	row("exhausted", strconv.Itoa(v.Exhausted))
	pending := strconv.Itoa(v.Pending)
	if v.OldestPendingAt != nil {
		pending += ", the oldest accepted " + ago(now.Sub(v.OldestPendingAt.Time)) + " ago"
	}
	row("pending", pending)
	row("ack_rate", percent(v.AckRate))
	row("near_miss_rate", percent(v.NearMissRate))
	sends := "–"
	if v.SendsPerAck != nil {
		sends = strconv.FormatFloat(*v.SendsPerAck, 'f', 2, 64)
	}
	row("sends_per_ack", sends)
	row("time_to_ack", "p50 "+seconds(v.TimeToAck.P50)+"  p95 "+seconds(v.TimeToAck.P95)+"  p99 "+
		seconds(v.TimeToAck.P99))
	if v.Sampled {
		row("", "rates and times are those of a fair sample")
	}
	return tw.Flush()
}

// percent writes a share; nothing can be said of none.
func percent(share *float64) string {
	if share == nil {
		return "–"
	}
	return strconv.FormatFloat(*share*100, 'f', 2, 64) + " %"
}

func seconds(s *float64) string {
	if s == nil {
		return "–"
	}
	d := time.Duration(*s * float64(time.Second))
	if d > time.Minute {
		return shortDuration(d.Round(time.Second))
	}
	return d.Round(time.Millisecond).String()
}

func merchantStatement() *cobra.Command {
	var date, format, offset string
	c := &cobra.Command{
		Use:   "statement MCH_ID --date YYYY-MM-DD",
		Short: "Write what was accepted for a merchant on a day, with totals",
		Long: `Write what was accepted for a merchant on a day, newest first, then totals by state, then a checksum
of all lines before it, which is verified on the way. States are those of now.

Exit codes: 0 when the statement is whole, 75 when it broke off: what was written is of no use then.`,
		Example: "  paynotify merchant statement m1 --date 2026-11-20 > m1-2026-11-20.csv\n" +
			"  paynotify merchant statement m1 --date 2026-11-20 --utc-offset +08:00 --format jsonl",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			if date == "" {
				p := usagef("statement needs --date")
				p.do = "give the day, like --date " + time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
				return p
			}
			if wantsJSON(cmd) && !cmd.Flags().Changed("format") {
				format = "jsonl"
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			r := get("v1", "merchants", args[0], "statement")
			r.header = map[string]string{"Accept": "*/*"}
			r.query = url.Values{"date": {date}, "format": {format}}
			if offset != "" {
				r.query.Set("utc_offset", offset)
			}
			return c.statement(cmd, r)
		},
	}
	c.Flags().StringVar(&date, "date", "", "the day, YYYY-MM-DD")
	c.Flags().StringVar(&format, "format", "csv", "csv or jsonl")
	c.Flags().StringVar(&offset, "utc-offset", "", "where the day begins, like +08:00; default UTC")
	completeFlag(c, "format", []string{"csv", "jsonl"})
	return c
}

// statement copies a statement to stdout and verifies its checksum.
func (c *client) statement(cmd *cobra.Command, r call) error {
	resp, err := c.send(cmd.Context(), r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	check := statementCheck{sum: sha256.New()}
	in := bufio.NewReaderSize(resp.Body, 64<<10)
	out := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
	for err == nil {
		var line []byte
		if line, err = in.ReadBytes('\n'); errors.Is(err, io.EOF) && len(line) > 0 {
			err = io.ErrUnexpectedEOF // the last line has an end too
		}
		check.add(line)
		if _, failed := out.Write(line); failed != nil {
			return failed
		}
	}
	if failed := out.Flush(); failed != nil {
		return failed
	}
	if errors.Is(err, io.EOF) && check.holds() {
		return nil
	}
	p := &problem{code: exitTemporary, what: "the statement is not whole", do: "try again"}
	if !errors.Is(err, io.EOF) {
		p.why = err.Error()
	}
	return p
}

// statementCheck recomputes a statement's checksum, which stands in its last line.
type statementCheck struct {
	sum  hash.Hash
	last []byte
}

func (s *statementCheck) add(line []byte) {
	if len(line) > 0 {
		s.sum.Write(s.last)
		s.last = line
	}
}

func (s *statementCheck) holds() bool {
	return bytes.Contains(s.last, []byte(hex.EncodeToString(s.sum.Sum(nil))))
}

const (
	gapsOfOneCall = 10_000   // order numbers that the server takes at once
	gapsBytesMax  = 64 << 20 // of a list; a million order numbers
)

func merchantGaps() *cobra.Command {
	return &cobra.Command{
		Use:   "gaps MCH_ID [FILE|-]",
		Short: "Find the orders that a merchant was never told of, or has not acknowledged",
		Long: `Find the orders that a merchant was never told of, or has not acknowledged, among those of a list:
one order number a line, from FILE or from stdin.

Exit codes: 0 when there are none, 65 when there are.`,
		Example: "  paynotify merchant gaps m1 orders.txt\n" +
			"  cut -d, -f1 ledger.csv | paynotify merchant gaps m1 --json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return needs("MCH_ID", "FILE")(cmd, args)
			}
			return needs("MCH_ID")(cmd, args)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, word string,
		) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return nil, cobra.ShellCompDirectiveDefault // files
			}
			return completeMerchants(cmd, args, word)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			file := "-"
			if len(args) > 1 {
				file = args[1]
			}
			return gaps(cmd, args[0], file)
		},
	}
}

func gaps(cmd *cobra.Command, mchID, file string) error {
	if in, ok := cmd.InOrStdin().(*os.File); ok && file == "-" && isTerminal(in) {
		fmt.Fprintln(cmd.ErrOrStderr(), "paste the order numbers, one a line, then end with Ctrl-D")
	}
	text, err := readAtMost(cmd, file, gapsBytesMax)
	if err != nil {
		return err
	}
	orders := orderLines(string(text))
	if len(orders) == 0 {
		return dataf("the list has no order number in it")
	}
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	all := api.GapsView{NeverSeen: []string{}, NotSpent: []api.GapView{}}
	for part := range slices.Chunk(orders, gapsOfOneCall) {
		var v api.GapsView
		r := post(api.GapsRequest{OutTradeNos: part}, "v1", "merchants", mchID, "gaps")
		if _, err := c.do(cmd.Context(), r, &v); err != nil {
			return err
		}
		all.NeverSeen = append(all.NeverSeen, v.NeverSeen...)
		all.NotSpent = append(all.NotSpent, v.NotSpent...)
		all.Spent += v.Spent
	}
	return printGaps(cmd, &all)
}

// orderLines are the lines of a list, each once, without blanks round them.
func orderLines(text string) (orders []string) {
	seen := map[string]bool{"": true}
	for line := range strings.Lines(strings.TrimPrefix(text, "\ufeff")) {
		if line = strings.TrimSpace(line); !seen[line] {
			seen[line] = true
			orders = append(orders, line)
		}
	}
	return orders
}

func printGaps(cmd *cobra.Command, v *api.GapsView) error {
	var err error
	if wantsJSON(cmd) {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(v)
	} else {
		tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
		if len(v.NeverSeen)+len(v.NotSpent) > 0 {
			fmt.Fprintln(tw, "OUT_TRADE_NO\tSTATE\tNOTIFY_TYPE\tNOTIFY_ID")
		}
		for _, order := range v.NeverSeen {
			fmt.Fprintf(tw, "%s\tnever seen\t–\t–\n", printable(order))
		}
		for _, g := range v.NotSpent {
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\n", printable(g.OutTradeNo), g.NotifyState,
				orDash(printable(g.NotifyType)), g.NotifyID)
		}
		err = tw.Flush()
		fmt.Fprintf(cmd.ErrOrStderr(), "never seen %d, not spent %d, spent %d\n", len(v.NeverSeen),
			len(v.NotSpent), v.Spent)
	}
	if err == nil && len(v.NeverSeen)+len(v.NotSpent) > 0 {
		return silent{exitData}
	}
	return err
}
