package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/net/netutil"

	"paynotify/api"
	"paynotify/console"
	"paynotify/dispatcher"
	"paynotify/dispatcher/egress"
	"paynotify/notices"
	"paynotify/replay"
	"paynotify/tracing"
)

const (
	drainMax = 20 * time.Second // of a whole stop, as the contract says
	// drainSends leaves the rest of drainMax to recording what was interrupted and to closing the store.
	drainSends = 15 * time.Second
	drainHTTP  = 2 * time.Second // requests in hand when sending has stopped
	connsMax   = 4096            // of one listener: clients must not take the file descriptors of the sends
)

// engine is everything that serve, demo and bench run: store, dispatcher and API, wired together.
type engine struct {
	URL        string // of the API, http://HOST:PORT
	MetricsURL string // of the metrics when they have a listener of their own; else empty
	Store      engineStore

	cfg      Config
	log      *slog.Logger
	draining atomic.Bool
	failed   chan error // what must end the process; the first one counts

	backend  backend
	keys     masterKeys
	admitted chan struct{} // closed when the store is there and has been found to be ours; see admit.go
	strange  atomic.Bool   // another process seals with a master key that this one does not have

	dispatcher *dispatcher.Dispatcher
	follower   *notices.Follower
	replays    *replay.Runner
	client     *egress.Client
	tracer     tracing.Tracer
	dispatched chan struct{} // closed when the dispatcher has drained
	stopSends  context.CancelFunc
	api        *api.API
	servers    []*http.Server
	chores     sync.WaitGroup // pruning, a look at the keys
	stopChores context.CancelFunc
}

// startEngine opens the store, listens and starts sending. It returns when the API answers. A *problem tells
// what is wrong otherwise; nothing is left running then.
func startEngine(ctx context.Context, cfg Config, log *slog.Logger) (*engine, error) {
	e := &engine{
		cfg: cfg, log: log, failed: make(chan error, 1), dispatched: make(chan struct{}),
		admitted: make(chan struct{}),
	}
	err := cfg.checkHooks()
	if err != nil {
		return nil, err
	}
	if e.backend, err = openBackend(ctx, cfg, log, e.fail); err != nil {
		return nil, err
	}
	e.Store = e.backend.store
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.backend.close())
	}
	return e, nil
}

// start does what startEngine does once the store is open.
func (e *engine) start(ctx context.Context) error {
	var err error
	if e.keys, err = loadKeys(ctx, e.cfg, e.Store, e.log); err != nil {
		return err
	}
	if err := e.admitNow(ctx); err != nil {
		return err
	}
	main, metrics, err := e.listen()
	if err != nil {
		return err
	}
	rules := e.cfg.rules(ownAddresses(main, metrics))
	version := readVersion()
	registry := e.newRegistry(version)
	userAgent := "paynotify/" + version.Version
	if e.client, err = e.newClient(rules, userAgent, registry); err == nil {
		err = e.startTracing(ctx, version.Version)
	}
	if err != nil {
		closeListeners(main, metrics)
		return err
	}
	e.dispatcher = dispatcher.New(dispatcher.Options{
		Store: e.Store, Queue: e.backend.queue, Ring: e.keys.Ring, Rules: &rules, Client: e.client,
		Workers: e.cfg.Dispatcher.Workers, Timeout: e.cfg.Dispatcher.Timeout, Drain: drainSends,
		PollMax: e.backend.poll, Settled: e.settled(), Traced: e.tracer.Attempt, Log: e.log, Registerer: registry,
		MerchantSeries: e.cfg.Metrics.Merchants,
	})
	e.follower = e.newFollower()
	e.replays = e.newReplays()
	o := api.Options{
		Store: e.dispatcher.Store, Intake: e.dispatcher, Prober: e.dispatcher, Ring: e.keys.Ring, Rules: &rules,
		UserAgent: userAgent, AdminKey: string(e.cfg.Auth.AdminKey), RatePerSecond: e.cfg.Auth.RatePerSecond,
		MaxInflightDefault: e.cfg.Dispatcher.MaxInflight, Ready: e.ready, NotYet: e.notYet,
		Registerer: registry, Log: e.log, Version: version.Version, Following: e.following,
		ReplayBegun: e.replays.Kick,
	}
	scrape := e.scrape(registry)
	if metrics == nil {
		o.Metrics = scrape
	}
	e.URL = "http://" + main.Addr().String()
	e.api = api.New(o)
	if metrics != nil {
		e.MetricsURL = "http://" + metrics.Addr().String() + "/metrics"
		e.serve(metrics, e.api.Diagnostics(scrape))
	}
	e.run(ctx)
	pages := console.New(console.Options{
		API: e.api, Log: e.log, Version: version.Version, Doctor: newCheckup(e.cfg, version).look,
	})
	e.serve(main, pages.Handler())
	return nil
}

// listen takes the addresses of the API and, where configured, of the metrics; else that one is nil.
func (e *engine) listen() (main, metrics net.Listener, err error) {
	if main, err = listenOn("listen", e.cfg.Listen); err != nil {
		return nil, nil, err
	}
	if e.cfg.Metrics.Listen == "" {
		return main, nil, nil
	}
	if metrics, err = listenOn("metrics.listen", e.cfg.Metrics.Listen); err != nil {
		return nil, nil, errors.Join(err, main.Close())
	}
	return main, metrics, nil
}

