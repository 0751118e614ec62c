//go:build !unix

package ocr

import "os/exec"

// killGroup leaves the default: the end of cmd's context kills the process itself.
func killGroup(*exec.Cmd) {}
