package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"paynotify/signer/keyring"
)

// metaStore is a store that keeps small texts about itself.
type metaStore interface {
	// Meta returns the text of that name, empty when there is none.
	Meta(ctx context.Context, name string) (string, error)
	// SetMeta stores it durably.
	SetMeta(ctx context.Context, name, value string) error
}

// metaKeyCheck is the name under which a store keeps the check values of the master keys that sealed in it,
// one a line. Every one of these keys must be at hand: what it sealed stays sealed with it.
const metaKeyCheck = "key_check"

// openKeys loads the master key and makes sure that it is the one that the store's keys are sealed with. A
// wrong key must not start: every send would fail, one by one.
func openKeys(ctx context.Context, cfg Config, s metaStore, log *slog.Logger) (*keyring.Ring, error) {
	kept, err := s.Meta(ctx, metaKeyCheck)
	if err != nil {
		return nil, &problem{code: exitIO, what: "cannot read the store", why: err.Error()}
	}
	checks := strings.Fields(kept)
	text := string(cfg.MasterKey)
	from := "master_key"
	if text == "" {
		path, err := storePath(cfg.Store)
		if err != nil {
			return nil, err
		}
		from = path + ".master_key"
		if text, err = keyBeside(from, len(checks) == 0, log); err != nil {
			return nil, err
		}
	}
	ring, err := keyring.Load(text)
	if err != nil {
		what := "the master key in " + from + " cannot be used"
		return nil, &problem{code: exitConfig, what: what, why: err.Error()}
	}
	for _, check := range checks {
		if err := ring.VerifyCheck(check); err != nil {
			return nil, &problem{
				code: exitConfig, what: "the master key in " + from + " is not the one of this store", why: err.Error(),
				do: "give the key that was in use when the store was last served",
			}
		}
	}
	if now := ring.Check(); !slices.Contains(checks, now) {
		if err := s.SetMeta(ctx, metaKeyCheck, strings.Join(append(checks, now), "\n")); err != nil {
			return nil, &problem{code: exitIO, what: "cannot write to the store", why: err.Error()}
		}
	}
	return ring, nil
}

// keyBeside reads the key file beside an embedded store, and makes one for a store that has none yet.
func keyBeside(path string, fresh bool, log *slog.Logger) (string, error) {
	text, warning, err := readSecret(path)
	switch {
	case err == nil:
		if warning != "" {
			log.Warn(warning)
		}
		return text, nil
	case !errors.Is(err, fs.ErrNotExist):
		return "", &problem{code: exitConfig, what: "cannot read the master key " + path, why: err.Error()}
	case !fresh:
		return "", &problem{
			code: exitConfig, what: "the master key " + path + " is missing",
			why: "the merchants' keys in the store are sealed with it and cannot be opened without",
			do:  "bring the file back, or give the key as master_key or master_key_file",
		}
	}
	text = keyring.Generate()
	if err := writeKey(path, text); err != nil {
		return "", &problem{code: exitIO, what: "cannot write the master key " + path, why: err.Error()}
	}
	log.Info("made a master key; keep a copy of it apart from the backups of the store", "file", path)
	return text, nil
}

// writeKey writes a key durably: it must be on disk before anything is sealed with it.
func writeKey(path, text string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(f, text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
