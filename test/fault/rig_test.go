package fault

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"paynotify/signer"
)

const (
	secret  = "faultfaultfaultfaultfaultfault00"
	settled = 90 * time.Second // bounds the wait for quiescence
)

// binary is the product built with fault points, once per test process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "paynotify-fault-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "paynotify")
	build := exec.Command("go", "build", "-tags", "faultpoint", "-o", path, "paynotify/cmd/paynotify")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if path, err := binary(); err == nil {
		_ = os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// rig is a product that dies, merchants that write down what they get, and producers that do not give up.
type rig struct {
	t    *testing.T
	dir  string
	mu   sync.Mutex
	addr string // of the living process; empty between two lives
	h    History
	down []time.Time // when a process was killed
	up   []time.Time // when the next one listened

	merchants map[string]*merchant
	shops     *http.Server
	shopsURL  string
}

// merchant is how a merchant answers.
type merchant struct {
	acksFrom int           // the POST of a notify_id from which on it acknowledges; 0 = never
	takes    time.Duration // before it answers
	schedule string
	mu       sync.Mutex
	had      map[string]int
}

func newRig(t *testing.T, merchants map[string]*merchant) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), merchants: merchants}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.shopsURL = "http://" + l.Addr().String()
	r.shops = &http.Server{Handler: http.HandlerFunc(r.receive), ReadHeaderTimeout: time.Minute}
	go r.shops.Serve(l)
	t.Cleanup(func() { _ = r.shops.Close() })
	for _, m := range merchants {
		m.had = make(map[string]int)
	}
	return r
}

// receive is every merchant: it writes the POST down before it answers.
func (r *rig) receive(w http.ResponseWriter, q *http.Request) {
	received := time.Now()
	mch := strings.TrimPrefix(q.URL.Path, "/")
	m := r.merchants[mch]
	body, err := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	if err != nil || m == nil {
		return // cut off by the kill: the request did not arrive whole
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		r.t.Errorf("unreadable form: %v", err)
		return
	}
	id := form.Get("notify_id")
	m.mu.Lock()
	m.had[id]++
	acks := m.acksFrom > 0 && m.had[id] >= m.acksFrom
	m.mu.Unlock()
	r.mu.Lock()
	r.h.Posts = append(r.h.Posts, Post{
		NotifyID: id, MchID: mch, Business: business(form), Verified: verified(form), Received: received,
		Acked: acks,
	})
	r.mu.Unlock()
	time.Sleep(m.takes)
	answer := "fail"
	if acks {
		answer = "success"
	}
	_, _ = io.WriteString(w, answer)
}

// canonical joins the parameters as the legacy Alipay merchant does, leaving some out.
func canonical(form url.Values, leave ...string) string {
	var names []string
next:
	for name := range form {
		for _, l := range leave {
			if name == l {
				continue next
			}
		}
		names = append(names, name)
	}
	sort.Strings(names)
	pairs := make([]string, len(names))
	for i, name := range names {
		pairs[i] = name + "=" + form.Get(name)
	}
	return strings.Join(pairs, "&")
}

func business(form url.Values) string { return canonical(form, "sign", "sign_type", "notify_time") }

func verified(form url.Values) bool {
	return signer.MD5Key([]byte(canonical(form, "sign", "sign_type")), []byte(secret)) == form.Get("sign")
}

// process is one life of the product.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

