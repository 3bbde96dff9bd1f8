package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"paynotify/api"
)

func merchantProbe() *cobra.Command {
	return &cobra.Command{
		Use:   "probe MCH_ID",
		Short: "Send one request with wrong signatures, to see if the merchant verifies",
		Long: `Send one request whose every signature is wrong on purpose, and see whether the merchant refuses it.
It makes no notification, and its order number exists nowhere. The merchant must have agreed to that:
options.probe must be true.

A merchant that acknowledges the request verifies nothing: anybody who learns its notify_url can forge a
payment. One that refuses it need not verify either: it may only not know the order. "paynotify certify"
tells these apart.

Exit codes: 0 when the request was refused, 65 when it was acknowledged, 75 when nothing can be said.`,
		Example: "  paynotify merchant set m1 --option probe=true\n" +
			"  paynotify merchant probe m1",
		Args:              needs("MCH_ID"),
		ValidArgsFunction: completeMerchants,
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			var v api.ProbeView
			r := call{method: "POST", path: []string{"v1", "merchants", args[0], "probe"}}
			raw, err := c.do(cmd.Context(), r, &v)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				err = printLine(cmd.OutOrStdout(), raw)
			} else {
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "merchant %s %s\n  %s\n",
					args[0], probeVerdict(&v), probeReply(&v))
			}
			if err != nil {
				return err
			}
			return probeExit(&v)
		},
	}
}

// probeVerdict is what a probe found, in words.
func probeVerdict(v *api.ProbeView) string {
	switch {
	case v.Verifies == nil:
		return "was probed, and nothing can be said"
	case *v.Verifies:
		return "refused the wrong signature"
	}
	return "does NOT verify signatures: it acknowledged a wrong one, so anybody can forge its payments"
}

// probeReply is what the merchant said to a probe.
func probeReply(v *api.ProbeView) string {
	parts := []string{string(v.Verdict), string(v.Reason)}
	if v.Status != nil {
		parts = append(parts, "status "+strconv.Itoa(*v.Status))
	}
	if v.Reply != nil {
		parts = append(parts, "reply \""+printable(*v.Reply)+"\"")
	}
	return strings.Join(parts, "  ")
}

// probeExit is the exit code of what was said already.
func probeExit(v *api.ProbeView) error {
	switch {
	case v.Verifies == nil:
		return silent{exitTemporary}
	case *v.Verifies:
		return nil
	}
	return silent{exitData}
}
