package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/store"
)

// newAuditCommand reads and checks the audit log.
func newAuditCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "audit",
		Short: "Verify the audit log",
	}
	asGroup(c)
	c.AddCommand(auditVerify())
	return c
}

func auditVerify() *cobra.Command {
	var noted string
	c := &cobra.Command{
		Use:   "verify",
		Short: "Recompute the chain of the audit log",
		Long: `Recompute the chain of the audit log: every entry's sum covers the entry and the sum before it.
Exit 0 when it is whole, 65 when an entry is missing or is not what was written; the first one is named.

The chain alone cannot tell that entries at its end were cut off, nor that all of it was made anew. For that
note the last sum down elsewhere, and give it later with --noted.`,
		Example: "  paynotify audit verify\n  paynotify audit verify --noted 1042:5f0c7a523a7b4d6e…",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			seq, sum, err := parseNoted(noted)
			if err != nil {
				return err
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			v := auditVerifier{noted: seq, notedSum: sum}
			if err := v.run(cmd.Context(), c); err != nil {
				return err
			}
			return v.print(cmd)
		},
	}
	c.Flags().StringVar(&noted, "noted", "", "an entry's SEQ:SUM as noted before: it must still be there")
	return c
}

// parseNoted reads SEQ:SUM.
func parseNoted(text string) (seq int64, sum string, err error) {
	if text == "" {
		return 0, "", nil
	}
	number, sum, _ := strings.Cut(text, ":")
	seq, err = strconv.ParseInt(number, 10, 64)
	if err != nil || seq < 1 || len(sum) != 64 || strings.Trim(sum, "0123456789abcdef") != "" {
		p := usagef("--noted %q is not SEQ:SUM", text)
		p.do = "give what an earlier audit verify printed, a number, a colon and 64 hex digits"
		return 0, "", p
	}
	return seq, sum, nil
}

// auditVerifier walks over the audit log, page by page, as it grows.
type auditVerifier struct {
	noted    int64
	notedSum string

	last   store.AuditEntry // up to here the chain is whole
	broken int64            // the first entry that is missing or not what was written; 0 = none
	why    string
}

func (v *auditVerifier) run(ctx context.Context, c *client) error {
	for {
		r := get("v1", "audit")
		r.query = url.Values{"after": {strconv.FormatInt(v.last.Seq, 10)}, "limit": {strconv.Itoa(pageMax)}}
		var page api.AuditPage
		if _, err := c.do(ctx, r, &page); err != nil {
			return err
		}
		if more := v.check(&page); !more {
			return nil
		}
	}
}

// check goes over one page and tells whether there are more to come.
func (v *auditVerifier) check(page *api.AuditPage) (more bool) {
	for i := range page.Entries {
		e, err := page.Entries[i].Entry()
		_, whole := store.VerifyChain(v.last.Sum, []store.AuditEntry{e})
		switch {
		case e.Seq != v.last.Seq+1:
			v.breaks(v.last.Seq+1, "it is missing")
		case err != nil || !whole:
			v.breaks(e.Seq, "it is not what was written, or an entry before it is not")
		case e.Seq == v.noted && page.Entries[i].Sum != v.notedSum:
			v.breaks(e.Seq, "its sum is not the one that was noted: the log was made anew up to there")
		}
		if v.broken != 0 {
			return false
		}
		v.last = e
	}
	switch {
	case len(page.Entries) == 0 && page.Head.Seq > v.last.Seq:
		v.breaks(v.last.Seq+1, "it is missing")
	case page.Next == nil && v.noted > v.last.Seq:
		v.breaks(v.last.Seq+1, fmt.Sprintf("it is missing: the log ends before the noted entry %d", v.noted))
	}
	return v.broken == 0 && page.Next != nil
}

func (v *auditVerifier) breaks(seq int64, why string) { v.broken, v.why = seq, why }

// print tells what was found; a broken chain is an error.
func (v *auditVerifier) print(cmd *cobra.Command) error {
	sum := fmt.Sprintf("%x", v.last.Sum)
	if wantsJSON(cmd) {
		found := map[string]any{
			"ok": v.broken == 0, "head": map[string]any{"seq": v.last.Seq, "sum": sum}, "broken_at": nil,
		}
		if v.broken != 0 {
			found["broken_at"] = v.broken
		}
		if err := printEach(cmd.OutOrStdout(), []any{found}); err != nil {
			return err
		}
	}
	switch {
	case v.broken != 0:
		p := dataf("the audit log is broken at entry %d", v.broken)
		p.why = v.why
		p.do = fmt.Sprintf("up to entry %d it is whole; compare with a backup, and ask who could write to "+
			"the store", v.last.Seq)
		return p
	case wantsJSON(cmd):
		return nil
	case v.last.Seq == 0:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "the audit log is empty")
		return err
	}
	_, err := fmt.Fprintf(cmd.OutOrStdout(), "%d entries, the chain is whole; note this down elsewhere:\n"+
		"%d:%s\n", v.last.Seq, v.last.Seq, sum)
	return err
}

// printEach writes values as JSON lines.
func printEach[T any](w io.Writer, values []T) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for i := range values {
		if err := enc.Encode(values[i]); err != nil {
			return err
		}
	}
	return nil
}
