//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package egress

import "syscall"

// nothingToRead reports whether a socket is open and has no byte to read.
func nothingToRead(fd uintptr, buf []byte) bool {
	for {
		_, _, err := syscall.Recvfrom(int(fd), buf, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		if err == syscall.EINTR {
			continue
		}
		return err == syscall.EAGAIN || err == syscall.EWOULDBLOCK
	}
}
