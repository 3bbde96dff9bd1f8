package migrate

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"paynotify/store"
)

const (
	// page is how many notifications are moved in one step: about half a megabyte, one commit.
	page = 256
	// unsynced is how long what a store has taken may not be on its disk yet, if it does not sync every commit:
	// Redis with appendfsync everysec puts a sync off by two seconds at most.
	unsynced = 2100 * time.Millisecond
)

// Options say what to call the stores, and whom to tell.
type Options struct {
	// From and To name the stores to people, and in their marks: no passwords. The same store has the same name
	// each time.
	From, To string
	// Progress is called after every step; nil = nobody cares.
	Progress func(Progress)
	Log      *slog.Logger // nil = silent
}

// Progress is how far a migration is.
type Progress struct {
	Step        string // "moving" or "verifying"
	Done, Total int    // notifications
}

// Result is what was moved.
type Result struct {
	Merchants     int
	Deleted       int // names of merchants that were deleted and whose notifications are still there
	Notifications int
	Keys          int // API keys
	Audit         int // entries of the audit log
	Marks         int
	Checksum      store.Checksum
	Released      int // attempts that were under way when their process died, interrupted now
}

// RefusedError says that a store cannot take part, and that nothing was changed.
type RefusedError struct {
	Why, Do string
}

// Error tells why.
func (e *RefusedError) Error() string { return e.Why }

// DifferError says that the target does not have what the source has. The next Run starts over.
type DifferError struct {
	Source, Target Result
}

// Error names the difference.
func (e *DifferError) Error() string {
	say := func(r Result) string {
		return fmt.Sprintf("%d merchants, %d notifications, %d API keys, %d audit entries, %d marks, checksum %s",
			r.Merchants, r.Notifications, r.Keys, r.Audit, r.Marks, r.Checksum)
	}
	return "the source has " + say(e.Source) + "; the target has " + say(e.Target)
}

// Run moves everything, verifies it and marks the source as moved. Both stores must be open for it alone. It
// fails with a RefusedError, a DifferError, or with whatever a store says; call it again after those.
func Run(ctx context.Context, from, to store.Mover, o Options) (Result, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Progress == nil {
		o.Progress = func(Progress) {}
	}
	m := &migration{Options: o, from: from, to: to}
	if err := m.begin(ctx); err != nil {
		return Result{}, err
	}
	var err error
	if m.result.Released, err = from.Release(ctx); err != nil {
		return Result{}, fmt.Errorf("releasing claims of %s: %w", o.From, err)
	}
	for _, step := range []func(context.Context) error{m.copyAll, m.copyTexts, m.copyMarks, m.verify, m.end} {
		if err := step(ctx); err != nil {
			return Result{}, err
		}
	}
	return m.result, nil
}

type migration struct {
	Options

	from, to store.Mover
	run      string // names this migration in the marks of both
	result   Result
	total    int
}

// begin finds out whether the two may take part, and marks the target.
func (m *migration) begin(ctx context.Context) error {
	here, err := m.from.Metas(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.From, err)
	}
	there, err := m.to.Metas(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.To, err)
	}
	run := here[store.MetaMovingRun]
	goesOn := run != "" && run == there[store.MetaMovingRun] && there[store.MetaMigrating] != ""
	if err := m.mayLeave(here, goesOn); err != nil {
		return err
	}
	m.run = run
	if goesOn {
		m.Log.Info("going on with the migration that was interrupted", "from", m.From, "to", m.To)
		return nil
	}
	clear, err := m.mayFill(ctx, here, there)
	if err != nil {
		return err
	}
	m.run = rand.Text()
	if err := mark(ctx, m.to, m.To, store.MetaMovingRun, m.run); err != nil {
		return err
	}
	if err := mark(ctx, m.to, m.To, store.MetaMigrating, m.From); err != nil {
		return err
	}
	if clear {
		m.Log.Info("clearing what an earlier migration has left in the target", "to", m.To)
		if err := m.to.Clear(ctx); err != nil {
			return fmt.Errorf("clearing %s: %w", m.To, err)
		}
	}
	return mark(ctx, m.from, m.From, store.MetaMovingRun, m.run) // from here on it can go on
}

