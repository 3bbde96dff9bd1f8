package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
)

// newBackupCommand copies the store of a running server.
func newBackupCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store of the running server into a file",
		Long: `Copy the store of the running server into a file, consistent and while it works. A server that is
started on the copy has sending stopped, until "paynotify sending start".

The copy has the merchants' keys only as sealed bytes: keep the master key too, elsewhere.

A store on Redis is backed up by Redis: copies of its AOF or RDB files, or a replica.`,
		Example: "  paynotify backup /backup/paynotify-2026-11-21.db",
		Args:    needs("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := newClient(cmd)
			if err != nil {
				return err
			}
			size, err := c.backup(cmd, args[0])
			if err != nil {
				return err
			}
			if wantsJSON(cmd) {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(map[string]any{"file": args[0], "bytes": size})
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %d bytes; keep the master key too\n", args[0], size)
			return err
		},
	}
}

// backup streams the copy beside its place and renames it when it is whole and on disk: a file of that name
// is always a complete backup.
func (c *client) backup(cmd *cobra.Command, path string) (size int64, err error) {
	fail := func(err error) error {
		return &problem{code: exitIO, what: "cannot write " + path, why: err.Error()}
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		p := usagef("%s exists already", path)
		p.do = "choose a new name; a backup overwrites nothing"
		return 0, p
	}
	r := get("v1", "backup")
	r.header = map[string]string{"Accept": "*/*"}
	resp, err := c.send(cmd.Context(), r)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".part-*")
	if err != nil {
		return 0, fail(err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	in := &countingReader{r: resp.Body}
	_, err = io.Copy(f, in)
	switch {
	case err == nil && !strings.HasPrefix(string(in.head), sqliteMagic):
		err = errors.Join(c.foreign(resp, "what it sent is no database"), f.Close())
	case in.err != nil:
		err = errors.Join(c.unreachable(cmd.Context(), in.err), f.Close())
	case err != nil:
		err = errors.Join(fail(err), f.Close())
	default:
		if err = errors.Join(f.Sync(), f.Close(), os.Rename(f.Name(), path)); err != nil {
			err = fail(err)
		}
	}
	return in.n, err
}

// countingReader tells the server's failures from the disk's, and keeps the beginning of what it read.
type countingReader struct {
	r    io.Reader
	n    int64
	head []byte
	err  error
}

// sqliteMagic begins every SQLite database.
const sqliteMagic = "SQLite format 3\x00"

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	if missing := len(sqliteMagic) - len(c.head); missing > 0 {
		c.head = append(c.head, p[:min(n, missing)]...)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		c.err = err
	}
	return n, err
}
