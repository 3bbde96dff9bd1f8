package storetest

import (
	"context"
	"math/rand/v2"
	"time"

	"paynotify/store"
)

// surveyor is a store.Survey that reads everything: what a fast one must agree with.
type surveyor struct{ s store.Store }

// each calls do for everything that matches, newest first.
func (v surveyor) each(ctx context.Context, q store.Query, do func(n *store.Notification)) error {
	if err := q.CheckSurvey(); err != nil {
		return err
	}
	q.Limit = 500
	for {
		ns, next, err := v.s.List(ctx, q)
		if err != nil {
			return err
		}
		for i := range ns {
			if q.MchID != "" || !store.Reserved(ns[i].MchID) {
				do(&ns[i])
			}
		}
		if next == "" {
			return nil
		}
		q.Cursor = next
	}
}

// Count counts all, whatever most is.
func (v surveyor) Count(ctx context.Context, q store.Query, _ int) (store.Counts, error) {
	c := store.Counts{ByMerchant: map[string]int{}}
	err := v.each(ctx, q, func(n *store.Notification) { c.ByMerchant[n.MchID]++; c.Total++ })
	return c, err
}

// Sample draws from all.
func (v surveyor) Sample(ctx context.Context, q store.Query, most int) (out []store.Notification, err error) {
	err = v.each(ctx, q, func(n *store.Notification) { out = append(out, *n) })
	swap := func(i, j int) { out[i], out[j] = out[j], out[i] }
	rand.Shuffle(len(out), swap) //nolint:gosec // no secret
	return out[:min(len(out), most)], err
}

// Oldest looks at all.
func (v surveyor) Oldest(ctx context.Context, q store.Query) (at time.Time, err error) {
	err = v.each(ctx, q, func(n *store.Notification) {
		if at.IsZero() || n.CreatedAt.Before(at) {
			at = n.CreatedAt
		}
	})
	return at, err
}

// Outlook looks at every state: a person's send may be owed in any.
func (v surveyor) Outlook(
	ctx context.Context, mchID string, from time.Time, step time.Duration, steps int,
) (store.Outlook, error) {
	o := store.Outlook{At: v.s.Now(), Due: make([]int, steps), Exact: true}
	err := v.each(ctx, store.Query{MchID: mchID}, func(n *store.Notification) {
		free := *n
		free.Blocked = false
		at, _ := free.Due()
		switch {
		case at.IsZero():
		case at.Before(from):
			o.Overdue++
		case at.Before(from.Add(time.Duration(steps) * step)):
			o.Due[at.Sub(from)/step]++
		default:
			o.Later++
		}
	})
	return o, err
}
