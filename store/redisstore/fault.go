package redisstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

var (
	errClosed  = fmt.Errorf("%w: it was closed", store.ErrUnavailable)
	errStarts  = fmt.Errorf("%w: Redis has not answered since the start", store.ErrUnavailable)
	errCrowded = fmt.Errorf("%w: too many calls wait for Redis", store.ErrUnavailable)
	errEmptied = fmt.Errorf("%w: the Redis store was emptied or lost a part: restore it", store.ErrUnavailable)
	errAlone   = fmt.Errorf("%w: too few replicas have it", store.ErrUnavailable)
	errNoReply = fmt.Errorf("%w: Redis did not answer in time", store.ErrUnavailable)
)

// passing are the error replies of a Redis that cannot do now what it will do later, or elsewhere.
var passing = []string{
	"LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "NOREPLICAS", "TRYAGAIN", "MOVED", "ASK", "BUSY",
	"MISCONF", "NOAUTH", "WRONGPASS", "NOPERM", "PNEMPTY", "OOM", "UNKILLABLE", "NOSCRIPT", "CROSSSLOT",
}

// codeOf is the code of an error reply, like LOADING; empty for an error that is no reply. Redis before 7
// wraps the error of a command in a script in a text of its own.
func codeOf(err error) string {
	var reply redis.Error
	if err == nil || !errors.As(err, &reply) {
		return ""
	}
	text := reply.Error()
	code, rest, _ := strings.Cut(text, " ")
	if code != "ERR" {
		return code
	}
	if strings.HasPrefix(rest, "max number of clients") {
		return "BUSY"
	}
	if !strings.Contains(rest, "unning script") {
		return code
	}
	for _, known := range passing {
		if strings.Contains(rest, "-"+known+" ") || strings.Contains(rest, " "+known+" ") {
			return known
		}
	}
	return code
}

// fault is what an error of go-redis or of a script means: store.ErrUnavailable or store.ErrFull wrapped, or
// the error itself where a reply says that we asked for nonsense.
func (s *Store) fault(err error) error {
	code := codeOf(err)
	switch {
	case err == nil:
		return nil
	case code == "PNEMPTY":
		s.emptied.Store(true)
		return errEmptied
	case code == "OOM":
		return fmt.Errorf("%w: Redis is at its maxmemory", store.ErrFull)
	case errors.Is(err, store.ErrUnavailable):
		return err
	case code == "":
		return fmt.Errorf("%w: %s", store.ErrUnavailable, reasonOf(err))
	case slices.Contains(passing, code):
		return fmt.Errorf("%w: Redis says %s", store.ErrUnavailable, shorten(err.Error()))
	default:
		return err
	}
}

// reasonOf says in a few words why Redis could not be asked.
func reasonOf(err error) string {
	switch {
	case errors.Is(err, redis.ErrClosed):
		return "it was closed"
	case errors.Is(err, redis.ErrPoolTimeout):
		return "no connection to Redis is free"
	case errors.Is(err, context.DeadlineExceeded):
		return "Redis did not answer in time"
	case errors.Is(err, context.Canceled):
		return "the caller gave up"
	default:
		return shorten("Redis: " + err.Error())
	}
}

// shorten keeps an error readable: what another program sends may be of any length.
func shorten(text string) string {
	const most = 160
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// gaveUp is the error of a caller whose context ended.
func gaveUp(ctx context.Context) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return errNoReply
	}
	return fmt.Errorf("%w: %w", store.ErrUnavailable, ctx.Err())
}

// errSetup is a connection that was made and then not set up: a wrong password or database, say.
var errSetup = fmt.Errorf("%w: Redis took the connection and said", store.ErrUnavailable)

// flush runs a pipeline. Afterwards each command has its own error, and the error returned is that of all:
// when Redis answers an error while a connection is set up, go-redis leaves the commands without error and
// without value, which must not be taken for what Redis holds.
func flush(ctx context.Context, pipe redis.Pipeliner) error {
	cmds, err := pipe.Exec(ctx)
	if err == nil {
		return nil
	}
	if slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Err() != nil }) {
		err = nil
	} else {
		err = fmt.Errorf("%w %s", errSetup, shorten(err.Error()))
	}
	return err
}

// notRun says whether a reply means that the script was not run at all and that it helps to send it again:
// Redis does not know its text, or its shard is not where we asked. The error of a command in a script, which
// may have written before, names the script.
//
// A shard that is on its way to another master (ASK) is waited for, not followed: a script there would see
// the keys that have arrived and take the others for missing.
func notRun(err error) bool {
	switch codeOf(err) {
	case "NOSCRIPT", "MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN":
		text := err.Error()
		return !strings.Contains(text, " script: ") && !strings.Contains(text, "unning script")
	}
	return false
}

// silent swallows what go-redis would print on standard error: it says again what its errors say.
type silent struct{}

// Printf does nothing.
func (silent) Printf(context.Context, string, ...any) {}

// quiet makes go-redis, which logs to a global, silent.
var quiet = sync.OnceFunc(func() { redis.SetLogger(silent{}) })
