package console

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
)

// TestWithoutScripts finds a notification and resends it in a browser that runs no scripts.
func TestWithoutScripts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop := newShop(t, "SUCCESS")
	w.merchant("caps", shop, nil)
	id := w.send("caps", "20261121-0044", nil)
	w.untilSent(id, 1)
	b := newTab(w)
	set(b, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	b.logIn()
	b.click("Notifications")
	b.sees("20261121-0044", "refused ack_case")
	b.click(id)
	b.sees("refused ack_case", "Expected", "Received", "SUCCESS")
	shop.says("success")
	b.write(`form[action$="/resend"] input[name=reason]`, "by hand")
	b.press("Resend")
	b.until(`location.search !== ""`) // what follows the form
	w.untilState(id, "spent")
	b.open("notifications/" + id)
	b.sees("spent", "acked", "by hand")
	b.press("Log out")
	b.until(`location.pathname === "/console/login"`)
	if eval[bool](b, `document.documentElement.classList.contains("scripts")`) {
		t.Error("scripts ran")
	}
}

// TestKeys works through a list with the keyboard alone.
func TestKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.merchant("m1", newShop(t, "success"), nil)
	var ids []string // newest first, as the list has them
	for _, order := range orders(3) {
		ids = append([]string{w.send("m1", order, nil)}, ids...)
	}
	w.untilCount("spent", 3)
	b := newTab(w)
	b.logIn()
	b.open("notifications")
	at := func(row int) {
		t.Helper()
		b.until(fmt.Sprintf(`document.querySelectorAll("tr[data-row]")[%d].classList.contains("here") &&
			document.querySelectorAll("tr.here").length === 1 &&
			document.activeElement.getAttribute("href") === "/console/notifications/%s"`, row, ids[row]))
	}
	for _, step := range []struct {
		key string
		row int
	}{{"j", 0}, {"k", 0}, {"j", 1}, {"j", 2}, {"j", 2}, {"k", 1}} {
		b.keys(step.key)
		at(step.row)
	}
	b.keys("\r")
	b.until(`location.pathname === "/console/notifications/` + ids[1] + `"`)
	b.keys("r")
	b.until(`document.activeElement.name === "reason"`)
	b.keys("j/?") // typed, as it is a field
	b.until(`document.activeElement.value === "j/?"`)
	b.keys("\x1b?")
	b.until(`document.getElementById("keys").open`)
	b.keys("\x1b")
	b.until(`!document.getElementById("keys").open`)
	b.keys("/")
	b.until(`document.activeElement.type === "search" && document.activeElement.value === ""`)
	b.keys("20261121-001\r")
	b.until(`location.pathname === "/console/notifications/` + ids[2] + `"`)
}