// run starts the dispatcher and the chores, which begin when the store is there. They outlive ctx: Shutdown
// ends them in order.
func (e *engine) run(ctx context.Context) {
	ctx = context.WithoutCancel(ctx)
	sends, stopSends := context.WithCancel(ctx)
	e.stopSends = stopSends
	go func() {
		defer close(e.dispatched)
		err := e.admit(sends)
		if err == nil {
			e.audit(sends, "system.start")
			err = e.dispatcher.Run(sends)
		}
		if err != nil && !errors.Is(err, context.Canceled) {
			e.fail(err)
		}
	}()
	chores, stopChores := context.WithCancel(ctx)
	e.stopChores = stopChores
	e.chores.Go(func() {
		select {
		case <-chores.Done():
		case <-e.admitted:
			prune(chores, e.Store, e.cfg.Retention, e.log)
		}
	})
	e.chores.Go(func() { e.tellOthers(chores) })
	e.chores.Go(func() { e.replay(sends) })
	if e.backend.ready != nil {
		e.chores.Go(func() { e.watchKeys(chores) })
	}
}

// fail notes what must end the process.
func (e *engine) fail(err error) {
	select {
	case e.failed <- err:
	default:
	}
}

// wait runs until ctx ends, then stops the engine; or until the engine fails.
func (e *engine) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
	case err := <-e.failed:
		// The store cannot be trusted any more: nothing is drained, the next start recovers.
		return failure(err)
	}
	e.log.Info("stopping: sends in flight are waited for, a second signal ends at once", "at_most", drainMax)
	err := e.Shutdown()
	select {
	case failed := <-e.failed:
		err = errors.Join(failed, err)
	default:
	}
	if err != nil {
		return failure(err)
	}
	e.log.Info("stopped")
	return nil
}

// failure is the error of an engine that had to stop.
func failure(err error) error {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if p := redisProblem(err); p != nil {
		return p
	}
	return &problem{
		code: exitIO, what: "paynotify had to stop", why: err.Error(),
		do: "check the disk, then start again; what was accepted is kept",
	}
}

// ready is why the engine must get no traffic, and what should not stay as it is.
func (e *engine) ready() (reasons, warnings []string) {
	if e.draining.Load() {
		reasons = append(reasons, "draining: this process is stopping")
	}
	if err := e.notYet(); err != nil {
		reasons = append(reasons, err.Error())
	}
	if e.strange.Load() {
		warnings = append(warnings, "master_key: another process seals with a key that this one does not have")
	}
	if e.cfg.AllowVolatile && isRedisURL(e.cfg.Store) {
		warnings = append(warnings, "--"+volatileFlag+": Redis may be one that loses what was accepted")
	}
	if e.cfg.Dev {
		warnings = append(warnings, "--dev: sends may reach loopback and private addresses")
	}
	return reasons, warnings
}

// Shutdown stops: /readyz says 503, sends in flight end or are interrupted, requests are answered, the store
// is closed. It takes at most drainMax.
func (e *engine) Shutdown() error {
	e.draining.Store(true)
	e.stopSends()
	<-e.dispatched
	e.api.Drain()
	ctx, cancel := context.WithTimeout(context.Background(), drainHTTP)
	defer cancel()
	e.chores.Go(func() { e.stopTracing(ctx) })
	for _, s := range e.servers {
		if err := s.Shutdown(ctx); err != nil {
			s.Close() //nolint:errcheck // what is still open then has had its time
		}
	}
	e.stopChores()
	e.chores.Wait()
	if e.notYet() == nil {
		e.audit(ctx, "system.stop")
	}
	e.client.Close()
	return e.backend.close()
}

func (e *engine) serve(ln net.Listener, h http.Handler) {
	s := api.NewServer(h)
	s.ErrorLog = slog.NewLogLogger(e.log.Handler(), slog.LevelDebug)
	e.servers = append(e.servers, s)
	go func() {
		if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			e.fail(fmt.Errorf("listener %s: %w", ln.Addr(), err))
		}
	}()
}

func listenOn(key, address string) (net.Listener, error) {
	ln, err := net.Listen("tcp", address)
	if err == nil {
		return netutil.LimitListener(ln, connsMax), nil
	}
	p := &problem{code: exitUnavailable, what: "cannot listen on " + address, why: err.Error()}
	p.do = "choose another address with " + key + ", or port 0 for a free port"
	if op, ok := errors.AsType[*net.OpError](err); ok {
		p.why = op.Err.Error()
	}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		p.why = "the address is in use by another process"
	case errors.Is(err, syscall.EACCES):
		p.code, p.why = exitAuth, "this user may not listen on a port below 1024"
		p.do = "choose a port from 1024 on, or give the binary the capability cap_net_bind_service"
	}
	return nil, p
}

func closeListeners(listeners ...net.Listener) {
	for _, ln := range listeners {
		if ln != nil {
			ln.Close()
		}
	}
}

// ownAddresses are the addresses that no send may reach, whatever the rules say.
func ownAddresses(listeners ...net.Listener) func() []netip.AddrPort {
	var own []netip.AddrPort
	for _, ln := range listeners {
		if ln == nil {
			continue
		}
		if a, ok := ln.Addr().(*net.TCPAddr); ok {
			own = append(own, a.AddrPort())
		}
	}
	return func() []netip.AddrPort { return own }
}

// headerTimeout is how long a merchant may take to begin its reply: 10 s of the default 15 s, and as much of
// a longer timeout, so that an operator who grants slow merchants more time need not know of it.
func headerTimeout(whole time.Duration) time.Duration { return max(10*time.Second, whole*2/3) }
