package main

import (
	"context"
	"fmt"

	"paynotify/store"
)

// tally is what became of the notifications, of one merchant or of all.
type tally struct {
	accepted, spent, exhausted, pending int
	other                               int // canceled or quarantined: somebody used the API meanwhile
	sends                               int64
	last                                string // verdict and reason of the newest attempt
	lost                                int
}

// summary prints the table and the line that says whether anything was lost.
func (s *show) summary(ctx context.Context) error {
	stored, err := s.stored(ctx)
	if err != nil {
		return err
	}
	rows, all := s.count(stored)
	paint := s.line.paint
	const format = "%-*s  %8s  %5s  %9s  %7s  %5s  %s\n"
	fmt.Fprintf(s.out, "\n"+format, merchantWidth, "merchant", "accepted", "spent", "exhausted", "pending",
		"sends", "last verdict")
	for _, shop := range s.shops {
		t := rows[shop.mchID]
		fmt.Fprintf(s.out, format, merchantWidth, shop.mchID, num(t.accepted), num(t.spent), num(t.exhausted),
			num(t.pending), num(int(t.sends)), t.last)
	}
	fmt.Fprintln(s.out)
	if all.other > 0 {
		fmt.Fprintf(s.out, "%d more were canceled or quarantined while this ran.\n", all.other)
	}
	line := fmt.Sprintf("accepted=%d spent=%d exhausted=%d pending=%d lost=%d",
		all.accepted, all.spent, all.exhausted, all.pending, all.lost)
	if all.lost > 0 {
		line = paint.red(line)
	}
	if _, err = fmt.Fprintln(s.out, line); err != nil || s.options.records == nil {
		return err
	}
	return printEach(s.options.records, []map[string]int{{
		"accepted": all.accepted, "spent": all.spent, "exhausted": all.exhausted, "pending": all.pending,
		"lost": all.lost,
	}})
}

func num(n int) string {
	if n == 0 {
		return "·"
	}
	return fmt.Sprint(n)
}

// stored is every notification in the store, by notify_id.
func (s *show) stored(ctx context.Context) (map[string]store.Notification, error) {
	const page = 500
	all := map[string]store.Notification{}
	for q := (store.Query{Limit: page}); ; {
		ns, cursor, err := s.engine.Store.List(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, n := range ns {
			all[n.NotifyID] = n
		}
		if cursor == "" {
			return all, nil
		}
		q.Cursor = cursor
	}
}

// count compares three books that nobody else keeps in step: what the API said it accepted, what the store
// has, and what the merchants booked. Lost is a payment that was accepted and that the store does not know,
// or that the store calls spent though its merchant never heard of it.
func (s *show) count(stored map[string]store.Notification) (rows map[string]*tally, all tally) {
	rows = map[string]*tally{}
	shops := map[string]*shop{}
	newest := map[string]store.Notification{}
	for _, shop := range s.shops {
		rows[shop.mchID], shops[shop.mchID] = &tally{sends: shop.merchant.Count()}, shop
	}
	for _, id := range s.accepted {
		if _, known := stored[id]; !known {
			all.accepted++
			all.lost++
		}
	}
	for id, n := range stored {
		row, ours := rows[n.MchID]
		if !ours {
			row = &tally{} // a merchant that somebody added while this ran
		}
		for _, t := range []*tally{row, &all} {
			t.add(n.State)
		}
		if ours && n.State == store.Spent && !shops[n.MchID].merchant.Booked(id) {
			all.lost++
		}
		if n.LastAt.After(newest[n.MchID].LastAt) {
			newest[n.MchID], row.last = n, fmt.Sprintf("%s %s", n.LastVerdict, n.LastReason)
		}
	}
	return rows, all
}

func (t *tally) add(s store.State) {
	switch s {
	case store.Spent:
		t.spent++
	case store.Exhausted:
		t.exhausted++
	case store.Pending:
		t.pending++
	default:
		t.other++
		return
	}
	t.accepted++
}
