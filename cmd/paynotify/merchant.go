package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
	"paynotify/profile"
)

// newMerchantCommand manages merchants through the server.
func newMerchantCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "merchant",
		Short: "Add, show, change, pause and remove merchants",
	}
	asGroup(c)
	c.AddCommand(merchantAdd(), merchantList(), merchantShow(), merchantSet(), merchantPause(), merchantResume(),
		merchantRotateKey(), merchantProbe(), merchantSLA(), merchantStatement(), merchantGaps(), merchantRemove())
	return c
}

func merchantAdd() *cobra.Command {
	c := &cobra.Command{
		Use:   "add MCH_ID --profile P --notify-url URL",
		Short: "Add a merchant",
		Long: `Add a merchant. Keys that you do not give are generated; the answer has what the merchant needs to
verify: a public key, or a secret that is shown this once.

Profiles:
` + profileHelp(),
		Example: "  paynotify merchant add m1 --profile alipay --notify-url https://shop.example/notify\n" +
			"  paynotify merchant add m2 --file merchant.json",
		Args: needs("MCH_ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := merchantBody(cmd)
			if err != nil {
				return err
			}
			body["mch_id"] = args[0]
			key, err := keyBody(cmd)
			if err != nil {
				return err
			}
			if len(key) > 0 {
				body["key"] = key
			}
			return merchantCall(cmd, post(body, "v1", "merchants"), "added")
		},
	}
	merchantFlags(c)
	keyFlags(c)
	c.Flags().String("profile", "", "wire dialect, one of the profiles above")
	c.Flags().String("file", "", "the merchant as JSON, as the API takes it (- = stdin); flags win over it")
	completeFlag(c, "profile", profileNames())
	return c
}

func profileNames() (names []string) {
	for _, p := range profile.All() {
		names = append(names, p.Name)
	}
	return names
}

func profileHelp() string {
	var b strings.Builder
	for _, p := range profile.All() {
		fmt.Fprintf(&b, "  %-13s %s\n", p.Name, p.Summary)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// merchantCall sends a request that answers with a merchant and shows the answer.
func merchantCall(cmd *cobra.Command, r call, done string) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	var m api.MerchantCreated
	raw, err := c.do(cmd.Context(), r, &m)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	out := cmd.OutOrStdout()
	if done != "" {
		fmt.Fprintf(out, "merchant %s %s\n", m.MchID, done)
	}
	return printMerchant(out, &m)
}

func merchantList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List merchants",
		Args:  needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			tw := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			count := 0
			err = c.eachMerchant(cmd.Context(), func(raw json.RawMessage) error {
				if wantsJSON(cmd) {
					return printLine(cmd.OutOrStdout(), raw)
				}
				var m api.MerchantView
				if err := json.Unmarshal(raw, &m); err != nil {
					return err
				}
				if count++; count == 1 {
					fmt.Fprintln(tw, "MCH_ID\tPROFILE\tSTATE\tHELD\tSCHEDULE\tNOTIFY_URL")
				}
				fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%s\n", m.MchID, m.Profile, m.State, orDash(deref(m.HeldReason)),
					m.Schedule, printable(m.NotifyURL))
				return nil
			})
			if err != nil || wantsJSON(cmd) {
				return err
			}
			if count == 0 {
				fmt.Fprintln(cmd.ErrOrStderr(), `no merchants yet; "paynotify merchant add --help" shows how to add one`)
			}
			return tw.Flush()
		},
	}
}

func orDash(s string) string {
	if s == "" {
		return "–"
	}
	return s
}

// eachMerchant walks over all merchants, page by page.
func (c *client) eachMerchant(ctx context.Context, do func(json.RawMessage) error) error {
	r := get("v1", "merchants")
	r.query = url.Values{"limit": {strconv.Itoa(pageMax)}}
	for {
		var page struct {
			Merchants  []json.RawMessage `json:"merchants"`
			NextCursor *string           `json:"next_cursor"`
		}
		if _, err := c.do(ctx, r, &page); err != nil {
			return err
		}
		for _, raw := range page.Merchants {
			if err := do(raw); err != nil {
				return err
			}
		}
		if page.NextCursor == nil || *page.NextCursor == "" {
			return nil
		}
		r.query.Set("cursor", *page.NextCursor)
	}
}

