package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// newTailCommand prints attempts as they happen.
func newTailCommand() *cobra.Command {
	var follow bool
	var mch, after string
	var wait time.Duration
	c := &cobra.Command{
		Use:   "tail -f",
		Short: "Print attempts as they happen",
		Long: `Print attempts as they are settled, one line each. With -f until Ctrl-C, also over restarts of the
server; without it those that come first, if any come within --wait.

With --json stderr has the cursor at the end; --after goes on from there and misses nothing.`,
		Example: "  paynotify tail -f\n  paynotify tail -f --mch m1 --json",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			if wait < 0 || wait > attemptsWait {
				return usagef("--wait %s: want 0s to %s", wait, attemptsWait)
			}
			t := &tail{
				client: c, cmd: cmd, mch: mch, cursor: after, wait: wait, paint: paletteFor(cmd.OutOrStdout()),
			}
			return t.run(cmd.Context(), follow)
		},
	}
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	c.Flags().StringVar(&mch, "mch", "", "only of this merchant")
	c.Flags().DurationVar(&wait, "wait", attemptsWait, "without -f: wait at most so long for the first")
	c.Flags().StringVar(&after, "after", "", "go on after this cursor")
	if err := c.RegisterFlagCompletionFunc("mch", completeMchFlag); err != nil {
		panic(err) // --mch stands above
	}
	return c
}

// tail follows attempts.
type tail struct {
	client *client
	cmd    *cobra.Command
	mch    string
	cursor string
	wait   time.Duration
	paint  palette
}

// tailRetry is how long a tail waits before it asks again a server that does not answer.
const tailRetry = time.Second

func (t *tail) run(ctx context.Context, follow bool) error {
	connected := false
	for {
		err := t.poll(ctx)
		var p *problem
		switch {
		case err == nil:
			connected = true
		case follow && connected && errors.As(err, &p) && (p.code == exitUnavailable || p.code == exitTemporary):
			// A restart of the server is no reason to lose the terminal of whoever watches it.
			fmt.Fprintf(t.cmd.ErrOrStderr(), "%s; trying again\n", p.what)
			if err := pause(ctx, tailRetry); err != nil {
				t.leave()
				return err
			}
			continue
		default:
			if follow && ctx.Err() != nil {
				t.leave()
			}
			return err
		}
		if !follow {
			t.leave()
			return nil
		}
	}
}

// leave tells a program where to go on.
func (t *tail) leave() {
	if wantsJSON(t.cmd) && t.cursor != "" {
		fmt.Fprintln(t.cmd.ErrOrStderr(), t.cursor)
	}
}

// poll asks once and prints what came.
func (t *tail) poll(ctx context.Context) error {
	r := get("v1", "attempts")
	r.query = url.Values{"wait": {t.wait.String()}}
	if t.cursor != "" {
		r.query.Set("after", t.cursor)
	}
	var page struct {
		Attempts   []json.RawMessage `json:"attempts"`
		NextCursor string            `json:"next_cursor"`
	}
	if _, err := t.client.do(ctx, r, &page); err != nil {
		return err
	}
	if page.NextCursor != "" {
		t.cursor = page.NextCursor
	}
	for _, raw := range page.Attempts {
		var a api.FollowedAttempt
		if err := json.Unmarshal(raw, &a); err != nil {
			return err
		}
		if t.mch != "" && a.MchID != t.mch {
			continue
		}
		var err error
		if wantsJSON(t.cmd) {
			err = printLine(t.cmd.OutOrStdout(), raw)
		} else {
			_, err = fmt.Fprintln(t.cmd.OutOrStdout(), attemptLine(a, t.paint))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
