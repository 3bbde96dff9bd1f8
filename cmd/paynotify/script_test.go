package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"paynotify": main})
}

// TestScript runs the scripts of testdata/script: the command line as people and their scripts use it.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits":    exits,
			"start":    start,
			"end":      end,
			"wait-for": waitFor,
			"capture":  capture,
			"readme":   readme,
			"hits":     hits,
		},
		Setup: func(e *testscript.Env) error {
			e.Values[running{}] = map[string]*background{}
			return nil
		},
		Deadline:      time.Now().Add(2 * time.Minute), // then programs that hang are killed, with their stacks
		UpdateScripts: os.Getenv("UPDATE") != "",
	})
}

const (
	pollEvery = 50 * time.Millisecond
	pollMax   = 20 * time.Second // far above what anything here takes on a busy machine
)

// exits CODE PROGRAM ARGS… runs a program that must exit with that code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

// start NAME ARGS… starts paynotify in the background, waits until it listens and puts its URL into
// NAME_URL and NAME_ADDR, its pid into NAME_PID and what it says into NAME.out and NAME.err.
func start(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: start NAME ARGS…")
	}
	name := args[0]
	out, err := os.Create(ts.MkAbs(name + ".out"))
	ts.Check(err)
	errs, err := os.Create(ts.MkAbs(name + ".err"))
	ts.Check(err)
	cmd := exec.Command(lookPath(ts, "paynotify"), args[1:]...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), out, errs
	cmd.Env = environment(ts)
	ts.Check(cmd.Start())
	b := &background{cmd: cmd, done: make(chan struct{})}
	go func() {
		b.err = cmd.Wait()
		close(b.done)
	}()
	ts.Value(running{}).(map[string]*background)[name] = b
	ts.Defer(func() {
		cmd.Process.Kill()
		<-b.done
		out.Close()
		errs.Close()
	})
	listening := regexp.MustCompile(`(?m)^listening on (http://[^/\s]+)/?$`)
	poll(ts, name+" does not listen: "+errs.Name(), func() bool {
		select {
		case <-b.done:
			text, _ := os.ReadFile(errs.Name())
			ts.Fatalf("%s ended: %v\n%s", name, b.err, text)
		default:
		}
		text, err := os.ReadFile(out.Name())
		ts.Check(err)
		if m := listening.FindSubmatch(text); m != nil {
			ts.Setenv(name+"_URL", string(m[1]))
			ts.Setenv(name+"_ADDR", strings.TrimPrefix(string(m[1]), "http://"))
			ts.Setenv(name+"_PID", strconv.Itoa(cmd.Process.Pid))
			return true
		}
		return false
	})
}

type background struct {
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

// running is the key of what a script has started, by name.
type running struct{}

// end NAME CODE [INT|TWICE] ends what start began and checks its exit code.
func end(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: end NAME CODE [INT|TWICE]")
	}
	b, _ := ts.Value(running{}).(map[string]*background)[args[0]]
	if b == nil {
		ts.Fatalf("%s was not started", args[0])
	}
	var signal os.Signal = syscall.SIGTERM
	if len(args) > 2 && args[2] == "INT" {
		signal = os.Interrupt
	}
	ts.Check(b.cmd.Process.Signal(signal))
	if len(args) > 2 && args[2] == "TWICE" {
		poll(ts, args[0]+" does not say that it stops", func() bool {
			return strings.Contains(ts.ReadFile(args[0]+".err"), "stopping")
		})
		ts.Check(b.cmd.Process.Signal(signal))
	}
	poll(ts, args[0]+" does not end", func() bool {
		select {
		case <-b.done:
			return true
		default:
			return false
		}
	})
	if got := strconv.Itoa(b.cmd.ProcessState.ExitCode()); got != args[1] {
		ts.Fatalf("%s: exit code %s, want %s", args[0], got, args[1])
	}
}

// wait-for PATTERN PROGRAM ARGS… runs a program again and again until its output matches.
func waitFor(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: wait-for PATTERN PROGRAM ARGS…")
	}
	pattern := regexp.MustCompile("(?m)" + args[0])
	var last bytes.Buffer
	poll(ts, "never matched "+args[0], func() bool {
		last.Reset()
		cmd := exec.Command(lookPath(ts, args[1]), args[2:]...)
		cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = ts.MkAbs("."), environment(ts), &last, &last
		_ = cmd.Run() // a failure shows in the output
		return pattern.Match(last.Bytes())
	})
}

// capture NAME [REGEXP] puts the last output, or the first group of REGEXP in it, into an environment
// variable.
func capture(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: capture NAME [REGEXP]")
	}
	value := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 2 {
		found := regexp.MustCompile(args[1]).FindStringSubmatch(value)
		if len(found) < 2 {
			ts.Fatalf("no %s in %q", args[1], value)
		}
		value = found[1]
	}
	ts.Setenv(args[0], value)
}

// hits FILE N checks that what listen printed there is N requests, each verified, all with the same
// parameters.
func hits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: hits FILE N")
	}
	var heads, params []string
	for line := range strings.Lines(ts.ReadFile(args[0])) {
		switch {
		case strings.HasPrefix(line, "listening on "):
		case strings.HasPrefix(line, indent):
			params[len(params)-1] += line
		default:
			heads, params = append(heads, line), append(params, "")
		}
	}
	if strconv.Itoa(len(heads)) != args[1] {
		ts.Fatalf("%d requests, want %s", len(heads), args[1])
	}
	for i := range heads {
		if !strings.Contains(heads[i], "✓ verified") || params[i] != params[0] || params[0] == "" {
			ts.Fatalf("request %d is another one:\n%s%s", i+1, heads[i], params[i])
		}
	}
}

func poll(ts *testscript.TestScript, failure string, done func() bool) {
	for began := time.Now(); time.Since(began) < pollMax; time.Sleep(pollEvery) {
		if done() {
			return
		}
	}
	ts.Fatalf("%s", failure)
}

// environment is the script's, as far as programs of ours look at it.
func environment(ts *testscript.TestScript) (env []string) {
	for _, name := range []string{
		"PATH", "HOME", "TMPDIR", "PAYNOTIFY_SERVER", "PAYNOTIFY_TOKEN", "PAYNOTIFY_MASTER_KEY",
	} {
		if v := ts.Getenv(name); v != "" {
			env = append(env, name+"="+v)
		}
	}
	return env
}

func lookPath(ts *testscript.TestScript, program string) string {
	for _, dir := range filepath.SplitList(ts.Getenv("PATH")) {
		path := filepath.Join(dir, program)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	ts.Fatalf("no %s in PATH", program)
	return ""
}
