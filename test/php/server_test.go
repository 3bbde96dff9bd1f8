package php

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"
)

const startMax = 20 * time.Second

// phpServer is a running "php -S" with the merchants of testdata.
type phpServer struct {
	url  string // http://127.0.0.1:PORT
	keys string // the folder of their keys

	mu  sync.Mutex
	log []byte
}

// started is the line that names the port which the kernel gave.
var started = regexp.MustCompile(`Development Server \((http://127\.0\.0\.1:\d+)\) started`)

// startPHP runs the merchants until the end of the test.
func startPHP(t *testing.T) *phpServer {
	t.Helper()
	php, err := exec.LookPath("php")
	if err != nil {
		t.Skip("php is not installed: apt-get install php-cli, or run make test as root")
	}
	s := &phpServer{keys: t.TempDir()}
	cmd := exec.Command(php, "-S", "127.0.0.1:0", filepath.Join("testdata", "merchants.php"))
	cmd.Env = append(os.Environ(), "KEYS="+s.keys)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	urls, ended := make(chan string, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			if m := started.FindStringSubmatch(lines.Text()); m != nil {
				urls <- m[1]
			}
			s.mu.Lock()
			s.log = append(s.log, lines.Text()+"\n"...)
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
		cmd.Wait()
		if t.Failed() {
			t.Logf("php:\n%s", s.output())
		}
	})
	select {
	case s.url = <-urls:
	case <-ended:
		t.Fatalf("php ended before it listened:\n%s", s.output())
	case <-time.After(startMax):
		t.Fatalf("php does not listen after %v:\n%s", startMax, s.output())
	}
	return s
}

// addKeys gives the merchants the keys of a name, by kind; empty ones it has not.
func (s *phpServer) addKeys(t *testing.T, name string, keys map[string]string) {
	t.Helper()
	for kind, text := range keys {
		if text == "" {
			continue
		}
		if err := os.WriteFile(filepath.Join(s.keys, name+"."+kind), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (s *phpServer) removeKey(t *testing.T, name, kind string) {
	t.Helper()
	if err := os.Remove(filepath.Join(s.keys, name+"."+kind)); err != nil {
		t.Fatal(err)
	}
}

func (s *phpServer) output() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.log)
}
