package api

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"time"

	"paynotify/profile"
	"paynotify/store"
)

// What merchants ask back, as they have asked Alipay since 2008, from inside their handler while our POST is
// still in flight: is this notify_id really yours? (Alipay's notify_verify; facts in its mapi documents.)

// NotifyVerify answers the question: true while the notification is owed to that partner, false when it is
// not or nobody knows it. An error says that there is no answer now; it must never become a false.
func (s *Service) NotifyVerify(ctx context.Context, partner, notifyID string) (bool, error) {
	if _, _, err := store.ParseID(notifyID); err != nil {
		return false, nil // not one of ours: unknown
	}
	ctx, cancel := bounded(ctx)
	defer cancel()
	n, _, err := s.Store.Get(ctx, notifyID)
	if errors.Is(err, store.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fromStore(err)
	}
	if n.MchID != partner {
		m, err := s.Store.Merchant(ctx, n.MchID)
		switch {
		case errors.Is(err, store.ErrNoMerchant):
			return false, nil
		case err != nil:
			return false, fromStore(err)
		case profile.Partner(&m) != partner:
			return false, nil
		}
	}
	return n.InFlight || n.State == store.Pending || n.State == store.Exhausted, nil
}

// gateway answers GET /gateway.do?service=notify_verify&partner=&notify_id=.
func (a *API) gateway(w http.ResponseWriter, r *http.Request) {
	a.notifyVerify(w, r, r.URL.Query().Get("service") == "notify_verify")
}

// notifyQuery answers the older GET /trade/notify_query.do?partner=&notify_id=.
func (a *API) notifyQuery(w http.ResponseWriter, r *http.Request) { a.notifyVerify(w, r, true) }

func (a *API) notifyVerify(w http.ResponseWriter, r *http.Request, service bool) {
	if !a.askers.allow(peer(r)) {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	answer := "invalid"
	q := r.URL.Query()
	partner, notifyID := q.Get("partner"), q.Get("notify_id")
	if service && partner != "" && notifyID != "" {
		owed, err := a.Service.NotifyVerify(r.Context(), partner, notifyID)
		switch {
		case err != nil:
			p := asProblem(err)
			a.logProblem(r.Context(), "GET "+r.URL.Path, p)
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(p.Status) // without a body: an SDK would read it as an answer
			return
		case owed:
			answer = "true"
		default:
			answer = "false"
		}
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(answer))
}

// How fast one peer may ask. A merchant asks once per send; a guesser gets nowhere near 77 random bits.
const (
	askPerSecond = 100
	askBurst     = 200
	askersMax    = 4096 // peers remembered; about 1 MB
)

// askers limits each peer that asks without a key. An IPv6 peer is its /64: it has all of it.
type askers struct{ *limits[netip.Prefix] }

func newAskers(now func() time.Time) askers {
	return askers{newLimits[netip.Prefix](askPerSecond, askBurst, askersMax, now)}
}

// allow takes one token of the peer's.
func (a askers) allow(peer netip.Addr) bool {
	bits := 32
	if peer.Is6() {
		bits = 64
	}
	who, _ := peer.Prefix(bits)
	_, ok := a.take(who)
	return ok
}
