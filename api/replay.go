package api

import (
	"context"
	"errors"
	"math/big"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/replay"
	"paynotify/store"
)

const (
	replayRateMax      = 10_000 // sends a second; more than one process makes
	replaySampleMax    = 1000   // notifications that are read for the amounts of a plan
	replaySpentLookMax = 10_000 // spent ones that are counted for a plan
)

// replayStates are the states from which many may be sent again at once.
var replayStates = []store.State{store.Exhausted, store.Canceled, store.Quarantined, store.Pending}

// ReplayRequest is the body of replay; all of it is optional.
type ReplayRequest struct {
	MchID         string      `json:"mch_id,omitempty" doc:"Only this merchant's; default: all merchants'"`
	NotifyState   store.State `json:"notify_state,omitempty" enum:"exhausted,canceled,quarantined,pending"`
	CreatedFrom   *time.Time  `json:"created_from,omitempty" doc:"Accepted since, inclusive"`
	CreatedTo     *time.Time  `json:"created_to,omitempty" doc:"Accepted before, exclusive"`
	RatePerSecond float64     `json:"rate_per_second,omitempty" minimum:"0" doc:"0 = as the merchants allow"`
	DryRun        bool        `json:"dry_run,omitempty" doc:"Only tell what would be sent"`
	Reason        string      `json:"reason,omitempty" maxLength:"256" doc:"For the log"`
}

// ReplayPlan is what a replay would do.
type ReplayPlan struct {
	Matched          int               `json:"matched" doc:"Notifications that would be sent again"`
	Merchants        map[string]int    `json:"merchants" nullable:"false" doc:"Of these, by mch_id"`
	SkippedSpent     int               `json:"skipped_spent" doc:"In the same range, but acknowledged"`
	SkippedSpentMore bool              `json:"skipped_spent_more" doc:"There are more than skipped_spent says"`
	Amounts          map[string]string `json:"amounts" nullable:"false" doc:"Sums of money, by parameter"`
	AmountsEstimated bool              `json:"amounts_estimated" doc:"The sums are those of a sample, scaled up"`
}

// ReplayView is a replay as the API shows it.
type ReplayView struct {
	ReplayID      string       `json:"replay_id"`
	State         replay.Phase `json:"state" enum:"running,done,canceled"`
	Matched       int          `json:"matched" doc:"Notifications that matched when it began"`
	Asked         int          `json:"asked" doc:"Those for which a send was asked for"`
	Sent          int          `json:"sent" doc:"Of these, those that were sent"`
	Spent         int          `json:"spent" doc:"Of those sent, the acknowledged ones"`
	Skipped       int          `json:"skipped" doc:"Acknowledged, canceled or gone before their turn"`
	Held          int          `json:"held" doc:"Of those asked for: go out when their merchant is not held"`
	MchID         *string      `json:"mch_id" doc:"null = all merchants"`
	NotifyState   store.State  `json:"notify_state" enum:"exhausted,canceled,quarantined,pending"`
	CreatedFrom   *Time        `json:"created_from" nullable:"true"`
	CreatedTo     *Time        `json:"created_to" nullable:"true"`
	RatePerSecond float64      `json:"rate_per_second" doc:"0 = as the merchants allow"`
	Reason        *string      `json:"reason"`
	CreatedAt     Time         `json:"created_at"`
	EndedAt       *Time        `json:"ended_at" nullable:"true" doc:"null while it is running"`
}

// ReplayList is what replays there were.
type ReplayList struct {
	Replays []ReplayView `json:"replays" nullable:"false" doc:"Newest first, the last 100"`
}

