package console

import (
	"slices"
	"testing"
)

// TestReplay has 500 notifications exhausted, and sends them again from the browser.
func TestReplay(t *testing.T) {
	t.Parallel()
	const many = 500
	w := newWorld(t)
	shop := newShop(t, "we are closed")
	w.merchant("closed", shop, answer{"schedule": "0s", "max_inflight": 64}) // two sends, the second at once
	var batch []answer
	for _, order := range orders(many) {
		params := answer{"total_amount": "88.88"}
		batch = append(batch, answer{"mch_id": "closed", "out_trade_no": order, "params": params})
	}
	w.call("POST", "/v1/notifications/batch", answer{"notifications": batch})
	w.untilCount("exhausted", many)
	shop.says("success")

	b := newTab(w)
	b.logIn()
	b.click("Exhausted and held")
	b.sees("Exhausted: 500", "refused ack_mismatch")
	b.write(`input[name=mch_id]`, "closed")
	b.write(`input[name=rate_per_second]`, "100")
	b.write(`form.filters input[name=reason]`, "their shop is open again")
	b.press("Plan replay")
	b.sees("500 notifications would be sent again, once each.", "total_amount 44440.00",
		"It would take at least 5 s.")
	if w.call("GET", "/v1/stats", nil)["states"].(map[string]any)["exhausted"] != float64(many) {
		t.Fatal("the plan sent something")
	}
	b.press("Start replay")
	b.until(`location.pathname.startsWith("/console/replays/")`)

	eval[bool](b, `(() => {
		window.widths = [];
		const look = () => {
			const parts = [...document.querySelectorAll(".progress rect")];
			const width = parts.reduce((sum, part) => sum + Number(part.getAttribute("width")), 0);
			if (!widths.includes(width)) widths.push(width);
		};
		look();
		new MutationObserver(look).observe(document.body, {subtree: true, childList: true, attributes: true});
		return true;
	})()`)
	b.until(`document.querySelector("#replay .chip").textContent.includes("done")`)
	b.sees("100.0 %", "their shop is open again")
	widths := eval[[]int](b, `widths`) // only what has moved without a reload
	between := slices.DeleteFunc(slices.Clone(widths), func(w int) bool { return w == 0 || w == 1000 })
	if len(between) < 2 || !slices.IsSorted(widths) || widths[len(widths)-1] != 1000 {
		t.Errorf("the bar was %v thousandths wide, one after the other", widths)
	}
	if cards := eval[string](b, `[...document.querySelectorAll(".card")].map((c) =>
		c.querySelector("h2").textContent + " " + c.querySelector(".number").textContent).join(", ")`); cards !=
		"Matched 500, Sent 500, Spent 500, Skipped 0, Held back 0" {
		t.Errorf("in the end it shows %s", cards)
	}
	w.untilCount("spent", many)
}
