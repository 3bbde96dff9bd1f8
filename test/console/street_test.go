package console

import (
	"fmt"
)

// street is a day's believable data: merchants that misbehave each in its own way.
type street struct {
	nearMiss, spent string // notify_ids
	replay          string // replay_id
}

// shopkeepers are the merchants of the street, with what each answers and how many notifications it gets.
var shopkeepers = []struct {
	mchID, name, profile string
	status               int
	says                 string
	notifications        int
	schedule             string // empty = the profile's
}{
	{"lantern-tea", "Lantern Tea House", "alipay", 200, "success", 60, ""},
	{"harbour-bikes", "Harbour Bike Rental", "jeepay", 200, "SUCCESS", 25, ""},
	{"silk-road", "Silk Road Travel", "standard", 204, "", 20, ""},
	{"paper-crane", "Paper Crane Books", "alipay", 200, "<html>success", 4, ""},
	{"old-mill", "Old Mill Bakery", "alipay", 200, `"success"`, 7, ""},
	{"night-market", "夜市小吃", "alipay", 200, "SUCCESS", 3, ""},
	{
		"red-door", "Red Door Theatre", "alipay", 200, "<br />\n<b>Notice</b>:  Undefined index: sign in " +
			"<b>/var/www/notify.php</b> on line <b>12</b><br />\nsuccess", 2, "",
	},
	{"north-parcel", "North Parcel", "form", 503, "upstream connect error", 45, "0s"},
	{"corner-shop", "Corner Shop", "form", 404, "<h1>Not Found</h1>", 8, "0s,0s"},
	{"blue-gym", "Blue Gym", "form", 200, "success", 6, ""},
}

// newStreet lets a day pass in a second.
func newStreet(w *world) *street {
	w.t.Helper()
	s := &street{}
	shops := map[string]*shop{}
	for _, k := range shopkeepers {
		shop := newShop(w.t, k.says)
		shop.status(k.status, k.says)
		fields := answer{"name": k.name, "profile": k.profile}
		if k.schedule != "" {
			fields["schedule"] = k.schedule
		}
		w.merchant(k.mchID, shop, fields)
		shops[k.mchID] = shop
	}
	w.call("POST", "/v1/merchants/blue-gym/pause", answer{"reason": "their database moves tonight, ticket 4711"})
	for _, k := range shopkeepers {
		var batch []answer
		for i := range k.notifications {
			batch = append(batch, answer{
				"mch_id": k.mchID, "out_trade_no": fmt.Sprintf("20261121-%s-%04d", k.mchID[:1], i+1),
				"params": answer{
					"trade_no": fmt.Sprintf("20261121220014%06d", i), "total_amount": fmt.Sprintf("%d.80", 12+7*i),
				},
			})
		}
		made := w.call("POST", "/v1/notifications/batch", answer{"notifications": batch})["results"].([]any)
		last, _ := made[len(made)-1].(map[string]any)
		switch id := answer(last).text("notify_id"); k.mchID {
		case "lantern-tea":
			s.spent = id
		case "paper-crane":
			s.nearMiss = id
		}
	}
	w.untilCount("spent", 60+25+20)
	w.untilCount("exhausted", 45+8)
	w.untilSent(s.nearMiss, 1)
	w.call("POST", "/v1/notifications/"+s.nearMiss+"/resend", answer{"reason": "they say it is repaired"})
	w.untilSent(s.nearMiss, 2)
	shops["north-parcel"].says("success")
	s.replay = w.call("POST", "/v1/notifications/replay", answer{
		"mch_id": "north-parcel", "rate_per_second": 1, "reason": "their server is back, ticket 4712",
	}).text("replay_id")
	return s
}
