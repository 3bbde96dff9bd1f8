package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"paynotify/api"
	"paynotify/store"
)

const (
	// browseWanted is how long the 95th percentile of an answer may take.
	browseWanted = 200 * time.Millisecond
	// browseTimes is how often each is asked in a round, and browseWait how long that may take.
	browseTimes = 7
	browseWait  = 10 * time.Second
)

// browsePages are the pages of the console beside lists and what has an id of its own.
var browsePages = []string{
	"", "merchants", "schedule", "schedule?mch_id=m0", "exhausted", "exhausted?plan=1",
	"exhausted?plan=1&mch_id=m0", "exhausted?plan=1&notify_state=pending", "near-misses", "audit",
	"audit?actor=nobody", "system", "login",
}

// browseFilters are the filters of the API's list, one at a time.
var browseFilters = []string{
	"", "out_trade_no=20261121100000100", "notify_state=pending", "notify_state=spent", "notify_state=exhausted",
	"notify_state=canceled", "notify_state=quarantined", "held=true", "held=false", "held=sending_paused",
	"held=merchant_paused", "held=address_blocked", "held=breaker_open", "verdict=acked", "verdict=refused",
	"verdict=http_5xx", "verdict=timeout", "verdict=connect_error", "verdict=dns_error", "verdict=tls_error",
	"verdict=internal_error", "reason=ack_exact", "reason=ack_trimmed", "reason=ack_html", "reason=ack_case",
	"reason=tls_expired", "reason=ack_mismatch", "reason=internal", "reason=upgrade",
}

// browseMerchants are whose lists are looked at: everybody's, and those of the big merchant, of the paused
// one, of a small one and of one whose breaker is open.
var browseMerchants = []string{"", "m0", "m1", "m7", "broken0"}

// askAll asks everything and says what took how long.
func (b *bench) askAll(e *benchEngine, seed *browseSeed) error {
	total, slow, worst, worstName := 0, 0, time.Duration(0), ""
	ask := func(name, path string) error {
		a, err := b.ask(e, path)
		if err != nil {
			return err
		}
		p95 := percentile(a.took, 95)
		note := fmt.Sprintf("p50 %.1f ms, the first %.1f, CPU %.1f%s", milliseconds(percentile(a.took, 50)),
			milliseconds(a.took[0]), milliseconds(a.cpu), a.failed)
		switch total++; {
		case p95 > browseWanted:
			note += "; ABOVE " + browseWanted.String()
			slow++
		case a.failed != "":
			slow++
		}
		if p95 > worst {
			worst, worstName = p95, name
		}
		b.say("browse", name, milliseconds(p95), "ms", note)
		return nil
	}
	paths, err := b.browsePaths(e)
	if err != nil {
		return err
	}
	for _, path := range paths {
		if err := ask(path, path); err != nil {
			return err
		}
	}
	if err := b.browseLists(e, seed, ask); err != nil {
		return err
	}
	b.say("browse", "failed, or p95 above "+browseWanted.String(), float64(slow), "", fmt.Sprintf(
		"of %d questions about %d notifications, wanted 0; the slowest took %.1f ms: %s", total, seed.n,
		milliseconds(worst), worstName))
	return nil
}

// browsePaths are the pages of the console, and what the API tells of everything or of a merchant.
func (b *bench) browsePaths(e *benchEngine) (all []string, err error) {
	for _, page := range browsePages {
		all = append(all, "/console/"+page)
	}
	for _, filter := range browseFilters {
		all = append(all, "/console/notifications?"+filter)
	}
	for _, state := range store.States {
		const one = "/v1/notifications"
		var page api.NotificationPage
		if err := e.call(http.MethodGet, one+"?limit=1&notify_state="+string(state), nil, &page); err != nil {
			return nil, err
		}
		for _, n := range page.Notifications {
			all = append(all, "/console/notifications/"+n.NotifyID, one+"/"+n.NotifyID)
		}
	}
	for _, mchID := range browseMerchants[1:] {
		merchant := "/v1/merchants/" + mchID
		all = append(all, merchant, merchant+"/sla", merchant+"/sla?window=7d", "/console/merchants/"+mchID,
			"/console/notifications?mch_id="+mchID)
	}
	return append(all, "/console/merchants?cursor="+api.MerchantsAfter("m5"), "/v1/stats", "/v1/merchants",
		"/v1/audit", "/v1/replays", "/v1/callback", "/v1/sending", "/v1/keys", "/readyz", "/metrics"), nil
}

// browseLists asks for every list: its first page, a page in the middle of all, a day long ago, the last
// hours and a time without any.
func (b *bench) browseLists(e *benchEngine, seed *browseSeed, ask func(name, path string) error) error {
	span := func(name string, back time.Duration) string {
		return "&" + name + "=" + url.QueryEscape(seed.now.Add(-back).UTC().Format(time.RFC3339Nano))
	}
	const day = 24 * time.Hour
	middle := span("created_to", browseDays/2*day)
	spans := []struct{ name, query string }{
		{"", ""},
		{"a day", middle + span("created_from", (browseDays/2+1)*day)},
		{"last hours", span("created_from", 3*time.Hour)},
		{"before all", span("created_to", 2*browseDays*day)},
	}
	for _, filter := range browseFilters {
		for _, mchID := range browseMerchants {
			path, name := "/v1/notifications?"+filter, "list "+filter
			if mchID != "" {
				path, name = path+"&mch_id="+mchID, name+" mch_id="+mchID
			}
			for _, s := range spans {
				if err := ask(strings.TrimSuffix(name+", "+s.name, ", "), path+s.query); err != nil {
					return err
				}
			}
			var page api.NotificationPage
			if err := e.call(http.MethodGet, path+middle, nil, &page); err != nil {
				return err
			}
			if page.NextCursor == nil {
				continue // nothing lies behind
			}
			if err := ask(name+", middle", path+"&cursor="+url.QueryEscape(*page.NextCursor)); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask gets a path some times. The first answer took what one takes that finds nothing in any cache of ours;
// cpu is what an answer costs the engine and the store. Failed is what one said that was none.
func (b *bench) ask(e *benchEngine, path string) (a browseAnswers, err error) {
	engine, place, err := b.cpu(e)
	if err != nil {
		return a, err
	}
	began := time.Now()
	for i := 0; i < browseTimes*b.rounds && time.Since(began) < time.Duration(b.rounds)*browseWait; i++ {
		start := time.Now()
		status, err := readAll(b.ctx, "http://"+e.addr+path)
		if err != nil {
			return a, err
		}
		if status != http.StatusOK {
			a.failed = fmt.Sprintf("; FAILED with status %d", status)
		}
		a.took = append(a.took, time.Since(start))
	}
	engineNow, placeNow, err := b.cpu(e)
	a.cpu = (engineNow - engine + placeNow - place) / time.Duration(len(a.took))
	return a, err
}

type browseAnswers struct {
	took   []time.Duration
	cpu    time.Duration
	failed string
}

// readAll reads an answer to its end.
func readAll(ctx context.Context, address string) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}
