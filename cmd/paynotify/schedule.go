package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/retry"
)

// newScheduleCommand prints when a schedule sends. It needs no server.
func newScheduleCommand() *cobra.Command {
	var from string
	c := &cobra.Command{
		Use:   "schedule NAME|LIST",
		Short: "Print every send of a schedule: its offset and its instant",
		Long: `Print every send of a schedule: its offset from the first one and the instant, when nothing is late.

A schedule is a name (alipay, alipay_intl, alipay_2023, wechat_v2, wechat_v3, standard, jeepay) or a list of
waits such as "15s,1m,5m".`,
		Example:           "  paynotify schedule alipay\n  paynotify schedule 15s,1m,5m --json",
		Args:              needs("NAME|LIST"),
		ValidArgsFunction: completeFirst(retry.Names()),
		RunE: func(cmd *cobra.Command, args []string) error {
			start := time.Now().UTC().Truncate(time.Second)
			if from != "" {
				var err error
				if start, err = time.Parse(time.RFC3339, from); err != nil {
					p := usagef("--from %q is no instant", from)
					p.do = "write it like 2026-11-21T08:00:00Z"
					return p
				}
			}
			s, err := retry.Parse(args[0])
			if err != nil {
				return scheduleProblem(args[0], err)
			}
			return printSchedule(cmd.OutOrStdout(), s, start, wantsJSON(cmd))
		},
	}
	c.Flags().StringVar(&from, "from", "", "instant of the first send (RFC 3339); now when left out")
	return c
}

func scheduleProblem(text string, err error) error {
	p := dataf("%q is not a schedule", text)
	if parse, ok := errors.AsType[*retry.ParseError](err); ok {
		p.why, p.do = parse.Message, parse.Cure
	} else {
		p.why = err.Error()
	}
	return p
}

func printSchedule(w io.Writer, s retry.Schedule, start time.Time, asJSON bool) error {
	offsets := s.Offsets()
	if asJSON {
		enc := json.NewEncoder(w)
		for i, o := range offsets {
			line := struct {
				Send    int       `json:"send"`
				Offset  string    `json:"offset"`
				Seconds float64   `json:"offset_seconds"`
				At      time.Time `json:"at"`
			}{i + 1, span(o), o.Seconds(), start.Add(o)}
			if err := enc.Encode(line); err != nil {
				return err
			}
		}
		return enc.Encode(struct {
			Schedule string  `json:"schedule"`
			Sends    int     `json:"sends"`
			Sum      string  `json:"sum"`
			Seconds  float64 `json:"sum_seconds"`
		}{s.String(), s.Sends(), span(s.Sum()), s.Sum().Seconds()})
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "SEND\tOFFSET\tAT")
	for i, o := range offsets {
		fmt.Fprintf(tw, "%d\t%s\t%s\n", i+1, span(o), start.Add(o).Format(time.RFC3339))
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %d sends in %s\n", s, s.Sends(), span(s.Sum()))
	return err
}

// span writes a duration as people say it: 24h24m, 4m, 15s, 0.
func span(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return shortDuration(d)
}
