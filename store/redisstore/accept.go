package redisstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"time"

	"paynotify/store"
)

// acceptPatience is how long an Accept waits for Redis: the API answers 503 within 2 s.
const acceptPatience = 1800 * time.Millisecond

const (
	acceptAnswer = 4 // values of each item in the reply
)

// Accept stores items durably; see store.Store. The items of one shard go in one step. When some shards took
// theirs and others did not, the error is for all, and claims that were given out are taken back.
func (s *Store) Accept(
	ctx context.Context, items []store.Incoming, lease time.Duration,
) ([]store.Accepted, error) {
	shards := s.shards()
	if shards == 0 {
		return nil, s.notReady()
	}
	parts := make(map[int]*acceptPart, 1)
	for i := range items {
		shard := shardOf(items[i].MchID, shards)
		p := parts[shard]
		if p == nil {
			p = &acceptPart{shard: shard, lease: lease}
			parts[shard] = p
		}
		p.add(i, s.newborn(shard, &items[i]))
	}
	out := make([]store.Accepted, len(items))
	if len(parts) == 1 {
		for _, p := range parts {
			return out, s.acceptPart(ctx, p, items, out)
		}
	}
	var all sync.WaitGroup
	for _, p := range parts {
		all.Go(func() { p.err = s.acceptPart(ctx, p, items, out) })
	}
	all.Wait()
	var errs []error
	for _, p := range parts {
		errs = append(errs, p.err)
	}
	if err := errors.Join(errs...); err != nil {
		for i := range out {
			if out[i].Claim != nil {
				s.takeBack(out[i].Claim.MchID, out[i].NotifyID, out[i].Claim.Token)
			}
		}
		return nil, err
	}
	return out, nil
}

// acceptPart is what one shard has to accept.
type acceptPart struct {
	shard int
	lease time.Duration
	at    []int // places of the items in the call
	born  []*record
	args  []any
	err   error
}

// newborn makes the record of a notification, as it is when it is claimed at once, if that is wanted. Its
// instant is Redis's clock as this process knows it, another microsecond for each.
func (s *Store) newborn(shard int, item *store.Incoming) *record {
	us := s.nextMicro()
	at := time.UnixMicro(us).UTC()
	r := &record{n: item.Notification}
	r.n.Accept(store.NewID(at, shard), at)
	if item.Want {
		r.token, r.claimed, r.class = newToken(), us, '1'
		r.front = frontOf(0, r.token, us, r.class)
	}
	return r
}

// nextMicro is now in microseconds, and never the same twice in this process.
func (s *Store) nextMicro() int64 {
	now := s.Now().UnixMicro()
	for {
		last := s.lastMicro.Load()
		us := max(now, last+1)
		if s.lastMicro.CompareAndSwap(last, us) {
			return us
		}
	}
}

const tokenBytes = 6

// newToken fences one claim: random, so that no process need ask another.
func newToken() uint64 {
	for {
		if token := rand.Uint64() >> (64 - 8*tokenBytes); token != 0 { //nolint:gosec // a fence, no secret
			return token
		}
	}
}

func (p *acceptPart) add(i int, r *record) {
	n := &r.n
	us := n.CreatedAt.UnixMicro()
	header, body := (&record{n: *n}).header(us), packBody(n)
	r.bodyAt = frontBytes + len(header)
	key, otn := "", any("")
	if n.IdempotencyKey != "" {
		key = keyField(n.IdempotencyKey)
	}
	if n.OutTradeNo != "" {
		otn = otnScore(n.OutTradeNo)
	}
	p.args = append(p.args, n.MchID, n.NotifyID, us, key, otn, r.front, append(header, body...))
	p.at, p.born = append(p.at, i), append(p.born, r)
}

