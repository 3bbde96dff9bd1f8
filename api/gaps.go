package api

import (
	"context"
	"reflect"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/store"
)

// GapsRequest is a list of order numbers that a merchant, or a ledger, knows of.
type GapsRequest struct {
	OutTradeNos []string `json:"out_trade_nos" minItems:"1" maxItems:"10000" nullable:"false"`
}

// GapsView says which of them the merchant has not acknowledged, in the order of the request.
type GapsView struct {
	NeverSeen []string  `json:"never_seen" nullable:"false" doc:"No notification with it is known"`
	NotSpent  []GapView `json:"not_spent" nullable:"false" doc:"What the merchant has not acknowledged"`
	Spent     int       `json:"spent" doc:"Order numbers of which everything is acknowledged"`
}

// GapView is the newest notification of one type about an order, where none of that type was acknowledged.
type GapView struct {
	OutTradeNo  string      `json:"out_trade_no"`
	NotifyType  string      `json:"notify_type"`
	NotifyID    string      `json:"notify_id"`
	NotifyState store.State `json:"notify_state" enum:"pending,exhausted,canceled,quarantined"`
}

const (
	gapsMax      = 10_000
	gapsBytesMax = 4 << 20 // 10,000 of 64 characters, each written as \uXXXX
	// gapDepth bounds how many notifications about one order are looked at, the newest first.
	gapDepth = 500
	// gapsWorkers ask the store at once: few enough to leave it time for others, enough that the round trips to
	// Redis do not add up.
	gapsWorkers = 4
	// gapsAnswerMax bounds all look-ups together, which take a second; each is bounded like any other.
	gapsAnswerMax = 30 * time.Second
	// gapFaultsMax bounds what is said of a list that is wrong throughout.
	gapFaultsMax = 20
)

func (a *API) gapsRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "find-gaps", Method: "POST", Path: "/v1/merchants/{mch_id}/gaps", Tags: tagMerchants,
		Summary: "Which of these orders was the merchant never told of?",
		Description: "It changes nothing. An order counts as spent when each notify_type that was accepted for " +
			"it has been acknowledged, by whichever notification.",
		MaxBodyBytes: gapsBytesMax, RequestBody: requestBody[GapsRequest](a),
	}, []int{404}, func(ctx context.Context, in *mchBody) (GapsView, error) {
		return withBody(&in.Body, func(req *GapsRequest) (GapsView, error) {
			return s.Gaps(ctx, in.MchID, *req)
		})
	})
}

func (*GapsRequest) documented() reflect.Type { return reflect.TypeFor[GapsRequest]() }

func (req *GapsRequest) readFrom(r *reader) {
	const at = "body.out_trade_nos"
	r.object("body", []string{"out_trade_nos"}, func(string) {
		r.array(at, func(i int) {
			if i == gapsMax {
				r.bad = problem(SlugTooMany, "There are more than "+itoa(gapsMax)+" order numbers; split the list.")
				return
			}
			if len(r.faults) >= gapFaultsMax {
				r.skip()
				return
			}
			before := len(r.faults)
			text := r.text(at + "." + itoa(i))
			switch {
			case r.bad != nil || len(r.faults) > before: // it is no text
			case text == "":
				r.fault(at+"."+itoa(i), "is empty", "remove it")
			case utf8.RuneCountInString(text) > store.OutTradeNoCharsMax:
				r.fault(at+"."+itoa(i), "has more than "+itoa(store.OutTradeNoCharsMax)+" characters", "remove it")
			}
			req.OutTradeNos = append(req.OutTradeNos, text)
		})
	})
	if r.bad == nil && len(r.faults) == 0 && len(req.OutTradeNos) == 0 {
		r.fault(at, "is empty", "give 1 to "+itoa(gapsMax)+" order numbers")
	}
}

// Gaps looks for what a merchant was not told of, or has not acknowledged, among 1 to 10,000 order numbers.
func (s *Service) Gaps(ctx context.Context, mchID string, req GapsRequest) (GapsView, error) {
	v := GapsView{NeverSeen: []string{}, NotSpent: []GapView{}}
	if _, p := s.merchant(ctx, mchID); p != nil {
		return v, p
	}
	ctx, cancel := context.WithTimeout(ctx, gapsAnswerMax)
	defer cancel()
	orders := distinct(req.OutTradeNos)
	found, err := inParallel(ctx, orders, func(ctx context.Context, order string) (gapsOf, error) {
		return s.gapsOf(ctx, mchID, order)
	})
	if err != nil {
		return v, fromStore(err)
	}
	for i, f := range found {
		switch {
		case !f.seen:
			v.NeverSeen = append(v.NeverSeen, orders[i])
		case len(f.open) > 0:
			v.NotSpent = append(v.NotSpent, f.open...)
		default:
			v.Spent++
		}
	}
	return v, nil
}

// distinct drops repetitions.
func distinct(texts []string) []string {
	seen := make(map[string]bool, len(texts))
	return slices.DeleteFunc(slices.Clone(texts), func(text string) bool {
		was := seen[text]
		seen[text] = true
		return was
	})
}

// gapsOf is what is known of one order.
type gapsOf struct {
	seen bool
	open []GapView // one for each notify_type of which nothing was acknowledged
}

func (s *Service) gapsOf(ctx context.Context, mchID, order string) (g gapsOf, err error) {
	spent := map[string]bool{} // by notify_type
	q := store.Query{MchID: mchID, OutTradeNo: order, Limit: pageMax}
	for looked := 0; looked < gapDepth; {
		ns, next, err := s.listPage(ctx, q)
		if err != nil {
			return g, err
		}
		for i := range ns {
			n := &ns[i]
			newest := !slices.ContainsFunc(g.open, func(v GapView) bool { return v.NotifyType == n.NotifyType })
			if g.seen = true; n.State == store.Spent {
				spent[n.NotifyType] = true
			} else if newest {
				g.open = append(g.open, GapView{
					OutTradeNo: order, NotifyType: n.NotifyType, NotifyID: n.NotifyID, NotifyState: n.State,
				})
			}
		}
		if looked, q.Cursor = looked+len(ns), next; next == "" {
			break
		}
	}
	g.open = slices.DeleteFunc(g.open, func(v GapView) bool { return spent[v.NotifyType] })
	return g, nil
}

// inParallel asks for each item, a few at a time, and answers in their order, or with the first error.
func inParallel[I, T any](
	ctx context.Context, items []I, ask func(ctx context.Context, item I) (T, error),
) ([]T, error) {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	answers, next := make([]T, len(items)), make(chan int)
	var workers sync.WaitGroup
	for range min(gapsWorkers, len(items)) {
		workers.Go(func() {
			for i := range next {
				var err error
				if answers[i], err = ask(ctx, items[i]); err != nil {
					stop(err)
				}
			}
		})
	}
	for i := range items {
		select {
		case next <- i:
			continue
		case <-ctx.Done():
		}
		break
	}
	close(next)
	workers.Wait()
	return answers, context.Cause(ctx)
}