// PlanReplay tells what a replay would do.
func (s *Service) PlanReplay(ctx context.Context, req ReplayRequest) (ReplayPlan, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	job, err := s.replayJob(ctx, &req)
	if err != nil {
		return ReplayPlan{}, err
	}
	q := store.Query{MchID: job.MchID, State: job.State, CreatedFrom: job.From, CreatedTo: job.To}
	acknowledged := q
	acknowledged.State = store.Spent
	var (
		counts, spent store.Counts
		sample        []store.Notification
		errs          [3]error
		calls         sync.WaitGroup
	)
	calls.Go(func() { counts, errs[0] = s.Store.Count(ctx, q, 0) })
	calls.Go(func() { sample, errs[1] = s.Store.Sample(ctx, q, replaySampleMax) })
	calls.Go(func() { spent, errs[2] = s.Store.Count(ctx, acknowledged, replaySpentLookMax) })
	calls.Wait()
	if err := errors.Join(errs[:]...); err != nil {
		return ReplayPlan{}, fromStore(err)
	}
	p := ReplayPlan{
		Matched: counts.Total, Merchants: counts.ByMerchant, SkippedSpent: spent.Total,
		SkippedSpentMore: spent.More,
	}
	p.Amounts, p.AmountsEstimated = amountsOf(sample, counts.Total)
	noteReplay(ctx, &job, "dry_run", true)
	return p, nil
}

// amountsOf sums up the money of a sample of so many notifications; it reports whether that is an estimate.
func amountsOf(sample []store.Notification, of int) (sums map[string]string, estimated bool) {
	var amounts profile.Amounts
	for i := range sample {
		amounts.Add(profile.Amount(sample[i].Profile, sample[i].Params))
	}
	sums = amounts.Texts()
	if of <= len(sample) || len(sample) == 0 {
		return sums, false
	}
	for field, text := range sums {
		sum, ok := new(big.Rat).SetString(text)
		if !ok {
			continue
		}
		_, decimals, _ := strings.Cut(text, ".")
		sum.Mul(sum, big.NewRat(int64(of), int64(len(sample))))
		sums[field] = sum.FloatString(len(decimals))
	}
	return sums, true
}

// Replay has all notifications that match sent again, once each; it goes on after the answer, and after a
// restart of the process.
func (s *Service) Replay(ctx context.Context, req ReplayRequest) (ReplayView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	job, err := s.replayJob(ctx, &req)
	if err != nil {
		return ReplayView{}, err
	}
	q := store.Query{MchID: job.MchID, State: job.State, CreatedFrom: job.From, CreatedTo: job.To}
	counts, err := s.Store.Count(ctx, q, 0)
	if err != nil {
		return ReplayView{}, fromStore(err)
	}
	job.Matched = counts.Total
	if job, err = replay.Start(ctx, s.Store, job, s.Store.Now()); err != nil {
		return ReplayView{}, fromStore(err)
	}
	noteReplay(ctx, &job, "matched", job.Matched)
	s.Log.Info("replay begun", "replay_id", job.ID, "mch_id", job.MchID, "state", job.State,
		"matched", job.Matched, "rate_per_second", job.RatePerSecond, "reason", job.Reason)
	if s.ReplayBegun != nil {
		s.ReplayBegun()
	}
	return replayView(&job), nil
}

// replayJob is the job that a request asks for. Its error is a *Problem.
func (s *Service) replayJob(ctx context.Context, req *ReplayRequest) (j replay.Job, err error) {
	if req.MchID == "" {
		req.MchID = boundTo(ctx)
	}
	if p := req.check(); p != nil {
		return j, p
	}
	if req.MchID != "" {
		err := ownMerchant(ctx, req.MchID)
		if err == nil && store.Reserved(req.MchID) {
			err = store.ErrNoMerchant
		}
		if err == nil {
			_, err = s.Store.Merchant(ctx, req.MchID) // a deleted merchant's lane is never run
		}
		if err != nil {
			return j, fromStore(err)
		}
	}
	j = replay.Job{
		MchID: req.MchID, State: req.NotifyState, RatePerSecond: req.RatePerSecond, Reason: req.Reason,
	}
	if j.State == "" {
		j.State = store.Exhausted
	}
	if req.CreatedFrom != nil {
		j.From = req.CreatedFrom.UTC()
	}
	if req.CreatedTo != nil {
		j.To = req.CreatedTo.UTC()
	}
	return j, nil
}