// start starts the product; faultpoint may be empty.
func (r *rig) start(faultpoint string) *process {
	r.t.Helper()
	path, err := binary()
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.Command(path, "serve", "--dev", "--listen", "127.0.0.1:0",
		"--store", "sqlite:"+filepath.Join(r.dir, "fault.db"))
	cmd.Env = append(os.Environ(), "FAULTPOINT="+faultpoint)
	log, err := os.OpenFile(filepath.Join(r.dir, "engine.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
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
	p := &process{cmd: cmd, ended: make(chan struct{})}
	r.t.Cleanup(p.kill)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		addr, ok := strings.CutPrefix(lines.Text(), "listening on http://")
		if !ok {
			continue
		}
		r.mu.Lock()
		r.addr, r.up = addr, append(r.up, time.Now())
		r.mu.Unlock()
		go func() {
			_, _ = io.Copy(io.Discard, out)
			_ = cmd.Wait()
			_ = log.Close()
			r.mu.Lock()
			r.addr, r.down = "", append(r.down, time.Now())
			r.mu.Unlock()
			close(p.ended)
		}()
		return p
	}
	_ = cmd.Wait()
	text, _ := os.ReadFile(filepath.Join(r.dir, "engine.log"))
	r.t.Fatalf("the product did not start:\n%s", text[max(0, len(text)-4000):])
	return nil
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

// call asks the living process; it fails while there is none.
func (r *rig) call(method, path string, header map[string]string, in, out any) (int, error) {
	r.mu.Lock()
	addr := r.addr
	r.mu.Unlock()
	if addr == "" {
		return 0, io.ErrClosedPipe
	}
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	q, err := http.NewRequestWithContext(context.Background(), method, "http://"+addr+path, body)
	if err != nil {
		return 0, err
	}
	q.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		q.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(q)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(out)
}

// register creates the merchants at the living process.
func (r *rig) register() {
	r.t.Helper()
	for id, m := range r.merchants {
		status, err := r.call("POST", "/v1/merchants", nil, map[string]any{
			"mch_id": id, "profile": "alipay_mapi", "notify_url": r.shopsURL + "/" + id,
			"key": map[string]any{"secret": secret}, "schedule": m.schedule,
		}, nil)
		if err != nil || status != http.StatusCreated {
			r.t.Fatalf("merchant %s: %d %v", id, status, err)
		}
	}
}

// produce accepts one notification, repeating it with the same idempotency key until the API says 2xx.
func (r *rig) produce(ctx context.Context, mch string, i int) {
	order := fmt.Sprintf("%s-%d", mch, i)
	for ctx.Err() == nil {
		var answer struct {
			NotifyID string `json:"notify_id"`
		}
		status, err := r.call("POST", "/v1/notifications", map[string]string{"Idempotency-Key": order},
			map[string]any{
				"mch_id": mch, "out_trade_no": order,
				"params": map[string]any{"total_fee": "88.88", "trade_status": "TRADE_SUCCESS", "subject": "测试 A&B"},
			}, &answer)
		if err == nil && status/100 == 2 {
			r.mu.Lock()
			r.h.Accepted = append(r.h.Accepted, Accepted{NotifyID: answer.NotifyID, MchID: mch, OutTradeNo: order})
			r.mu.Unlock()
			return
		}
		if err == nil && status/100 == 4 {
			r.t.Errorf("refused: %d", status)
			return
		}
		time.Sleep(5 * time.Millisecond) // the product is down: producers wait a little and repeat
	}
}

// load produces at about perSecond over all merchants until ctx is done.
func (r *rig) load(ctx context.Context, perSecond int) *sync.WaitGroup {
	var producers sync.WaitGroup
	each := time.Duration(len(r.merchants)) * time.Second / time.Duration(perSecond)
	for mch := range r.merchants {
		producers.Go(func() {
			ticks := time.NewTicker(each)
			defer ticks.Stop()
			for i := 0; ; i++ {
				select {
				case <-ctx.Done():
					return
				case <-ticks.C:
					r.produce(ctx, mch, i)
				}
			}
		})
	}
	return &producers
}

// finish waits until nothing is pending, reads the store and judges.
func (r *rig) finish() Report {
	r.t.Helper()
	deadline := time.Now().Add(settled)
	for {
		var stats struct {
			States map[string]int `json:"states"`
		}
		status, err := r.call("GET", "/v1/stats", nil, nil, &stats)
		if err == nil && status == http.StatusOK && stats.States["pending"] == 0 {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("not quiet after %v: %v %v", settled, stats.States, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	r.mu.Lock()
	accepted := r.h.Accepted
	r.h.Kills = len(r.down)
	r.mu.Unlock()
	r.h.Records = make(map[string]Record)
	for _, a := range accepted {
		if record, ok := r.record(a.NotifyID); ok {
			r.h.Records[a.NotifyID] = record
		}
	}
	report := Check(r.h)
	r.t.Logf("%s, %d kills", report, r.h.Kills)
	for i, v := range report.Violations {
		if i == 20 {
			r.t.Errorf("… and %d more", len(report.Violations)-i)
			break
		}
		r.t.Error(v)
	}
	return report
}

// record reads one notification from the living process.
func (r *rig) record(id string) (Record, bool) {
	var n struct {
		State    string `json:"notify_state"`
		Count    int    `json:"notify_count"`
		Limit    int    `json:"notify_count_limit"`
		Attempts []struct {
			Send        *int      `json:"send"`
			Charged     bool      `json:"charged"`
			Verdict     string    `json:"verdict"`
			Reason      string    `json:"reason"`
			ScheduledAt time.Time `json:"scheduled_at"`
			StartedAt   time.Time `json:"started_at"`
			DurationMS  float64   `json:"duration_ms"`
			SHA256      string    `json:"request_sha256"`
		} `json:"attempts"`
	}
	status, err := r.call("GET", "/v1/notifications/"+id, nil, nil, &n)
	if err != nil || status != http.StatusOK {
		return Record{}, false
	}
	record := Record{State: n.State, Count: n.Count, CountLimit: n.Limit}
	for _, a := range n.Attempts {
		attempt := Attempt{
			Charged: a.Charged, Verdict: a.Verdict, Reason: a.Reason, SHA256: a.SHA256,
			ScheduledAt: a.ScheduledAt, StartedAt: a.StartedAt,
			Duration: time.Duration(a.DurationMS * float64(time.Millisecond)),
		}
		if a.Send != nil {
			attempt.Send = *a.Send
		}
		record.Attempts = append(record.Attempts, attempt)
	}
	return record, true
}
