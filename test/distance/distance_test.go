package distance

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"testing"
	"time"

	"paynotify/test/product"
	"paynotify/test/redis"
)

const (
	// roundsName is the variable of the environment that says how many rounds to measure; without it nothing is.
	roundsName = "DISTANCE_ROUNDS"
	// messages of one run take a few seconds.
	messages = 20000
	// apart is how much farther away Redis is made.
	apart = time.Millisecond
	// ratioMin of the rate that the same proxy allows without the millisecond must be left.
	ratioMin = 0.6
)

// TestThroughput compares the delivered rate, one notification a request, through a proxy that adds a
// millisecond to every reply of Redis, with the rate through the same proxy without it, in turn.
//
//	DISTANCE_ROUNDS=3 go test -count 1 -v -timeout 30m ./test/distance
func TestThroughput(t *testing.T) {
	rounds, err := strconv.Atoi(os.Getenv(roundsName))
	if err != nil || rounds < 1 {
		t.Skipf("it measures this machine for minutes: %s=3 has it run", roundsName)
	}
	binary, server := product.Build(t), redis.Start(t)
	proxy := redis.NewProxy(t, server.Addr)
	var near, far, ratios []float64
	for range rounds {
		proxy.Latency(0)
		n := delivered(t, binary, proxy.URL())
		proxy.Latency(apart)
		f := delivered(t, binary, proxy.URL())
		t.Logf("%.0f/s at %v more, %.0f/s at none: %.2f", f, apart, n, f/n)
		near, far, ratios = append(near, n), append(far, f), append(ratios, f/n)
	}
	ratio := median(ratios)
	t.Logf("medians: %.0f/s at %v more, %.0f/s at none; ratio %.2f", median(far), apart, median(near), ratio)
	if ratio < ratioMin {
		t.Errorf("a Redis %v farther away leaves %.2f of the rate, want %.2f", apart, ratio, ratioMin)
	}
}

// delivered runs the benchmark on a Redis and returns the notifications delivered per second.
func delivered(t *testing.T, binary, url string) float64 {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), binary, "bench", "--json", "--store", url,
		"--scenario", "throughput", "--rounds", "1", "--messages", strconv.Itoa(messages))
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("bench: %v\n%s", err, said.String())
	}
	for d := json.NewDecoder(&out); d.More(); {
		var f struct {
			Figure string  `json:"figure"`
			Value  float64 `json:"value"`
		}
		if err := d.Decode(&f); err != nil {
			t.Fatal(err)
		}
		if f.Figure == "delivered, one item a request" {
			return f.Value
		}
	}
	t.Fatalf("bench did not say what was delivered:\n%s", out.String())
	return 0
}

func median(xs []float64) float64 {
	s := slices.Sorted(slices.Values(xs))
	return s[len(s)/2]
}