// mayLeave says whether the source has everything and is to be moved.
func (m *migration) mayLeave(here map[string]string, goesOn bool) error {
	if to := here[store.MetaMovedTo]; to != "" && !goesOn {
		return &RefusedError{
			Why: m.From + " was moved to " + to + " already",
			Do:  "nothing more to do; or name that store with --from",
		}
	}
	if from := here[store.MetaMigrating]; from != "" {
		return &RefusedError{
			Why: m.From + " is only partly filled, by a migration from " + from,
			Do:  "end that migration first, or move " + from,
		}
	}
	return nil
}

// mayFill says whether the target may be filled, and whether it must be cleared first: what is there must be
// nothing, or known to be elsewhere.
func (m *migration) mayFill(ctx context.Context, here, there map[string]string) (clear bool, err error) {
	switch from := there[store.MetaMigrating]; {
	case from == m.From:
		return true, nil // the source was served since then
	case from != "":
		return false, &RefusedError{
			Why: m.To + " is partly filled by a migration from " + from,
			Do:  "end that one with --from " + from + ", or name an empty store with --to",
		}
	case there[store.MetaMovedTo] != "":
		return true, nil
	}
	n, err := count(ctx, m.to)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", m.To, err)
	}
	ms, _, err := m.to.ExportMerchants(ctx, "", 1)
	if err != nil {
		return false, fmt.Errorf("reading %s: %w", m.To, err)
	}
	if n > 0 || len(ms) > 0 {
		return false, &RefusedError{
			Why: m.To + " is not empty, and nothing says that its content was moved elsewhere",
			Do:  "name an empty store with --to",
		}
	}
	if err := m.nobodyActed(ctx); err != nil {
		return false, err
	}
	for name, text := range there {
		if !slices.Contains(marks, name) && !contained(text, here[name]) {
			return false, &RefusedError{
				Why: m.To + " was served before with other keys (" + name + " differs)",
				Do:  "name a new store with --to; it takes over the master key of " + m.From,
			}
		}
	}
	return false, nil
}

// nobodyActed refuses a target that has API keys or an audit log of its own: two logs cannot become one, and
// none is thrown away unasked.
func (m *migration) nobodyActed(ctx context.Context) error {
	keys, err := m.to.Keys(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.To, err)
	}
	log, err := m.to.AuditLog(ctx, 0, 1)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.To, err)
	}
	if len(keys)+len(log) == 0 {
		return nil
	}
	return &RefusedError{
		Why: m.To + " was served before: it has API keys or an audit log of its own",
		Do:  "name a new store with --to",
	}
}

// marks are texts that are not moved.
var marks = []string{store.MetaMovedTo, store.MetaMigrating, store.MetaMovingRun}

// contained tells whether every line of a text is one of another.
func contained(text, in string) bool {
	lines := strings.Fields(in)
	for _, line := range strings.Fields(text) {
		if !slices.Contains(lines, line) {
			return false
		}
	}
	return true
}

// mark sets a mark of a store.
func mark(ctx context.Context, s store.Mover, of, name, text string) error {
	if err := s.SetMeta(ctx, name, text); err != nil {
		return fmt.Errorf("marking %s: %w", of, err)
	}
	return nil
}

func count(ctx context.Context, s store.Mover) (n int, err error) {
	stats, err := s.Stats(ctx)
	for _, of := range stats.States {
		n += of
	}
	return n, err
}

