package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
)

// Exit codes, after BSD's sysexits. Scripts depend on them: they are part of the public contract.
const (
	exitOK          = 0
	exitUsage       = 64  // the command line is wrong
	exitData        = 65  // readable but refused: validation
	exitNotFound    = 66  // no such merchant, notification or file
	exitUnavailable = 69  // no server, or an address that cannot be had
	exitBug         = 70  // ours
	exitIO          = 74  // the disk failed
	exitTemporary   = 75  // try again: in use, conflict, too many requests
	exitAuth        = 77  // not allowed
	exitConfig      = 78  // the configuration or the store does not fit
	exitInterrupted = 130 // Ctrl-C
)

// problem is an error for people, told in at most three parts: what failed, why, and what to do about it.
type problem struct {
	code int    // of the process
	what string // always
	why  string // may be empty; may have several lines when several things are wrong
	do   string // may be empty

	// commands are what to type, each printed on a line of its own, as it is.
	commands []string
}

func (p *problem) Error() string {
	if p.why == "" {
		return p.what
	}
	return p.what + ": " + strings.ReplaceAll(strings.TrimSpace(p.why), "\n", "; ")
}

// silent ends the process with a code and says nothing: everything has been said on stdout.
type silent struct{ code int }

func (s silent) Error() string { return fmt.Sprintf("exit %d", s.code) }

// errInterrupted is the cause of a context that ended because a person pressed Ctrl-C.
var errInterrupted = errors.New("interrupted")

func usagef(format string, args ...any) *problem {
	return &problem{code: exitUsage, what: fmt.Sprintf(format, args...)}
}

func dataf(format string, args ...any) *problem {
	return &problem{code: exitData, what: fmt.Sprintf(format, args...)}
}

// exitCode is the one place where errors become exit codes.
func exitCode(ctx context.Context, err error) int {
	var p *problem
	var s silent
	switch {
	case errors.Is(context.Cause(ctx), errInterrupted):
		return exitInterrupted
	case err == nil, errors.Is(err, syscall.EPIPE):
		// A reader that has seen enough (paynotify list | head) is not a failure.
		return exitOK
	case errors.As(err, &p):
		return p.code
	case errors.As(err, &s):
		return s.code
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ENOSPC):
		return exitIO
	}
	return exitBug
}

// report tells a person what went wrong. It stays quiet where there is nothing to tell.
func report(w io.Writer, code int, err error) {
	var s silent
	if err == nil || code == exitOK || code == exitInterrupted || errors.As(err, &s) {
		return
	}
	var p *problem
	if !errors.As(err, &p) {
		p = &problem{what: err.Error()}
		if code == exitBug {
			p.do = "this is a fault of paynotify; please report it with the command that you ran"
		}
	}
	fmt.Fprintf(w, "error: %s\n", p.what)
	for line := range strings.SplitSeq(strings.TrimSpace(p.why), "\n") {
		if line != "" {
			fmt.Fprintf(w, "  why: %s\n", line)
		}
	}
	if p.do != "" {
		fmt.Fprintf(w, "  do:  %s\n", p.do)
	}
	for _, command := range p.commands {
		fmt.Fprintln(w, command)
	}
}

// nearest is the candidate that a misspelt word was probably meant to be, or empty when none is near.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(2, len(word)/3)+1
	for _, c := range candidates {
		if d := distance(strings.ToLower(word), strings.ToLower(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// distance counts the letters to insert, delete, replace or swap with their neighbour.
func distance(a, b string) int {
	const wordMax = 64 // longer words are not misspelt, they are something else
	if len(a) > wordMax || len(b) > wordMax {
		return wordMax
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}

// didYouMean is a cure that names the nearest candidate, or otherwise where to look.
func didYouMean(word string, candidates []string, otherwise string) string {
	if n := nearest(word, candidates); n != "" {
		return fmt.Sprintf("did you mean %q? %s", n, otherwise)
	}
	return otherwise
}
