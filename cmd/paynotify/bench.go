package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// benchOptions are the flags of `bench`.
type benchOptions struct {
	scenarios []string
	rounds    int
	messages  int64
	conns     int
	pending   int64
	json      bool
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
	receiver *benchReceiver
	out      io.Writer
	progress io.Writer
}

// benchScenario is one question to the machine.
type benchScenario struct {
	name, asks string
	run        func(b *bench) error
}

var benchScenarios = []benchScenario{
	{"throughput", "notifications/s and CPU, beside a bare loop that only signs and POSTs", (*bench).throughput},
	{"merchants", "the same with 1 and with 100 merchants", (*bench).merchantCounts},
	{"rsa", "what an RSA2 signature adds", (*bench).rsa},
	{"latency", "accept to receive at 50/s", (*bench).latency},
	{"backlog", "throughput and memory with many pending notifications in the store", (*bench).backlog},
	{"retries", "how late retries start at half the capacity", (*bench).retries},
	{"isolation", "what merchants that hang do to the others", (*bench).isolation},
}

func newBenchCommand() *cobra.Command {
	o := benchOptions{}
	names := make([]string, len(benchScenarios))
	var long strings.Builder
	long.WriteString("Measures this machine with a producer, a merchant and the engine (a child process with\n" +
		"the default configuration on a temporary store), beside a bare loop that signs and POSTs the\n" +
		"same requests to the same merchant and keeps nothing. Runs are interleaved, medians are printed.\n\n")
	for i, s := range benchScenarios {
		names[i] = s.name
		fmt.Fprintf(&long, "  %-12s %s\n", s.name, s.asks)
	}
	cmd := &cobra.Command{
		Use: "bench", Short: "Measure notifications/s, CPU and lateness on this machine", Long: long.String(),
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			o.json, _ = cmd.Flags().GetBool("json")
			return runBench(cmd.Context(), o, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.StringSliceVar(&o.scenarios, "scenario", names, "what to measure")
	f.IntVar(&o.rounds, "rounds", 3, "interleaved runs; the median counts")
	f.Int64Var(&o.messages, "messages", 60000, "notifications in one run")
	f.IntVar(&o.conns, "connections", 64, "connections of the producer")
	f.Int64Var(&o.pending, "pending", 1_000_000, "notifications in the store for the backlog scenario")
	cmd.AddCommand(newBenchBareCommand())
	return cmd
}

func runBench(ctx context.Context, o benchOptions, out, progress io.Writer) error {
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
	fmt.Fprintf(progress, "%d processors, %s, %d messages a run, %d connections, %d rounds\n",
		runtime.NumCPU(), runtime.Version(), o.messages, o.conns, o.rounds)
	for _, name := range o.scenarios {
		i := slices.IndexFunc(benchScenarios, func(s benchScenario) bool { return s.name == name })
		if i < 0 {
			return fmt.Errorf("unknown scenario %q", name)
		}
		fmt.Fprintf(progress, "%s: %s\n", name, benchScenarios[i].asks)
		if err := benchScenarios[i].run(b); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
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

// engine starts the engine on a store of its own (or one that was prepared under this name).
func (b *bench) engine(name string) (*benchEngine, error) {
	dir := b.dir + "/" + name
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return startBenchEngine(b.ctx, dir)
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
}

// benchBatchConns keep 200 notifications under way, which is what the workers hold. More would measure an
// overload: a backlog, in which every notification costs a claim of its own.
const benchBatchConns = 2

// measure sends n notifications and waits until they are delivered and settled.
func (b *bench) measure(e *benchEngine, mchs []string, batch int, n int64) (benchRun, error) {
	load := &benchLoad{addr: e.addr, path: "/v1/notifications", batch: batch, mchs: mchs}
	conns := b.conns
	if batch > 1 {
		load.path, conns = "/v1/notifications/batch", benchBatchConns
	}
	before, err := e.cpu()
	if err != nil {
		return benchRun{}, err
	}
	had, began := b.receiver.received.Load(), time.Now()
	if err := load.run(n, conns, 0); err != nil {
		return benchRun{}, err
	}
	if got := b.receiver.await(had, n, time.Minute); got < n {
		return benchRun{}, fmt.Errorf("%d of %d delivered", got, n)
	}
	took := time.Since(began)
	after, err := e.cpu()
	if err != nil {
		return benchRun{}, err
	}
	return benchRun{float64(n) / took.Seconds(), (after - before) / time.Duration(n)}, nil
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
