package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"paynotify/api"
	"paynotify/store"
)

// peopleDid are the newest entries of the audit log about a notification. They are worth a question only
// where a trace of somebody is to be seen; whose key may not read the log, and who looks after more than a
// page of other entries, learns nothing from it and misses nothing else.
func (c *client) peopleDid(ctx context.Context, n *api.NotificationView) (list []api.AuditEntryView) {
	traces := n.NotifyState == store.Canceled
	for i := range n.Attempts {
		traces = traces || n.Attempts[i].Send == nil
	}
	if !traces {
		return nil
	}
	r := get("v1", "audit")
	r.query = url.Values{"after": {strconv.Itoa(-pageMax)}, "limit": {strconv.Itoa(pageMax)}}
	var page api.AuditPage
	if _, err := c.do(ctx, r, &page); err != nil {
		return nil
	}
	for i := range page.Entries {
		if page.Entries[i].Object == "notification/"+n.NotifyID {
			list = append(list, page.Entries[i])
		}
	}
	return list
}

// people prints who did what, and why.
func (s shower) people(w io.Writer, did []api.AuditEntryView) {
	for i := range did {
		e := &did[i]
		var after struct {
			Reason string `json:"reason"`
			Force  bool   `json:"force"`
		}
		_ = json.Unmarshal(e.After, &after) // of other actions it may be anything
		line := strings.TrimPrefix(e.Action, "notification.")
		if after.Force {
			line += " --force"
		}
		if after.Reason != "" {
			line += ": " + printable(after.Reason)
		}
		if e.Result != "ok" {
			line += " (refused: " + printable(e.Result) + ")"
		}
		fmt.Fprintf(w, "by %s  %s  %s\n", printable(e.Actor), stamp(e.At.Time), line)
	}
}
