package api

import (
	"context"
	"errors"
	"io"
	"time"

	"paynotify/store"
)

// StatsView counts over everything.
type StatsView struct {
	States               map[string]int `json:"states" doc:"Notifications by state; every state is there"`
	Held                 int            `json:"held" doc:"Pending and not sent now"`
	Due                  int            `json:"due" doc:"Due, neither held nor in flight"`
	OldestOverdueSeconds float64        `json:"oldest_overdue_seconds" doc:"0 when nothing is due"`
	InFlight             int            `json:"in_flight"`
	Merchants            MerchantCounts `json:"merchants"`
}

// MerchantCounts counts merchants, each in one of these.
type MerchantCounts struct {
	Active      int `json:"active"`
	Failing     int `json:"failing"`
	Paused      int `json:"paused"`
	BreakerOpen int `json:"breaker_open"`
}

// SendingView is the switch that stops all sending.
type SendingView struct {
	Paused bool    `json:"paused"`
	Reason *string `json:"reason"`
	Since  *Time   `json:"since" nullable:"true" doc:"null when it was never turned"`
}

// Stats counts notifications and merchants.
func (s *Service) Stats(ctx context.Context) (StatsView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if err := whole(ctx); err != nil {
		return StatsView{}, err
	}
	st, err := s.Store.Stats(ctx)
	if err != nil {
		return StatsView{}, fromStore(err)
	}
	v := StatsView{
		States: map[string]int{}, Held: st.Held, Due: st.Due, InFlight: st.InFlight,
		Merchants: MerchantCounts(st.Merchants),
	}
	for _, state := range store.States {
		v.States[string(state)] = st.States[state]
	}
	if !st.OldestDue.IsZero() {
		v.OldestOverdueSeconds = max(0, s.Now().Sub(st.OldestDue).Seconds())
	}
	return v, nil
}

// Sending tells how the switch stands.
func (s *Service) Sending(ctx context.Context) (SendingView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	now, err := s.Store.Sending(ctx)
	if err != nil {
		return SendingView{}, fromStore(err)
	}
	return SendingView{Paused: now.Paused, Reason: orNil(now.Reason), Since: timeOrNil(now.Since)}, nil
}

// SetSending turns the switch, on every node; accepting goes on.
func (s *Service) SetSending(ctx context.Context, req SendingRequest) (SendingView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	to := store.Sending{Paused: req.Paused, Reason: req.Reason, Since: s.Now().UTC().Truncate(time.Microsecond)}
	before, err := s.Store.Sending(ctx)
	if err == nil {
		err = s.Store.SetSending(ctx, to)
	}
	if err != nil {
		return SendingView{}, fromStore(err)
	}
	was, is := facts{}, facts{}
	was.set("paused", before.Paused)
	is.set("paused", to.Paused)
	note(ctx, "sending", was, is)
	noteReason(ctx, req.Reason)
	s.Log.Warn("sending switched", "paused", req.Paused, "reason", req.Reason)
	s.Intake.Nudge()
	return s.Sending(ctx)
}

// Backup writes a consistent copy of an embedded store.
func (s *Service) Backup(ctx context.Context, w io.Writer) error {
	err := errors.ErrUnsupported
	if b, can := s.Store.(store.Backuper); can {
		err = b.Backup(ctx, w)
	}
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return problem(SlugNoBackup, "This store is on Redis, which makes its own backups: copy its AOF or "+
			"RDB files, or keep a replica. Keep the master key too.")
	case err != nil:
		return fromStore(err)
	}
	return nil
}

// followEvery is how often a follower looks again: quick enough for eyes, cheap enough for a hundred of them.
const followEvery = 200 * time.Millisecond

// FollowAttempts gives the attempts settled after a cursor (empty: from now on), at most limit. When there
// are none it waits for some, at most wait or until stop is closed.
func (s *Service) FollowAttempts(
	ctx context.Context, after string, limit int, wait time.Duration, stop <-chan struct{},
) (AttemptPage, error) {
	out := AttemptPage{Attempts: []FollowedAttempt{}, NextCursor: after}
	deadline := time.NewTimer(wait)
	defer deadline.Stop()
	again := time.NewTicker(followEvery)
	defer again.Stop()
	for {
		settled, next, err := s.attempts(ctx, out.NextCursor, page(limit))
		if err != nil {
			return AttemptPage{}, err
		}
		out.NextCursor = next
		for i := range settled {
			if !store.Reserved(settled[i].MchID) && !foreign(ctx, settled[i].MchID) {
				out.Attempts = append(out.Attempts, followed(ctx, &settled[i]))
			}
		}
		if len(out.Attempts) > 0 || wait <= 0 {
			return out, nil
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return out, nil
		case <-stop:
			return out, nil
		case <-ctx.Done(): // the caller has gone, or the server stops
			return out, nil
		}
	}
}

func (s *Service) attempts(ctx context.Context, after string, limit int) ([]store.Settled, string, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	settled, next, err := s.Store.Attempts(ctx, after, limit)
	if err != nil {
		return nil, "", fromStore(err)
	}
	return settled, next, nil
}

func followed(ctx context.Context, s *store.Settled) FollowedAttempt {
	return FollowedAttempt{
		NotifyID: s.NotifyID, MchID: s.MchID, OutTradeNo: s.OutTradeNo, NotifyState: s.State,
		NextNotifyTime: timeOrNil(s.NextAt), NotifyCountLimit: s.Sends, AttemptView: attemptView(ctx, &s.Attempt),
	}
}
