package api

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"paynotify/store"
)

// The hot path: POST /v1/notifications and its batch form, as plain handlers of the mux. Everything a request
// costs beyond net/http is in this file, read.go and Service.Accept.

// batchItemsMax is the most notifications that one request may bring; they go in as few commits as there are
// workers for.
const batchItemsMax = 1000

var (
	mediaJSON = []string{"application/json"}
	yes       = []string{"true"}
)

func (a *API) postNotification(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	r := readers.Get().(*reader)
	receipt, p := a.acceptOne(w, req, r)
	r.free()
	a.ingest.observe(began, receipt, p)
	if p != nil {
		a.refuse(w, req, p)
		return
	}
	status := http.StatusAccepted
	h := w.Header()
	if receipt.Replayed {
		status = http.StatusOK
		h["Idempotency-Replayed"] = yes
	}
	h["Content-Type"] = mediaJSON
	w.WriteHeader(status)
	_, _ = w.Write(receipt.append(make([]byte, 0, 160)))
}

// acceptOne reads one request and hands it in.
func (a *API) acceptOne(w http.ResponseWriter, req *http.Request, r *reader) (Receipt, *Problem) {
	if p := noQuery(req); p != nil {
		return Receipt{}, p
	}
	key, given := "", req.Header["Idempotency-Key"]
	if len(given) > 0 {
		key = given[0]
		if len(given) > 1 {
			return Receipt{}, problem(SlugBadIdempotencyKey, "There are several Idempotency-Key headers; send one.")
		}
		if p := checkIdempotencyKey(key); p != nil {
			return Receipt{}, p
		}
	}
	if p := r.load(w, req, store.BodyBytesMax); p != nil {
		return Receipt{}, p
	}
	var n NotificationRequest
	if p := r.document(func() { n = r.readNotification(requestNames) }); p != nil {
		return Receipt{}, p
	}
	if p := invalid(r.faults); p != nil {
		return Receipt{}, p
	}
	n.IdempotencyKey = key
	receipt, err := a.Service.Accept(req.Context(), n, traceParent(req))
	if err != nil {
		return Receipt{}, asProblem(err)
	}
	return receipt, nil
}

// append writes the receipt as JSON.
func (v *Receipt) append(out []byte) []byte {
	out = append(out, `{"notify_id":"`...)
	out = append(out, v.NotifyID...) // [0-9a-z]
	out = append(out, `","notify_state":"`...)
	out = append(out, v.NotifyState...)
	out = append(out, `","notify_count":`...)
	out = strconv.AppendInt(out, int64(v.NotifyCount), 10)
	out = append(out, `,"next_notify_time":`...)
	if v.NextNotifyTime == nil {
		return append(out, "null}\n"...)
	}
	out = append(out, '"')
	out = v.NextNotifyTime.UTC().AppendFormat(out, timeLayout)
	return append(out, "\"}\n"...)
}

func (a *API) postBatch(w http.ResponseWriter, req *http.Request) {
	began := time.Now()
	results, p := a.acceptMany(w, req)
	a.ingest.observeBatch(began, results, p)
	if p != nil {
		a.refuse(w, req, p)
		return
	}
	body, err := json.Marshal(struct {
		Results []BatchItem `json:"results"`
	}{results})
	if err != nil {
		a.refuse(w, req, asProblem(err))
		return
	}
	w.Header()["Content-Type"] = mediaJSON
	_, _ = w.Write(append(body, '\n'))
}

// acceptMany reads a batch and hands in the items that can be read; the others have their problem in results.
func (a *API) acceptMany(w http.ResponseWriter, req *http.Request) ([]BatchItem, *Problem) {
	if p := noQuery(req); p != nil {
		return nil, p
	}
	if len(req.Header["Idempotency-Key"]) > 0 {
		return nil, problem(SlugBadIdempotencyKey,
			"A batch has no key of its own; give its items idempotency_key instead of the header.")
	}
	r := readers.Get().(*reader)
	defer r.free()
	if p := r.load(w, req, batchBytesMax); p != nil {
		return nil, p
	}
	items, problems, p := r.readBatch()
	if p != nil {
		return nil, p
	}
	results, err := a.Service.AcceptBatch(req.Context(), items, traceParent(req))
	if err != nil {
		return nil, asProblem(err)
	}
	out := make([]BatchItem, len(problems))
	for i, p := range problems {
		if p != nil {
			out[i] = BatchItem{Status: p.Status, Problem: p}
			continue
		}
		out[i], results = results[0], results[1:]
	}
	return out, nil
}

// readBatch reads {"notifications":[…]}: one entry of problems per item, nil for those in items.
func (r *reader) readBatch() (items []NotificationRequest, problems []*Problem, bad *Problem) {
	const at = "body.notifications"
	bad = r.document(func() {
		given := false
		r.object("body", []string{"notifications"}, func(string) {
			given = true
			r.array(at, func(i int) {
				if i >= batchItemsMax {
					r.bad = problem(SlugTooMany, "The batch has more than "+itoa(batchItemsMax)+" items; split it.")
					return
				}
				n, p := r.readItem()
				if problems = append(problems, p); p == nil {
					items = append(items, n)
				}
			})
		})
		if r.bad == nil && len(problems) == 0 && !r.blames(at) {
			message := "is missing"
			if given {
				message = "is empty"
			}
			r.fault(at, message, "give 1–"+itoa(batchItemsMax)+" notifications")
		}
	})
	if bad == nil {
		bad = invalid(r.faults)
	}
	return items, problems, bad
}

// readItem reads one item of a batch; what is wrong with it is its own problem.
func (r *reader) readItem() (NotificationRequest, *Problem) {
	outer := r.faults
	r.faults = nil
	begin := r.dec.InputOffset()
	n := r.readNotification(itemNames)
	p := invalid(r.faults)
	if r.dec.InputOffset()-begin > store.BodyBytesMax {
		p = tooLarge(store.BodyBytesMax)
	}
	r.faults = outer
	return n, p
}

// noQuery refuses query parameters where there are none.
func noQuery(req *http.Request) *Problem {
	if req.URL.RawQuery == "" {
		return nil
	}
	return unknownParameters(req.URL.Query(), nil)
}
