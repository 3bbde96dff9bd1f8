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

// masterKeys is the key ring of this process, and where it came from.
type masterKeys struct {
	*keyring.Ring

	from string // the setting or the file, for errors
}

// loadKeys loads the master key. An embedded store that has sealed nothing yet gets one of its own.
func loadKeys(ctx context.Context, cfg Config, s metaStore, log *slog.Logger) (masterKeys, error) {
	k := masterKeys{from: "master_key"}
	text := string(cfg.MasterKey)
	if text == "" {
		path, err := storePath(cfg.Store)
		if err != nil {
			return k, noMasterKey()
		}
		kept, err := s.Meta(ctx, metaKeyCheck)
		if err != nil {
			return k, &problem{code: exitIO, what: "cannot read the store", why: err.Error()}
		}
		k.from = path + ".master_key"
		if text, err = keyBeside(k.from, kept == "", log); err != nil {
			return k, err
		}
	}
	var err error
	if k.Ring, err = keyring.Load(text); err != nil {
		what := "the master key in " + k.from + " cannot be used"
		return k, &problem{code: exitConfig, what: what, why: err.Error()}
	}
	return k, nil
}

// noMasterKey is the refusal of a store that many processes share: a key that one of them made for itself
// would be nobody else's.
func noMasterKey() *problem {
	return &problem{
		code: exitConfig, what: "a store on Redis needs a master key",
		why: "it encrypts the merchants' keys, and every process must have the same one",
		do: "make one with: openssl rand -base64 32 — and give it to every process as master_key_file, " +
			"master_key or PAYNOTIFY_MASTER_KEY; keep a copy of it",
	}
}

// own makes sure that these are the keys that the store's are sealed with, and notes the one that seals from
// now on. A wrong key must not start: every send would fail, one by one. What the store itself answers is
// returned as it is.
func (k masterKeys) own(ctx context.Context, s metaStore) error {
	checks, err := k.known(ctx, s)
	if err != nil {
		return err
	}
	if now := k.Check(); !slices.Contains(checks, now) {
		if err := s.SetMeta(ctx, metaKeyCheck, strings.Join(append(checks, now), "\n")); err != nil {
			return fmt.Errorf("writing the master key's check value: %w", err)
		}
		// Another process may have noted another key in the same moment.
		_, err = k.known(ctx, s)
	}
	return err
}

// known verifies that every key that sealed in the store is at hand, and returns their check values.
func (k masterKeys) known(ctx context.Context, s metaStore) (checks []string, err error) {
	kept, err := s.Meta(ctx, metaKeyCheck)
	if err != nil {
		return nil, fmt.Errorf("reading the master key's check value: %w", err)
	}
	checks = strings.Fields(kept)
	for _, check := range checks {
		if err := k.VerifyCheck(check); err != nil {
			return nil, &problem{
				code: exitConfig, what: "the master key in " + k.from + " is not the one of this store",
				why: err.Error(), do: "give the key that was in use when the store was last served",
			}
		}
	}
	return checks, nil
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
