package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// sayWhatIsMissing gives every command below root an error for wrong arguments that names them as the help does.
func sayWhatIsMissing(root *cobra.Command) {
	for _, c := range root.Commands() {
		if c.Args == nil {
			continue
		}
		accepts := c.Args
		c.Args = func(cmd *cobra.Command, args []string) error {
			err := accepts(cmd, args)
			if err == nil || cmd.Name() == "run" {
				return err // which says by itself what is wrong
			}
			wanted := strings.Fields(cmd.Use)[1:]
			see := fmt.Sprintf("ocr-worker %s; see ocr-worker %s --help", cmd.Use, cmd.Name())
			if len(args) < len(wanted) {
				return fmt.Errorf("%s is missing: %s", strings.TrimSuffix(wanted[len(args)], "..."), see)
			}
			return fmt.Errorf("unexpected argument %q: %s", args[len(wanted)], see)
		}
	}
}

// helpCommand is cobra's, but for a command that there is not.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var names []cobra.Completion
			for _, c := range cmd.Root().Commands() {
				if len(args) == 0 && c.IsAvailableCommand() {
					names = append(names, cobra.CompletionWithDesc(c.Name(), c.Short))
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			found, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return noCommand(cmd.Root(), strings.Join(args, " "))
			}
			found.InitDefaultHelpFlag()
			return found.Help()
		},
	}
}

// noCommand says that there is no such command, and which may be meant.
func noCommand(root *cobra.Command, name string) error {
	if near := root.SuggestionsFor(name); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %q? See ocr-worker --help", name, near[0])
	}
	return fmt.Errorf("there is no command %q; see ocr-worker --help", name)
}
