package console

import "syscall"

// dieWithUs makes the kernel end a child when the test process dies without its cleanups, by a timeout or a
// panic.
func dieWithUs() *syscall.SysProcAttr { return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
