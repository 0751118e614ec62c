//go:build race

package e2e_test

// With the race detector the worker is built with it too: a race makes it exit with code 66.
func init() { buildFlags = append(buildFlags, "-race") }