// acceptPart runs the script of one shard and writes its answers to their places in out.
func (s *Store) acceptPart(
	ctx context.Context, p *acceptPart, items []store.Incoming, out []store.Accepted,
) error {
	args := append([]any{
		s.opts.MaxInflightDefault, p.lease.Microseconds(), unclaimed,
	}, p.args...)
	reply, err := s.run(ctx, call{
		shard: p.shard, script: acceptScript, args: args, wait: true, grows: true, patience: acceptPatience,
		late: func(reply []any) { s.acceptedLate(p, reply) },
	})
	if err != nil {
		return err
	}
	if len(reply) != 1+acceptAnswer*len(p.at) {
		return fmt.Errorf("accept answered %d values for %d items", len(reply), len(p.at))
	}
	for k, i := range p.at {
		a, err := s.accepted(ctx, p, k, &items[i], reply[1+acceptAnswer*k:])
		if err != nil {
			s.acceptedLate(p, reply) // the error is for all of them
			return err
		}
		out[i] = a
	}
	return nil
}

// accepted reads the answer to the kth item of a shard.
func (s *Store) accepted(
	ctx context.Context, p *acceptPart, k int, item *store.Incoming, v []any,
) (a store.Accepted, err error) {
	r := p.born[k]
	switch a.Status = store.AcceptStatus(toInt(v[0])); a.Status {
	case store.NoMerchant:
		return a, nil
	case store.Replayed:
		a.NotifyID = toText(v[1])
		return s.replayed(ctx, p.shard, item, a)
	}
	a.NotifyID, a.CreatedAt = r.n.NotifyID, r.n.CreatedAt
	r.revision = toInt(v[3])
	s.cache.atLeast(item.MchID, r.revision)
	if toInt(v[2]) == 0 {
		return a, nil
	}
	c := r.n.Claimed(r.token, r.revision, r.n.CreatedAt, p.lease)
	r.claim = claimed{trigger: c.Trigger, send: c.Send, scheduled: c.ScheduledAt}
	s.live.add(r)
	a.Claim = &c
	return a, nil
}

// replayed answers an item whose idempotency key is known.
func (s *Store) replayed(
	ctx context.Context, shard int, item *store.Incoming, a store.Accepted,
) (store.Accepted, error) {
	first, err := s.fetch(ctx, shard, a.NotifyID)
	switch {
	case errors.Is(err, errDamaged):
	case err != nil:
		return a, err
	case first == nil:
		return a, fmt.Errorf("%w: the record behind an idempotency key was deleted just now",
			store.ErrUnavailable)
	}
	a.CreatedAt = first.n.CreatedAt
	if !bytes.Equal(first.n.ContentDigest, item.ContentDigest) {
		a.Status = store.Conflict
	}
	return a, nil
}

// acceptedLate takes back the claims of an Accept whose caller has gone: nobody would make the attempts.
func (s *Store) acceptedLate(p *acceptPart, reply []any) {
	for k, r := range p.born {
		if v := reply[1+acceptAnswer*k:]; len(v) >= acceptAnswer && toInt(v[2]) != 0 {
			s.takeBack(r.n.MchID, r.n.NotifyID, r.token)
		}
	}
}

// takeBackPatience bounds the attempt to take a claim back; its lease does it otherwise.
const takeBackPatience = 10 * time.Second

// takeBack undoes a claim that came to nothing, as if it had never been given.
func (s *Store) takeBack(mchID, notifyID string, token uint64) {
	ctx, cancel := context.WithTimeout(context.Background(), takeBackPatience)
	defer cancel()
	s.live.take(notifyID, token)
	_, err := s.change(ctx, shardOf(mchID, s.shards()), notifyID, func(e *edit) error {
		if e.r.token != token {
			return errUnchanged
		}
		e.release = true
		return nil
	})
	if err != nil && !errors.Is(err, errUnchanged) {
		s.log.Warn("a claim could not be taken back; its lease ends it", "notify_id", notifyID, "err", err)
	}
}

func toInt(v any) int64 {
	switch v := v.(type) {
	case int64:
		return v
	case string:
		n, _ := strconv.ParseInt(v, 10, 64)
		return n
	}
	return 0
}

func toText(v any) string {
	text, _ := v.(string)
	return text
}
