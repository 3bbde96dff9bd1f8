package store

import (
	"context"
	"time"
)

// naive is a Survey by reading everything.
type naive struct{ s Store }

// NaiveSurvey answers by reading everything that matches.
func NaiveSurvey(s Store) Survey { return naive{s} }

func (v naive) each(ctx context.Context, q Query, do func(n *Notification)) error {
	q.Limit = 500
	for {
		ns, next, err := v.s.List(ctx, q)
		if err != nil {
			return err
		}
		for i := range ns {
			do(&ns[i])
		}
		if next == "" {
			return nil
		}
		q.Cursor = next
	}
}

func (v naive) Count(ctx context.Context, q Query, _ int) (Counts, error) {
	c := Counts{ByMerchant: map[string]int{}}
	err := v.each(ctx, q, func(n *Notification) { c.ByMerchant[n.MchID]++; c.Total++ })
	return c, err
}

func (v naive) Sample(ctx context.Context, q Query, most int) (out []Notification, err error) {
	err = v.each(ctx, q, func(n *Notification) { out = append(out, *n) })
	for len(out) > most {
		for i := 0; i < len(out)/2; i++ {
			out[i] = out[2*i]
		}
		out = out[:len(out)/2]
	}
	return out, err
}

func (v naive) Oldest(ctx context.Context, q Query) (at time.Time, err error) {
	err = v.each(ctx, q, func(n *Notification) { at = n.CreatedAt })
	return at, err
}

func (v naive) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (Outlook, error) {
	o := Outlook{At: v.s.Now(), Due: make([]int, steps), Exact: true}
	err := v.each(ctx, Query{MchID: mchID, State: Pending}, func(n *Notification) {
		switch i := n.NextAt.Sub(from) / step; {
		case n.NextAt.Before(from):
			o.Overdue++
		case int(i) < steps:
			o.Due[i]++
		default:
			o.Later++
		}
	})
	return o, err
}
