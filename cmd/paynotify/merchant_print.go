package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"paynotify/api"
)

// printMerchant shows a merchant to a person.
func printMerchant(w io.Writer, m *api.MerchantCreated) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(tw, "  %s\t%s\n", name, printable(value))
		}
	}
	row("name", m.Name)
	row("profile", strings.TrimSpace(m.Profile+" "+m.SignType))
	row("notify_url", m.NotifyURL)
	row("app_id", m.AppID)
	row("charset", m.Charset)
	row("schedule", m.Schedule)
	row("ack", ackText(m.Ack))
	row("max_inflight", strconv.Itoa(m.MaxInflight))
	if m.RatePerSecond > 0 {
		row("rate_per_second", strconv.FormatFloat(m.RatePerSecond, 'g', -1, 64))
	}
	if options, err := json.Marshal(m.Options); err == nil && len(m.Options) > 0 {
		row("options", string(options))
	}
	ownRows(row, &m.MerchantView)
	row("state", m.State)
	row("paused_reason", deref(m.PausedReason))
	if m.PausedUntil != nil {
		row("paused_until", m.PausedUntil.Format(time.RFC3339))
	}
	row("held", deref(m.HeldReason))
	if m.Probe != nil {
		row("probe", m.Probe.At.Format(time.RFC3339)+"  "+probeReply(m.Probe))
	}
	row("created_at", m.CreatedAt.Format(time.RFC3339))
	row("public key", deref(m.PublicKeyBase64))
	row("serial", deref(m.Serial))
	row("whpk", deref(m.Whpk))
	if m.Secret != nil {
		row("secret", *m.Secret+"  (shown this once: give it to the merchant)")
	}
	for _, warning := range m.Warnings {
		row("warning", warning)
	}
	return tw.Flush()
}

func ackText(a api.AckView) string {
	parts := []string{a.Match}
	if a.Text != "" {
		parts = append(parts, strconv.Quote(a.Text))
	}
	if a.Path != "" {
		parts = append(parts, "at "+a.Path)
	}
	for i, s := range a.Status {
		if i == 0 {
			parts = append(parts, "status")
		}
		parts = append(parts, string(s))
	}
	for i, r := range a.Lenient {
		if i == 0 {
			parts = append(parts, "also")
		}
		parts = append(parts, string(r))
	}
	return strings.Join(parts, " ")
}

func deref[T ~string](s *T) string {
	if s == nil {
		return ""
	}
	return string(*s)
}
