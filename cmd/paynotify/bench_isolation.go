package main

import (
	"fmt"
	"time"
)

// isolation compares healthy merchants alone with the same beside merchants that hang.
func (b *bench) isolation() error {
	e, err := b.engine("isolation")
	if err != nil {
		return err
	}
	healthy, err := b.merchants(e, "m", 100, "/ok", map[string]any{"max_inflight": 16})
	if err != nil {
		return err
	}
	if _, err := b.measure(e, healthy, 1, b.messages/10); err != nil {
		return err
	}
	const rate, lasts = 500, 10 * time.Second
	for _, c := range []struct {
		name       string
		bad        int
		each       int64
		beforehand string
	}{
		{"one hanging merchant with 20,000 due", 1, 20000, "hang-one"},
		{"20 hanging merchants with 1,000 due", 20, 1000, "hang-many"},
	} {
		alone, _, err := b.paced(e, healthy, rate, lasts, 0)
		if err != nil {
			return err
		}
		bad, err := b.merchants(e, c.beforehand, c.bad, "/hang", map[string]any{"max_inflight": 16})
		if err != nil {
			return err
		}
		load := &benchLoad{addr: e.addr, path: "/v1/notifications/batch", batch: 500, mchs: bad}
		if err := load.run(c.each*int64(c.bad), 2, 0); err != nil {
			return err
		}
		beside, _, err := b.paced(e, healthy, rate, lasts, 0)
		if err != nil {
			return err
		}
		b.compare("isolation", c.name, 99, alone, beside)
	}
	return nil
}

// compare says by how much a percentile of the healthy merchants' delays grew.
func (b *bench) compare(scenario, name string, p float64, alone, beside []time.Duration) {
	before, after := percentile(alone, p), percentile(beside, p)
	allowed := max(before/5, time.Duration(b.wants.aside*float64(time.Millisecond)))
	b.say(scenario, name, milliseconds(after-before), "ms",
		fmt.Sprintf("p%.0f %.2f → %.2f ms; wanted ≤ %.2f more", p, milliseconds(before), milliseconds(after),
			milliseconds(allowed)))
}

// hostile compares 200 healthy merchants alone with the same beside 35 hostile ones, and counts whether what
// those are owed is still there.
func (b *bench) hostile() error {
	e, err := b.engine("hostile")
	if err != nil {
		return err
	}
	healthy, err := b.merchants(e, "m", 200, "/ok", map[string]any{"max_inflight": 16})
	if err != nil {
		return err
	}
	if _, err := b.measure(e, healthy, 1, b.messages/10); err != nil {
		return err
	}
	const rate, lasts = 500, 20 * time.Second
	alone, _, err := b.paced(e, healthy, rate, lasts, 0)
	if err != nil {
		return err
	}
	had, owed := b.receiver.hostile.Load(), int64(0)
	for _, c := range []struct {
		path string
		n    int
		each int64
	}{{"/hang", 20, 5000}, {"/bomb", 5, 200}, {"/redirect", 5, 200}, {"/drip", 5, 200}} {
		bad, err := b.merchants(e, "bad-"+c.path[1:], c.n, c.path, map[string]any{"max_inflight": 16})
		if err != nil {
			return err
		}
		load := &benchLoad{addr: e.addr, path: "/v1/notifications/batch", batch: 500, mchs: bad}
		if err := load.run(c.each*int64(c.n), 2, 0); err != nil {
			return err
		}
		owed += c.each * int64(c.n)
	}
	beside, _, err := b.paced(e, healthy, rate, lasts, 0)
	if err != nil {
		return err
	}
	b.compare("hostile", "beside 20 that hang with 5,000 due each, 15 that misbehave", 50, alone, beside)
	b.compare("hostile", "the same", 99, alone, beside)
	stats, err := e.stats()
	if err != nil {
		return err
	}
	b.say("hostile", "of theirs still pending", float64(stats.States["pending"]), "",
		fmt.Sprintf("wanted %d; they were sent %d POSTs", owed, b.receiver.hostile.Load()-had))
	return nil
}
