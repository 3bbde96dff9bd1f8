package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"paynotify/api"
)

// benchEngine is the product under measurement: a child process, so that its CPU time and memory are its own.
type benchEngine struct {
	cmd  *exec.Cmd
	addr string
	logs *os.File
}

// startBenchEngine starts `paynotify serve` on a store with the default configuration, except that loopback
// merchants are allowed. Its log goes into dir.
func startBenchEngine(ctx context.Context, dir, store string) (*benchEngine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logs, err := os.Create(filepath.Join(dir, "engine.log"))
	if err != nil {
		return nil, err
	}
	//nolint:gosec // this very binary
	cmd := exec.CommandContext(ctx, self, "serve", "--dev", "--listen", "127.0.0.1:0")
	cmd.Env = benchEnv(store)
	cmd.Stderr = logs
	endWithUs(cmd)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	e := &benchEngine{cmd: cmd, logs: logs}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if addr, ok := strings.CutPrefix(lines.Text(), "listening on http://"); ok {
			e.addr = addr
			go io.Copy(io.Discard, out) //nolint:errcheck // ends with the child
			return e, nil
		}
	}
	_ = cmd.Wait()
	text, _ := os.ReadFile(logs.Name())
	return nil, fmt.Errorf("the engine did not start: %s", lastLines(string(text)))
}

// benchEnv is our environment without what configures another paynotify. The store is not on the command
// line, which every user of the machine can see: its URL may have a password.
func benchEnv(store string) []string {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "PAYNOTIFY_") })
	env = append(env, "PAYNOTIFY_STORE="+store)
	if isRedisURL(store) {
		env = append(env, "PAYNOTIFY_MASTER_KEY="+benchMasterKey())
	}
	return env
}

// benchMasterKey is the same for every engine of a run, because they may share a store.
var benchMasterKey = sync.OnceValue(func() string {
	var key [32]byte
	_, _ = rand.Read(key[:]) // never fails
	return hex.EncodeToString(key[:])
})

func lastLines(s string) string { return s[max(0, len(s)-2000):] }

// stop ends the engine as an operator would. It may be called again.
func (e *benchEngine) stop() error {
	if e.cmd.ProcessState != nil {
		return nil
	}
	defer e.logs.Close()                      //nolint:errcheck // only a log
	_ = e.cmd.Process.Signal(syscall.SIGTERM) // it may just have ended
	return e.cmd.Wait()
}

// clockTick is the unit of /proc/PID/stat on Linux.
const clockTick = 10 * time.Millisecond

// cpu is the CPU time that the process has used.
func (e *benchEngine) cpu() (time.Duration, error) { return processCPU(e.cmd.Process.Pid) }

func processCPU(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	fields := strings.Fields(string(rest))
	const utime, stime = 11, 12 // counted from the field after the name
	if len(fields) <= stime {
		return 0, errors.New("unreadable /proc/PID/stat")
	}
	var ticks int64
	for _, f := range fields[utime : stime+1] {
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * clockTick, nil
}

// rss is the resident memory of the process in bytes.
func (e *benchEngine) rss() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", e.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, found := strings.Cut(string(status), "VmRSS:")
	if !found {
		return 0, errors.New("no VmRSS in /proc/PID/status")
	}
	kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	return kb << 10, err
}

// addMerchant registers a merchant through the API.
func (e *benchEngine) addMerchant(m map[string]any) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return e.call(http.MethodPost, "/v1/merchants", text, nil)
}

// sending turns the switch that stops all sending.
func (e *benchEngine) sending(on bool) error {
	text := fmt.Sprintf(`{"paused":%t,"reason":"bench"}`, !on)
	return e.call(http.MethodPut, "/v1/sending", []byte(text), nil)
}

// stats asks what is in the store.
func (e *benchEngine) stats() (api.StatsView, error) {
	var v api.StatsView
	err := e.call(http.MethodGet, "/v1/stats", nil, &v)
	return v, err
}

// call makes one request to the API and reads the answer into v, unless that is nil; that something is there
// already is no error.
func (e *benchEngine) call(method, path string, body []byte, v any) error {
	req, err := http.NewRequest(method, "http://"+e.addr+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusConflict {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("%s %s: %s: %s", method, path, resp.Status, said)
	}
	if v != nil {
		return json.NewDecoder(resp.Body).Decode(v)
	}
	return nil
}
