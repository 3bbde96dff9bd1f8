package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// Bounds of what a healthy redis-server needs; a test that waits longer has found something.
const (
	readyMax = 20 * time.Second     // from the start to the first PONG, loading included
	stopMax  = 20 * time.Second     // from SIGTERM to the end
	poll     = 5 * time.Millisecond // between two looks at something that changes by itself
	portsMax = 10                   // ports tried when somebody else is quicker
	doMax    = 10 * time.Second     // one command of Do
	logTail  = 4000                 // bytes of the server's log in a failure
)

// defaults are what we recommend to users, with the AOF as most of them have it.
var defaults = []string{
	"appendonly yes", "appendfsync everysec", `save ""`, "maxmemory-policy noeviction",
	"bind 127.0.0.1", "protected-mode no", "daemonize no", "logfile redis.log", "repl-diskless-sync-delay 0",
}

// Server is one redis-server child.
type Server struct {
	Addr string // 127.0.0.1:PORT, the same in every life
	Dir  string // its folder: redis.conf, redis.log and the data

	tb       testing.TB
	args     []string // behind the configuration file
	password string   // of requirepass
	mu       sync.Mutex
	cmd      *exec.Cmd
	ended    chan struct{} // closed when cmd has ended
	client   *goredis.Client
}

// Start runs a redis-server until the end of the test. Each config is a line of redis.conf and replaces our
// own of that name: AOF with appendfsync everysec, no snapshots, noeviction. It skips the test when there is
// no redis-server.
func Start(tb testing.TB, config ...string) *Server {
	tb.Helper()
	return start(tb, tb.TempDir(), nil, append(append([]string(nil), defaults...), config...))
}

// start finds a free port for a server of that configuration, and a second one where it says clusterBus.
func start(tb testing.TB, dir string, args, config []string) *Server {
	tb.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		tb.Skip("redis-server is not installed: apt-get install redis-server")
	}
	s := &Server{tb: tb, Dir: dir, args: args}
	tb.Cleanup(s.Kill)
	for range portsMax {
		port := FreePort(tb)
		s.Addr = net.JoinHostPort("127.0.0.1", port)
		lines := []string{"port " + port, "dir " + dir}
		for _, line := range config {
			if line == clusterBus {
				line = "cluster-port " + FreePort(tb)
			}
			if password, ok := strings.CutPrefix(line, "requirepass "); ok {
				s.password = password
			}
			lines = append(lines, line)
		}
		text := strings.Join(lines, "\n") + "\n"
		if err := os.WriteFile(s.path("redis.conf"), []byte(text), 0o600); err != nil {
			tb.Fatal(err)
		}
		err := s.run()
		if err == nil {
			return s
		}
		if !errors.Is(err, errPort) {
			tb.Fatalf("start redis-server: %v\n%s", err, s.log())
		}
	}
	tb.Fatalf("no free port for redis-server after %d tries\n%s", portsMax, s.log())
	return nil
}

var errPort = errors.New("address in use")

// run starts the process and waits until it answers.
func (s *Server) run() error {
	cmd := exec.Command("redis-server", append([]string{s.path("redis.conf")}, s.args...)...)
	cmd.Dir = s.Dir
	cmd.SysProcAttr = dieWithUs()
	if err := cmd.Start(); err != nil {
		return err
	}
	ended := make(chan struct{})
	go func() {
		_ = cmd.Wait() // how it ended is read from its log
		close(ended)
	}()
	client := goredis.NewClient(&goredis.Options{
		Addr: s.Addr, Password: s.password, MaxRetries: -1, Protocol: 2, DisableIdentity: true,
		DialTimeout: doMax, DialerRetries: 1, ReadTimeout: doMax, WriteTimeout: doMax,
	})
	s.mu.Lock()
	s.cmd, s.ended, s.client = cmd, ended, client
	s.mu.Unlock()
	err := s.ready(ended)
	if err != nil {
		s.Kill()
	}
	return err
}

