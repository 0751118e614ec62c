package cli_test

import (
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// readme writes into a file the commands of the README's section of which the first line is given, those that come first
// after a text, with words replaced: readme SECTION TEXT FILE [OLD=NEW...]
func readme(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 3 {
		ts.Fatalf("usage: readme SECTION TEXT FILE [OLD=NEW...]")
	}
	text, err := os.ReadFile("../../README.md")
	ts.Check(err)
	rest := string(text)
	for _, mark := range []string{"\n## " + args[0] + "\n", args[1], "\n```sh\n"} {
		_, after, ok := strings.Cut(rest, mark)
		if !ok {
			ts.Fatalf("the README has no %q there", mark)
		}
		rest = after
	}
	commands, _, _ := strings.Cut(rest, "```")
	for _, replacement := range args[3:] {
		before, after, _ := strings.Cut(replacement, "=")
		if !strings.Contains(commands, before) {
			ts.Fatalf("%q is not in the README's commands:\n%s", before, commands)
		}
		commands = strings.ReplaceAll(commands, before, after)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(commands), 0o644))
}
