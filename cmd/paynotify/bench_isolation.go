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
		before, after := percentile(alone, 99), percentile(beside, 99)
		allowed := max(before/5, time.Duration(b.wants.aside*float64(time.Millisecond)))
		b.say("isolation", c.name, milliseconds(after-before), "ms",
			fmt.Sprintf("p99 %.2f → %.2f ms; wanted ≤ %.2f more", milliseconds(before), milliseconds(after),
				milliseconds(allowed)))
	}
	return nil
}
