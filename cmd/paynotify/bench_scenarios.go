package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// benchScenario is one question to the machine.
type benchScenario struct {
	name, asks string
	run        func(b *bench) error
	redis      bool // it is about Redis only
	byName     bool // it runs only when it is named
}

var benchScenarios = []benchScenario{
	{
		name: "throughput", run: (*bench).throughput,
		asks: "notifications/s and CPU, beside a bare loop that only signs and POSTs",
	},
	{name: "merchants", run: (*bench).merchantCounts, asks: "the same with 1 and with 100 merchants"},
	{name: "rsa", run: (*bench).rsa, asks: "what an RSA2 signature adds"},
	{name: "latency", run: (*bench).latency, asks: "accept to receive at 50/s"},
	{
		name: "backlog", run: (*bench).backlog,
		asks: "throughput and memory with many pending notifications in the store",
	},
	{name: "burst", run: (*bench).burst, asks: "how quickly many that are due at one instant go out"},
	{name: "retries", run: (*bench).retries, asks: "how late retries start at half the capacity"},
	{name: "isolation", run: (*bench).isolation, asks: "what merchants that hang do to the others"},
	{
		name: "hostile", run: (*bench).hostile,
		asks: "what 35 merchants that hang, bomb, redirect and drip do to 200 others",
	},
	{
		name: "memory", run: (*bench).memory, redis: true,
		asks: "bytes of Redis for a pending notification, and what each index takes",
	},
	{
		name: "shrunk", run: (*bench).shrunk, redis: true,
		asks: "bytes of Redis for a spent notification, before and after it was shrunk",
	},
	{
		name: "browse", run: (*bench).browse, byName: true,
		asks: "how long pages and lists take with many notifications in the store",
	},
	{
		name: "fsync", run: (*bench).fsync, redis: true, byName: true,
		asks: "throughput with appendfsync always, which is set for the whole Redis while it runs",
	},
}

// chooseScenarios finds the named ones, or what suits the store when none is named.
func chooseScenarios(names []string, onRedis bool) (chosen []benchScenario, err error) {
	for _, s := range benchScenarios {
		if len(names) == 0 && !s.byName && (onRedis || !s.redis) {
			chosen = append(chosen, s)
		}
	}
	for _, name := range names {
		i := slices.IndexFunc(benchScenarios, func(s benchScenario) bool { return s.name == name })
		switch {
		case i < 0:
			all := make([]string, len(benchScenarios))
			for j, s := range benchScenarios {
				all[j] = s.name
			}
			p := usagef("unknown scenario %q", name)
			p.do = didYouMean(name, all, "there are "+strings.Join(all, ", "))
			return nil, p
		case benchScenarios[i].redis && !onRedis:
			p := usagef("scenario %s is about Redis", name)
			p.do = "name one with --store redis://HOST:PORT/DB"
			return nil, p
		}
		chosen = append(chosen, benchScenarios[i])
	}
	return chosen, nil
}

// warm starts an engine with ten merchants and lets it run a little.
func (b *bench) warm(name string) (e *benchEngine, mchs []string, err error) {
	if e, err = b.engine(name); err != nil {
		return nil, nil, err
	}
	if mchs, err = b.merchants(e, "m", 10, "/ok", nil); err != nil {
		return nil, nil, err
	}
	_, err = b.measure(e, mchs, 1, b.messages/10)
	return e, mchs, err
}

// throughput interleaves the bare loop, single-item ingest and batch ingest.
func (b *bench) throughput() error {
	e, mchs, err := b.warm("throughput")
	if err != nil {
		return err
	}
	var bare, single, batch, cpu, storeCPU, singleRatio, batchRatio []float64
	for range b.rounds {
		base, err := b.bare(b.messages)
		if err != nil {
			return err
		}
		one, err := b.measure(e, mchs, 1, b.messages)
		if err != nil {
			return err
		}
		many, err := b.measure(e, mchs, 100, b.messages)
		if err != nil {
			return err
		}
		bare, single, batch = append(bare, base), append(single, one.perSecond), append(batch, many.perSecond)
		cpu = append(cpu, microseconds(one.cpuEach))
		storeCPU = append(storeCPU, microseconds(one.storeEach))
		singleRatio = append(singleRatio, one.perSecond/base)
		batchRatio = append(batchRatio, many.perSecond/base)
	}
	const s = "throughput"
	b.say(s, "bare loop", median(bare), "/s", "signs MD5 and POSTs, keeps nothing")
	b.say(s, "delivered, one item a request", median(single), "/s", "durable, acknowledged")
	b.say(s, "delivered, 100 items a request", median(batch), "/s", "")
	b.say(s, "one item / bare", median(singleRatio), "", fmt.Sprintf("wanted ≥ %.2f", b.wants.single))
	b.say(s, "100 items / bare", median(batchRatio), "", fmt.Sprintf("wanted ≥ %.2f", b.wants.batch))
	b.say(s, "CPU of the engine, one item", median(cpu), "µs", "wanted ≤ 140")
	if b.redis != nil {
		b.say(s, "CPU of Redis, one item", median(storeCPU), "µs", "")
	}
	return nil
}

