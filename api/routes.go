package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"paynotify/profile"
	"paynotify/store"
)

// Inputs of the routes: parameters are read by these tags and documented.

type noInput struct{}

type mchInput struct {
	MchID string `path:"mch_id" doc:"The merchant"`
}

type mchBody struct {
	MchID string `path:"mch_id" doc:"The merchant"`
	Body  body
}

type notifyInput struct {
	NotifyID string `path:"notify_id" doc:"26 characters of [0-9a-z]"`
}

type notifyBody struct {
	NotifyID string `path:"notify_id" doc:"26 characters of [0-9a-z]"`
	Body     body
}

type onlyBody struct{ Body body }

type pageInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Entries of a page"`
	Cursor string `query:"cursor" doc:"The next_cursor of the page before"`
}

type listInput struct {
	MchID       string    `query:"mch_id"`
	OutTradeNo  string    `query:"out_trade_no"`
	State       string    `query:"notify_state" enum:"pending,spent,exhausted,canceled,quarantined"`
	Held        string    `query:"held" doc:"true, false or a held_reason"`
	Verdict     string    `query:"verdict" doc:"Of the last attempt"`
	Reason      string    `query:"reason" doc:"Of the last attempt"`
	CreatedFrom time.Time `query:"created_from" doc:"Inclusive"`
	CreatedTo   time.Time `query:"created_to" doc:"Exclusive"`
	Limit       int       `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Entries of a page"`
	Cursor      string    `query:"cursor" doc:"The next_cursor of the page before"`
}

type followInput struct {
	After string `query:"after" doc:"The next_cursor of the answer before; default: from now on"`
	Wait  string `query:"wait" doc:"How long to wait for attempts, at most 60s" example:"20s"`
	Limit int    `query:"limit" minimum:"1" maximum:"500" default:"50" doc:"Attempts of an answer"`
}

// followWaitMax bounds how long a request waits for attempts.
const followWaitMax = time.Minute

func (a *API) merchantRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "create-merchant", Method: "POST", Path: "/v1/merchants", DefaultStatus: http.StatusCreated,
		Summary: "Register a merchant", Tags: tagMerchants, RequestBody: a.creationBody(),
	}, []int{409}, func(ctx context.Context, in *onlyBody,
	) (MerchantCreated, error) {
		return withBody(&in.Body, func(e *merchantEdit) (MerchantCreated, error) {
			return s.createMerchant(ctx, e)
		})
	})
	declare(a, huma.Operation{
		OperationID: "list-merchants", Method: "GET", Path: "/v1/merchants", Summary: "List merchants by mch_id",
		Tags: tagMerchants,
	}, []int{400}, func(ctx context.Context, in *pageInput) (MerchantPage, error) {
		return s.Merchants(ctx, in.Cursor, in.Limit)
	})
	declare(a, huma.Operation{
		OperationID: "get-merchant", Method: "GET", Path: "/v1/merchants/{mch_id}", Summary: "Show a merchant",
		Tags: tagMerchants,
	}, []int{404}, func(ctx context.Context, in *mchInput) (MerchantView, error) {
		return s.Merchant(ctx, in.MchID)
	})
	declare(a, huma.Operation{
		OperationID: "change-merchant", Method: "PATCH", Path: "/v1/merchants/{mch_id}", Tags: tagMerchants,
		Summary: "Change a merchant",
		Description: "A JSON merge patch: null sets the default. mch_id, profile and key cannot change here. " +
			"Where new settings sign with what the key does not hold, that is generated; see …/public-key.",
		RequestBody: a.patchBody(),
	}, []int{404, 409}, func(ctx context.Context, in *mchBody,
	) (MerchantView, error) {
		return withBody(&in.Body, func(e *merchantEdit) (MerchantView, error) {
			return s.patchMerchant(ctx, in.MchID, e)
		})
	})
	declareSilent(a, huma.Operation{
		OperationID: "delete-merchant", Method: "DELETE", Path: "/v1/merchants/{mch_id}", Tags: tagMerchants,
		Summary:     "Remove a merchant to whom nothing is owed",
		Description: "Its notifications stay readable.", DefaultStatus: http.StatusNoContent,
	}, []int{404, 409}, func(ctx context.Context, in *mchInput) error {
		return s.DeleteMerchant(ctx, in.MchID)
	})
}

