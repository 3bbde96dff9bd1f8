package product

import (
	"bufio"
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds of what a healthy binary needs; a test that waits longer has found something.
const (
	startMax = 20 * time.Second
	stopMax  = 25 * time.Second // it drains for up to 20 s
)

// Build makes the static binary in a folder of the test and returns its path. After the first time the
// linker's output comes out of Go's build cache.
func Build(t testing.TB) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "paynotify")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "paynotify/cmd/paynotify")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return binary
}

// Server is a running "paynotify serve".
type Server struct {
	URL string // http://127.0.0.1:PORT

	t      testing.TB
	cmd    *exec.Cmd
	exited chan struct{} // closed when it has ended
	err    error         // set before exited is closed
	mu     sync.Mutex
	output bytes.Buffer
}

// Serve starts a command that is a "paynotify serve", waits for its line "listening on" and stops it at the
// end of the test. The caller sets path, arguments and environment, not the output.
func Serve(t testing.TB, cmd *exec.Cmd) *Server {
	t.Helper()
	s := &Server{t: t, cmd: cmd, exited: make(chan struct{})}
	listening := make(chan string, 1)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = writer(s.write)
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd, err)
	}
	t.Cleanup(func() { _ = s.Stop() })
	go func() {
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			s.write([]byte(lines.Text() + "\n")) //nolint:errcheck // a buffer never fails
			if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				listening <- url
			}
		}
		s.err = cmd.Wait()
		close(s.exited)
	}()
	select {
	case s.URL = <-listening:
	case <-s.exited:
		t.Fatalf("serve ended before it listened: %v\n%s", s.err, s.Output())
	case <-time.After(startMax):
		t.Fatalf("serve does not listen after %v\n%s", startMax, s.Output())
	}
	return s
}

// Output is what the server has printed so far, on both streams.
func (s *Server) Output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.String()
}

// Stop asks the server to end, waits for it and returns its error, nil for exit 0. Again it only returns the
// error.
func (s *Server) Stop() error {
	s.t.Helper()
	select {
	case <-s.exited:
		return s.err
	default:
	}
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Errorf("signal the server: %v", err)
	}
	select {
	case <-s.exited:
	case <-time.After(stopMax):
		s.t.Errorf("the server runs on %v after SIGTERM\n%s", stopMax, s.Output())
		s.cmd.Process.Kill() //nolint:errcheck // it may just have ended
		<-s.exited
	}
	return s.err
}

// Kill ends the server as a power failure would, and waits until it is gone.
func (s *Server) Kill() {
	s.cmd.Process.Kill() //nolint:errcheck // it may just have ended
	<-s.exited
}

func (s *Server) write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.output.Write(p)
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// Run runs a command to its end and returns its output of both streams; it fails the test when the exit code
// is not 0 or it takes longer than a start may.
func Run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), startMax)
	defer cancel()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cmd, err)
	}
	stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() }) //nolint:errcheck // it may just have ended
	defer stop()
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out.String())
	}
	return out.String()
}
