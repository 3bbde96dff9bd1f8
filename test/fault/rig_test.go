package fault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	secret  = "faultfaultfaultfaultfaultfault00"
	settled = 90 * time.Second // bounds the wait for quiescence
	// refusal is how soon a 503 must come: the promise, and what a busy machine of two cores adds to it.
	refusal = 2*time.Second + 300*time.Millisecond
	callMax = 5 * time.Second // a frozen process does not answer, and producers do not wait for ever
	// atOnce is how many Redis cases run at the same time: they mostly wait for leases.
	atOnce = 8
)

var built string // the folder of the binary

// binary is the product built with fault points, once per test process.
var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "paynotify-fault-")
	if err != nil {
		return "", err
	}
	built = dir
	path := filepath.Join(dir, "paynotify")
	build := exec.Command("go", "build", "-tags", "faultpoint", "-o", path, "paynotify/cmd/paynotify")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", strconv.Itoa(atOnce))
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// rig is a product that dies, merchants that write down what they get, and producers that do not give up.
type rig struct {
	t      *testing.T
	dir    string
	store  string   // --store; empty = a database in dir
	env    []string // of the processes, as NAME=value
	client *http.Client

	mu     sync.Mutex
	living []*process // those that are asked, in turn
	turn   int
	starts int // processes started
	h      History
	down   []time.Time // when a process ended
	up     []time.Time // when one listened

	merchants map[string]*merchant
	shops     *http.Server
	shopsURL  string
	onConn    atomic.Pointer[func()] // called once, when a merchant is connected to
}

func newRig(t *testing.T, merchants map[string]*merchant) *rig {
	t.Helper()
	r := &rig{
		t: t, dir: t.TempDir(), merchants: merchants,
		client: &http.Client{Timeout: callMax, Transport: &http.Transport{MaxIdleConnsPerHost: 256}},
	}
	t.Cleanup(r.client.CloseIdleConnections)
	r.openShops()
	return r
}

// errNobody says that no process lives that could be asked.
var errNobody = errors.New("no process to ask")

// call asks a living process, each in turn; it fails while there is none.
func (r *rig) call(method, path string, header map[string]string, in, out any) (int, error) {
	r.mu.Lock()
	var p *process
	if len(r.living) > 0 {
		r.turn++
		p = r.living[r.turn%len(r.living)]
	}
	r.mu.Unlock()
	if p == nil {
		return 0, errNobody
	}
	return p.call(method, path, header, in, out)
}

// call asks this process. Whatever it is asked, a 503 has to come soon and with a Retry-After.
func (p *process) call(method, path string, header map[string]string, in, out any) (int, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(text)
	}
	q, err := http.NewRequestWithContext(context.Background(), method, "http://"+p.addr+path, body)
	if err != nil {
		return 0, err
	}
	q.Header.Set("Content-Type", "application/json")
	for k, v := range header {
		q.Header.Set(k, v)
	}
	began := time.Now()
	resp, err := p.rig.client.Do(q)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusServiceUnavailable && path != "/readyz" {
		p.refused(method+" "+path, resp, time.Since(began))
		out = nil
	}
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	return resp.StatusCode, json.NewDecoder(resp.Body).Decode(out)
}

// refused checks a 503.
func (p *process) refused(what string, resp *http.Response, took time.Duration) {
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err != nil || wait < 1 {
		p.rig.t.Errorf("%s: a 503 with Retry-After %q, want whole seconds", what, resp.Header.Get("Retry-After"))
	}
	if took > refusal {
		p.rig.t.Errorf("%s: the 503 came after %v, want 2 s at most", what, took)
	}
}

// register creates the merchants at a living process.
func (r *rig) register() {
	r.t.Helper()
	for id, m := range r.merchants {
		in := map[string]any{
			"mch_id": id, "profile": "alipay_mapi", "notify_url": r.shopsURL + "/" + id,
			"key": map[string]any{"secret": secret}, "schedule": m.schedule,
		}
		if m.inflight > 0 {
			in["max_inflight"] = m.inflight
		}
		status, err := r.call("POST", "/v1/merchants", nil, in, nil)
		if err != nil || status != http.StatusCreated {
			r.t.Fatalf("merchant %s: %d %v", id, status, err)
		}
	}
}

// offer accepts one notification at a living process and notes the promise; it returns the status.
func (r *rig) offer(mch string, i int) (int, error) {
	order := fmt.Sprintf("%s-%d", mch, i)
	params := map[string]any{"total_fee": "88.88", "trade_status": "TRADE_SUCCESS", "subject": "测试 A&B"}
	if body := r.merchants[mch].body; body != "" {
		params["body"] = body
	}
	var answer struct {
		NotifyID string `json:"notify_id"`
	}
	status, err := r.call("POST", "/v1/notifications", map[string]string{"Idempotency-Key": order},
		map[string]any{"mch_id": mch, "out_trade_no": order, "params": params}, &answer)
	if err == nil && status/100 == 2 {
		r.promised(Accepted{NotifyID: answer.NotifyID, MchID: mch, OutTradeNo: order, At: time.Now()})
	}
	return status, err
}

func (r *rig) promised(a Accepted) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.Accepted = append(r.h.Accepted, a)
}

// produce accepts one notification, repeating it with the same idempotency key until the API says 2xx.
func (r *rig) produce(ctx context.Context, mch string, i int) {
	for ctx.Err() == nil {
		status, err := r.offer(mch, i)
		if err == nil && status/100 == 2 {
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

// loadFor produces for a while.
func (r *rig) loadFor(d time.Duration, perSecond int) {
	ctx, stop := context.WithTimeout(context.Background(), d)
	defer stop()
	r.load(ctx, perSecond).Wait()
}

// await looks again and again until ok; it ends the test after a while.
func await(t *testing.T, most time.Duration, what string, ok func() bool) time.Duration {
	t.Helper()
	began := time.Now()
	for !ok() {
		if time.Since(began) > most {
			t.Fatalf("not after %v: %s", most, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return time.Since(began)
}