func (a *API) laneRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "pause-merchant", Method: "POST", Path: "/v1/merchants/{mch_id}/pause", Tags: tagMerchants,
		Summary:     "Stop sending to a merchant; nothing is lost",
		RequestBody: requestBody[PauseRequest](a),
	}, []int{404}, func(ctx context.Context, in *mchBody) (MerchantView, error) {
		return withBody(&in.Body, func(req *PauseRequest) (MerchantView, error) {
			return s.PauseMerchant(ctx, in.MchID, *req)
		})
	}, bodyOptional)
	declare(a, huma.Operation{
		OperationID: "resume-merchant", Method: "POST", Path: "/v1/merchants/{mch_id}/resume", Tags: tagMerchants,
		Summary:     "End a pause, and the hold of a refused address",
		RequestBody: requestBody[ReasonRequest](a),
	}, []int{404}, func(ctx context.Context, in *mchBody) (MerchantView, error) {
		return withBody(&in.Body, func(req *ReasonRequest) (MerchantView, error) {
			return s.ResumeMerchant(ctx, in.MchID, req.Reason)
		})
	}, bodyOptional)
	declare(a, huma.Operation{
		OperationID: "rotate-key", Method: "POST", Path: "/v1/merchants/{mch_id}/rotate-key", Tags: tagMerchants,
		Summary: "Give a merchant a new key",
		Description: "standard and stripe sign with the old keys too until the end of overlap, 24h unless it is " +
			"given, with the new one first; \"0s\" cuts the old ones at once. The others switch at one instant, " +
			"now or at. wechat_v3 keeps its APIv3 key unless key.secret is given. A key that begins later is shown " +
			"here alone until then; a rotation to an earlier instant replaces it.",
		RequestBody: requestBody[RotateRequest](a),
	}, []int{404, 409}, func(ctx context.Context, in *mchBody,
	) (MerchantCreated, error) {
		return withBody(&in.Body, func(req *RotateRequest) (MerchantCreated, error) {
			return s.RotateKey(ctx, in.MchID, *req)
		})
	}, bodyOptional)
	declare(a, huma.Operation{
		OperationID: "get-public-key", Method: "GET", Path: "/v1/merchants/{mch_id}/public-key", Tags: tagMerchants,
		Summary: "Show the public half of the key that signs now",
	}, []int{404}, func(ctx context.Context, in *mchInput) (MerchantKeys, error) {
		return s.PublicKey(ctx, in.MchID)
	})
}

func (a *API) probeRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "probe-merchant", Method: "POST", Path: "/v1/merchants/{mch_id}/probe", Tags: tagMerchants,
		Summary: "Send one request with wrong signatures, to see if the merchant verifies",
		Description: "Only with options.probe true. It makes no notification. verifies_signatures is false when " +
			"the merchant acknowledged the request, true when it refused it with a whole reply (for which an " +
			"unknown order may be the reason too), null when nothing can be said: no whole reply, a near-miss, a " +
			"redirect, 429 or 503. The last result stands in the merchant until notify_url changes.",
	}, []int{404, 409, 429}, func(ctx context.Context, in *mchInput) (ProbeView, error) {
		return s.Probe(ctx, in.MchID)
	})
}

func (a *API) notificationRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "list-notifications", Method: "GET", Path: "/v1/notifications", Tags: tagNotifications,
		Summary: "List notifications, newest first",
		Description: "Those that paynotify sends for itself are listed when mch_id asks for them. A page may have" +
			" fewer entries than limit; next_cursor says whether there are more.",
	}, []int{400}, func(ctx context.Context, in *listInput) (NotificationPage, error) {
		q, p := in.query()
		if p != nil {
			return NotificationPage{}, p
		}
		return s.Notifications(ctx, q)
	})
	declare(a, huma.Operation{
		OperationID: "get-notification", Method: "GET", Path: "/v1/notifications/{notify_id}",
		Tags: tagNotifications, Summary: "Show a notification with all its attempts",
	}, []int{404}, func(ctx context.Context, in *notifyInput) (NotificationView, error) {
		return s.Notification(ctx, in.NotifyID)
	})
	declare(a, huma.Operation{
		OperationID: "resend-notification", Method: "POST", Path: "/v1/notifications/{notify_id}/resend",
		Tags: tagNotifications, DefaultStatus: http.StatusAccepted,
		Summary:     "Ask for one send, ahead of all others of its merchant",
		Description: "It leaves schedule and state alone unless it is acknowledged.",
		RequestBody: requestBody[ResendRequest](a),
	}, []int{404, 409}, func(ctx context.Context, in *notifyBody,
	) (Receipt, error) {
		return withBody(&in.Body, func(req *ResendRequest) (Receipt, error) {
			return s.Resend(ctx, in.NotifyID, *req)
		})
	}, bodyOptional)
	declare(a, huma.Operation{
		OperationID: "cancel-notification", Method: "POST", Path: "/v1/notifications/{notify_id}/cancel",
		Tags: tagNotifications, Summary: "Take a pending notification back",
		RequestBody: requestBody[ReasonRequest](a),
	}, []int{404, 409}, func(ctx context.Context, in *notifyBody,
	) (Receipt, error) {
		return withBody(&in.Body, func(req *ReasonRequest) (Receipt, error) {
			return s.Cancel(ctx, in.NotifyID, req.Reason)
		})
	}, bodyOptional)
	declare(a, huma.Operation{
		OperationID: "follow-attempts", Method: "GET", Path: "/v1/attempts", Tags: tagNotifications,
		Summary:     "Follow attempts as they are settled",
		Description: "Answers at once when there are any after the cursor, else waits for some.",
	}, []int{400}, func(ctx context.Context, in *followInput) (AttemptPage, error) {
		wait, p := in.wait()
		if p != nil {
			return AttemptPage{}, p
		}
		return s.FollowAttempts(ctx, in.After, in.Limit, wait, a.done)
	})
}

