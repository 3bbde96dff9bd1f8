package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// benchOptions are the flags of `bench`.
type benchOptions struct {
	scenarios     []string
	store         string
	rounds        int
	messages      int64
	conns         int
	pending       int64
	due           int64
	notifications int64
	json          bool
}

// benchFigure is one line of the result.
type benchFigure struct {
	Scenario string  `json:"scenario"`
	Figure   string  `json:"figure"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Note     string  `json:"note,omitempty"`
}

// bench is one run of the benchmark.
type bench struct {
	benchOptions

	ctx      context.Context //nolint:containedctx // the run is the context
	dir      string
	place    benchPlace
	redis    *benchRedis // the place, when it is a Redis
	wants    benchWants
	receiver *benchReceiver
	engines  []*benchEngine // of the scenario that runs
	out      io.Writer
	progress io.Writer
}

func newBenchCommand() *cobra.Command {
	o := benchOptions{}
	var long strings.Builder
	long.WriteString("Measures this machine with a producer, a merchant and the engine (a child process with\n" +
		"the default configuration on a temporary store), beside a bare loop that signs and POSTs the\n" +
		"same requests to the same merchant and keeps nothing. Runs are interleaved, medians are printed.\n" +
		"With --store the store is a Redis: a database that is empty, and is emptied again at the end.\n\n")
	for _, s := range benchScenarios {
		fmt.Fprintf(&long, "  %-12s %s\n", s.name, s.asks)
	}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure notifications/s, CPU and lateness on this machine", Long: long.String(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.json = wantsJSON(cmd)
			return runBench(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.scenarios, "scenario", nil,
		"what to measure (default: all that suit the store, but fsync)")
	f.StringVar(&o.store, "store", "", "a Redis with an empty database, redis://HOST:PORT/DB or "+
		"redis-cluster://HOST:PORT (default: a temporary file)")
	f.IntVar(&o.rounds, "rounds", 3, "interleaved runs; the median counts")
	f.Int64Var(&o.messages, "messages", 60000, "notifications in one run")
	f.IntVar(&o.conns, "connections", 64, "connections of the producer")
	f.Int64Var(&o.pending, "pending", 0, "notifications in the store for the backlog scenario "+
		"(default 1000000, in Redis 500000)")
	f.Int64Var(&o.due, "due", 100_000, "notifications due at one instant, and in memory")
	f.Int64Var(&o.notifications, "notifications", 1_000_000,
		"notifications in the store for the browse scenario")
	cmd.AddCommand(newBenchBareCommand())
	return cmd
}

func runBench(ctx context.Context, o benchOptions, out, progress io.Writer) (err error) {
	chosen, err := chooseScenarios(o.scenarios, isRedisURL(o.store))
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "paynotify-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a temporary folder
	receiver, err := newBenchReceiver()
	if err != nil {
		return err
	}
	defer receiver.close()
	b := &bench{benchOptions: o, ctx: ctx, dir: dir, receiver: receiver, out: out, progress: progress}
	if err := b.settleDown(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.place.leave()) }()
	fmt.Fprintf(progress, "%d processors, %s, %s, %d messages a run, %d connections, %d rounds\n",
		runtime.NumCPU(), runtime.Version(), b.place.describe(), o.messages, o.conns, o.rounds)
	for _, s := range chosen {
		fmt.Fprintf(progress, "%s: %s\n", s.name, s.asks)
		if err := b.scenario(s); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return nil
}

// scenario runs one. When it fails, what the engines have logged is the best hint.
func (b *bench) scenario(s benchScenario) error {
	err := s.run(b)
	if err != nil && b.ctx.Err() == nil {
		for _, e := range b.engines {
			text, _ := os.ReadFile(e.logs.Name())
			fmt.Fprintf(b.progress, "the engine's log ends:\n%s\n", lastLines(string(text)))
		}
	}
	return errors.Join(err, b.end())
}

// end stops the engines of a scenario and removes what they stored.
func (b *bench) end() error {
	var errs []error
	for _, e := range b.engines {
		errs = append(errs, e.stop())
	}
	b.engines = nil
	return errors.Join(append(errs, b.place.clear())...)
}

// say prints one figure.
func (b *bench) say(scenario, figure string, value float64, unit, note string) {
	f := benchFigure{scenario, figure, value, unit, note}
	if b.json {
		_ = json.NewEncoder(b.out).Encode(f)
		return
	}
	fmt.Fprintf(b.out, "%-12s %-34s %10.2f %-4s %s\n", f.Scenario, f.Figure, f.Value, f.Unit, f.Note)
}

// engine starts the engine on the store of that name; in Redis there is but one.
func (b *bench) engine(name string) (*benchEngine, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	e, err := startBenchEngine(b.ctx, dir, b.place.store(name))
	if err != nil {
		return nil, err
	}
	b.engines = append(b.engines, e)
	return e, nil
}

// merchants registers n merchants and returns their mch_ids. extra overrides members.
func (b *bench) merchants(
	e *benchEngine, prefix string, n int, path string, extra map[string]any,
) ([]string, error) {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%s%d", prefix, i)
		m := map[string]any{
			"mch_id": ids[i], "profile": "alipay_mapi", "notify_url": b.receiver.url + path,
			"key": map[string]any{"secret": "benchbenchbenchbenchbenchbench00"},
			// A merchant that takes a whole machine's traffic alone must allow it.
			"max_inflight": 256,
		}
		maps.Copy(m, extra)
		if err := e.addMerchant(m); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// benchRun is what one run measured.
type benchRun struct {
	perSecond float64       // delivered
	cpuEach   time.Duration // of the engine
	storeEach time.Duration // of the store's own process, if it has one
}

// benchBatchConns keep 200 notifications under way, which is what the workers hold. More would measure an
// overload: a backlog, in which every notification costs a claim of its own.
const benchBatchConns = 2

// measure sends n notifications and waits until they are delivered.
func (b *bench) measure(e *benchEngine, mchs []string, batch int, n int64) (r benchRun, err error) {
	load := &benchLoad{addr: e.addr, path: "/v1/notifications", batch: batch, mchs: mchs}
	conns := b.conns
	if batch > 1 {
		load.path, conns = "/v1/notifications/batch", benchBatchConns
	}
	engineCPU, storeCPU, err := b.cpu(e)
	if err != nil {
		return r, err
	}
	had, began := b.receiver.received.Load(), time.Now()
	if err := load.run(n, conns, 0); err != nil {
		return r, err
	}
	if got := b.receiver.await(had, n, time.Minute); got < n {
		return r, fmt.Errorf("%d of %d delivered", got, n)
	}
	r.perSecond = float64(n) / time.Since(began).Seconds()
	engineNow, storeNow, err := b.cpu(e)
	r.cpuEach, r.storeEach = (engineNow-engineCPU)/time.Duration(n), (storeNow-storeCPU)/time.Duration(n)
	return r, err
}

// cpu is the CPU time that the engine has used, and the store's own process.
func (b *bench) cpu(e *benchEngine) (engine, place time.Duration, err error) {
	if engine, err = e.cpu(); err != nil || b.redis == nil {
		return engine, 0, err
	}
	place, err = b.redis.cpu(b.ctx)
	return engine, place, err
}

func median[T int | int64 | float64 | time.Duration](xs []T) T {
	s := slices.Clone(xs)
	slices.Sort(s)
	return s[len(s)/2]
}

// percentile is the p-th percentile (0–100), zero of nothing.
func percentile(xs []time.Duration, p float64) time.Duration {
	if len(xs) == 0 {
		return 0
	}
	s := slices.Clone(xs)
	slices.Sort(s)
	return s[min(len(s)-1, int(float64(len(s))*p/100))]
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
func microseconds(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }
