package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"paynotify/api"
	"paynotify/replay"
)

const (
	watchEvery = 200 * time.Millisecond // between looks
	watchLine  = 2 * time.Second        // between lines where there is no terminal
	watchSpan  = 10 * time.Second       // over which the speed is measured
	barMax     = 40                     // characters of the bar
)

// replayWatch follows a replay until its end.
type replayWatch struct {
	client *client
	cmd    *cobra.Command
	id     string
	bar    *bar // nil where stderr is no terminal
	speed  speed
	said   string    // the last line
	saidAt time.Time //
}

func newReplayWatch(cmd *cobra.Command, c *client, id string) *replayWatch {
	w := &replayWatch{client: c, cmd: cmd, id: id}
	if f, ok := cmd.ErrOrStderr().(*os.File); ok && isTerminal(f) && os.Getenv("TERM") != "dumb" {
		w.bar = &bar{out: f, paint: paletteFor(f)}
	}
	return w
}

// run shows how the replay stands until it has ended. An interrupt leaves it to go on.
func (w *replayWatch) run(ctx context.Context) error {
	connected := false
	for {
		v, err := w.look(ctx)
		var p *problem
		switch {
		case ctx.Err() != nil:
			w.clear()
			fmt.Fprintf(w.cmd.ErrOrStderr(), "The replay goes on without you.\n"+
				"  watch it:   paynotify replay --watch %s\n  cancel it:  paynotify replay --cancel %s\n", w.id, w.id)
			return ctx.Err()
		case err == nil:
			connected = true
		case connected && errors.As(err, &p) && (p.code == exitUnavailable || p.code == exitTemporary):
			// It goes on when the server is back.
			w.clear()
			fmt.Fprintf(w.cmd.ErrOrStderr(), "%s; trying again\n", p.what)
			_ = pause(ctx, tailRetry)
			continue
		default:
			w.clear()
			return err
		}
		if v.State != replay.Running {
			return w.last(&v)
		}
		w.show(&v)
		_ = pause(ctx, watchEvery)
	}
}

// look asks once; with --json it prints what has changed.
func (w *replayWatch) look(ctx context.Context) (v api.ReplayView, err error) {
	raw, err := w.client.do(ctx, get("v1", "replays", w.id), &v)
	if err == nil && wantsJSON(w.cmd) {
		err = w.print(raw)
	}
	return v, err
}

func (w *replayWatch) print(raw json.RawMessage) error {
	if string(raw) == w.said {
		return nil
	}
	w.said = string(raw)
	return printLine(w.cmd.OutOrStdout(), raw)
}

// show draws the bar, or prints a line from time to time.
func (w *replayWatch) show(v *api.ReplayView) {
	now := time.Now()
	perSecond, left := w.speed.see(now, ended(v), v.Matched)
	switch {
	case w.bar != nil:
		w.bar.draw(v, perSecond, left)
	case wantsJSON(w.cmd):
	case now.Sub(w.saidAt) >= watchLine:
		if line := progress(v, perSecond, left); line != w.said {
			fmt.Fprintln(w.cmd.ErrOrStderr(), line)
			w.said = line
		}
		w.saidAt = now
	}
}

func (w *replayWatch) clear() {
	if w.bar != nil {
		w.bar.clear()
	}
}

// last says how the replay has ended.
func (w *replayWatch) last(v *api.ReplayView) error {
	w.clear()
	if !wantsJSON(w.cmd) {
		fmt.Fprintln(w.cmd.OutOrStdout(), summary(v))
	}
	if v.State == replay.Canceled {
		return silent{exitInterrupted}
	}
	return nil
}

// ended is how many have an end: whatever matched and is neither waiting nor under way.
func ended(v *api.ReplayView) int { return v.Sent + v.Skipped + v.Held }

// summary is a replay in one line, when it has ended.
func summary(v *api.ReplayView) string {
	words := []string{fmt.Sprintf("%d of %d sent", v.Sent, v.Matched), fmt.Sprintf("%d acknowledged", v.Spent)}
	if v.Held > 0 {
		words = append(words, fmt.Sprintf("%d wait for a merchant that is held", v.Held))
	}
	if v.Skipped > 0 {
		words = append(words, fmt.Sprintf("%d left out", v.Skipped))
	}
	return string(v.State) + ": " + strings.Join(words, ", ")
}

// progress is a replay in one line, while it is running.
func progress(v *api.ReplayView, perSecond float64, left time.Duration) string {
	line := fmt.Sprintf("%3d%%  %d/%d  acknowledged %d", percentDone(v), ended(v), v.Matched, v.Spent)
	if v.Held > 0 {
		line += fmt.Sprintf("  held %d", v.Held)
	}
	if perSecond > 0 {
		line += fmt.Sprintf("  %.0f/s", perSecond)
	}
	if left > 0 {
		line += "  " + left.String() + " left"
	}
	return line
}

// percentDone is how much is done, below 100 before the end.
func percentDone(v *api.ReplayView) int {
	if v.Matched == 0 {
		return 0
	}
	return min(99, 100*ended(v)/v.Matched)
}

// speed measures how fast a replay goes.
type speed struct{ seen []sample }

type sample struct {
	at time.Time
	n  int
}

// see takes a look into account: the speed of the last seconds, and how long the rest takes at that speed; 0
// where nobody knows yet.
func (s *speed) see(now time.Time, n, of int) (perSecond float64, left time.Duration) {
	s.seen = append(s.seen, sample{now, n})
	for len(s.seen) > 2 && now.Sub(s.seen[1].at) >= watchSpan {
		s.seen = s.seen[1:]
	}
	first := s.seen[0]
	if span := now.Sub(first.at); span >= time.Second && n > first.n {
		perSecond = float64(n-first.n) / span.Seconds()
		left = time.Duration(float64(max(0, of-n)) / perSecond * float64(time.Second)).Round(time.Second)
	}
	return perSecond, left
}

// bar draws how far something is into one line of a terminal.
type bar struct {
	out   *os.File
	paint palette
	drawn bool
}

// draw replaces the line.
func (b *bar) draw(v *api.ReplayView, perSecond float64, left time.Duration) {
	width, _, err := term.GetSize(int(b.out.Fd()))
	if err != nil || width <= 0 { // some terminals do not know how wide they are
		width = 80
	}
	fmt.Fprint(b.out, "\r\x1b[K"+barLine(v, perSecond, left, width, b.paint))
	b.drawn = true
}

// clear takes the line away, so that something else can stand there.
func (b *bar) clear() {
	if b.drawn {
		_, _ = io.WriteString(b.out, "\r\x1b[K")
		b.drawn = false
	}
}

// barLine is the line of a terminal that is so many characters wide.
func barLine(v *api.ReplayView, perSecond float64, left time.Duration, width int, paint palette) string {
	words := progress(v, perSecond, left)
	// Brackets, a blank, and the last column stays empty. The words grow; the bar is not to jump then.
	room := min(barMax, width-55, width-len(words)-4)
	if room < 5 {
		return cut(words, max(2, width-1))
	}
	full := room * percentDone(v) / 100
	return "[" + paint.green(strings.Repeat("#", full)) + strings.Repeat("-", room-full) + "] " + words
}
