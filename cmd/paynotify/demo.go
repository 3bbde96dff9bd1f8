package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"paynotify/retry"
	"paynotify/store"
)

const (
	demoSchedule = "alipay" // the one to watch
	demoSpeed    = 600      // 24h24m in 2m26s
	demoSpeedMax = 1e6
	demoForMin   = time.Second // below it there is nothing to see

	timeoutFloor = 200 * time.Millisecond // even a machine under load answers itself within that

	demoPatience = 10 * time.Second // with our own API

	tailEvery = 20 * time.Millisecond // below what an eye can tell
	tailMax   = 500
)

// demoOptions are the flags of demo.
type demoOptions struct {
	length  time.Duration // 0 = until Ctrl-C
	speed   float64
	records io.Writer // takes a JSON line an attempt and one at the end; nil = nobody wants them
}

func newDemoCommand() *cobra.Command {
	o := demoOptions{}
	c := &cobra.Command{
		Use:   "demo",
		Short: "Shows everything at once: engine, merchants, signed notifications, retries",
		Long: `demo runs the engine on a temporary store and eight sandbox merchants, all on loopback, and prints
every send and what came of it. The merchants get Alipay's schedule with its waits divided by --speed;
timeouts are divided too, down to 200ms. Nothing is left behind. Ctrl-C ends it with a table.`,
		Example: "  paynotify demo\n  paynotify demo --for 20s",
		Args:    needs(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := cmd.Flags().Changed
			if err := o.settle(given("for"), given("speed")); err != nil {
				return err
			}
			people := cmd.OutOrStdout()
			if wantsJSON(cmd) {
				o.records, people = people, cmd.ErrOrStderr()
			}
			return demo(cmd.Context(), people, o)
		},
	}
	c.Flags().DurationVar(&o.length, "for", 0, "end after this long, such as 20s; without it at Ctrl-C")
	c.Flags().Float64Var(&o.speed, "speed", demoSpeed,
		"divides waits and timeouts; with --for the default is what fits 24h24m into three quarters of it")
	return c
}

// settle checks the flags and works out the speed.
func (o *demoOptions) settle(lengthGiven, speedGiven bool) error {
	switch {
	case lengthGiven && o.length < demoForMin:
		return usagef("--for %s: want at least %s, such as 20s", o.length, demoForMin)
	case math.IsNaN(o.speed) || o.speed < 1 || o.speed > demoSpeedMax:
		return usagef("--speed %g: want a number from 1 (real time) to %.0f", o.speed, demoSpeedMax)
	case lengthGiven && !speedGiven:
		whole, err := retry.Parse(demoSchedule)
		if err != nil {
			return err
		}
		o.speed = min(max(whole.Sum().Seconds()/(o.length.Seconds()*3/4), 1), demoSpeedMax)
	}
	return nil
}

// timeout is how long a send may take at this speed.
func (o demoOptions) timeout() time.Duration {
	whole := float64(defaultConfig().Dispatcher.Timeout)
	return max(time.Duration(whole/o.speed), timeoutFloor)
}

// demo runs the whole show and prints the summary. Whatever happens, nothing stays behind.
func demo(ctx context.Context, out io.Writer, o demoOptions) (err error) {
	dir, err := os.MkdirTemp("", "paynotify-demo-")
	if err != nil {
		return &problem{code: exitIO, what: "cannot make a directory for the temporary store", why: err.Error()}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := defaultConfig()
	cfg.Listen, cfg.Store, cfg.Dev = "127.0.0.1:0", "sqlite:"+filepath.Join(dir, "demo.db"), true
	cfg.Dispatcher.Timeout = o.timeout()
	e, err := startEngine(ctx, cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.Shutdown()) }()

	// A reader that has seen enough (paynotify demo | head) must not keep us from cleaning up.
	signal.Ignore(syscall.SIGPIPE)
	view := &screen{to: out}
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	s := &show{
		out: view, options: o, engine: e, shops: demoCast(),
		api:  &demoHTTP{base: e.URL, client: &http.Client{Transport: transport, Timeout: demoPatience}},
		line: &timeline{out: view, paint: paletteFor(out), told: map[string]bool{}},
	}
	defer s.close()
	for _, shop := range s.shops {
		if err := shop.open(ctx, s.api, o.speed); err != nil {
			return err
		}
	}
	if err := s.header(); err != nil {
		return err
	}
	return s.run(ctx)
}

// screen is where everything is printed. After the first error it prints nothing more.
type screen struct {
	to     io.Writer
	err    error
	onFail func()
}

func (s *screen) Write(p []byte) (int, error) {
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.to.Write(p)
	if s.err = err; err != nil && s.onFail != nil {
		s.onFail()
	}
	return n, err
}

// show is a demo that is running.
type show struct {
	out     *screen
	options demoOptions
	engine  *engine
	shops   []*shop
	api     *demoHTTP
	line    *timeline

	accepted []string // notify_ids that the API gave us; read when the payments have ended
}

