package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/profile"
	"paynotify/store"
)

// newShowCommand prints everything about one notification.
func newShowCommand() *cobra.Command {
	var curl, evidence bool
	var attempt int
	c := &cobra.Command{
		Use:   "show NOTIFY_ID",
		Short: "Show everything about one notification",
		Long: `Show everything about one notification: its state, what was sent when and what the schedule still
has, every attempt with verdict, reason and what to do about it. Where a merchant almost acknowledged, the
reply is set beside the expected one, with blanks and invisible characters made visible.

With --curl, print the exact request of the last attempt, or of --attempt N, as a command for a POSIX shell
with curl. Running it sends the notification to the merchant again, byte for byte, and leaves no trace here.

With --evidence, print everything as one JSON document for whoever doubts it: of all attempts, or of
--attempt N, the request byte for byte with its signature and the string that was signed, the reply, the
times.`,
		Example: `  paynotify show NOTIFY_ID
  paynotify show NOTIFY_ID --curl | sh
  paynotify show NOTIFY_ID --evidence > evidence.json`,
		Args:              needs("NOTIFY_ID"),
		ValidArgsFunction: completeNotifications,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkShowFlags(cmd, curl, evidence, attempt); err != nil {
				return err
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			switch {
			case curl:
				return showCurl(cmd, c, args[0], attempt)
			case evidence:
				return showEvidence(cmd, c, args[0], attempt)
			}
			var n api.NotificationView
			raw, err := c.do(cmd.Context(), get("v1", "notifications", args[0]), &n)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printLine(cmd.OutOrStdout(), raw)
			}
			var m api.MerchantView
			if _, err := c.do(cmd.Context(), get("v1", "merchants", n.MchID), &m); err != nil {
				m = api.MerchantView{} // removed: there is nothing to compare replies with
			}
			s := shower{out: cmd.OutOrStdout(), paint: paletteFor(cmd.OutOrStdout()), ack: m.Ack}
			return s.show(&n, c.peopleDid(cmd.Context(), &n), time.Now())
		},
	}
	c.Flags().BoolVar(&curl, "curl", false, "print the exact request of the last attempt as a curl command")
	c.Flags().BoolVar(&evidence, "evidence", false, "print everything as JSON, with the requests byte for byte")
	c.Flags().IntVar(&attempt, "attempt", 0, "with --curl or --evidence: the attempt, by its number")
	return c
}

// shower shows a notification to a person.
type shower struct {
	out   io.Writer
	paint palette
	ack   api.AckView
}

func (s shower) show(n *api.NotificationView, did []api.AuditEntryView, now time.Time) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s  %s  %s\n", s.paint.bold(n.NotifyID), s.state(n.NotifyState), s.progress(n, now))
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", name, value)
		}
	}
	row("merchant", n.MchID+" ("+n.Profile+")")
	row("notify_url", printable(deref(n.NotifyURL)))
	row("out_trade_no", printable(n.OutTradeNo))
	row("notify_type", printable(n.NotifyType))
	row("schedule", n.Schedule)
	row("accepted", stamp(n.CreatedAt.Time))
	if n.SpentAt != nil {
		row("spent", fmt.Sprintf("%s, %s after it was accepted", stamp(n.SpentAt.Time),
			ago(n.SpentAt.Sub(n.CreatedAt.Time))))
	}
	row("params", s.params(n.Params))
	if n.Shrunk {
		row("note", "retention has dropped the parameters and the attempts")
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if !n.Shrunk {
		b.WriteString("\n")
		if err := s.timeline(&b, n, now); err != nil {
			return err
		}
	}
	s.people(&b, did)
	for i := range n.Attempts {
		b.WriteString("\n")
		s.attempt(&b, &n.Attempts[i], n.NotifyCountLimit)
	}
	_, err := s.out.Write(b.Bytes())
	return err
}

func (s shower) state(state store.State) string {
	switch state {
	case store.Spent:
		return s.paint.green(string(state))
	case store.Pending:
		return s.paint.yellow(string(state))
	}
	return s.paint.red(string(state))
}

