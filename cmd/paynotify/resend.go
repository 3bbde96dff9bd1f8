package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// newResendCommand sends one notification again on a person's behalf.
func newResendCommand() *cobra.Command {
	var reason string
	var force bool
	c := &cobra.Command{
		Use:   "resend NOTIFY_ID --reason TEXT",
		Short: "Send one notification again",
		Long: `Send one notification again, at once, from any state. It is one send beside the schedule: nothing
else about the notification changes unless the merchant acknowledges. A spent one needs --force.`,
		Example:           "  paynotify resend NOTIFY_ID --reason \"the merchant asked for it\"",
		Args:              needs("NOTIFY_ID"),
		ValidArgsFunction: completeNotifications,
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason == "" {
				p := usagef("resend needs --reason")
				p.do = "say why in a few words; the log keeps them"
				return p
			}
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			body := map[string]any{"reason": reason, "force": force}
			var got api.Receipt
			raw, err := c.do(cmd.Context(), post(body, "v1", "notifications", args[0], "resend"), &got)
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return printLine(cmd.OutOrStdout(), raw)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s goes out again; see \"paynotify show %s\"\n",
				got.NotifyID, got.NotifyID)
			return err
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever looks later")
	c.Flags().BoolVar(&force, "force", false, "also when the merchant has acknowledged it")
	return c
}
