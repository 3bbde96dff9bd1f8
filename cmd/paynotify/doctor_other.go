//go:build !linux

package main

import "time"

// clockState is not known here.
func clockState() (synced bool, errMax time.Duration, known bool) { return false, 0, false }

// fileSystem is not known here.
func fileSystem(string) (free int64, inMemory, known bool) { return 0, false, false }
