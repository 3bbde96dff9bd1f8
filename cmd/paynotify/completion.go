package main

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"paynotify/api"
)

// newCompletionCommand prints the script that teaches a shell to complete paynotify.
func newCompletionCommand() *cobra.Command {
	shells := []string{"bash", "zsh", "fish", "powershell"}
	return &cobra.Command{
		Use:   "completion bash|zsh|fish|powershell",
		Short: "Print a completion script for your shell",
		Long: `Print the script that teaches a shell to complete commands, flags and what they take. Merchants,
notifications and keys are asked of the server that PAYNOTIFY_SERVER names.

  bash:        source <(paynotify completion bash)
  zsh:         paynotify completion zsh > "${fpath[1]}/_paynotify"
  fish:        paynotify completion fish | source
  powershell:  paynotify completion powershell | Out-String | Invoke-Expression`,
		Args:              needs("a shell"),
		ValidArgsFunction: completeFirst(shells),
		RunE: func(cmd *cobra.Command, args []string) error {
			root, out := cmd.Root(), cmd.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			case "fish":
				return root.GenFishCompletion(out, true)
			case "powershell":
				return root.GenPowerShellCompletionWithDesc(out)
			}
			p := usagef("no completion for the shell %q", args[0])
			p.do = didYouMean(args[0], shells, "known are bash, zsh, fish and powershell")
			return p
		},
	}
}

// completionFunc is what cobra asks for the words that may follow.
type completionFunc = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective)

// completeFirst completes the first argument from a closed list.
func completeFirst(words []string) completionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}

// completionWait bounds what a press of the tab key may cost when the server does not answer.
const completionWait = 300 * time.Millisecond

// completeMerchants asks the server for merchants. Without one there is nothing to offer, and no error: the
// line belongs to the person who is typing.
func completeMerchants(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return merchantIDs(cmd, begun), cobra.ShellCompDirectiveNoFileComp
}

// completeMchFlag is completeMerchants for --mch.
func completeMchFlag(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
	return merchantIDs(cmd, begun), cobra.ShellCompDirectiveNoFileComp
}

// merchantIDs are merchants whose mch_id begins so, as many as are worth offering and come in time.
func merchantIDs(cmd *cobra.Command, begun string) (ids []string) {
	ctx, cancel := context.WithTimeout(context.Background(), completionWait)
	defer cancel()
	c, err := newClient(cmd)
	if err != nil {
		return nil
	}
	for cursor, more := "", true; more && len(ids) < completionMax; {
		page, err := c.merchants(ctx, cursor, pageMax)
		if err != nil {
			break
		}
		for _, m := range page.Merchants {
			if strings.HasPrefix(m.MchID, begun) && len(ids) < completionMax {
				ids = append(ids, m.MchID)
			}
		}
		cursor = deref(page.NextCursor)
		more = cursor != ""
	}
	return ids
}

// completionMax is how many words are worth offering.
const completionMax = 100

// completeNotifications offers the newest notifications.
func completeNotifications(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionWait)
	defer cancel()
	c, err := newClient(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	page, err := c.notifications(ctx, nil)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for _, raw := range page.Notifications {
		var n api.NotificationSummary
		if json.Unmarshal(raw, &n) == nil {
			about := n.MchID + " " + printable(n.OutTradeNo) + " " + string(n.NotifyState)
			words = append(words, cobra.CompletionWithDesc(n.NotifyID, about))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}

// completeKeys offers the API keys that can be revoked, by their ids.
func completeKeys(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	ctx, cancel := context.WithTimeout(context.Background(), completionWait)
	defer cancel()
	c, err := newClient(cmd)
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var list api.AccessKeyList
	if _, err := c.do(ctx, get("v1", "keys"), &list); err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var words []string
	for i := range list.Keys {
		if k := &list.Keys[i]; k.State == "live" {
			words = append(words, cobra.CompletionWithDesc(k.ID, string(k.Role)+" "+printable(k.Name)))
		}
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
