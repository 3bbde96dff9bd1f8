package interop

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds of what healthy programs need; a test that waits longer has found something.
const (
	startMax   = 20 * time.Second
	stopMax    = 25 * time.Second // the product drains for up to 20 s
	installMax = 2 * time.Minute  // npm ci, with an empty cache
)

// product is the binary under test, running for all tests.
var product *process

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	installNode(filepath.Join(dir, "node")) // goes on beside the build and the first tests
	defer stopNode()
	if product, err = startProduct(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := product.stop(); err != nil {
		fmt.Fprintf(os.Stderr, "the product ended with %v\n%s", err, product.text())
		code = 1
	}
	return code
}

// startProduct serves with the static binary, which it builds from the tree round this module.
func startProduct(dir string) (*process, error) {
	binary := os.Getenv("INTEROP_BINARY")
	if binary == "" {
		binary = filepath.Join(dir, "paynotify")
		if err := build(binary); err != nil {
			return nil, err
		}
	}
	return start(exec.Command(binary, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(dir, "interop.db")))
}

func build(binary string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-o", binary, "./cmd/paynotify")
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build ./cmd/paynotify: %w\n%s", err, out)
	}
	return nil
}

// process is a server that prints "listening on http://HOST:PORT".
type process struct {
	url string

	cmd    *exec.Cmd
	stdin  io.Closer     // open as long as we live
	exited chan struct{} // closed when it has ended
	err    error         // set before exited is closed
	mu     sync.Mutex
	output bytes.Buffer
}

func start(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, exited: make(chan struct{})}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		return nil, err
	}
	cmd.Stderr, cmd.SysProcAttr = p, dieWithUs()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	listening := make(chan string, 1)
	go func() {
		for lines := bufio.NewScanner(stdout); lines.Scan(); {
			fmt.Fprintln(p, lines.Text())
			if url, ok := strings.CutPrefix(lines.Text(), "listening on "); ok {
				select {
				case listening <- url:
				default: // it listens on more than one
				}
			}
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	select {
	case p.url = <-listening:
		return p, nil
	case <-p.exited:
		return nil, fmt.Errorf("%s ended before it listened: %w\n%s", cmd.Path, p.err, p.text())
	case <-time.After(startMax):
		p.stop()
		return nil, fmt.Errorf("%s does not listen after %v\n%s", cmd.Path, startMax, p.text())
	}
}

// Write takes what the process prints.
func (p *process) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.Write(text)
}

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.output.String()
}

// stop asks the process to end and waits for it; nil for exit 0.
func (p *process) stop() error {
	p.stdin.Close()
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		return p.err
	case <-time.After(stopMax):
		p.cmd.Process.Kill()
		<-p.exited
		return fmt.Errorf("it runs on %v after SIGTERM", stopMax)
	}
}