// check finds what is wrong with a request that could be read.
func (req *ReplayRequest) check() *Problem {
	var faults []profile.Fault
	if req.NotifyState == store.Spent {
		faults = append(faults, profile.Fault{
			Location: "body.notify_state", Message: "spent notifications were acknowledged and are not replayed",
			Cure: `send one again with resend and "force": true`,
		})
	} else {
		faults = oneOf(faults, "body.notify_state", string(req.NotifyState), replayStates)
	}
	var from, to time.Time
	if req.CreatedFrom != nil {
		from = *req.CreatedFrom
	}
	if req.CreatedTo != nil {
		to = *req.CreatedTo
	}
	faults = plausible(faults, "body.created_from", from)
	faults = plausible(faults, "body.created_to", to)
	if !from.IsZero() && !to.IsZero() && to.Before(from) {
		faults = append(faults, profile.Fault{
			Location: "body.created_to", Message: "lies before created_from", Cure: "exchange the two",
		})
	}
	if !(req.RatePerSecond >= 0 && req.RatePerSecond <= replayRateMax) {
		faults = append(faults, profile.Fault{
			Location: "body.rate_per_second", Message: "must be a number from 0 to " + itoa(replayRateMax),
			Cure: "give sends a second, or leave it out to go as fast as the merchants' limits allow",
		})
	}
	return invalid(faults)
}

// noteReplay says in the audit log what somebody did about a replay, and more, name by value.
func noteReplay(ctx context.Context, j *replay.Job, more ...any) {
	about := facts{}
	for i := 0; i+1 < len(more); i += 2 {
		name, _ := more[i].(string)
		about.set(name, more[i+1])
	}
	about.set("mch_id", orNil(j.MchID))
	about.set("notify_state", j.State)
	about.set("created_from", timeOrNil(j.From))
	about.set("created_to", timeOrNil(j.To))
	about.set("rate_per_second", j.RatePerSecond)
	object := "replay"
	if j.ID != "" {
		object += "/" + j.ID
	}
	note(ctx, object, nil, about)
	noteReason(ctx, j.Reason)
}

// ReplayStatus shows how a replay stands, at most half a second ago.
func (s *Service) ReplayStatus(ctx context.Context, id string) (ReplayView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	job, err := s.findReplay(ctx, id)
	if err != nil {
		return ReplayView{}, err
	}
	return replayView(&job), nil
}

// findReplay reads one; that of another merchant is not there. Its error is a *Problem.
func (s *Service) findReplay(ctx context.Context, id string) (replay.Job, error) {
	job, err := replay.Find(ctx, s.Store, id)
	if err == nil && foreign(ctx, job.MchID) {
		err = replay.ErrNotFound
	}
	if err != nil {
		return replay.Job{}, fromStore(err)
	}
	return job, nil
}

// CancelReplay ends a replay: nothing more is asked for. What was asked for before still goes out. Canceling
// again changes nothing.
func (s *Service) CancelReplay(ctx context.Context, id, reason string) (ReplayView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	if _, err := s.findReplay(ctx, id); err != nil {
		return ReplayView{}, err
	}
	job, err := replay.Cancel(ctx, s.Store, id, s.Store.Now())
	if err != nil {
		return ReplayView{}, fromStore(err)
	}
	about := facts{}
	about.set("mch_id", orNil(job.MchID))
	about.set("matched", job.Matched)
	about.set("asked", job.Asked)
	note(ctx, "replay/"+id, nil, about)
	noteReason(ctx, reason)
	s.Log.Info("replay canceled", "replay_id", id, "asked", job.Asked, "matched", job.Matched, "reason", reason)
	return replayView(&job), nil
}

// Replays shows the last replays, newest first.
func (s *Service) Replays(ctx context.Context) ([]ReplayView, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	jobs, err := replay.All(ctx, s.Store)
	if err != nil {
		return nil, fromStore(err)
	}
	views := make([]ReplayView, 0, len(jobs))
	for i := range jobs {
		if !foreign(ctx, jobs[i].MchID) {
			views = append(views, replayView(&jobs[i]))
		}
	}
	return views, nil
}

func replayView(j *replay.Job) ReplayView {
	return ReplayView{
		ReplayID: j.ID, State: j.Phase, Matched: j.Matched, Asked: j.Asked, Sent: j.Sent, Spent: j.Spent,
		Skipped: j.Skipped, Held: j.Held, MchID: orNil(j.MchID), NotifyState: j.State,
		CreatedFrom: timeOrNil(j.From), CreatedTo: timeOrNil(j.To), RatePerSecond: j.RatePerSecond,
		Reason: orNil(j.Reason), CreatedAt: Time{j.CreatedAt}, EndedAt: timeOrNil(j.EndedAt),
	}
}

