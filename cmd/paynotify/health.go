package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/spf13/cobra"
)

// newHealthCommand asks whether the server is ready. It is the health check of the container image, which
// has no shell.
func newHealthCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "health",
		Short: "Exit 0 when the server is ready, else 69",
		Args:  needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			return c.health(cmd)
		},
	}
}

func (c *client) health(cmd *cobra.Command) error {
	url := c.base.JoinPath("readyz").String()
	req, err := http.NewRequestWithContext(cmd.Context(), http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.unreachable(cmd.Context(), err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(io.LimitReader(resp.Body, problemBytes))
	if err != nil {
		return c.unreachable(cmd.Context(), err)
	}
	var said struct {
		Ready    *bool    `json:"ready"`
		Reasons  []string `json:"reasons"`
		Warnings []string `json:"warnings"`
	}
	if json.Unmarshal(raw, &said) != nil || said.Ready == nil {
		return c.foreign(resp, "")
	}
	ready := *said.Ready && resp.StatusCode == http.StatusOK
	people := cmd.OutOrStdout()
	if wantsJSON(cmd) {
		people = cmd.ErrOrStderr()
		if err := printLine(cmd.OutOrStdout(), raw); err != nil {
			return err
		}
	} else if ready {
		fmt.Fprintln(people, "ready")
	} else {
		fmt.Fprintln(people, "not ready")
	}
	for _, r := range said.Reasons {
		fmt.Fprintln(people, "  reason: "+printable(r))
	}
	for _, w := range said.Warnings {
		fmt.Fprintln(people, "  warning: "+printable(w))
	}
	if !ready {
		return silent{exitUnavailable}
	}
	return nil
}