// progress says what comes next, in words.
func (s shower) progress(n *api.NotificationView, now time.Time) string {
	send := fmt.Sprintf("send %d of %d", n.NotifyCount+1, n.NotifyCountLimit)
	switch {
	case n.NotifyState == store.Spent:
		return "the merchant has acknowledged it; it is never sent again"
	case n.NotifyState == store.Exhausted:
		return fmt.Sprintf("all %d sends were made, none acknowledged; \"paynotify resend\" sends it again",
			n.NotifyCountLimit)
	case n.NotifyState == store.Canceled:
		return "a person took it back"
	case n.NotifyState == store.Quarantined:
		return "taken out of the schedule: its record is damaged, or attempts failed inside paynotify"
	case n.InFlight:
		return "being sent now"
	case n.HeldReason != nil:
		return fmt.Sprintf("%s is held: %s", send, heldText(*n.HeldReason))
	case n.NextNotifyTime == nil:
		return ""
	case n.NextNotifyTime.Sub(now) < time.Second:
		return send + " is due"
	}
	return fmt.Sprintf("%s %s at %s", send, inWords(n.NextNotifyTime.Sub(now)), stamp(n.NextNotifyTime.Time))
}

// heldText says why something is held and how to let it go.
func heldText(reason string) string {
	switch reason {
	case store.HeldSendingPaused:
		return `all sending is stopped; "paynotify sending start" starts it`
	case store.HeldMerchantPaused:
		return `its merchant is paused; "paynotify merchant resume" resumes it`
	case store.HeldAddressBlocked:
		return `the address is not allowed; change notify_url or the egress rules, then "paynotify merchant resume"`
	case store.HeldBreakerOpen:
		return `its merchant does not answer, so one send at a time tries whether it does again, and none waits ` +
			`longer than 15 minutes for that; "paynotify merchant resume" sends at once`
	}
	return reason
}

// params are on one line, cut where nobody would read on.
func (s shower) params(raw json.RawMessage) string {
	const chars = 400
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	return cut(printable(string(raw)), chars)
}

// judged is an attempt's verdict and reason, with a mark and a colour that say how good or bad it is.
func (s shower) judged(a *api.AttemptView) string {
	colour, mark := s.paint.red, "✗"
	switch {
	case a.Verdict == store.Acked:
		colour, mark = s.paint.green, "✓"
	case a.Reason.NearMiss():
		colour, mark = s.paint.yellow, "~"
	}
	return colour(mark + " " + string(a.Verdict) + " " + string(a.Reason))
}

func (s shower) attempt(b *bytes.Buffer, a *api.AttemptView, limit int) {
	status := ""
	if a.Status != nil {
		status = fmt.Sprintf("  status %d", *a.Status)
	}
	uncharged := ""
	if !a.Charged && a.Send != nil {
		uncharged = "  (does not count)"
	}
	fmt.Fprintf(b, "#%d  %s  %s  %s%s  %s%s\n", a.N, stamp(a.StartedAt.Time), placeIn(a, limit), s.judged(a),
		status, took(durationOf(a)), uncharged)
	if a.RemoteAddr != nil {
		fmt.Fprintf(b, "    to %s\n", printable(*a.RemoteAddr))
	}
	if a.TLS != nil {
		fmt.Fprintf(b, "    %s, %s, certificate until %s\n", a.TLS.Version, printable(a.TLS.Subject),
			a.TLS.NotAfter.Format(time.DateOnly))
	}
	if where := phases(a); where != "" {
		fmt.Fprintf(b, "    %s\n", where)
	}
	if a.Detail != nil {
		fmt.Fprintf(b, "    %s\n", printable(*a.Detail))
	}
	if a.Hint != nil && a.Reason != store.AckExact {
		for _, line := range wrapWords(*a.Hint, hintColumns) {
			fmt.Fprintf(b, "    %s\n", s.paint.dim(line))
		}
	}
	switch {
	case a.Status == nil:
	case a.Reason == store.AckStatus:
		s.compareStatus(b, a)
	case a.Verdict == store.Refused && s.ack.Text != "":
		s.compare(b, a.ReplyBytes)
	default:
		fmt.Fprintf(b, "    reply     %s\n", cut(profile.Visible(a.ReplyBytes), replyColumns))
	}
}

const hintColumns = 96

// stamp is an instant for people: local, to the second, with its zone.
func stamp(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05 -07:00") }

// ago is how long something took, in words.
func ago(d time.Duration) string {
	switch {
	case d < time.Second:
		return took(d)
	case d < time.Hour:
		return shortDuration(d.Truncate(time.Second))
	}
	return shortDuration(d.Truncate(time.Minute))
}
