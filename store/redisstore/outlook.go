package redisstore

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"

	"paynotify/store"
)

const (
	outlooked = 5 // values for each class of a lane
	stepsStep = 500
	// crowd is how many for each step make it cheaper to count steps than to read what is due in them.
	crowd = 4
	// dueRead is how many instants are read at most, and blockedRead how many notifications that are held for
	// their own address: of more a sample.
	dueRead     = 20_000
	blockedRead = 4096
)

var (
	outlookScript = newScript("walk", "outlook")
	stepsScript   = newScript("steps")
)

// outlook counts what is due, in microseconds.
type outlook struct {
	store.Outlook

	mu              sync.Mutex
	from, step, end int64
	blocked         []shelf // held for their own address
	crowds, others  []shelf // due sets, with what is due in some step
}

// Outlook counts the sends to come from the due sets; see store.Survey.
func (s *Store) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (store.Outlook, error) {
	o := &outlook{Outlook: store.Outlook{At: s.Now(), Due: make([]int, steps), Exact: true}}
	o.from, o.step = ceilMicro(from), max(1, step.Microseconds())
	o.end = o.from + o.step*int64(steps)
	shards := allShards(s.shards())
	switch {
	case len(shards) == 0:
		return store.Outlook{}, s.notReady()
	case mchID != "":
		shards = []int{shardOf(mchID, len(shards))}
	}
	err := eachShard(shards, func(shard int) error {
		return s.eachLane(ctx, shard, outlookScript, outlooked, func(place string) []any {
			return []any{mchID, place, o.from, o.end}
		}, func(v []any) bool {
			if mch := toText(v[0]); mchID != "" || !store.Reserved(mch) {
				o.see(shard, mch, toText(v[1]), toInt(v[2]), toInt(v[3]), toInt(v[4]))
			}
			return true
		})
	})
	for _, at := range o.crowds {
		if err == nil {
			err = s.countSteps(ctx, o, at)
		}
	}
	if err == nil {
		err = s.readDue(ctx, o)
	}
	if err == nil {
		err = s.readBlocked(ctx, o)
	}
	if err != nil {
		return store.Outlook{}, err
	}
	return o.Outlook, nil
}

// see takes in one class of a lane.
func (o *outlook) see(shard int, mch, class string, before, between, behind int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if class == "b" {
		o.blocked = append(o.blocked, shelf{shard, mch, "b:" + mch, between, 0})
		return
	}
	o.Overdue += int(before)
	o.Later += int(behind)
	at := shelf{shard, mch, "d" + class + ":" + mch, between, before}
	if between > int64(crowd*len(o.Due)) {
		o.crowds = append(o.crowds, at)
	} else if between > 0 {
		o.others = append(o.others, at)
	}
}

// add counts n that are due at an instant.
func (o *outlook) add(due int64, n int) {
	switch {
	case due < o.from:
		o.Overdue += n
	case due < o.end:
		o.Due[(due-o.from)/o.step] += n
	default:
		o.Later += n
	}
}

// countSteps counts a crowd step by step.
func (s *Store) countSteps(ctx context.Context, o *outlook, at shelf) error {
	for first := 0; first < len(o.Due); first += stepsStep {
		some := o.Due[first:min(first+stepsStep, len(o.Due))]
		reply, err := s.run(ctx, call{shard: at.shard, script: stepsScript, args: []any{
			at.set, o.from + int64(first)*o.step, o.step, len(some),
		}})
		if err != nil {
			return err
		}
		if len(reply) != 1+len(some) {
			return fmt.Errorf("steps answered %d values", len(reply))
		}
		for i := range some {
			some[i] += int(toInt(reply[1+i]))
		}
	}
	return nil
}

// readDue reads the instants of those that are no crowd, or of some of them.
func (s *Store) readDue(ctx context.Context, o *outlook) error {
	weight := o.weight(o.others, dueRead)
	due := make([]float64, len(o.Due))
	err := s.atRanks(ctx, ranksOf(o.others, dueRead), "s", func(_ int, got []string) {
		o.mu.Lock()
		defer o.mu.Unlock()
		for _, text := range got {
			us := toInt(text)
			if i := (us - o.from) / o.step; us >= o.from && i < int64(len(due)) {
				due[i] += weight
			}
		}
	})
	for i := range due {
		o.Due[i] += int(math.Round(due[i]))
	}
	return err
}

// weight is how many each one that is read stands for.
func (o *outlook) weight(all []shelf, most int) float64 {
	total := sum(all)
	if total <= int64(most) {
		return 1
	}
	o.Exact = false
	return float64(total) / float64(most)
}

// readBlocked reads notifications that are held for their own address, which say when they were planned.
func (s *Store) readBlocked(ctx context.Context, o *outlook) error {
	if len(o.blocked) == 0 {
		return nil
	}
	weight := int(math.Round(o.weight(o.blocked, blockedRead)))
	spots, err := s.draw(ctx, o.blocked, blockedRead)
	if err != nil {
		return err
	}
	rs, err := s.loadAll(ctx, spots)
	for _, r := range rs {
		if r == nil || !r.n.Blocked {
			continue
		}
		r.n.Blocked = false
		if class, due := dueOf(&r.n); class != "" {
			o.add(due, weight)
		}
	}
	return err
}
