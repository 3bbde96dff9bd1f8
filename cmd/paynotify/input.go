package main

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"paynotify/store"
)

// readInput reads a request that a flag names; - is stdin.
func readInput(cmd *cobra.Command, name string) ([]byte, error) {
	return readAtMost(cmd, name, store.BodyBytesMax)
}

// readAtMost reads a file of at most so many bytes; - is stdin.
func readAtMost(cmd *cobra.Command, name string, bytesMax int64) ([]byte, error) {
	in := cmd.InOrStdin()
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, &problem{code: exitNotFound, what: "cannot read " + name, why: errors.Unwrap(err).Error()}
		}
		defer f.Close() //nolint:errcheck // only read
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, bytesMax+1))
	switch {
	case err != nil:
		return nil, &problem{code: exitNotFound, what: "cannot read " + name, why: err.Error()}
	case int64(len(text)) > bytesMax:
		return nil, dataf("%s has more than %d bytes; at most that many are read", name, bytesMax)
	}
	return text, nil
}

// parseInstant reads an instant: RFC 3339, a date, or a duration before (direction -1) or after (+1) now.
func parseInstant(flag, text string, now time.Time, direction int) (string, error) {
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at.UTC().Format(time.RFC3339Nano), nil
	}
	if at, err := time.ParseInLocation(time.DateOnly, text, time.Local); err == nil {
		return at.UTC().Format(time.RFC3339Nano), nil
	}
	if d, err := time.ParseDuration(text); err == nil && d >= 0 {
		return now.Add(d * time.Duration(direction)).UTC().Format(time.RFC3339Nano), nil
	}
	p := usagef("%s %q is no instant", flag, text)
	p.do = "write 2026-11-21T08:00:00Z, 2026-11-21, or a duration from now such as 2h"
	return "", p
}
