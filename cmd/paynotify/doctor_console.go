package main

import (
	"context"
	"sync"
	"time"

	"paynotify/console"
	"paynotify/store/redisstore"
)

const (
	// checkupFresh is how long what was found is shown again: nobody waits for it more than once a minute.
	checkupFresh = time.Minute
	// checkupWait bounds all checks together: a page waits for them.
	checkupWait = 500 * time.Millisecond
)

// checkup is what doctor can look at in a process that serves: quickly, and without writing or locking
// anything. Whether the store commits is not among it; the store says so itself.
type checkup struct {
	cfg     Config
	version buildVersion

	mu    sync.Mutex
	until time.Time
	found []console.Check
}

func newCheckup(cfg Config, version buildVersion) *checkup {
	return &checkup{cfg: cfg, version: version}
}

// look tells what was found within the last minute.
func (c *checkup) look(ctx context.Context) []console.Check {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.After(c.until) {
		// Who asked may go; what is found is for the others too.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), checkupWait)
		defer cancel()
		c.found = c.examine(ctx)
		c.until = now.Add(checkupFresh)
	}
	return c.found
}

func (c *checkup) examine(ctx context.Context) (found []console.Check) {
	states := map[level]string{levelOK: "ok", levelWarn: "warning", levelFail: "fault"}
	d := &doctor{cfg: c.cfg, count: map[level]int{}}
	d.print = func(f finding) {
		found = append(found, console.Check{Name: f.Check, State: states[f.Level], Detail: f.Found, Cure: f.Cure})
	}
	v := c.version
	d.ok("build", "%s, revision %s, %s, %s", v.Version, v.Revision, v.Go, v.Platform)
	d.ok("configuration", "SHA-256 %s, store %s", c.cfg.digest(), storeName(c.cfg.Store))
	d.served(ctx)
	for _, check := range []func(context.Context){d.clock, d.descriptors, d.egress, d.access} {
		check(ctx)
	}
	if ctx.Err() == nil { // Redis has used up the time otherwise, which says nothing about the resolver
		d.dns(ctx)
	}
	return found
}

// served checks what lies under a store that this process serves.
func (d *doctor) served(ctx context.Context) {
	if !isRedisURL(d.cfg.Store) {
		if path, err := storePath(d.cfg.Store); err == nil {
			d.disk(path)
		}
		return
	}
	client, err := redisstore.Client(d.cfg.Store)
	if err != nil {
		d.fail(exitConfig, "redis", "", "%s", err)
		return
	}
	defer client.Close() //nolint:errcheck // nothing was written
	d.redisMasters(ctx, client)
}
