package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// checkShowFlags refuses flags of show that say nothing together.
func checkShowFlags(cmd *cobra.Command, curl, evidence bool, attempt int) error {
	given := cmd.Flags().Changed("attempt")
	switch {
	case curl && evidence:
		return usagef("--curl and --evidence are two different outputs: give one of them")
	case given && !curl && !evidence:
		p := usagef("--attempt goes with --curl or --evidence")
		p.do = "leave it out: show prints every attempt"
		return p
	case given && attempt < 1:
		return usagef("--attempt %d: attempts are numbered from 1", attempt)
	case curl && wantsJSON(cmd):
		p := usagef("--curl prints a command, which is no JSON")
		p.do = "leave one of --curl and --json out; --evidence has the request as JSON"
		return p
	}
	return nil
}

// evidence asks for everything about a notification, or with an attempt other than 0 for that one alone.
func (c *client) evidence(
	ctx context.Context, notifyID string, attempt int, out any,
) (json.RawMessage, error) {
	r := get("v1", "notifications", notifyID, "evidence")
	if attempt > 0 {
		r.query = url.Values{"attempt": {strconv.Itoa(attempt)}}
	}
	return c.do(ctx, r, out)
}

// showEvidence prints the evidence as the server wrote it: for people with a member a line, else on one.
func showEvidence(cmd *cobra.Command, c *client, notifyID string, attempt int) error {
	raw, err := c.evidence(cmd.Context(), notifyID, attempt, nil)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	var b bytes.Buffer
	if err := json.Indent(&b, bytes.TrimSpace(raw), "", "  "); err != nil {
		return err
	}
	b.WriteByte('\n')
	_, err = cmd.OutOrStdout().Write(b.Bytes())
	return err
}

// showCurl prints the request of an attempt, 0 for the last, nothing else on stdout: a shell may read it.
func showCurl(cmd *cobra.Command, c *client, notifyID string, attempt int) error {
	var v api.EvidenceView
	if _, err := c.evidence(cmd.Context(), notifyID, attempt, &v); err != nil {
		return err
	}
	if len(v.Attempts) == 0 {
		p := &problem{code: exitNotFound, what: "there is no attempt yet, so there is no request"}
		if v.Shrunk {
			p.what = "retention has dropped the attempts, and the parameters that requests were made of"
		}
		return p
	}
	a := &v.Attempts[len(v.Attempts)-1]
	if a.Request == nil {
		return &problem{
			code: exitNotFound, what: fmt.Sprintf("the request of attempt %d cannot be shown", a.N),
			why: deref(a.RequestMissing), do: "try another attempt with --attempt N",
		}
	}
	if a.RequestNote != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "note: %s\n", *a.RequestNote)
	}
	for _, h := range a.Request.Headers {
		if h.Value == api.Masked {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: the value of header %s is a secret; put it in place of %s\n",
				printable(h.Name), api.Masked)
		}
	}
	_, err := fmt.Fprintln(cmd.OutOrStdout(), a.Request.Curl())
	return err
}