func merchantShow() *cobra.Command {
	var keyOnly bool
	c := &cobra.Command{
		Use:               "show MCH_ID",
		Short:             "Show a merchant",
		Example:           "  paynotify merchant show m1\n  paynotify merchant show m1 --public-key > m1.pem",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			if !keyOnly {
				return merchantCall(cmd, get("v1", "merchants", args[0]), "")
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var keys api.MerchantKeys
			raw, err := c.do(cmd.Context(), get("v1", "merchants", args[0], "public-key"), &keys)
			switch {
			case err != nil:
				return err
			case wantsJSON(cmd):
				return printLine(cmd.OutOrStdout(), raw)
			case keys.PublicKey == nil && keys.Whpk == nil:
				p := &problem{code: exitNotFound, what: "merchant " + args[0] + " has no public key"}
				p.do = "its profile signs with a secret, or not at all"
				return p
			}
			text := deref(keys.PublicKey)
			if text == "" {
				text = deref(keys.Whpk)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSpace(text))
			return err
		},
	}
	c.Flags().BoolVar(&keyOnly, "public-key", false,
		"print only the public key (PEM), for the merchant or for listen")
	return c
}

func merchantSet() *cobra.Command {
	var defaults []string
	c := &cobra.Command{
		Use:   "set MCH_ID",
		Short: "Change a merchant",
		Example: "  paynotify merchant set m1 --notify-url https://shop.example/notify2\n" +
			"  paynotify merchant set m1 --default schedule",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := merchantBody(cmd)
			if err != nil {
				return err
			}
			for _, field := range defaults {
				body[strings.ReplaceAll(field, "-", "_")] = nil
			}
			if len(body) == 0 {
				p := usagef("nothing to set")
				p.do = "see \"paynotify merchant set --help\" for what can be set"
				return p
			}
			r := post(body, "v1", "merchants", args[0])
			r.method = http.MethodPatch
			r.header = map[string]string{"Content-Type": "application/merge-patch+json"}
			return merchantCall(cmd, r, "changed")
		},
	}
	merchantFlags(c)
	c.Flags().StringSliceVar(&defaults, "default", nil,
		"field to set back to its default, such as schedule or ack")
	return c
}

func merchantPause() *cobra.Command {
	var reason, until string
	c := &cobra.Command{
		Use:               "pause MCH_ID",
		Short:             "Hold a merchant's notifications; nothing is lost",
		Example:           "  paynotify merchant pause m1 --reason \"moves its server\" --until 2h",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if reason != "" {
				body["reason"] = reason
			}
			if until != "" {
				at, err := parseInstant("--until", until, time.Now(), +1)
				if err != nil {
					return err
				}
				body["until"] = at
			}
			return merchantCall(cmd, post(body, "v1", "merchants", args[0], "pause"), "paused")
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever looks")
	c.Flags().StringVar(&until, "until", "",
		"resume by itself then: an instant (RFC 3339) or a duration such as 2h")
	return c
}

func merchantResume() *cobra.Command {
	return &cobra.Command{
		Use:               "resume MCH_ID",
		Short:             "Send to a merchant again",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			return merchantCall(cmd, post(map[string]any{}, "v1", "merchants", args[0], "resume"), "resumed")
		},
	}
}

func merchantRotateKey() *cobra.Command {
	var overlap time.Duration
	var at string
	c := &cobra.Command{
		Use:   "rotate-key MCH_ID",
		Short: "Give a merchant a new key",
		Long: `Give a merchant a new key. Profiles that can carry several signatures (standard, stripe) sign with
the old key too until the end of --overlap; the others switch at one instant, now or --at.`,
		Example: "  paynotify merchant rotate-key m1 --at 2026-12-01T00:00:00Z\n" +
			"  paynotify merchant rotate-key m2 --overlap 48h",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := keyBody(cmd)
			if err != nil {
				return err
			}
			body := map[string]any{}
			if len(key) > 0 {
				body["key"] = key
			}
			if cmd.Flags().Changed("overlap") {
				body["overlap"] = shortDuration(overlap)
			}
			if at != "" {
				instant, err := parseInstant("--at", at, time.Now(), +1)
				if err != nil {
					return err
				}
				body["at"] = instant
			}
			return merchantCall(cmd, post(body, "v1", "merchants", args[0], "rotate-key"), "has a new key")
		},
	}
	keyFlags(c)
	c.Flags().DurationVar(&overlap, "overlap", 0,
		"sign with the old key too for so long, where the profile can (default 24h); 0s cuts it at once")
	c.Flags().StringVar(&at, "at", "",
		"use the new key from then on: an instant (RFC 3339) or a duration such as 24h")
	return c
}

func merchantRemove() *cobra.Command {
	return &cobra.Command{
		Use:               "remove MCH_ID",
		Short:             "Remove a merchant that nothing is owed to; its notifications stay readable",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			r := call{method: http.MethodDelete, path: []string{"v1", "merchants", args[0]}}
			if _, err := c.do(cmd.Context(), r, nil); err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"mch_id": args[0], "removed": true})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "merchant %s removed\n", args[0])
			return err
		},
	}
}
