package sqlitestore

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// ErrInUse says that another process serves the file; see InUseError.
var ErrInUse = errors.New("the store is in use")

// InUseError names the process that serves the file. It is an ErrInUse.
type InUseError struct {
	Path string
	PID  int    // 0 when the holder left no note
	Host string // where it runs
}

// Error names the holder.
func (e *InUseError) Error() string {
	if e.PID == 0 {
		return e.Path + " is in use by another process"
	}
	return fmt.Sprintf("%s is in use by process %d on %s", e.Path, e.PID, e.Host)
}

// Unwrap returns ErrInUse.
func (e *InUseError) Unwrap() error { return ErrInUse }

// lockFile is the right to serve a database. SQLite's own locks do not say that: in WAL mode it lets any
// number of processes in. The kernel drops the lock when the process ends, however it ends; the file stays.
type lockFile struct{ f *os.File }

func lock(path string) (*lockFile, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = holder(path, f)
	}
	if err == nil {
		err = sign(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &lockFile{f}, nil
}

// sign leaves a note for those who come second.
func sign(f *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt(fmt.Appendf(nil, "%d %s\n", os.Getpid(), host), 0)
	return err
}

func holder(path string, f *os.File) error {
	e := &InUseError{Path: path}
	note, err := io.ReadAll(io.LimitReader(f, 512))
	if err == nil {
		_, err = fmt.Sscanf(strings.TrimSpace(string(note)), "%d %s", &e.PID, &e.Host)
	}
	if err != nil {
		e.PID = 0 // a holder that has not signed yet
	}
	return e
}

// unlock gives the right back. The note is wiped first: nobody may read it as a holder's.
func (l *lockFile) unlock() error {
	return errors.Join(l.f.Truncate(0), l.f.Close())
}
