package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"

	"paynotify/profile"
	"paynotify/retry"
	"paynotify/sandbox"
	"paynotify/store"
)

// shop is one sandbox merchant of the demo.
type shop struct {
	mchID, profile, reply string
	about                 string // what a person should know about it
	schedule              string // before it is scaled; empty = Alipay's
	first                 int    // step of its first payment
	every                 int    // steps between its payments

	merchant *sandbox.Merchant
	sends    int // of its schedule
}

// demoStep is the beat of the demo: payments happen on it.
const demoStep = 250 * time.Millisecond

// demoCast is who plays. Every one shows something that happens to real merchants.
func demoCast() []*shop {
	return []*shop{
		{
			mchID: "shop-fast", profile: "alipay", reply: "success", first: 0, every: 4,
			about: "acknowledges at once; a payment every second",
		},
		{
			mchID: "shop-third", profile: "alipay_mapi", reply: "flaky:3", first: 1, every: 48,
			about: "says fail twice, then success",
		},
		{
			mchID: "shop-bom", profile: "form", reply: "bom", first: 2, every: 48,
			about: "success behind a byte order mark: accepted, with a note",
		},
		{
			mchID: "shop-html", profile: "alipay", reply: "html", first: 3, every: 48,
			about: "success inside an HTML page: no acknowledgement",
		},
		{
			mchID: "shop-upper", profile: "alipay_mapi", reply: "upper", first: 4, every: 48,
			about: "SUCCESS in capitals: no acknowledgement",
		},
		{
			mchID: "shop-login", profile: "form", reply: "redirect", first: 5, every: 48,
			schedule: "15s,15s,30s,3m,30m",
			about:    "redirects to its login page; a short schedule",
		},
		{
			mchID: "shop-php", profile: "alipay", reply: "php-notice", first: 6, every: 48,
			about: "a PHP notice before success: no acknowledgement",
		},
		{
			mchID: "shop-hang", profile: "alipay_mapi", reply: "slow", first: 7, every: 48,
			about: "never answers, and delays nobody else",
		},
	}
}

// demoHTTP is the demo's client of its own engine.
type demoHTTP struct {
	base   string
	client *http.Client
}

// open registers the shop as an operator would, with the API, and starts it with the key that the API gave.
func (s *shop) open(ctx context.Context, api *demoHTTP, speed float64) error {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	scaled, err := s.scaled(speed)
	if err != nil {
		ln.Close()
		return err
	}
	s.sends = scaled.Sends()
	var made struct {
		PublicKey string `json:"public_key"`
		Secret    string `json:"secret"`
	}
	err = api.post(ctx, "/v1/merchants", "", map[string]any{
		"mch_id": s.mchID, "name": s.about, "profile": s.profile, "schedule": scaled.String(),
		"notify_url": "http://" + ln.Addr().String() + "/notify",
	}, http.StatusCreated, &made)
	if err != nil {
		ln.Close()
		return fmt.Errorf("merchant %s: %w", s.mchID, err)
	}
	s.merchant = &sandbox.Merchant{
		Reply: s.reply, Profile: s.profile, PublicKey: made.PublicKey, Secret: made.Secret,
	}
	return s.merchant.Start(ln)
}

// scaled is the shop's schedule at a speed.
func (s *shop) scaled(speed float64) (retry.Schedule, error) {
	text := s.schedule
	if text == "" {
		text = demoSchedule
	}
	full, err := retry.Parse(text)
	return retry.Scale(full, speed), err
}

// signs says how the shop's notifications are signed.
func (s *shop) signs() string {
	p, ok := profile.ByName(s.profile)
	if !ok || p.Unsigned || len(p.SignTypes) == 0 {
		return "unsigned"
	}
	return p.SignTypes[0]
}

// pay tells the engine of the shop's nth payment and returns the notify_id that it gave.
func (s *shop) pay(ctx context.Context, api *demoHTTP, n int, now time.Time) (string, error) {
	order := fmt.Sprintf("%s-%s-%04d", now.Format("20060102"), s.mchID[len("shop-"):], n)
	paid := now.In(beijing).Format(time.DateTime)
	params := map[string]any{
		"trade_no": now.Format("20060102150405") + fmt.Sprintf("%014d", n), "trade_status": "TRADE_SUCCESS",
		"subject": "Tea for two 茶 #" + strconv.Itoa(n), "total_amount": fmt.Sprintf("%d.88", 10+n%90),
		"buyer_id": "2088102122524333", "gmt_payment": paid,
	}
	if s.profile == "alipay_mapi" {
		params["total_fee"] = params["total_amount"]
		delete(params, "total_amount")
	}
	var accepted struct {
		NotifyID string      `json:"notify_id"`
		State    store.State `json:"notify_state"`
	}
	err := api.post(ctx, "/v1/notifications", order, map[string]any{
		"mch_id": s.mchID, "out_trade_no": order, "params": params,
	}, http.StatusAccepted, &accepted)
	if err != nil {
		return "", fmt.Errorf("payment %s: %w", order, err)
	}
	return accepted.NotifyID, nil
}

// beijing is the zone of Alipay's times.
var beijing = time.FixedZone("CST", 8*60*60)

// post sends JSON and reads JSON; any status but want is an error with the API's own words.
func (a *demoHTTP) post(ctx context.Context, path, key string, body any, want int, answer any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.base+path, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	if key != "" {
		req.Header.Set("Idempotency-Key", key)
	}
	res, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return err
	}
	if res.StatusCode != want {
		return fmt.Errorf("%s answered %d: %s", path, res.StatusCode, printable(string(said)))
	}
	if len(said) == 0 {
		return errors.New(path + " answered without a body")
	}
	return json.Unmarshal(said, answer)
}
