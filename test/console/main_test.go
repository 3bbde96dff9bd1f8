package console

import (
	"bufio"
	"bytes"
	"context"
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

	"github.com/chromedp/chromedp"
)

// Bounds of what healthy programs need; a test that waits longer has found something.
const (
	startMax = 30 * time.Second
	stopMax  = 25 * time.Second // the product drains for up to 20 s
	stepMax  = 30 * time.Second // one thing that a person does, with what it leads to
)

var (
	binary  string          // the product
	browser context.Context // the one browser of all tests; each has its own tab and its own cookies
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		fmt.Println("chromium is not installed: the console is not tested in a browser")
		return 0
	}
	dir, err := os.MkdirTemp("", "console")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if binary = os.Getenv("CONSOLE_BINARY"); binary == "" {
		binary = filepath.Join(dir, "paynotify")
		if err := build(binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	stop := startBrowser(chromium, filepath.Join(dir, "profile"))
	defer stop()
	if err := chromedp.Do(browser); err != nil {
		fmt.Fprintf(os.Stderr, "%s does not start: %v\n", chromium, err)
		return 1
	}
	return m.Run()
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

// startBrowser prepares the browser with a profile that nobody has used. It talks through a pipe, and asks
// nothing of the network but what the tests open.
func startBrowser(chromium, profile string) (stop func()) {
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(chromium), chromedp.UserDataDir(profile), chromedp.Headless, chromedp.NoSandbox,
		chromedp.DisableGPU, chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck, chromedp.WindowSize(1280, 900),
		chromedp.Flag("force-color-profile", "srgb"), chromedp.Flag("lang", "en-US"),
	}
	for _, flag := range []string{
		"disable-quic", "disable-background-networking", "disable-component-update", "disable-sync",
		"disable-extensions", "disable-dev-shm-usage", "disable-background-timer-throttling",
		"disable-backgrounding-occluded-windows", "disable-renderer-backgrounding", "hide-scrollbars",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, free := chromedp.NewExecAllocator(context.Background(), options...)
	browser, _ = chromedp.NewContext(allocator) //nolint:fatcontext // it is the one of all tests
	return func() {                             // closes it and waits, or kills it by its pid
		if err := chromedp.Cancel(browser); err != nil {
			fmt.Fprintln(os.Stderr, "the browser:", err)
		}
		free()
	}
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
