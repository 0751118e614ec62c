//go:build race

package cli_test

// With the race detector the program is built with it too: a race makes it exit with code 66.
func init() { buildFlags = append(buildFlags, "-race") }
