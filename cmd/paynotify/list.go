package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/store"
)

const (
	pageMax     = 500 // of one request to a list
	listDefault = 50
)

// newListCommand lists notifications by filter.
func newListCommand() *cobra.Command {
	var limit int
	var from, to string
	filters := map[string]*string{}
	c := &cobra.Command{
		Use:   "list",
		Short: "List notifications, newest first",
		Example: "  paynotify list --mch m1 --state pending\n" +
			"  paynotify list --reason ack_html --from 24h --json",
		Args: needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return usagef("--limit %d: want at least 1", limit)
			}
			q := url.Values{}
			for name, value := range filters {
				if *value != "" {
					q.Set(name, *value)
				}
			}
			for flag, text := range map[string]string{"from": from, "to": to} {
				if text == "" {
					continue
				}
				at, err := parseInstant("--"+flag, text, time.Now(), -1)
				if err != nil {
					return err
				}
				q.Set("created_"+flag, at)
			}
			return list(cmd, q, limit)
		},
	}
	f := c.Flags()
	for flag, filter := range map[string][2]string{
		"mch":          {"mch_id", "of this merchant"},
		"out-trade-no": {"out_trade_no", "with this order number"},
		"state":        {"notify_state", "in this state: pending, spent, exhausted, canceled or quarantined"},
		"held":         {"held", "held: true, false, or why"},
		"verdict":      {"verdict", "whose last attempt has this verdict"},
		"reason":       {"reason", "whose last attempt has this reason"},
	} {
		filters[filter[0]] = f.String(flag, "", filter[1])
	}
	f.StringVar(&from, "from", "", "accepted since: an instant (RFC 3339), a date, or a duration ago such as 2h")
	f.StringVar(&to, "to", "", "accepted before")
	f.IntVar(&limit, "limit", listDefault, "how many at most")
	completeFlag(c, "state", textsOf(store.States))
	completeFlag(c, "held", append([]string{"true", "false"}, store.HeldReasons...))
	completeFlag(c, "verdict", textsOf(store.Verdicts))
	completeFlag(c, "reason", textsOf(store.Reasons))
	if err := c.RegisterFlagCompletionFunc("mch", completeMchFlag); err != nil {
		panic(err) // --mch stands above
	}
	return c
}

func textsOf[T ~string](list []T) (texts []string) {
	for _, t := range list {
		texts = append(texts, string(t))
	}
	return texts
}

// list prints notifications page by page, so that the first are seen at once and none are kept.
func list(cmd *cobra.Command, q url.Values, limit int) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	shown, more := 0, true
	for more && shown < limit {
		q.Set("limit", strconv.Itoa(min(pageMax, limit-shown)))
		page, err := c.notifications(cmd.Context(), q)
		if err != nil {
			return err
		}
		for _, raw := range page.Notifications {
			if shown++; wantsJSON(cmd) {
				if err := printLine(cmd.OutOrStdout(), raw); err != nil {
					return err
				}
				continue
			}
			var n api.NotificationSummary
			if err := json.Unmarshal(raw, &n); err != nil {
				return err
			}
			if shown == 1 {
				fmt.Fprintln(tw, "NOTIFY_ID\tMCH_ID\tOUT_TRADE_NO\tSTATE\tSENDS\tLAST\tNEXT\tACCEPTED")
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%d/%d\t%s\t%s\t%s\n", n.NotifyID, n.MchID,
				orDash(printable(n.OutTradeNo)), n.NotifyState, n.NotifyCount, n.NotifyCountLimit,
				orDash(deref(n.LastReason)), nextShort(n, time.Now()), n.CreatedAt.Local().Format(time.DateTime))
		}
		if err := tw.Flush(); err != nil {
			return err
		}
		if more = page.NextCursor != nil && *page.NextCursor != ""; more {
			q.Set("cursor", *page.NextCursor)
		}
	}
	switch {
	case wantsJSON(cmd):
	case shown == 0:
		fmt.Fprintln(cmd.ErrOrStderr(), "no notification matches")
	case more:
		fmt.Fprintf(cmd.ErrOrStderr(), "the newest %d; there are more, see --limit and the filters\n", shown)
	}
	return nil
}

// nextShort is when the next send is due, in a word.
func nextShort(n api.NotificationSummary, now time.Time) string {
	switch {
	case n.InFlight:
		return "now"
	case n.HeldReason != nil:
		return *n.HeldReason
	case n.NextNotifyTime == nil:
		return "–"
	}
	return inWords(n.NextNotifyTime.Sub(now))
}

// rawPage is a page whose notifications are kept as the server wrote them.
type rawPage struct {
	Notifications []json.RawMessage `json:"notifications"`
	NextCursor    *string           `json:"next_cursor"`
}

func (c *client) notifications(ctx context.Context, q url.Values) (page rawPage, err error) {
	r := get("v1", "notifications")
	r.query = q
	_, err = c.do(ctx, r, &page)
	return page, err
}

// inWords is a wait as people say it.
func inWords(d time.Duration) string {
	switch {
	case d < time.Second:
		return "now"
	case d < time.Hour:
		return "in " + shortDuration(d.Truncate(time.Second))
	}
	return "in " + shortDuration(d.Truncate(time.Minute))
}
