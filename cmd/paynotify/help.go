package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

// newHelpCommand replaces cobra's, which answers a command that nobody knows with success.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Explain a command",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			var words []string
			if of, rest, err := cmd.Root().Find(args); err == nil && len(rest) == 0 {
				words = commandNames(of)
			}
			return words, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			of, rest, err := cmd.Root().Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				p := usagef("unknown command %q for %q", rest[0], of.CommandPath())
				p.do = didYouMean(rest[0], commandNames(of), fmt.Sprintf("see %q", of.CommandPath()+" --help"))
				return p
			}
			of.InitDefaultHelpFlag()
			return of.Help()
		},
	}
}

// commandNames are the commands below this one.
func commandNames(c *cobra.Command) (names []string) {
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return names
}
