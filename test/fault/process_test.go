package fault

import (
	"bufio"
	"bytes"
	"context"
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
	"syscall"
	"testing"
	"time"
)

// stopMax is how long a process may take to end after SIGTERM: 20 s are promised.
const stopMax = 21 * time.Second

// process is one life of the product.
type process struct {
	rig   *rig
	addr  string
	log   string // its stderr, a file
	cmd   *exec.Cmd
	ended chan struct{}
	frost bool // frozen
}

// command is "paynotify serve" on the rig's store.
func (r *rig) command(args ...string) *exec.Cmd {
	r.t.Helper()
	path, err := binary()
	if err != nil {
		r.t.Fatal(err)
	}
	store := r.store
	if store == "" {
		store = "sqlite:" + filepath.Join(r.dir, "fault.db")
	}
	cmd := exec.Command(path, append([]string{"serve", "--dev", "--listen", "127.0.0.1:0", "--store", store},
		args...)...)
	cmd.Env = append(os.Environ(), r.env...)
	return cmd
}

// start starts the product; faultpoint may be empty.
func (r *rig) start(faultpoint string, args ...string) *process {
	r.t.Helper()
	cmd := r.command(args...)
	cmd.Env = append(cmd.Env, "FAULTPOINT="+faultpoint)
	r.mu.Lock()
	r.starts++
	p := &process{
		rig: r, cmd: cmd, log: filepath.Join(r.dir, fmt.Sprintf("engine-%d.log", r.starts)),
		ended: make(chan struct{}),
	}
	r.mu.Unlock()
	log, err := os.Create(p.log)
	if err != nil {
		r.t.Fatal(err)
	}
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		r.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		addr, ok := strings.CutPrefix(lines.Text(), "listening on http://")
		if !ok {
			continue
		}
		r.t.Cleanup(p.kill)
		p.addr = addr
		r.mu.Lock()
		r.living, r.up = append(r.living, p), append(r.up, time.Now())
		r.mu.Unlock()
		go p.wait(out, log)
		return p
	}
	_ = cmd.Wait()
	r.t.Fatalf("the product did not start:\n%s", p.lastWords())
	return nil
}

// wait notes the end of the process.
func (p *process) wait(out io.Reader, log io.Closer) {
	_, _ = io.Copy(io.Discard, out)
	_ = p.cmd.Wait()
	_ = log.Close()
	p.leave()
	p.rig.mu.Lock()
	p.rig.down = append(p.rig.down, time.Now())
	p.rig.mu.Unlock()
	close(p.ended)
}

// leave takes the process out of those that are asked, as a load balancer does.
func (p *process) leave() {
	p.rig.mu.Lock()
	defer p.rig.mu.Unlock()
	p.rig.living = slices.DeleteFunc(p.rig.living, func(other *process) bool { return other == p })
}

// kill is kill -9 of a process that we started.
func (p *process) kill() {
	_ = p.cmd.Process.Signal(syscall.SIGKILL)
	<-p.ended
}

// died waits for the process to die at its fault point.
func (p *process) died(t *testing.T) {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(settled):
		t.Fatal("the process did not die at its fault point")
	}
}

// stop is SIGTERM. It returns how long the process took; the exit code must be 0.
func (p *process) stop() time.Duration {
	p.rig.t.Helper()
	began := time.Now()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		p.rig.t.Fatal(err)
	}
	select {
	case <-p.ended:
	case <-time.After(stopMax):
		p.kill()
		p.rig.t.Errorf("the process runs on %v after SIGTERM\n%s", stopMax, p.lastWords())
	}
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		p.rig.t.Errorf("exit %d after SIGTERM, want 0\n%s", code, p.lastWords())
	}
	return time.Since(began)
}

// freeze is SIGSTOP; a load balancer stops asking it.
func (p *process) freeze() {
	p.rig.t.Helper()
	p.leave()
	if err := p.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		p.rig.t.Fatal(err)
	}
	p.frost = true
}

// thaw is SIGCONT.
func (p *process) thaw() {
	p.rig.t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		p.rig.t.Fatal(err)
	}
	p.frost = false
	p.rig.mu.Lock()
	p.rig.living = append(p.rig.living, p)
	p.rig.mu.Unlock()
}

// lastWords is the end of the log.
func (p *process) lastWords() string {
	text, _ := os.ReadFile(p.log)
	return string(text[max(0, len(text)-4000):])
}

// alive ends the test when the process has ended by itself.
func (p *process) alive() {
	p.rig.t.Helper()
	select {
	case <-p.ended:
		p.rig.t.Fatalf("the process ended by itself: %v\n%s", p.cmd.ProcessState, p.lastWords())
	default:
	}
}

// readiness is what /readyz says.
type readiness struct {
	Ready    bool     `json:"ready"`
	Reasons  []string `json:"reasons"`
	Warnings []string `json:"warnings"`
}

// readyz asks for it; status 0 when the process does not answer.
func (p *process) readyz() (int, readiness) {
	var answer readiness
	status, err := p.call("GET", "/readyz", nil, nil, &answer)
	if err != nil {
		return 0, answer
	}
	return status, answer
}

// metric is the sum of a metric's series whose labels hold the text; -1 when there is none.
func (p *process) metric(name, labels string) float64 {
	p.rig.t.Helper()
	resp, err := p.rig.client.Get("http://" + p.addr + "/metrics")
	if err != nil {
		p.rig.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		p.rig.t.Fatalf("/metrics: %s", resp.Status)
	}
	sum, found := 0.0, false
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		series, value, _ := strings.Cut(lines.Text(), " ")
		if own, _, _ := strings.Cut(series, "{"); own != name || !strings.Contains(series, labels) {
			continue
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			p.rig.t.Fatal(err)
		}
		sum, found = sum+v, true
	}
	if !found {
		return -1
	}
	return sum
}

// refuses runs a product that must not start; it returns the exit code and stderr.
func (r *rig) refuses(args ...string) (int, string) {
	r.t.Helper()
	cmd := r.command(args...)
	ctx, cancel := context.WithTimeout(context.Background(), stopMax)
	defer cancel()
	var stderr, stdout bytes.Buffer
	cmd.Stderr, cmd.Stdout = &stderr, &stdout
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = cmd.Process.Kill() })
	defer stop()
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		r.t.Fatal(err)
	}
	if strings.Contains(stdout.String(), "listening") {
		r.t.Errorf("it listened before it refused: %s", stdout.String())
	}
	return cmd.ProcessState.ExitCode(), stderr.String()
}
