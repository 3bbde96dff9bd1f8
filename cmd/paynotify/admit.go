package main

import (
	"context"
	"errors"
	"time"

	"paynotify/store"
)

// A Redis may be down, or still load its data, while we start. The process then listens and says so, and
// everything begins when the store is there: first the look whether our master key is the one of this store,
// because until then nothing may be sealed, then the dispatcher and the chores. The embedded store is there
// from the beginning; on it a start fails at once.

const (
	admitEvery = 100 * time.Millisecond // between two looks at a store that came and went again
	admitWait  = 2 * time.Second        // of one look: a Redis that hangs must not keep us from listening
	keysEvery  = time.Minute            // between two looks whether others seal with a key that we lack
)

// errNotYet is why nothing may be asked of the store.
var errNotYet = errors.New("waiting for the store: nothing is accepted or sent until it is there")

// notYet is errNotYet until the store is there and ours.
func (e *engine) notYet() error {
	if isClosed(e.admitted) {
		return nil
	}
	return errNotYet
}

// admitNow admits a store that is there already, so that a wrong master key ends the start and not a process
// that listens.
func (e *engine) admitNow(ctx context.Context) error {
	remote := e.backend.ready != nil
	if remote && !isClosed(e.backend.ready) {
		return nil
	}
	err := e.own(ctx)
	switch {
	case err == nil:
		e.begin(ctx)
	case remote && errors.Is(err, store.ErrUnavailable):
		err = nil // it went again: admit waits for it
	case !errors.As(err, new(*problem)):
		err = &problem{code: exitIO, what: "cannot use the store", why: err.Error()}
	}
	return err
}

// admit waits for the store and admits it.
func (e *engine) admit(ctx context.Context) error {
	if isClosed(e.admitted) {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-e.backend.ready:
	}
	again := time.NewTicker(admitEvery)
	defer again.Stop()
	for {
		err := e.own(ctx)
		if err == nil {
			e.begin(ctx)
			e.log.Info("the store is there: accepting and sending")
			return nil
		}
		if !errors.Is(err, store.ErrUnavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// own is one look whether the store is ours.
func (e *engine) own(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, admitWait)
	defer cancel()
	return e.keys.own(ctx, e.Store)
}

// begin opens the doors, and says so where an operator has to act before anything is sent.
func (e *engine) begin(ctx context.Context) {
	close(e.admitted)
	if s, err := e.Store.Sending(ctx); err == nil && s.Paused {
		e.log.Warn(`sending is stopped; "paynotify sending start --reason …" starts it`, "reason", s.Reason,
			"since", s.Since)
	}
}

// watchKeys looks now and then whether another process has begun to seal with a master key that this one
// lacks: merchants of that process cannot be sent to from here. That is said and not punished, because with a
// new key that is rolled out node by node it is a passing state.
func (e *engine) watchKeys(ctx context.Context) {
	again := time.NewTicker(keysEvery)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		if e.notYet() == nil {
			e.lookAtKeys(ctx)
		}
	}
}

// lookAtKeys is one look of watchKeys. A store that does not answer leaves what was known.
func (e *engine) lookAtKeys(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, admitWait)
	defer cancel()
	_, err := e.keys.known(ctx, e.Store)
	strange := errors.As(err, new(*problem))
	if err != nil && !strange {
		return
	}
	if !e.strange.Swap(strange) && strange {
		e.log.Error("another process seals with a master key that this one does not have", "err", err)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
