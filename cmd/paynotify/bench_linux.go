package main

import (
	"os/exec"
	"syscall"
)

// endWithUs has the kernel end a child when this process dies, however it dies.
func endWithUs(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
