package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"paynotify/signer/keyring"
)

// openWith starts and stops an engine on a store with a master key, and returns the exit code.
func openWith(t *testing.T, cfg Config, key string) int {
	t.Helper()
	cfg.MasterKey = secret(key)
	e, err := startEngine(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err == nil {
		err = e.Shutdown()
	}
	return exitCode(context.Background(), err)
}

// TestMasterKeys: a store starts with the keys that sealed in it, all of them, and with no others.
func TestMasterKeys(t *testing.T) {
	a, b, c := keyring.Generate(), keyring.Generate(), keyring.Generate()
	cfg := testConfig(t)
	for _, step := range []struct {
		name, key string
		want      int
	}{
		{"first start", a, exitOK},
		{"the same key", a, exitOK},
		{"another key", b, exitConfig},
		{"the file beside it, which is not there", "", exitConfig},
		{"a new key that seals, the old one opens", b + "\n" + a, exitOK},
		{"only the old key", a, exitConfig},
		{"only the new key", b, exitConfig},
		{"both, in the old order", a + "\n" + b, exitOK},
		{"a third for reading", a + "\n" + b + "\n" + c, exitOK},
		{"which sealed nothing", a + "\n" + b, exitOK},
	} {
		if got := openWith(t, cfg, step.key); got != step.want {
			t.Errorf("%s: exit code %d, want %d", step.name, got, step.want)
		}
	}
	beside := strings.TrimPrefix(cfg.Store, "sqlite:") + ".master_key"
	if _, err := os.Stat(beside); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a key file was made though a key was given: %v", err)
	}
}

func TestMasterKeyFileIsMadeOnce(t *testing.T) {
	cfg := testConfig(t)
	path := strings.TrimPrefix(cfg.Store, "sqlite:") + ".master_key"
	if got := openWith(t, cfg, ""); got != exitOK {
		t.Fatalf("exit code %d", got)
	}
	made, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if _, err := keyring.Load(string(made)); err != nil {
		t.Error(err)
	}
	if got := openWith(t, cfg, ""); got != exitOK {
		t.Errorf("second start: exit code %d", got)
	}
	if again, err := os.ReadFile(path); err != nil || string(again) != string(made) {
		t.Errorf("the key changed: %v", err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := openWith(t, cfg, ""); got != exitConfig {
		t.Errorf("an empty key file: exit code %d, want %d", got, exitConfig)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := openWith(t, cfg, ""); got != exitConfig {
		t.Errorf("a lost key file: exit code %d, want %d", got, exitConfig)
	}
	if left, err := filepath.Glob(path + "*"); err != nil || len(left) > 0 {
		t.Errorf("a new key was made for old data: %v, %v", left, err)
	}
}