// copyAll moves what there may be much of, and sums up what the source has.
func (m *migration) copyAll(ctx context.Context) (err error) {
	if m.total, err = count(ctx, m.from); err != nil {
		return fmt.Errorf("reading %s: %w", m.From, err)
	}
	got, err := m.read(ctx, m.from, m.to, "moving")
	if err != nil {
		return fmt.Errorf("moving %s: %w", m.From, err)
	}
	got.Released = m.result.Released
	m.result = got
	return nil
}

// copyTexts moves the switch and the texts. What the target has besides goes.
func (m *migration) copyTexts(ctx context.Context) error {
	sending, err := m.from.Sending(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.From, err)
	}
	before, err := m.to.Sending(ctx)
	if err == nil && before != sending {
		err = m.to.SetSending(ctx, sending)
	}
	if err != nil {
		return fmt.Errorf("moving the switch into %s: %w", m.To, err)
	}
	here, err := m.from.Metas(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.From, err)
	}
	there, err := m.to.Metas(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.To, err)
	}
	for name := range there {
		if _, ok := here[name]; !ok && !slices.Contains(marks, name) {
			here[name] = ""
		}
	}
	for name, text := range here {
		if slices.Contains(marks, name) || there[name] == text {
			continue
		}
		if err := m.to.SetMeta(ctx, name, text); err != nil {
			return fmt.Errorf("moving %s into %s: %w", name, m.To, err)
		}
	}
	return nil
}

// copyMarks moves the marks of the engine. What the target has besides goes.
func (m *migration) copyMarks(ctx context.Context) error {
	here, err := m.from.Marks(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.From, err)
	}
	there, err := m.to.Marks(ctx)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.To, err)
	}
	for name := range there {
		if _, ok := here[name]; !ok {
			here[name] = ""
		}
	}
	for name, text := range here {
		done, err := m.to.SetMark(ctx, name, there[name], text)
		if err == nil && !done {
			err = errors.New("somebody else sets it")
		}
		if err != nil {
			return fmt.Errorf("moving mark %s into %s: %w", name, m.To, err)
		}
	}
	return nil
}

// verify reads the target again. When it differs, the source forgets the run: the next one starts over.
func (m *migration) verify(ctx context.Context) error {
	got, err := m.read(ctx, m.to, nil, "verifying")
	if err != nil {
		return fmt.Errorf("verifying %s: %w", m.To, err)
	}
	got.Released = m.result.Released
	if got != m.result {
		return errors.Join(&DifferError{Source: m.result, Target: got},
			mark(ctx, m.from, m.From, store.MetaMovingRun, ""))
	}
	return nil
}

// end hands over: first the source may not be served any more, then the target may be. Each step is on disk
// before the next one, also when the power fails. Somebody may have served the source all the same, while
// this process was frozen: then the target has missed something.
func (m *migration) end(ctx context.Context) error {
	run, err := m.from.Meta(ctx, store.MetaMovingRun)
	if err != nil {
		return fmt.Errorf("reading %s: %w", m.From, err)
	}
	if run != m.run {
		return &RefusedError{
			Why: m.From + " was served while it was moved",
			Do:  "stop whoever serves it, then run it again; it starts over",
		}
	}
	if err := synced(ctx, m.to, m.To); err != nil {
		return err
	}
	if err := mark(ctx, m.from, m.From, store.MetaMovedTo, m.To); err != nil {
		return err
	}
	if err := synced(ctx, m.from, m.From); err != nil {
		return err
	}
	if err := mark(ctx, m.to, m.To, store.MetaMovedTo, ""); err != nil {
		return err
	}
	return mark(ctx, m.to, m.To, store.MetaMigrating, "")
}

// synced returns when what a store has taken is on its disk, as far as its settings allow.
func synced(ctx context.Context, s store.Mover, name string) error {
	h := s.Health(ctx)
	if h.Err != nil {
		return fmt.Errorf("%s: %w", name, h.Err)
	}
	if h.FsyncAlways || !h.Durable {
		return nil
	}
	select {
	case <-time.After(unsynced):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
