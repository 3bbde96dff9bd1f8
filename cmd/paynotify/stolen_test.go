package main

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"paynotify/api"
)

// TestStolenFiles fills an embedded store with secrets and then looks for them where they must not be: in the
// files of the store (the master key, beside it, is no part of them), in a backup, and in the log at its most
// talkative.
func TestStolenFiles(t *testing.T) {
	var log bytes.Buffer
	cfg := testConfig(t)
	e, err := startEngine(t.Context(), cfg,
		slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err != nil {
		t.Fatal(err)
	}
	ask := func(want int, args ...string) string {
		t.Helper()
		code, out, errs := runAgainst(t, e.URL, args...)
		if code != want {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		return out
	}
	dir := t.TempDir()
	const canary = "CANARY7f3a1c5e9b2d4f6a8c0e1f3a5b7"
	secret := filepath.Join(dir, "secret")
	if err := os.WriteFile(secret, []byte(canary), 0o600); err != nil {
		t.Fatal(err)
	}
	ask(exitOK, "merchant", "add", "m1", "--profile", "alipay_mapi", "--notify-url", "http://127.0.0.1:9/n",
		"--secret-file", secret)
	var rotated api.MerchantCreated
	said := ask(exitOK, "merchant", "rotate-key", "m1", "--json")
	if err := json.Unmarshal([]byte(said), &rotated); err != nil {
		t.Fatal(err)
	}
	reader := strings.TrimSpace(ask(exitOK, "key", "add", "--role", "read"))
	ask(exitAuth, "--token", reader, "merchant", "pause", "m1")
	admin := strings.TrimSpace(ask(exitOK, "key", "add", "--role", "admin"))
	ask(exitOK, "--token", admin, "key", "revoke", reader[3:11])
	copied := filepath.Join(dir, "backup.db")
	ask(exitOK, "--token", admin, "backup", copied)
	if err := e.Shutdown(); err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"the merchant's secret": canary, "its new secret": *rotated.Secret,
		"a key": reader[12:], "an admin's key": admin[12:],
	}
	look := func(where string, text []byte) {
		for what, s := range secrets {
			if bytes.Contains(text, []byte(s)) {
				t.Errorf("%s stands in %s", what, where)
			}
		}
	}
	look("the log", log.Bytes())
	path, _ := storePath(cfg.Store)
	found := 0
	walk := func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || file == secret {
			return err
		}
		text, err := os.ReadFile(file)
		found++
		look(filepath.Base(file), text)
		return err
	}
	for _, from := range []string{filepath.Dir(path), dir} {
		if err := filepath.WalkDir(from, walk); err != nil {
			t.Fatal(err)
		}
	}
	if found < 3 { // database, master key, backup
		t.Errorf("looked at %d files", found)
	}
}
