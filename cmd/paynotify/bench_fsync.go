package main

import (
	"context"
	"errors"
	"fmt"
)

// fsync compares appendfsync always with everysec. Both are set for the whole Redis; what was set before is
// set again at the end, however that comes.
func (b *bench) fsync() (err error) {
	was, err := b.redis.fsync(b.ctx)
	if err != nil {
		return err
	}
	if was == "" {
		return errors.New("this Redis does not tell its appendfsync: measure it with each setting in turn")
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), benchRedisWait)
		defer cancel()
		if again := b.redis.setFsync(ctx, was); again != nil {
			err = errors.Join(err, fmt.Errorf("set it back yourself, CONFIG SET appendfsync %s: %w", was, again))
		}
	}()
	e, mchs, err := b.warm("fsync")
	if err != nil {
		return err
	}
	var everysec, always, ratios []float64
	for range b.rounds {
		x, err := b.measureFsync(e, mchs, "everysec")
		if err != nil {
			return err
		}
		y, err := b.measureFsync(e, mchs, "always")
		if err != nil {
			return err
		}
		everysec, always = append(everysec, x), append(always, y)
		ratios = append(ratios, y/x)
	}
	const s = "fsync"
	b.say(s, "delivered, everysec", median(everysec), "/s", "one item a request")
	b.say(s, "delivered, always", median(always), "/s", "")
	b.say(s, "always / everysec", median(ratios), "", "wanted ≥ 0.7")
	return nil
}

func (b *bench) measureFsync(e *benchEngine, mchs []string, how string) (float64, error) {
	if err := b.redis.setFsync(b.ctx, how); err != nil {
		return 0, err
	}
	r, err := b.measure(e, mchs, 1, b.messages)
	return r.perSecond, err
}
