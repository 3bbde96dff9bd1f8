package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"

	"paynotify/store"
	"paynotify/store/sqlitestore"
)

func TestExitCodes(t *testing.T) {
	inUse := &sqlitestore.InUseError{Path: "f", PID: 7, Host: "h"}
	newer := &sqlitestore.NewerSchemaError{Path: "f", Have: 9, Know: 1}
	interrupted, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	terminated, cancel := context.WithCancelCause(t.Context())
	cancel(errTerminated)
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want int
	}{
		{"nothing", t.Context(), nil, 0},
		{"usage", t.Context(), usagef("x"), 64},
		{"wrapped", t.Context(), fmt.Errorf("y: %w", dataf("x")), 65},
		{"joined", t.Context(), errors.Join(dataf("x"), errors.New("closing")), 65},
		{"silent", t.Context(), silent{exitUnavailable}, 69},
		{"unknown", t.Context(), errors.New("x"), 70},
		{"closed pipe", t.Context(), fmt.Errorf("write: %w", syscall.EPIPE), 0},
		{"disk", t.Context(), fmt.Errorf("write: %w", syscall.EIO), 74},
		{"disk full", t.Context(), fmt.Errorf("write: %w", syscall.ENOSPC), 74},
		{"Ctrl-C", interrupted, context.Canceled, 130},
		{"Ctrl-C, well ended", interrupted, nil, 130},
		{"SIGTERM, well ended", terminated, nil, 0},
		{"SIGTERM in the middle", terminated, context.Canceled, 130},
		{"store in use", t.Context(), storeProblem("f", inUse), 75},
		{"newer store", t.Context(), storeProblem("f", newer), 78},
		{"no directory", t.Context(), storeProblem("f", fs.ErrNotExist), 78},
		{"no permission", t.Context(), storeProblem("f", fs.ErrPermission), 77},
		{"no space", t.Context(), storeProblem("f", store.ErrFull), 74},
		{"read-only disk", t.Context(), storeProblem("f", &fs.PathError{Err: syscall.EROFS}), 74},
		{"no database", t.Context(), storeProblem("f", errors.New("file is not a database")), 78},
	} {
		if got := exitCode(tt.ctx, tt.err); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
	if err := storeProblem("f", inUse); !strings.Contains(err.Error(), "7") {
		t.Errorf("%v does not name the process", err)
	}
}

func TestReport(t *testing.T) {
	for _, tt := range []struct {
		code int
		err  error
		want string
	}{
		{exitUsage, &problem{what: "a", why: "b\nc", do: "d"}, "error: a\n  why: b\n  why: c\n  do:  d\n"},
		{exitUsage, &problem{what: "a"}, "error: a\n"},
		{exitUnavailable, silent{exitUnavailable}, ""},
		{exitInterrupted, context.Canceled, ""},
		{exitOK, syscall.EPIPE, ""},
		{exitOK, nil, ""},
	} {
		var b bytes.Buffer
		report(&b, tt.code, tt.err)
		if got := b.String(); got != tt.want {
			t.Errorf("%v: got %q, want %q", tt.err, got, tt.want)
		}
	}
}
