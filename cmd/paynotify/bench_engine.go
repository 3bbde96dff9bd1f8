package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// benchEngine is the product under measurement: a child process, so that its CPU time and memory are its own.
type benchEngine struct {
	cmd  *exec.Cmd
	addr string
	logs *os.File
}

// startBenchEngine starts `paynotify serve` on a database in dir with the default configuration, except that
// loopback merchants are allowed.
func startBenchEngine(ctx context.Context, dir string) (*benchEngine, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	logs, err := os.Create(filepath.Join(dir, "engine.log"))
	if err != nil {
		return nil, err
	}
	//nolint:gosec // this very binary
	cmd := exec.CommandContext(ctx, self, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(dir, "bench.db"))
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

func lastLines(s string) string { return s[max(0, len(s)-2000):] }

// stop ends the engine as an operator would.
func (e *benchEngine) stop() error {
	defer e.logs.Close() //nolint:errcheck // only a log
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
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
	resp, err := http.Post("http://"+e.addr+"/v1/merchants", "application/json", bytes.NewReader(text))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 && resp.StatusCode != http.StatusConflict {
		said, _ := io.ReadAll(io.LimitReader(resp.Body, 4096))
		return fmt.Errorf("merchant %v: %s: %s", m["mch_id"], resp.Status, said)
	}
	return nil
}