func (s *show) close() {
	for _, shop := range s.shops {
		if shop.merchant != nil {
			shop.merchant.Close() //nolint:errcheck // its listener is going away anyway
		}
	}
}

// run makes payments and prints attempts until the time is up or a person has seen enough, then the summary.
func (s *show) run(ctx context.Context) error {
	// From now on: the first attempt must be on the timeline.
	_, cursor, err := s.engine.Store.Attempts(ctx, "", 1)
	if err != nil {
		return err
	}
	play, stop := context.WithCancel(ctx)
	defer stop()
	s.out.onFail = stop
	if s.options.length > 0 {
		defer time.AfterFunc(s.options.length, stop).Stop()
	}
	var parts sync.WaitGroup
	var payErr, tailErr error
	parts.Go(func() { payErr = s.payAll(play); stop() })
	parts.Go(func() { tailErr = s.tail(play, cursor); stop() })
	select {
	case failure := <-s.engine.failed:
		err = &problem{code: exitIO, what: "the temporary store failed", why: failure.Error()}
		stop()
	case <-play.Done():
	}
	parts.Wait()
	// The table comes also after Ctrl-C, so it must not use the context that has ended.
	if err := errors.Join(err, payErr, tailErr, s.summary(context.WithoutCancel(ctx))); err != nil {
		return err
	}
	return ctx.Err()
}

// payAll makes the shops' payments on the beat. A payment that was begun is ended, so that what the store
// has and what we know of cannot differ by one in flight.
func (s *show) payAll(ctx context.Context) error {
	beat := time.NewTicker(demoStep)
	defer beat.Stop()
	made := map[string]int{}
	for step := 0; ; step++ {
		for _, shop := range s.shops {
			if step < shop.first || (step-shop.first)%shop.every != 0 {
				continue
			}
			made[shop.mchID]++
			id, err := shop.pay(context.WithoutCancel(ctx), s.api, made[shop.mchID], time.Now())
			if err != nil {
				return err
			}
			s.accepted = append(s.accepted, id)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// tail prints attempts as they are settled.
func (s *show) tail(ctx context.Context, cursor string) error {
	rest := time.NewTicker(tailEvery)
	defer rest.Stop()
	recorded := cursor
	for {
		var settled []store.Settled
		var err error
		settled, cursor, err = s.engine.Store.Attempts(ctx, cursor, tailMax)
		if err != nil && ctx.Err() == nil {
			return err
		}
		for _, a := range settled {
			s.line.attempt(a)
		}
		if s.options.records != nil {
			recorded, err = s.record(ctx, recorded)
			if err != nil && ctx.Err() == nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		}
	}
}

// record writes the attempts after a cursor as the API and tail show them, and returns the next one.
func (s *show) record(ctx context.Context, cursor string) (string, error) {
	page, err := s.engine.api.Service.FollowAttempts(ctx, cursor, tailMax, 0, nil)
	if err != nil {
		return cursor, err
	}
	return page.NextCursor, printEach(s.options.records, page.Attempts)
}

// header says what will be seen.
func (s *show) header() error {
	whole, err := retry.Parse(demoSchedule)
	if err != nil {
		return err
	}
	scaled := retry.Scale(whole, s.options.speed)
	paint := s.line.paint
	fmt.Fprintf(s.out, "%s %d merchants on this machine are told of their payments.\n\n",
		paint.bold("paynotify demo:"), len(s.shops))
	fmt.Fprintf(s.out, "%s of Alipay's schedule, %d sends, in %s: waits divided by %.0f, timeouts down to %s.\n",
		span(whole.Sum()), whole.Sends(), span(roughly(scaled.Sum())), s.options.speed,
		span(roughly(s.options.timeout())))
	fmt.Fprintf(s.out, "A payment is spent when its merchant has answered 200 with %s; otherwise it is sent\n"+
		"again until its schedule is exhausted.\n\n", paint.bold("success"))
	fmt.Fprintf(s.out, "API %s  %s\n\n", s.engine.URL, paint.dim("(curl -s "+s.engine.URL+"/v1/stats)"))
	for _, shop := range s.shops {
		fmt.Fprintf(s.out, "  %s  %s  %s\n", pad(shop.mchID, merchantWidth),
			paint.dim(pad(shop.profile+" "+shop.signs(), len("alipay_mapi MD5"))), shop.about)
	}
	fmt.Fprintf(s.out, "\n%s\n", paint.dim(fmt.Sprintf("%-12s   %s %s  %s  %s  %s  %6s  %s", "time",
		pad("verdict", verdictWidth), pad("reason", reasonWidth), pad("reply", replyWidth),
		pad("merchant", merchantWidth), pad("send", placeWidth), "took", "id")))
	return s.out.err
}

// roughly leaves out what nobody reads of a duration.
func roughly(d time.Duration) time.Duration {
	if d >= 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Millisecond)
}
