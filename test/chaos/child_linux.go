package main

import "syscall"

// childOf makes a process end with this one, also if that is killed, and keeps an interrupt of this one from it.
func childOf() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