// ready waits until our process, and not another one on the same port, answers PONG.
func (s *Server) ready(ended <-chan struct{}) error {
	deadline := time.Now().Add(readyMax)
	for ours := false; ; {
		select {
		case <-ended:
			if strings.Contains(s.log(), "Address already in use") {
				return errPort
			}
			return errors.New("it ended at once")
		case <-time.After(poll):
		}
		if !ours && s.listens() {
			ours = s.field("server", "process_id") == strconv.Itoa(s.Pid())
		}
		var err error
		if ours {
			if _, err = s.Do("PING"); err == nil {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it does not answer after %v: %w", readyMax, err)
		}
	}
}

// listens reports whether anybody does on our port: go-redis would write a line about every vain dial.
func (s *Server) listens() bool {
	conn, err := net.DialTimeout("tcp", s.Addr, doMax)
	if err != nil {
		return false
	}
	_ = conn.Close()
	return true
}

// Shared is one server for all tests of the process that use it at the same time, each with key prefixes or
// random names of its own. The last of them ends it. Nobody may kill, stop, freeze or flush it.
func Shared(tb testing.TB) *Server {
	tb.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.users == 0 {
		dir, err := os.MkdirTemp("", "paynotify-redis-")
		if err != nil {
			tb.Fatal(err)
		}
		later := &ending{TB: tb}
		shared.server, shared.end = start(later, dir, nil, defaults), later.run
		later.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	shared.users++
	tb.Cleanup(func() {
		shared.mu.Lock()
		defer shared.mu.Unlock()
		if shared.users--; shared.users == 0 {
			shared.end()
		}
	})
	return shared.server
}

var shared struct {
	mu     sync.Mutex
	users  int
	server *Server
	end    func()
}

// ending is the test that started the shared server, whose cleanups wait for the last user.
type ending struct {
	testing.TB
	funcs []func()
}

// Cleanup keeps f for run.
func (e *ending) Cleanup(f func()) { e.funcs = append(e.funcs, f) }

func (e *ending) run() {
	for _, f := range e.funcs {
		f()
	}
}

// URL is what --store takes.
func (s *Server) URL() string {
	if s.password != "" {
		return "redis://:" + s.password + "@" + s.Addr + "/0"
	}
	return "redis://" + s.Addr + "/0"
}

// Pid is the process id of the living server, 0 after its end.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Kill is SIGKILL, and waits for the end. Nothing happens when it has ended already.
func (s *Server) Kill() { s.end(syscall.SIGKILL) }

// Stop asks for a clean end, which writes the AOF out, and waits for it.
func (s *Server) Stop() {
	s.tb.Helper()
	if !s.end(syscall.SIGTERM) {
		s.tb.Errorf("redis-server runs on %v after SIGTERM\n%s", stopMax, s.log())
	}
}

// end reports whether the signal was enough; otherwise the process was killed.
func (s *Server) end(signal syscall.Signal) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		return true
	}
	_ = s.client.Close()
	_ = s.cmd.Process.Signal(signal) // it may just have ended
	enough := true
	select {
	case <-s.ended:
	case <-time.After(stopMax):
		enough = false
		_ = s.cmd.Process.Kill()
		<-s.ended
	}
	s.cmd = nil
	return enough
}

// Restart starts the server again after Kill or Stop, on the same port and with what its folder holds; a
// living one is stopped first. It returns when the data is loaded.
func (s *Server) Restart() {
	s.tb.Helper()
	s.Stop()
	if err := s.run(); err != nil {
		s.tb.Fatalf("restart redis-server: %v\n%s", err, s.log())
	}
}

// Freeze is SIGSTOP: connections stay, nothing answers.
func (s *Server) Freeze() { s.signal(syscall.SIGSTOP) }

// Thaw is SIGCONT.
func (s *Server) Thaw() { s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) {
	s.tb.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cmd == nil {
		s.tb.Fatalf("%v: redis-server does not run", signal)
	}
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.tb.Fatalf("%v: %v", signal, err)
	}
}

// Do runs any command, once: Do("CONFIG", "SET", "maxmemory", "5mb").
func (s *Server) Do(args ...any) (any, error) {
	ctx, cancel := context.WithTimeout(context.Background(), doMax)
	defer cancel()
	s.mu.Lock()
	client := s.client
	s.mu.Unlock()
	return client.Do(ctx, args...).Result()
}

// MustDo is Do for what cannot fail while the server lives: it ends the test when it does.
func (s *Server) MustDo(args ...any) any {
	s.tb.Helper()
	reply, err := s.Do(args...)
	if err != nil && !errors.Is(err, goredis.Nil) {
		s.tb.Fatalf("%v: %v", args, err)
	}
	return reply
}

// Flush deletes every key that matches a glob pattern, "asynq:*", and returns how many there were.
func (s *Server) Flush(pattern string) int {
	s.tb.Helper()
	keys, _ := s.MustDo("KEYS", pattern).([]any)
	if len(keys) > 0 {
		s.MustDo(append([]any{"DEL"}, keys...)...)
	}
	return len(keys)
}

// field reads a value of INFO; empty when the server does not answer.
func (s *Server) field(section, name string) string {
	reply, err := s.Do("INFO", section)
	if err != nil {
		return ""
	}
	text, _ := reply.(string)
	return infoField(text, name)
}

// infoField finds name:value in lines of INFO or CLUSTER INFO.
func infoField(text, name string) string {
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+":"); ok {
			return value
		}
	}
	return ""
}

func (s *Server) port() string {
	_, port, _ := net.SplitHostPort(s.Addr)
	return port
}

func (s *Server) path(name string) string { return filepath.Join(s.Dir, name) }

// log is the end of what the server wrote.
func (s *Server) log() string {
	text, err := os.ReadFile(s.path("redis.log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-logTail):])
}

// await looks again and again until ok; it ends the test after a while.
func await(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(readyMax); !ok(); time.Sleep(poll) {
		if time.Now().After(deadline) {
			tb.Fatalf("not after %v: %s", readyMax, what)
		}
	}
}
