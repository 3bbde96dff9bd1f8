package main

import (
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// checkCurlFlags refuses flags of show that say nothing together.
func checkCurlFlags(cmd *cobra.Command, curl bool, attempt int) error {
	given := cmd.Flags().Changed("attempt")
	switch {
	case given && !curl:
		p := usagef("--attempt goes with --curl")
		p.do = "leave it out: show prints every attempt"
		return p
	case given && attempt < 1:
		return usagef("--attempt %d: attempts are numbered from 1", attempt)
	case curl && wantsJSON(cmd):
		p := usagef("--curl prints a command, which is no JSON")
		p.do = "leave one of --curl and --json out; the evidence of the HTTP API has the request as JSON"
		return p
	}
	return nil
}

// showCurl prints the request of an attempt, 0 for the last, nothing else on stdout: a shell may read it.
func showCurl(cmd *cobra.Command, c *client, notifyID string, attempt int) error {
	r := get("v1", "notifications", notifyID, "evidence")
	if attempt > 0 {
		r.query = url.Values{"attempt": {strconv.Itoa(attempt)}}
	}
	var v api.EvidenceView
	if _, err := c.do(cmd.Context(), r, &v); err != nil {
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
