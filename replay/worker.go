package replay

import (
	"context"
	"errors"
	"slices"
	"time"

	"golang.org/x/time/rate"

	"paynotify/store"
)

const (
	leaseFor  = 9 * time.Second // how long a worker that says nothing keeps the others waiting
	stepMax   = 5 * time.Second // of one step: the lease must not run out meanwhile
	finishMax = 2 * time.Second // of the last save, when the process stops
	saveEvery = 200 * time.Millisecond
	readEvery = 500 * time.Millisecond // between looks whether somebody has canceled it

	pauseMin   = 10 * time.Millisecond  // between steps while something happens
	pauseMax   = 500 * time.Millisecond // and while nothing does
	pauseSend  = time.Second            // while all sending is stopped
	pauseError = 2 * time.Second        // at most, between tries while the store does not answer

	pageMax = 500 // of the list, at a time
	roomMin = 100 // in the window, for a page to be worth its save
)

// errOver says that there is nothing more to do here: the replay has ended, or another process works on it.
var errOver = errors.New("nothing to do")

// worker works on one replay.
type worker struct {
	*Runner

	id     string
	job    Job // as it was saved, and what has happened since
	dirty  bool
	saved  time.Time
	read   time.Time
	pause  time.Duration
	tokens *rate.Limiter   // nil = no rate
	lanes  map[string]lane // of this step
	turn   int             // where the next look into the window begins
}

// run works until the replay has ended or ctx does.
func (w *worker) run(ctx context.Context) {
	err := w.take(ctx)
	for failures := 0; ; {
		wait := time.Duration(0)
		if err == nil {
			wait, err = w.step(ctx)
		}
		switch {
		case errors.Is(err, errOver):
			return
		case ctx.Err() != nil:
			w.leave(ctx)
			return
		case errors.Is(err, errConflict):
			if err = w.reload(ctx); err == nil {
				continue
			}
			wait = pauseMax
		case err != nil:
			if failures++; failures%complainEvery == 1 {
				w.Log.Error("a replay waits, nothing is lost", "replay_id", w.id, "err", err, "tries", failures)
			}
			wait = min(pauseError, time.Duration(failures)*pauseMax)
			err = nil
			if w.job.ID == "" {
				err = w.take(ctx)
			}
		default:
			failures = 0
		}
		sleep(ctx, wait)
	}
}

func sleep(ctx context.Context, wait time.Duration) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// take takes the lease, when there is something to do and nobody has it.
func (w *worker) take(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepMax)
	defer cancel()
	j, err := readJob(ctx, w.Store, w.id)
	switch {
	case errors.Is(err, ErrNotFound), err == nil && !j.active():
		return w.over(ctx)
	case err != nil:
		return err
	case !w.Sole && j.Owner != w.Node && w.Store.Now().Before(j.Until):
		return errOver
	}
	w.adopt(j)
	if err := w.save(ctx); errors.Is(err, errConflict) {
		return errOver // another was faster; the next look sees what is left to do
	} else if err != nil {
		return err
	}
	if j.Cursor != "" || len(j.Window) > 0 {
		w.Log.Info("replay goes on", "replay_id", w.id, "asked", j.Asked, "matched", j.Matched)
	}
	return nil
}

// adopt begins to work with a job as the store has it.
func (w *worker) adopt(j Job) {
	if w.tokens == nil && j.RatePerSecond > 0 {
		// A quarter of a second's worth at once: steps are not that exact.
		w.tokens = rate.NewLimiter(rate.Limit(j.RatePerSecond), max(1, int(j.RatePerSecond/4)))
	}
	w.job, w.dirty, w.read = j, false, time.Now()
}

// reload follows what somebody else made of the job: canceled it, or took it over. What was not saved is
// found out again.
func (w *worker) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stepMax)
	defer cancel()
	j, err := readJob(ctx, w.Store, w.id)
	switch {
	case errors.Is(err, ErrNotFound):
		return w.over(ctx)
	case err != nil:
		return errors.Join(errConflict, err)
	case !w.Sole && j.Owner != w.Node:
		return errOver
	}
	w.adopt(j)
	return nil
}

// over takes the job off the list of what there is to do.
func (w *worker) over(ctx context.Context) error {
	if err := retire(ctx, w.Store, w.id); err != nil {
		return err
	}
	return errOver
}

// step does what can be done now, and answers how long to wait for more.
func (w *worker) step(ctx context.Context) (wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, stepMax)
	defer cancel()
	w.lanes = map[string]lane{}
	if err := w.refresh(ctx); err != nil {
		return 0, err
	}
	sending, err := w.Store.Sending(ctx)
	if err != nil {
		return 0, err
	}
	moved, err := w.look(ctx)
	switch {
	case err != nil:
	case w.job.Phase == Canceled:
		err = w.drop(ctx)
	case !sending.Paused:
		var more bool
		if more, err = w.fill(ctx); err == nil {
			moved = moved || more
			more, err = w.ask(ctx)
			moved = moved || more
		}
	}
	if err != nil {
		return 0, errors.Join(err, w.saveSoon(ctx))
	}
	if len(w.job.Window) == 0 && (w.job.Listed || w.job.Phase == Canceled) {
		return 0, w.end(ctx)
	}
	if err := w.saveSoon(ctx); err != nil {
		return 0, err
	}
	return w.rest(moved, sending.Paused && w.job.Phase == Running), nil
}

