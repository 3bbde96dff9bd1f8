package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"paynotify/signer/keyring"
	"paynotify/store"
	"paynotify/store/sqlitestore"
)

const (
	fsyncTries  = 20
	fsyncMax    = 3 * time.Second       // of all tries: a disk this slow has shown itself
	fsyncSlow   = 10 * time.Millisecond // a lone notification is accepted no quicker than that
	freeAdvised = 1 << 30               // bytes of a disk
	freeLeast   = 64 << 20              // below it the store soon accepts nothing
)

// embedded checks the store in a file, the disk under it, and the master key beside it.
func (d *doctor) embedded(ctx context.Context) {
	const check = "store"
	path, err := storePath(d.cfg.Store)
	if err != nil {
		d.fail(exitConfig, check, "", "%s", err)
		return
	}
	g, err := sqlitestore.Peek(ctx, path, metaKeyCheck, store.MetaMovedTo, store.MetaMigrating)
	fresh, texts := errors.Is(err, fs.ErrNotExist), metaTexts(g.Texts)
	marked := store.CheckMarks(func(name string) (string, error) { return texts[name], nil })
	switch {
	case fresh && !isDir(filepath.Dir(path)):
		d.fail(exitConfig, check, "make the directory, or name another file with --store",
			"there is no directory %s", filepath.Dir(path))
		return
	case fresh:
		d.ok(check, "%s is not there yet: serve makes it", path)
	case err != nil:
		d.failed(check, storeProblem(path, err))
		return
	case marked != nil:
		d.failed(check, storeProblem(path, marked))
	case g.Served != nil:
		d.ok(check, "%s, served: it was only looked at. %s", size(g.Bytes), g.Served.Error())
	case g.Schema == 0 && g.Bytes > 0:
		d.warn(check, "start serve on it: it recovers by itself",
			"%s was not closed by the process that wrote it, and was not looked into", path)
	default:
		d.ok(check, "%s, %s, served by nobody", path, size(g.Bytes))
	}
	d.disk(path)
	d.fsync(filepath.Dir(path))
	known := fresh || g.Schema > 0
	d.embeddedKeys(ctx, path, texts, known)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// size writes a number of bytes for people.
func size(bytes int64) string {
	const kilo = 1024
	if bytes < kilo*kilo {
		return fmt.Sprintf("%.1f KB", float64(bytes)/kilo)
	}
	if bytes < kilo*kilo*kilo {
		return fmt.Sprintf("%.1f MB", float64(bytes)/kilo/kilo)
	}
	return fmt.Sprintf("%.1f GB", float64(bytes)/kilo/kilo/kilo)
}

// disk looks at the room and the kind of the file system.
func (d *doctor) disk(path string) {
	const check = "disk"
	free, inMemory, known := fileSystem(filepath.Dir(path))
	switch {
	case !known:
	case free < freeLeast:
		d.fail(exitIO, check, "make room", "%s free: the store will accept nothing", size(free))
	case inMemory:
		d.warn(check, "put the store on a disk: a restart of this machine loses it", "%s is in memory", path)
	case free < freeAdvised:
		d.warn(check, "make room", "%s free", size(free))
	default:
		d.ok(check, "%s free", size(free))
	}
}

// fsync measures what every commit waits for.
func (d *doctor) fsync(dir string) {
	const check = "fsync"
	times, err := fsyncTimes(dir)
	if err != nil {
		code := exitIO
		if errors.Is(err, fs.ErrPermission) {
			code = exitAuth
		}
		d.fail(code, check, "let this user write there, and check the disk", "%s", err)
		return
	}
	slices.Sort(times)
	p50, worst := times[len(times)/2], times[len(times)-1]
	found := fmt.Sprintf("p50 %s, max %s of %d", round(p50), round(worst), len(times))
	if p50 > fsyncSlow {
		d.warn(check, "use a disk with a write cache that survives power loss, or a local SSD",
			"%s: a lone notification waits as long for its 202", found)
		return
	}
	d.ok(check, "%s", found)
}

// round leaves three digits or so.
func round(t time.Duration) time.Duration {
	switch {
	case t > time.Second:
		return t.Round(10 * time.Millisecond)
	case t > time.Millisecond:
		return t.Round(10 * time.Microsecond)
	}
	return t.Round(100 * time.Nanosecond)
}

// fsyncTimes writes a page to a file of its own and syncs it, a few times.
func fsyncTimes(dir string) (times []time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".paynotify-doctor-*")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	page := make([]byte, 4096)
	for whole := time.Now(); len(times) < fsyncTries && time.Since(whole) < fsyncMax; {
		page[0]++
		began := time.Now()
		if _, err := f.WriteAt(page, 0); err != nil {
			return nil, err
		}
		if err := f.Sync(); err != nil {
			return nil, err
		}
		times = append(times, time.Since(began))
	}
	return times, nil
}

// metaTexts are texts of a store that is only read.
type metaTexts map[string]string

// Meta implements metaStore.
func (m metaTexts) Meta(_ context.Context, name string) (string, error) { return m[name], nil }

// SetMeta implements metaStore.
func (m metaTexts) SetMeta(context.Context, string, string) error { return errors.ErrUnsupported }

// embeddedKeys checks the master key of an embedded store. known is false where the store could not be asked
// what its keys are sealed with.
func (d *doctor) embeddedKeys(ctx context.Context, path string, kept metaTexts, known bool) {
	const check = "master key"
	text, from := string(d.cfg.MasterKey), "master_key"
	if text == "" {
		from = path + ".master_key"
		var err error
		var warning string
		text, warning, err = readSecret(from)
		switch {
		case errors.Is(err, fs.ErrNotExist) && known && kept[metaKeyCheck] == "":
			d.ok(check, "none yet: serve makes %s", from)
			return
		case err != nil:
			d.fail(exitConfig, check, "bring the file back, or give the key as master_key or master_key_file",
				"%s", err)
			return
		case warning != "":
			d.warn(check, "", "%s", warning)
		}
	}
	d.matchKeys(ctx, check, from, text, kept, known)
}

// matchKeys checks a master key, and whether the keys in the store are sealed with it.
func (d *doctor) matchKeys(ctx context.Context, check, from, text string, s metaStore, known bool) {
	ring, err := keyring.Load(text)
	if err != nil {
		d.fail(exitConfig, check, "a key is 32 bytes in base64; make one with: openssl rand -base64 32",
			"%s: %s", from, err)
		return
	}
	if !known {
		d.ok(check, "%s can be used; whether it is the one of this store is not known now", from)
		return
	}
	checks, err := masterKeys{Ring: ring, from: from}.known(ctx, s)
	var p *problem
	switch {
	case errors.As(err, &p):
		d.failed(check, p)
	case err != nil:
		d.fail(exitUnavailable, check, "", "%s", err)
	case len(checks) == 0:
		d.ok(check, "%s can be used; nothing is sealed in the store yet", from)
	default:
		d.ok(check, "%s opens what is sealed in the store", from)
	}
}
