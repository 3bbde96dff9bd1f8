package console

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"

	"paynotify/api"
	"paynotify/store"
)

// chip is a state as all pages show it: a sign, a word and a colour. Its template is "chip".
type chip struct{ Tone, Icon, Text string }

// bar is a bar of parts whose places are in thousandths of its width. Its template is "bar".
type bar struct {
	Label string // for those who do not see it
	Parts []barPart
}

// barPart is one part of a bar. Its tone is ok, warn, bad, idle, info, or s1 to s5.
type barPart struct {
	Tone string
	X, W int
}

// moment is an instant for people and for scripts. Its template is "time"; none at all is a dash.
type moment struct{ ISO, Text string }

const (
	momentLayout = "2006-01-02 15:04:05"
	isoLayout    = "2006-01-02T15:04:05.000Z"
)

// momentOf is an instant as pages show it: UTC, to the second.
func momentOf(t time.Time) moment {
	if t.IsZero() {
		return moment{}
	}
	return moment{t.UTC().Format(isoLayout), t.UTC().Format(momentLayout)}
}

// momentOr is momentOf what may be null.
func momentOr(t *api.Time) moment {
	if t == nil {
		return moment{}
	}
	return momentOf(t.Time)
}

// together makes calls at the same time: each waits for the store.
func together(calls ...func() error) error {
	errs := make([]error, len(calls))
	var all sync.WaitGroup
	for i, call := range calls {
		all.Go(func() { errs[i] = call() })
	}
	all.Wait()
	return errors.Join(errs...)
}

// deref is what may be null, empty when it is.
func deref[T ~string](text *T) string {
	if text == nil {
		return ""
	}
	return string(*text)
}

// span is how long something is, in the two largest units. Scripts that count down write the same; see span
// in console.js.
func (r *request) span(d time.Duration) string {
	units := strings.Fields(r.t("d h m s"))
	left := int(max(0, d.Round(time.Second)) / time.Second)
	days, hours, minutes, seconds := left/86400, left/3600%24, left/60%60, left%60
	say := func(parts ...any) string {
		var b strings.Builder
		for i := 0; i < len(parts); i += 2 {
			if i > 0 {
				b.WriteByte(' ')
			}
			b.WriteString(strconv.Itoa(parts[i].(int)) + " " + units[parts[i+1].(int)])
		}
		return b.String()
	}
	switch {
	case days > 0:
		return say(days, 0, hours, 1)
	case hours > 0:
		return say(hours, 1, minutes, 2)
	case minutes > 0:
		return say(minutes, 2, seconds, 3)
	}
	return say(seconds, 3)
}

// took is how long an attempt took.
func took(milliseconds float64) string {
	switch {
	case milliseconds < 10:
		return strconv.FormatFloat(milliseconds, 'f', 1, 64) + " ms"
	case milliseconds < 1000:
		return strconv.FormatFloat(milliseconds, 'f', 0, 64) + " ms"
	}
	return strconv.FormatFloat(milliseconds/1000, 'f', 2, 64) + " s"
}

// stateChips are the chip of every state, in the API's words.
var stateChips = map[store.State]chip{
	store.Pending:     {"info", "○", string(store.Pending)},
	store.Spent:       {"ok", "✓", string(store.Spent)},
	store.Exhausted:   {"bad", "✗", string(store.Exhausted)},
	store.Canceled:    {"idle", "–", string(store.Canceled)},
	store.Quarantined: {"bad", "!", string(store.Quarantined)},
}

func stateChip(s store.State) chip {
	if c, known := stateChips[s]; known {
		return c
	}
	return chip{"idle", "?", string(s)}
}

// heldChip says why a notification is held; the zero chip when it is not.
func heldChip(reason *string) chip {
	if reason == nil {
		return chip{}
	}
	return chip{"warn", "‖", *reason}
}

// judgedChip is the chip of a verdict with its reason.
func judgedChip(v store.Verdict, reason store.Reason) chip {
	c := chip{"bad", "✗", string(v) + " " + string(reason)}
	switch {
	case v == "":
		return chip{}
	case v == store.Acked:
		c.Tone, c.Icon = "ok", "✓"
	case reason.NearMiss():
		c.Tone, c.Icon = "warn", "≈"
	case v == store.Interrupted, v == store.InternalError:
		c.Tone, c.Icon = "idle", "…"
	}
	return c
}
