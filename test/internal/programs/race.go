//go:build race

package programs

// With the race detector the worker is built with it too: a race makes it exit with code 66.
func init() { buildFlags = append(buildFlags, "-race") }