// merchantCounts compares 1 merchant with 100.
func (b *bench) merchantCounts() error {
	e, err := b.engine("merchants")
	if err != nil {
		return err
	}
	one, err := b.merchants(e, "one", 1, "/ok", nil)
	if err != nil {
		return err
	}
	hundred, err := b.merchants(e, "of100n", 100, "/ok", nil)
	if err != nil {
		return err
	}
	var ratios []float64
	for range b.rounds {
		x, err := b.measure(e, one, 1, b.messages)
		if err != nil {
			return err
		}
		y, err := b.measure(e, hundred, 1, b.messages)
		if err != nil {
			return err
		}
		ratios = append(ratios, y.perSecond/x.perSecond)
	}
	b.say("merchants", "100 merchants / 1 merchant", median(ratios), "", "wanted 0.85–1.15")
	return nil
}

// rsa compares the CPU of a notification signed with RSA2 with that of one signed with MD5.
func (b *bench) rsa() error {
	e, err := b.engine("rsa")
	if err != nil {
		return err
	}
	plain, err := b.merchants(e, "md", 10, "/ok", nil)
	if err != nil {
		return err
	}
	signed, err := b.merchants(e, "rsa", 10, "/ok", map[string]any{
		"profile": "alipay", "key": map[string]any{}, "app_id": "2014072300007148",
	})
	if err != nil {
		return err
	}
	signature, err := timeRSA()
	if err != nil {
		return err
	}
	var over []float64
	for range b.rounds {
		if _, err := b.measure(e, plain, 1, b.messages/10); err != nil {
			return err
		}
		r, err := b.measure(e, signed, 1, b.messages/10)
		if err != nil {
			return err
		}
		over = append(over, microseconds(r.cpuEach-signature))
	}
	b.say("rsa", "one RSA-2048 signature", microseconds(signature), "µs", "measured alone")
	b.say("rsa", "CPU of the engine beyond it", median(over), "µs", "wanted ≤ 140")
	return nil
}

// latency sends at 50/s.
func (b *bench) latency() error {
	e, err := b.engine("latency")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	if _, err := b.measure(e, mchs, 1, 500); err != nil { // warm up
		return err
	}
	delays, _, err := b.paced(e, mchs, 50, 20*time.Second, 0)
	if err != nil {
		return err
	}
	const s = "latency"
	b.say(s, "accept to receive at 50/s, p50", milliseconds(percentile(delays, 50)), "ms",
		fmt.Sprintf("wanted ≤ %.0f", b.wants.p50))
	b.say(s, "accept to receive at 50/s, p99", milliseconds(percentile(delays, 99)), "ms",
		fmt.Sprintf("wanted ≤ %.0f", b.wants.p99))
	return nil
}

// paced sends at a rate for a while and returns the delays that the receiver saw.
func (b *bench) paced(
	e *benchEngine, mchs []string, perSecond float64, lasts, wait time.Duration,
) (first, second []time.Duration, err error) {
	n := int64(perSecond * lasts.Seconds())
	b.receiver.observe(true, wait)
	defer b.receiver.observe(false, 0)
	load := &benchLoad{addr: e.addr, path: "/v1/notifications", batch: 1, mchs: mchs}
	had := b.receiver.received.Load()
	if err := load.run(n, 16, perSecond); err != nil {
		return nil, nil, err
	}
	posts := n
	if wait > 0 {
		posts *= 2
	}
	if got := b.receiver.await(had, posts, wait+30*time.Second); got < posts {
		return nil, nil, fmt.Errorf("%d of %d POSTs came", got, posts)
	}
	first, second = b.receiver.delays()
	return first, second, nil
}

// retries sends to merchants that acknowledge the second send only.
func (b *bench) retries() error {
	e, err := b.engine("retries")
	if err != nil {
		return err
	}
	mchs, err := b.merchants(e, "m", 10, "/ok", nil)
	if err != nil {
		return err
	}
	const wait = 3 * time.Second
	again, err := b.merchants(e, "twice", 20, "/twice", map[string]any{"schedule": wait.String()})
	if err != nil {
		return err
	}
	full, err := b.measure(e, mchs, 1, b.messages)
	if err != nil {
		return err
	}
	half := full.perSecond / 2 // sends per second; every notification is sent twice
	_, late, err := b.paced(e, again, half/2, 10*time.Second, wait)
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%.0f sends/s, half of %.0f", half, full.perSecond)
	b.say("retries", "retry starts late by, p50", milliseconds(percentile(late, 50)), "ms", note)
	b.say("retries", "retry starts late by, p99", milliseconds(percentile(late, 99)), "ms",
		fmt.Sprintf("wanted ≤ %.0f", b.wants.late))
	return nil
}
