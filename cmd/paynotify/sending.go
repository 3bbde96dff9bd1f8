package main

import (
	"fmt"
	"net/http"
	"time"

	"github.com/spf13/cobra"
)

// sendingState is what GET /v1/sending answers.
type sendingState struct {
	Paused bool       `json:"paused"`
	Reason *string    `json:"reason"`
	Since  *time.Time `json:"since"`
}

// newSendingCommand turns the switch that stops all sending.
func newSendingCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "sending",
		Short: "Stop and start all sending; accepting goes on",
		Long: `The switch that stops all sending, to every merchant. Accepting goes on and nothing is lost. A
restored backup starts with sending stopped, because what it holds may have been acknowledged since.`,
	}
	asGroup(c)
	c.AddCommand(
		sendingSwitch("stop", "Stop all sending", true),
		sendingSwitch("start", "Start sending again", false),
		&cobra.Command{
			Use:   "status",
			Short: "Say whether sending is stopped, and why",
			Args:  needs(),
			RunE: func(cmd *cobra.Command, _ []string) error {
				return sendingCall(cmd, get("v1", "sending"))
			},
		},
	)
	return c
}

func sendingSwitch(name, short string, stop bool) *cobra.Command {
	var reason string
	c := &cobra.Command{
		Use:     name + " --reason TEXT",
		Short:   short,
		Example: "  paynotify sending " + name + " --reason \"maintenance of the firewall\"",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if reason == "" {
				p := usagef("sending %s needs --reason", name)
				p.do = "say why in a few words, for whoever looks later"
				return p
			}
			r := post(map[string]any{"paused": stop, "reason": reason}, "v1", "sending")
			r.method = http.MethodPut
			return sendingCall(cmd, r)
		},
	}
	c.Flags().StringVar(&reason, "reason", "", "why, for whoever looks later")
	return c
}

func sendingCall(cmd *cobra.Command, r call) error {
	c, err := newClient(cmd)
	if err != nil {
		return err
	}
	var s sendingState
	raw, err := c.do(cmd.Context(), r, &s)
	if err != nil {
		return err
	}
	if wantsJSON(cmd) {
		return printLine(cmd.OutOrStdout(), raw)
	}
	text := "sending is on"
	if s.Paused {
		text = "sending is stopped"
	}
	if s.Reason != nil && *s.Reason != "" {
		text += ": " + printable(*s.Reason)
	}
	if s.Since != nil && !s.Since.IsZero() {
		text += " (since " + s.Since.Local().Format(time.DateTime) + ")"
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), text)
	return err
}
