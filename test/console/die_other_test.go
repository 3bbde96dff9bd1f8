//go:build !linux

package console

import "syscall"

// dieWithUs has no equivalent here: children end by the cleanups of the test.
func dieWithUs() *syscall.SysProcAttr { return nil }
