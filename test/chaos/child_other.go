//go:build !linux

package main

import "syscall"

func childOf() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
