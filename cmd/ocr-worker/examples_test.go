package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/mattn/go-shellwords"
	"github.com/spf13/cobra"
)

// calls returns the calls of the program in a command's examples, without what the shell does with them.
func calls(t *testing.T, example string) [][]string {
	t.Helper()
	example = strings.ReplaceAll(example, "\\\n", " ")
	var found [][]string
	for line := range strings.Lines(example) {
		line, _, _ = strings.Cut(line, "|")
		line, _, _ = strings.Cut(line, ">")
		words, err := shellwords.Parse(strings.NewReplacer(`["`, "", `"]`, "", `", "`, " ").Replace(line))
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if i := slices.Index(words, "ocr-worker"); i >= 0 {
			found = append(found, words[i+1:])
		} else if len(words) > 0 {
			t.Errorf("%q does not call ocr-worker", line)
		}
	}
	return found
}

func everyCommand(root *cobra.Command, do func(*cobra.Command)) {
	do(root)
	for _, c := range root.Commands() {
		if c.Name() != "completion" && c.Name() != "help" { // cobra's own
			everyCommand(c, do)
		}
	}
}

// The scripts in test/cli run the commands; this holds the examples to what the commands take.
func TestEveryCommandHasExamplesThatItTakes(t *testing.T) {
	everyCommand(command(), func(c *cobra.Command) {
		examples := calls(t, c.Example)
		if len(examples) == 0 || c.Short == "" {
			t.Errorf("%s has no example, or no description", c.CommandPath())
		}
		for _, args := range examples {
			found, rest, err := command().Find(args)
			if err == nil {
				err = found.ParseFlags(rest)
			}
			if err == nil {
				err = found.ValidateArgs(found.Flags().Args())
			}
			if err != nil || found.Name() != c.Name() && c.Name() != "run" {
				t.Errorf("%s: %q leads to %s: %v", c.CommandPath(), args, found.CommandPath(), err)
			}
		}
	})
}