func (*ReplayRequest) documented() reflect.Type { return reflect.TypeFor[ReplayRequest]() }

func (req *ReplayRequest) readFrom(r *reader) {
	r.object("body", []string{
		"mch_id", "notify_state", "created_from", "created_to", "rate_per_second", "dry_run", "reason",
	}, func(name string) {
		switch name {
		case "mch_id":
			req.MchID = r.optionalText("body.mch_id")
		case "notify_state":
			req.NotifyState = store.State(r.optionalText("body.notify_state"))
		case "created_from":
			req.CreatedFrom = r.instant("body.created_from")
		case "created_to":
			req.CreatedTo = r.instant("body.created_to")
		case "rate_per_second":
			req.RatePerSecond = r.rate()
		case "dry_run":
			req.DryRun = r.boolean("body.dry_run")
		case "reason":
			req.Reason = r.reason()
		}
	})
}

type replayInput struct {
	ReplayID string `path:"replay_id" doc:"26 characters of [0-9a-z]"`
}

type replayBody struct {
	ReplayID string `path:"replay_id" doc:"26 characters of [0-9a-z]"`
	Body     body
}

// replayAnswer is a plan, or the replay that was begun.
type replayAnswer struct {
	plan  *ReplayPlan
	begun ReplayView
}

func (r replayAnswer) answer() (status int, body any) {
	if r.plan != nil {
		return http.StatusOK, r.plan
	}
	return http.StatusAccepted, r.begun
}

// Schema documents what is answered when a replay begins.
func (replayAnswer) Schema(r huma.Registry) *huma.Schema {
	return r.Schema(reflect.TypeFor[ReplayView](), true, "ReplayView")
}

func (a *API) replayRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "replay-notifications", Method: "POST", Path: "/v1/notifications/replay",
		Tags: tagNotifications, DefaultStatus: http.StatusAccepted,
		Summary: "Send many notifications again, once each",
		Description: "It answers when the replay is durable and goes on by itself, also after a restart. With " +
			"dry_run it only tells what would be sent.",
		RequestBody: requestBody[ReplayRequest](a),
	}, []int{404, 409}, func(ctx context.Context, in *onlyBody) (replayAnswer, error) {
		return withBody(&in.Body, func(req *ReplayRequest) (out replayAnswer, err error) {
			if req.DryRun {
				plan, err := s.PlanReplay(ctx, *req)
				return replayAnswer{plan: &plan}, err
			}
			out.begun, err = s.Replay(ctx, *req)
			return out, err
		})
	}, bodyOptional)
	a.doc.Paths["/v1/notifications/replay"].Post.Responses["200"] = &huma.Response{
		Description: "With dry_run: what would be sent",
		Content:     jsonContent(a.schema(reflect.TypeFor[ReplayPlan]())),
	}
	declare(a, huma.Operation{
		OperationID: "list-replays", Method: "GET", Path: "/v1/replays", Tags: tagNotifications,
		Summary: "List the last replays, newest first",
	}, nil, func(ctx context.Context, _ *noInput) (ReplayList, error) {
		views, err := s.Replays(ctx)
		return ReplayList{Replays: views}, err
	})
	declare(a, huma.Operation{
		OperationID: "get-replay", Method: "GET", Path: "/v1/replays/{replay_id}", Tags: tagNotifications,
		Summary: "Show how a replay stands",
	}, []int{404}, func(ctx context.Context, in *replayInput) (ReplayView, error) {
		return s.ReplayStatus(ctx, in.ReplayID)
	})
	declare(a, huma.Operation{
		OperationID: "cancel-replay", Method: "POST", Path: "/v1/replays/{replay_id}/cancel",
		Tags: tagNotifications, Summary: "End a replay; what was asked for before still goes out",
		RequestBody: requestBody[ReasonRequest](a),
	}, []int{404, 409}, func(ctx context.Context, in *replayBody) (ReplayView, error) {
		return withBody(&in.Body, func(req *ReasonRequest) (ReplayView, error) {
			return s.CancelReplay(ctx, in.ReplayID, req.Reason)
		})
	}, bodyOptional)
}
