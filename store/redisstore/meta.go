package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
)

// formatVersion is the layout of keys that this version writes.
const formatVersion = 1

// The fields of a shard's marker, P meta. Shard 0 also has complete, and app.NAME for Meta.
const (
	metaFormat   = "format"
	metaShards   = "shards"
	metaID       = "id"
	metaCreated  = "created"
	metaComplete = "complete" // written last, on shard 0: from then on every shard has its marker
	metaApp      = "app."
)

// NewerFormatError says that a newer version of paynotify laid out the store.
type NewerFormatError struct{ Format int }

// Error names both versions and the cure.
func (e *NewerFormatError) Error() string {
	return fmt.Sprintf("store: Redis holds a store of format %d, this version knows %d: use the newer version",
		e.Format, formatVersion)
}

// ForeignError says that another program uses keys that would be ours.
type ForeignError struct{ Key string }

// Error names the key and the cure.
func (e *ForeignError) Error() string {
	return fmt.Sprintf("store: the key %q in Redis is not paynotify's: choose another database", e.Key)
}

// marker is the content of a shard's meta key.
type marker struct {
	shards   int
	id       string
	complete bool
	app      map[string]string
}

// readMarkers reads the markers of the first n shards; nil for a shard that has none.
func (s *Store) readMarkers(ctx context.Context, n int) ([]*marker, error) {
	pipe := s.rdb.Pipeline()
	cmds := make([]*redis.MapStringStringCmd, n)
	for i := range cmds {
		cmds[i] = pipe.HGetAll(ctx, s.metaKey(i))
	}
	if err := flush(ctx, pipe); err != nil {
		return nil, err
	}
	all := make([]*marker, n)
	for i, cmd := range cmds {
		fields, err := cmd.Result()
		if codeOf(err) == "WRONGTYPE" {
			return nil, &ForeignError{s.metaKey(i)}
		}
		if err != nil {
			return nil, err
		}
		if all[i], err = parseMarker(s.metaKey(i), fields); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// parseMarker reads a marker; nil when there is none.
func parseMarker(key string, fields map[string]string) (*marker, error) {
	if len(fields) == 0 {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	format, err := strconv.Atoi(fields[metaFormat])
	if err != nil || format < 1 {
		return nil, &ForeignError{key}
	}
	if format > formatVersion {
		return nil, &NewerFormatError{format}
	}
	m := &marker{id: fields[metaID], complete: fields[metaComplete] != "", app: map[string]string{}}
	m.shards, err = strconv.Atoi(fields[metaShards])
	if err != nil || m.shards < 1 || m.shards > shardsMax || m.id == "" {
		return nil, &ForeignError{key}
	}
	for name, value := range fields {
		if name, ok := strings.CutPrefix(name, metaApp); ok {
			m.app[name] = value
		}
	}
	return m, nil
}

func (s *Store) metaKey(shard int) string { return s.prefix(shard) + "meta" }

// marked is errEmptied when the shard has lost its marker: what is not there now may have been there.
func (s *Store) marked(ctx context.Context, shard int) error {
	n, err := s.rdb.Exists(ctx, s.metaKey(shard)).Result()
	switch {
	case err != nil:
		return s.fault(err)
	case n == 0:
		s.emptied.Store(true)
		return errEmptied
	}
	return nil
}

// initialise finds the store, or makes it where there is none.
func (s *Store) initialise(ctx context.Context) (*marker, error) {
	all, err := s.readMarkers(ctx, shardsMax)
	if err != nil {
		return nil, err
	}
	first := all[0]
	if first == nil || !first.complete {
		if err := s.untouched(ctx, all); err != nil {
			return nil, err
		}
		if first, err = s.create(ctx); err != nil {
			return nil, err
		}
		all = nil
	}
	if err := whole(first, all); err != nil {
		return nil, err
	}
	if s.opts.ForMigration {
		return first, nil
	}
	return first, first.mayServe()
}

// mayServe is why a store must not be served: it was moved, or is being filled.
func (m *marker) mayServe() error {
	return store.CheckMarks(func(name string) (string, error) { return m.app[name], nil })
}

// whole says whether every shard has the marker of the same store.
func whole(first *marker, all []*marker) error {
	var lost []string
	for i := range min(first.shards, len(all)) {
		if m := all[i]; m == nil || m.id != first.id || m.shards != first.shards {
			lost = append(lost, strconv.Itoa(i))
		}
	}
	if len(lost) > 0 {
		return lostError(lost)
	}
	return nil
}

func lostError(shards []string) error {
	return fmt.Errorf("%w: Redis has lost shards %s of the store, or they are another store's: restore them",
		store.ErrUnavailable, strings.Join(shards, ", "))
}

var errUnderOthers = fmt.Errorf("%w: Redis holds no marker of the store, and processes that serve it run: "+
	"it was emptied under them; restore it, or end them all to begin anew", store.ErrUnavailable)

// content are keys of which a shard in use has one.
var content = []string{"m", "names", "gone", "lanes", "log", "snd", "sending", hashKeys, "audit", hashMarks}

// untouched makes sure that no shard holds anything but the marker of a first start that was interrupted.
// Otherwise a part of a store was lost, and making it anew would hide that.
//
// Nor does anything begin anew while other processes run: somebody has emptied Redis under them.
func (s *Store) untouched(ctx context.Context, all []*marker) error {
	now, err := s.rdb.Time(ctx).Result()
	if err != nil {
		return err
	}
	pipe := s.rdb.Pipeline()
	alive := strconv.FormatInt(now.Add(-nodeGone).UnixMicro(), 10)
	others := pipe.ZCount(ctx, s.nodesKey(), alive, "+inf")
	cmds := make([]*redis.IntCmd, len(all))
	for i, m := range all {
		if m != nil && all[0] == nil { // markers are written from shard 0 on
			return lostError([]string{"0"})
		}
		keys := make([]string, len(content))
		for k, name := range content {
			keys[k] = s.prefix(i) + name
		}
		cmds[i] = pipe.Exists(ctx, keys...)
	}
	if err := flush(ctx, pipe); err != nil {
		return err
	}
	if n, err := others.Result(); err != nil || n > 0 {
		return cmp.Or(err, errUnderOthers)
	}
	var lost []string
	for i, cmd := range cmds {
		n, err := cmd.Result()
		if err != nil {
			return err
		}
		if n > 0 {
			lost = append(lost, strconv.Itoa(i))
		}
	}
	if len(lost) > 0 {
		return fmt.Errorf("%w: Redis holds data of shards %s and no marker of the store: a part of it was lost",
			store.ErrUnavailable, strings.Join(lost, ", "))
	}
	return nil
}

// mark writes a marker unless there is one, and answers with what is there: the first of several processes
// decides.
var mark = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  redis.call('HSET', KEYS[1], 'format', ARGV[1], 'shards', ARGV[2], 'id', ARGV[3], 'created', ARGV[4])
end
return redis.call('HMGET', KEYS[1], 'shards', 'id')`)

// create makes the store, or completes one whose making was interrupted.
func (s *Store) create(ctx context.Context) (*marker, error) {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	m := &marker{shards: s.opts.Shards, id: hex.EncodeToString(random[:])}
	created := strconv.FormatInt(time.Now().UnixMicro(), 10)
	write := func(c redis.Scripter, shard int) *redis.Cmd {
		return mark.Eval(ctx, c, []string{s.metaKey(shard)}, formatVersion, m.shards, m.id, created)
	}
	v, err := write(s.rdb, 0).StringSlice()
	if err != nil {
		return nil, err
	}
	if len(v) != 2 {
		return nil, errShape
	}
	m.id = v[1]
	if m.shards, err = strconv.Atoi(v[0]); err != nil || m.shards > shardsMax {
		return nil, &ForeignError{s.metaKey(0)}
	}
	pipe := s.rdb.Pipeline()
	var rest []*redis.Cmd
	for i := 1; i < m.shards; i++ {
		rest = append(rest, write(pipe, i))
	}
	if err := flush(ctx, pipe); err != nil {
		return nil, err
	}
	for i, cmd := range rest {
		if v, err = cmd.StringSlice(); err != nil {
			return nil, err
		}
		if len(v) != 2 || v[1] != m.id {
			return nil, lostError([]string{strconv.Itoa(i + 1)})
		}
	}
	if err := s.rdb.HSet(ctx, s.metaKey(0), metaComplete, 1).Err(); err != nil {
		return nil, err
	}
	all, err := s.readMarkers(ctx, 1)
	if err != nil {
		return nil, err
	}
	return cmp.Or(all[0], m), nil
}

// isFatal says whether an error of the start will not go away by itself.
func isFatal(err error) bool {
	var (
		volatile  *VolatileError
		old       *OldRedisError
		newer     *NewerFormatError
		foreign   *ForeignError
		moved     *store.MovedError
		migrating *store.MigratingError
		inUse     *InUseError
	)
	return errors.As(err, &volatile) || errors.As(err, &old) || errors.As(err, &newer) ||
		errors.As(err, &foreign) || errors.As(err, &moved) || errors.As(err, &migrating) || errors.As(err, &inUse)
}

// Meta reads a text that the program keeps with the store, empty when there is none.
func (s *Store) Meta(ctx context.Context, name string) (string, error) {
	if s.shards() == 0 {
		return "", s.notReady()
	}
	v, err := s.rdb.HGet(ctx, s.metaKey(0), metaApp+name).Result()
	if errors.Is(err, redis.Nil) {
		return "", nil
	}
	return v, s.fault(err)
}

// setMeta changes one text of the marker, but never makes a marker.
var setMeta = redis.NewScript(`
if redis.call('EXISTS', KEYS[1]) == 0 then
  return redis.error_reply('PNEMPTY the store was emptied')
end
if ARGV[2] == '' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])`)

// SetMeta keeps a text with the store; the empty one is forgotten.
func (s *Store) SetMeta(ctx context.Context, name, value string) error {
	if s.shards() == 0 {
		return s.notReady()
	}
	return s.fault(setMeta.Run(ctx, s.rdb, []string{s.metaKey(0)}, metaApp+name, value).Err())
}
