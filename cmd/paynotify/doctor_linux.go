package main

import (
	"syscall"
	"time"
)

// clockState asks the kernel whether its clock is synchronised, and how far it may be off.
func clockState() (synced bool, errMax time.Duration, known bool) {
	var state syscall.Timex
	const unsynchronised = 5 // TIME_ERROR of adjtimex(2)
	got, err := syscall.Adjtimex(&state)
	if err != nil {
		return false, 0, false
	}
	return got != unsynchronised, time.Duration(state.Maxerror) * time.Microsecond, true
}

// Magic numbers of statfs(2).
const (
	tmpfs = 0x01021994
	ramfs = 0x858458f6
)

// fileSystem tells how much room is left for us, and whether what is written there is on no disk.
func fileSystem(dir string) (free int64, inMemory, known bool) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return 0, false, false
	}
	kind := uint32(s.Type)                  //nolint:gosec // 32 bits, signed on some machines
	free = int64(s.Bavail) * int64(s.Bsize) //nolint:gosec,unconvert // their types differ by machine
	return free, kind == tmpfs || kind == ramfs, true
}
