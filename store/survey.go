package store

import (
	"context"
	"errors"
	"time"
)

// Survey answers questions about many notifications at once, for those who look at a store with a million of
// them and want an answer now. Of a Query it reads MchID, State, Verdict, Reason, CreatedFrom and CreatedTo;
// the other fields must be empty (see Query.CheckSurvey). The engine's own merchants (see Reserved) count
// when MchID names one, and only then.
type Survey interface {
	// Count counts what matches, by merchant; also merchants that are gone. When most is not 0 it may stop as
	// soon as it has counted most, and says so.
	Count(ctx context.Context, q Query, most int) (Counts, error)

	// Sample returns what matches, or where that is more than most, about most of them and never more, spread
	// evenly over all: each was as likely to be taken as any other. In no particular order.
	Sample(ctx context.Context, q Query, most int) ([]Notification, error)

	// Oldest is the CreatedAt of the oldest that matches, zero when none does.
	Oldest(ctx context.Context, q Query) (time.Time, error)

	// Outlook counts the sends that are to come, by the step of time in which they are due: step i begins at
	// from + i × step. With a merchant it counts that one's. A notification counts once, for its next attempt
	// (see Notification.Due); one that is held as if it were not, one in flight not at all. Where there are
	// many it may count a fair sample and scale it up.
	Outlook(ctx context.Context, mchID string, from time.Time, step time.Duration, steps int) (Outlook, error)
}

// Counts is the answer to Count.
type Counts struct {
	ByMerchant map[string]int
	Total      int
	More       bool // it stopped at most: there may be more
}

// Outlook is the answer to Survey.Outlook.
type Outlook struct {
	At      time.Time // of the count, by the store's clock; up to some seconds ago
	Overdue int       // due before from
	Due     []int     // by step
	Later   int       // due behind the last step
	Exact   bool      // nothing was scaled up
}

// CheckSurvey refuses a query with fields that Survey does not read: its answer would be about more than was
// asked for.
func (q Query) CheckSurvey() error {
	if q.Held != "" || q.OutTradeNo != "" || q.Cursor != "" {
		return errors.New("a survey cannot be limited by out_trade_no, held or cursor")
	}
	return nil
}
