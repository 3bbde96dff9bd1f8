package asynqqueue

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/hibiken/asynq"
)

// sameLine is how long a kind of line is not written again.
const sameLine = time.Minute

// asynqLog is what the servers of a Run write to. asynq repeats itself with every poll that fails; a Redis
// that is gone is told once by outage, and of the rest each kind of line is written at most once a minute.
type asynqLog struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]time.Time
}

// redundant are lines that say what outage says, or what does not matter to us.
var redundant = []string{
	"Dequeue error", // outage
	"cannot subscribe to cancelation channel", // nobody cancels tasks
	"recoverer: could not move task",          // another process was quicker
}

// of is the logger of the server that has this outage.
func (a *asynqLog) of(o *outage) asynq.Logger { return serverLog{a, o} }

type serverLog struct {
	*asynqLog
	outage *outage
}

// Debug drops what asynq does all the time.
func (serverLog) Debug(...any) {}

// Info drops what asynq says about its start and end.
func (serverLog) Info(...any) {}

// Warn and Error are one level: that a queue has trouble is never an error of ours.
func (s serverLog) Warn(args ...any) { s.say(fmt.Sprint(args...)) }

// Error is Warn, but for a panic of a run, which asynq has caught.
func (s serverLog) Error(args ...any) {
	text := fmt.Sprint(args...)
	if strings.HasPrefix(text, "recovering from panic") {
		s.log.Error("a run of a lane panicked", "err", text)
		return
	}
	s.say(text)
}

// Fatal is what asynq would end the process with.
func (s serverLog) Fatal(args ...any) { s.log.Error("asynq", "err", fmt.Sprint(args...)) }

func (s serverLog) say(text string) {
	if s.outage.lasts() {
		return
	}
	for _, start := range redundant {
		if strings.HasPrefix(text, start) {
			return
		}
	}
	if s.first(text) {
		s.log.Warn("asynq", "text", text)
	}
}

// first reports whether no line of this kind was written lately. Lines of a kind begin with the same words.
func (a *asynqLog) first(text string) bool {
	kind, _, _ := strings.Cut(text, "=")
	kind, _, _ = strings.Cut(kind, ":")
	kind, _, _ = strings.Cut(kind, "[")
	a.mu.Lock()
	defer a.mu.Unlock()
	if at, ok := a.said[kind]; ok && time.Since(at) < sameLine {
		return false
	}
	if a.said == nil || len(a.said) > kindsMax {
		a.said = make(map[string]time.Time)
	}
	a.said[kind] = time.Now()
	return true
}

// kindsMax is more than asynq has.
const kindsMax = 100
