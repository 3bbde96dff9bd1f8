package store

import (
	"context"
	"time"
)

// Survey answers questions about many notifications at once, for those who look at a store with a million of
// them and want an answer now. Of a Query it reads MchID, State, Verdict, Reason, CreatedFrom and CreatedTo;
// the other fields must be empty. The engine's own merchants (see Reserved) count when MchID names one.
type Survey interface {
	// Count counts what matches, by merchant; also merchants that are gone. When most is not 0 it may stop as
	// soon as it has counted most, and says so.
	Count(ctx context.Context, q Query, most int) (Counts, error)

	// Sample returns what matches, or where that is more than most, about most of them spread evenly over all:
	// each was as likely to be taken as any other. In no particular order.
	Sample(ctx context.Context, q Query, most int) ([]Notification, error)

	// Oldest is the CreatedAt of the oldest that matches, zero when none does.
	Oldest(ctx context.Context, q Query) (time.Time, error)

	// Outlook counts the sends that are to come, by the step of time in which they are due: step i begins at
	// from + i × step. With a merchant it counts that one's. What is held is counted as if it were not. Where
	// there are many it may count a fair sample and scale it up.
	Outlook(ctx context.Context, mchID string, from time.Time, step time.Duration, steps int) (Outlook, error)
}

// Counts is the answer to Count.
type Counts struct {
	ByMerchant map[string]int
	Total      int
	More       bool // there are more: it stopped at most
}

// Outlook is the answer to Survey.Outlook.
type Outlook struct {
	At      time.Time // of the count, by the store's clock; up to some seconds ago
	Overdue int       // due before from
	Due     []int     // by step
	Later   int       // due behind the last step
	Exact   bool      // nothing was scaled up
}