// rest is how long to wait for the next step.
func (w *worker) rest(moved, stopped bool) time.Duration {
	switch {
	case stopped:
		return pauseSend
	case moved:
		w.pause = pauseMin
	default:
		w.pause = min(pauseMax, max(pauseMin, 2*w.pause))
	}
	wait := w.pause
	if w.dirty {
		wait = min(wait, saveEvery)
	}
	if w.tokens != nil && slices.ContainsFunc(w.job.Window, func(o Outstanding) bool { return !o.Asked }) {
		missing := 1 - w.tokens.TokensAt(time.Now())
		next := time.Duration(missing / float64(w.tokens.Limit()) * float64(time.Second))
		wait = min(wait, max(next, pauseMin))
	}
	return wait
}

// refresh looks from time to time whether somebody has canceled the replay.
func (w *worker) refresh(ctx context.Context) error {
	if time.Since(w.read) < readEvery {
		return nil
	}
	text, err := w.Store.Mark(ctx, jobPrefix+w.id)
	if err == nil && text != w.job.text {
		err = errConflict
	}
	if err == nil {
		w.read = time.Now()
	}
	return err
}

// saveSoon saves what has changed, a few times a second, and renews the lease in time.
func (w *worker) saveSoon(ctx context.Context) error {
	since := time.Since(w.saved)
	if w.dirty && since >= saveEvery || !w.Sole && since >= leaseFor/3 {
		return w.save(ctx)
	}
	return nil
}

// save writes the job and renews the lease, unless somebody else has written it.
func (w *worker) save(ctx context.Context) error {
	next := w.job
	next.Owner = w.Node
	if !w.Sole {
		next.Until = w.Store.Now().Add(leaseFor).UTC()
	}
	if err := w.job.write(ctx, w.Store, next); err != nil {
		return err
	}
	w.dirty, w.saved, w.read = false, time.Now(), time.Now()
	return nil
}

// end says that there is nothing left to do.
func (w *worker) end(ctx context.Context) error {
	if w.job.Phase == Running {
		w.job.Phase, w.job.EndedAt = Done, w.Store.Now().UTC()
	}
	if err := w.save(ctx); err != nil {
		if w.job.Phase == Done { // not before it is saved: somebody may have canceled it
			w.job.Phase, w.job.EndedAt = Running, time.Time{}
		}
		return err
	}
	j := &w.job
	w.Log.Info("replay ended", "replay_id", j.ID, "state", j.Phase, "matched", j.Matched, "asked", j.Asked,
		"sent", j.Sent, "spent", j.Spent, "skipped", j.Skipped, "held", j.Held)
	return w.over(ctx)
}

// leave gives the lease back, for the process stops.
func (w *worker) leave(ctx context.Context) {
	if w.job.ID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishMax)
	defer cancel()
	next := w.job
	next.Owner, next.Until = "", time.Time{}
	if err := w.job.write(ctx, w.Store, next); err != nil {
		w.Log.Warn("a replay goes on when its lease has run out", "replay_id", w.id, "err", err)
	}
}

// fill reads more of the list into the window, and saves it: nothing is asked for that is not known to be
// asked for after a crash. It reports whether it read something.
func (w *worker) fill(ctx context.Context) (bool, error) {
	planned := 0
	for i := range w.job.Window {
		if !w.job.Window[i].Asked {
			planned++
		}
	}
	room := WindowMax - len(w.job.Window)
	if w.job.Listed || planned >= pageMax/2 || room < roomMin {
		return false, nil
	}
	q := w.job.query(min(room, pageMax))
	page, cursor, err := w.Store.List(ctx, q)
	if errors.Is(err, store.ErrBadCursor) && w.job.Cursor != "" {
		w.job.Cursor = "" // the store is another one, as after a migration: see Job.query
		return true, nil
	}
	if err != nil {
		return false, err
	}
	next, now := w.job, time.Now()
	next.Window = slices.Clip(next.Window)
	for i := range page {
		n := &page[i]
		if next.wants(n) {
			next.Window = append(next.Window, Outstanding{
				ID: n.NotifyID, Attempts: n.AttemptCount, lane: n.MchID, looked: now,
			})
		}
		next.Last = n.CreatedAt
	}
	next.Cursor, next.Listed = cursor, cursor == ""
	was := w.job
	w.job = next
	if err := w.save(ctx); err != nil {
		w.job = was
		return false, err
	}
	return true, nil
}
