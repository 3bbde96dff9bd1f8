package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
)

// Glimpse is what Peek saw of a database.
type Glimpse struct {
	Bytes  int64       // size of the file, without the write-ahead log
	Served *InUseError // by whom; nil = by nobody
	// Schema is the version of the schema; 0 = the file is empty, or was not looked into: the process that
	// wrote it ended without closing it, and reading it would mean to repair it.
	Schema int
	// Texts are what SetMeta keeps, by the names asked for.
	Texts map[string]string
}

// Peek looks at a database without the right to serve it, which another process may have, and leaves nothing
// behind. It fails with an fs.ErrNotExist, with a NewerSchemaError, or when it cannot be read.
func Peek(ctx context.Context, path string, texts ...string) (g Glimpse, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return g, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return g, err
	}
	g.Bytes = info.Size()
	if g.Served, err = servedBy(path); err != nil {
		return g, err
	}
	uri := dsn(path) + "&mode=ro"
	switch wal, shm := exists(path+"-wal"), exists(path+"-shm"); {
	case wal != shm:
		return g, nil
	case !wal:
		// SQLite would make both files, and they would be ours: the server may not be able to write them.
		uri += "&immutable=1"
	}
	c, err := openConn(uri, "query_only=1", "busy_timeout=1000")
	if err != nil {
		return g, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	if g.Schema, err = checkVersion(c, path); err != nil || g.Schema == 0 {
		return g, err
	}
	g.Texts = make(map[string]string, len(texts))
	for _, name := range texts {
		if g.Texts[name], err = readMeta(ctx, c, "app."+name); err != nil {
			return g, err
		}
	}
	return g, nil
}

// servedBy tells who serves a database. A note without a lock is what a killed process leaves. The lock is
// tried only where there is a note, so that nobody who starts finds it taken.
func servedBy(path string) (*InUseError, error) {
	f, err := os.Open(path + ".lock")
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // it was read only
	note, err := io.ReadAll(io.LimitReader(f, 1))
	if err != nil || len(note) == 0 {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var served *InUseError
	if !errors.As(holder(path, f), &served) {
		return nil, fmt.Errorf("%s.lock cannot be read", path)
	}
	return served, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