func (a *API) lookingRoutes() {
	s := a.Service
	declare(a, huma.Operation{
		OperationID: "get-stats", Method: "GET", Path: "/v1/stats", Summary: "Count everything", Tags: tagOperating,
	}, nil, func(ctx context.Context, _ *noInput) (StatsView, error) { return s.Stats(ctx) })
	declare(a, huma.Operation{
		OperationID: "get-callback", Method: "GET", Path: "/v1/callback", Tags: tagOperating,
		Summary:     "How telling the platform and operators stands",
		Description: "What was told is listed with mch_id=_callback or mch_id=_notices.",
	}, nil, func(ctx context.Context, _ *noInput) (CallbackView, error) { return s.Callback(ctx) })
	declare(a, huma.Operation{
		OperationID: "get-sending", Method: "GET", Path: "/v1/sending", Summary: "How the global switch stands",
		Tags: tagOperating,
	}, nil, func(ctx context.Context, _ *noInput) (SendingView, error) { return s.Sending(ctx) })
	declare(a, huma.Operation{
		OperationID: "set-sending", Method: "PUT", Path: "/v1/sending", Tags: tagOperating,
		Summary:     "Turn the switch that stops all sending",
		Description: "It holds on every node; accepting goes on.",
		RequestBody: requestBody[SendingRequest](a),
	}, nil, func(ctx context.Context, in *onlyBody) (SendingView, error) {
		return withBody(&in.Body, func(req *SendingRequest) (SendingView, error) { return s.SetSending(ctx, *req) })
	})
}

// query turns the parameters into a store's query.
func (in *listInput) query() (store.Query, *Problem) {
	q := store.Query{
		MchID: in.MchID, OutTradeNo: in.OutTradeNo, State: store.State(in.State), Held: in.Held,
		Verdict: store.Verdict(in.Verdict), Reason: store.Reason(in.Reason), CreatedFrom: in.CreatedFrom,
		CreatedTo: in.CreatedTo, Limit: in.Limit, Cursor: in.Cursor,
	}
	faults := oneOf(nil, "query.held", in.Held, heldValues)
	faults = oneOf(faults, "query.verdict", in.Verdict, store.Verdicts)
	faults = oneOf(faults, "query.reason", in.Reason, store.Reasons)
	faults = plausible(faults, "query.created_from", in.CreatedFrom)
	faults = plausible(faults, "query.created_to", in.CreatedTo)
	if !in.CreatedFrom.IsZero() && !in.CreatedTo.IsZero() && in.CreatedTo.Before(in.CreatedFrom) {
		faults = append(faults, profile.Fault{
			Location: "query.created_to", Message: "lies before created_from", Cure: "exchange the two",
		})
	}
	return q, invalid(faults)
}

var heldValues = append([]string{"true", "false"}, store.HeldReasons...)

// oneOf checks a parameter against a list that is too long for a tag.
func oneOf[T ~string](faults []profile.Fault, at, given string, known []T) []profile.Fault {
	names := make([]string, len(known))
	for i, k := range known {
		if names[i] = string(k); given == names[i] {
			return faults
		}
	}
	if given == "" {
		return faults
	}
	f := unknownName("query", given, "value", names)
	f.Location = at
	return append(faults, f)
}

// plausible refuses years in which nothing of ours can have happened: they are typing errors, and the store's
// index does not reach there.
func plausible(faults []profile.Fault, at string, t time.Time) []profile.Fault {
	if t.IsZero() || t.Year() >= 1970 && t.Year() < 2100 {
		return faults
	}
	return append(faults, profile.Fault{
		Location: at, Message: "lies outside the years 1970 to 2099", Cure: "correct the year",
	})
}

// wait reads how long the caller wants to wait.
func (in *followInput) wait() (time.Duration, *Problem) {
	if in.Wait == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(in.Wait)
	if err != nil || d < 0 || d > followWaitMax {
		return 0, invalid([]profile.Fault{{
			Location: "query.wait", Message: "is no duration from 0s to 60s", Cure: "write it like 20s",
		}})
	}
	return d, nil
}
