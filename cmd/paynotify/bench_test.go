package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"strings"
	"testing"

	"paynotify/test/product"
	"paynotify/test/redis"
)

func TestChooseScenarios(t *testing.T) {
	names := func(chosen []benchScenario) string {
		all := make([]string, len(chosen))
		for i, s := range chosen {
			all[i] = s.name
		}
		return strings.Join(all, " ")
	}
	for _, c := range []struct {
		asked   string
		onRedis bool
		want    string
	}{
		{"", false, "throughput merchants rsa latency backlog burst retries isolation hostile"},
		{"", true, "throughput merchants rsa latency backlog burst retries isolation hostile memory shrunk"},
		{"burst throughput", false, "burst throughput"},
		{"fsync", true, "fsync"},
	} {
		got, err := chooseScenarios(strings.Fields(c.asked), c.onRedis)
		if err != nil || names(got) != c.want {
			t.Errorf("%q, on Redis %t: got %q, %v, want %q", c.asked, c.onRedis, names(got), err, c.want)
		}
	}
	for asked, want := range map[string]string{"memory": "about Redis", "trougput": "unknown scenario"} {
		_, err := chooseScenarios([]string{asked}, false)
		var p *problem
		if !errors.As(err, &p) || p.code != exitUsage || !strings.Contains(p.what, want) || p.do == "" {
			t.Errorf("%q: got %v, want a usage error that says %q and a cure", asked, err, want)
		}
	}
}

// Whatever is in a database belongs to somebody: bench does not come in, and takes nothing with it.
func TestBenchLeavesDataAlone(t *testing.T) {
	s := redis.Start(t)
	s.MustDo("SET", "pn:{s0}:tok", "7")
	if _, err := newBenchRedis(t.Context(), s.URL()); exitCode(t.Context(), err) != exitTemporary {
		t.Fatalf("a database with a store of somebody's: got %v", err)
	}
	if got := s.MustDo("GET", "pn:{s0}:tok"); got != "7" {
		t.Fatalf("after a refused bench the key is %v", got)
	}
	s.MustDo("DEL", "pn:{s0}:tok")

	r, err := newBenchRedis(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	_, err = newBenchRedis(t.Context(), s.URL())
	if err == nil || !strings.Contains(err.Error(), "a bench uses it") {
		t.Errorf("a second bench: got %v", err)
	}
	for _, key := range []string{"pn:{s3}:n:x", "asynq:{paynotify-lanes-0}:pending", "somebody's"} {
		s.MustDo("SET", key, "1")
	}
	if err := r.leave(); err != nil {
		t.Fatal(err)
	}
	left, _ := s.MustDo("KEYS", "*").([]any)
	if len(left) != 1 || left[0] != "somebody's" {
		t.Errorf("after the bench Redis holds %q, want what came from elsewhere and nothing else", left)
	}
}

// Every scenario that takes no pause, as small as it can be: the figures mean nothing, but all are there.
func TestBenchOnRedis(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	s := redis.Start(t)
	cmd := exec.Command(product.Build(t), "bench", "--json", "--store", s.URL(), "--rounds", "1",
		"--messages", "200", "--pending", "1000", "--due", "500", "--notifications", "2000",
		"--scenario", "throughput,backlog,burst,memory,shrunk,browse,fsync")
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, said.String())
	}
	got := map[string]float64{}
	for d := json.NewDecoder(&out); d.More(); {
		var f benchFigure
		if err := d.Decode(&f); err != nil {
			t.Fatal(err)
		}
		got[f.Scenario+": "+strings.TrimSpace(f.Figure)] = f.Value
	}
	for _, c := range []struct {
		figure   string
		from, to float64
	}{
		{"throughput: one item / bare", 0.0001, 1},
		{"throughput: CPU of Redis, one item", 1, 1e6},
		{"backlog: rate with pending / empty", 0.01, 100},
		{"burst: drained / steady", 0.01, 100},
		{"memory: pending", memoryParamBytes, 4096},
		{"memory: pending: record", memoryParamBytes, 2048},
		{"memory: refused once", memoryParamBytes, 4096},
		{"shrunk: shrunk", 100, 2048},
		{"browse: /console/near-misses", 0.1, 1e4},
		{"browse: list held=breaker_open mch_id=broken0, last hours", 0.01, 1e4},
		{"browse: list verdict=acked, middle", 0.01, 1e4},
		{"fsync: always / everysec", 0.01, 100},
	} {
		if v, there := got[c.figure]; !there || v < c.from || v > c.to {
			t.Errorf("%s = %v (there: %t), want %v–%v", c.figure, v, there, c.from, c.to)
		}
	}
	if before, after := got["shrunk: spent"], got["shrunk: shrunk"]; after >= before {
		t.Errorf("a shrunk notification takes %v bytes, before it was %v", after, before)
	}
	if keys := s.MustDo("DBSIZE"); keys != int64(0) {
		t.Errorf("afterwards the database holds %v keys: %v", keys, s.MustDo("KEYS", "*"))
	}
	settings, _ := s.MustDo("CONFIG", "GET", "appendfsync").([]any)
	if len(settings) != 2 || settings[1] != "everysec" {
		t.Errorf("afterwards appendfsync is %v", settings)
	}
}
