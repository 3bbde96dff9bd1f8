package sqlitestore

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// files lists what lies beside a database, the database included.
func files(t *testing.T, path string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// TestPeek: it tells who serves a database and what is kept in it, disturbs nobody and leaves nothing.
func TestPeek(t *testing.T) {
	path := filepath.Join(t.TempDir(), "peek ?.db")
	if _, err := Peek(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	s, err := Open(t.Context(), Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMeta(t.Context(), "colour", "green"); err != nil {
		t.Fatal(err)
	}
	look := func() Glimpse {
		t.Helper()
		before := files(t, path)
		g, err := Peek(t.Context(), path, "colour", "shape")
		if err != nil {
			t.Fatal(err)
		}
		if after := files(t, path); !slices.Equal(before, after) {
			t.Errorf("files before %q, after %q", before, after)
		}
		if g.Schema != len(migrations) || g.Texts["colour"] != "green" || g.Texts["shape"] != "" || g.Bytes == 0 {
			t.Errorf("got %+v", g)
		}
		return g
	}
	if g := look(); g.Served == nil || g.Served.PID != os.Getpid() {
		t.Errorf("served: got %+v", g.Served)
	}
	if err := s.SetMeta(t.Context(), "shape", ""); err != nil {
		t.Errorf("the server was disturbed: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if g := look(); g.Served != nil {
		t.Errorf("closed: got %+v", g.Served)
	}
	// The note of a process that was killed.
	if err := os.WriteFile(path+".lock", []byte("7 elsewhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if g := look(); g.Served != nil {
		t.Errorf("after a kill: got %+v", g.Served)
	}
	// Its write-ahead log is left for the server to fold in.
	if err := os.WriteFile(path+"-wal", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if g, err := Peek(t.Context(), path, "colour"); err != nil || g.Schema != 0 || len(g.Texts) != 0 {
		t.Errorf("with a log: got %+v, %v", g, err)
	}
	foreign := filepath.Join(t.TempDir(), "foreign.db")
	if err := os.WriteFile(foreign, []byte("no database, but long enough to be looked at"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Peek(t.Context(), foreign); err == nil {
		t.Error("a file that is no database was accepted")
	}
}
