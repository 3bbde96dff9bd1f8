package retry

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// The schedules of the providers, in the order people read them.
var named = []struct{ name, waits string }{
	{"alipay", "4m,10m,10m,1h,2h,6h,15h"},
	{"alipay_intl", "2m,10m,10m,1h,2h,6h,15h"},
	{"alipay_2023", "0,0,0,4m,10m,10m,1h,2h,6h,15h"},
	{"wechat_v2", "15s,15s,30s,3m,30m,30m,30m,30m,1h"},
	{"wechat_v3", "15s,15s,30s,3m,10m,20m,30m,30m,30m,1h,3h,3h,3h,6h,6h"},
	{"standard", "5s,5m,30m,2h,5h,10h,14h,20h,24h"},
	{"jeepay", "30s,60s,90s,120s,150s"},
}

var names, byName = func() ([]string, map[string]Schedule) {
	list, table := make([]string, 0, len(named)), make(map[string]Schedule, len(named))
	for _, n := range named {
		waits, err := parseList(n.waits)
		if err != nil {
			panic("retry: schedule " + n.name + ": " + err.Error())
		}
		list, table[n.name] = append(list, n.name), newSchedule(n.name, waits)
	}
	return list, table
}()

// Names lists the named schedules in a stable order; the caller owns the slice.
func Names() []string { return slices.Clone(names) }

// A text longer than this is refused unread: 63 waits in any sensible spelling need less.
const textBytesMax = 2048

// ParseError says what is wrong with the text of a schedule, and what to write instead.
type ParseError struct {
	Message string // "wait 1 is \"4\": a wait needs a unit"
	Cure    string // "write 4m or 4s"
}

// Error is both in one line.
func (e *ParseError) Error() string { return "schedule: " + e.Message + "; " + e.Cure }

// Parse reads a schedule: one of Names, or a list of 1–63 waits separated by commas, each 0 or a Go
// duration of at most 168h. A name costs one map look-up; callers keep what they parsed from a list. Every
// error is a *ParseError.
func Parse(text string) (Schedule, error) {
	if s, ok := byName[text]; ok {
		return s, nil
	}
	if fault := wordFault(text); fault != nil {
		return Schedule{}, fault
	}
	waits, err := parseList(text)
	if err != nil {
		return Schedule{}, err
	}
	return newSchedule("", waits), nil
}

// wordFault finds what is wrong with the text as a whole: nothing in it, or a word that is no name.
func wordFault(text string) *ParseError {
	oneOf := "write one of " + strings.Join(names, ", ") + `, or waits such as "15s,1m,5m"`
	lower := strings.ToLower(strings.TrimSpace(text))
	_, known := byName[lower]
	switch {
	case lower == "":
		return &ParseError{"the text is empty", oneOf}
	case len(text) > textBytesMax:
		return &ParseError{
			fmt.Sprintf("the text has %d bytes", len(text)),
			fmt.Sprintf("write at most %d waits", WaitsMax),
		}
	case known:
		return &ParseError{fmt.Sprintf("%s is not a name", quote(text)), "write " + lower}
	case lower[0] >= 'a' && lower[0] <= 'z' && !strings.Contains(lower, ","):
		return &ParseError{fmt.Sprintf("%s is not a name", quote(text)), oneOf}
	}
	return nil
}

func parseList(text string) ([]time.Duration, error) {
	items := strings.Split(text, ",")
	if len(items) > WaitsMax {
		return nil, &ParseError{
			fmt.Sprintf("the list has %d waits", len(items)),
			fmt.Sprintf("write at most %d", WaitsMax),
		}
	}
	waits := make([]time.Duration, len(items))
	for i, item := range items {
		wait, message, cure := parseWait(item)
		if message != "" {
			return nil, &ParseError{fmt.Sprintf("wait %d is %s: %s", i+1, quote(item), message), cure}
		}
		waits[i] = wait
	}
	return waits, nil
}

// parseWait reads one wait; a message other than "" says what is wrong with it.
func parseWait(item string) (wait time.Duration, message, cure string) {
	const (
		form      = "write 0 or a Go duration such as 15s, 4m or 1h30m"
		digitsMax = 6 // 604800, a week in seconds
	)
	wait, err := time.ParseDuration(item)
	digits := strings.Trim(item, "0123456789.") == ""
	days := strings.TrimSuffix(item, "d")
	switch {
	case item == "":
		return 0, "there is nothing between two commas or at an end", "take the comma out or write a wait"
	case strings.ContainsAny(item, " \t\r\n"):
		return 0, "blanks are not allowed", `write "15s,1m,5m", with commas and nothing else between the waits`
	case strings.HasPrefix(item, "-"):
		return 0, "a wait cannot be negative", form
	case err != nil && digits && len(item) <= digitsMax:
		return 0, "a wait needs a unit", fmt.Sprintf("write %sm or %ss", item, item)
	case err != nil && days != item && days != "" && strings.Trim(days, "0123456789") == "":
		return 0, "there is no unit for days", "write hours, 24h for a day"
	case err != nil:
		return 0, "this is not a duration", form + ", at most 168h"
	case wait > WaitMax:
		return 0, "a wait has at most 168h", "write 168h or less"
	}
	return wait, "", ""
}

// quote shows what somebody wrote, cut so that an error stays one line.
func quote(text string) string { return fmt.Sprintf("%q", short(text)) }

func short(text string) string {
	const charsMax = 32
	if len(text) <= charsMax {
		return text
	}
	return text[:charsMax] + "…"
}
