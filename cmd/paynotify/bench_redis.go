package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
	"paynotify/store/redisstore"
)

// benchRedis is a database in a Redis that was empty when the benchmark came, and is when it goes. It
// belongs to somebody: what is in it is not touched, and no other database is looked at.
type benchRedis struct {
	url    string
	client redis.UniversalClient
	says   string
}

const (
	// benchMark is in the database as long as a benchmark uses it.
	benchMark = "paynotify-bench"
	// benchRedisWait bounds what the benchmark itself asks of Redis, and benchClearWait the emptying, which
	// goes on when the run was interrupted.
	benchRedisWait = 10 * time.Second
	benchClearWait = 2 * time.Minute
	// benchScan keys are looked at, and removed, at a time.
	benchScan = 1000
)

// benchKeys are what the names of the keys begin with that an engine writes: the store's and asynq's.
var benchKeys = []string{"pn:", "asynq:"}

// newBenchRedis takes possession of an empty database.
func newBenchRedis(ctx context.Context, url string) (*benchRedis, error) {
	if err := redisstore.CheckURL(url); err != nil {
		return nil, usagef("bench --store: %s", strings.TrimPrefix(err.Error(), "store: "))
	}
	client, err := redisstore.Client(url)
	if err != nil {
		return nil, err
	}
	r := &benchRedis{url: url, client: client}
	ctx, cancel := context.WithTimeout(ctx, benchRedisWait)
	defer cancel()
	if err := r.take(ctx); err != nil {
		_ = client.Close()
		return nil, err
	}
	return r, nil
}

func (r *benchRedis) take(ctx context.Context) error {
	name := redisstore.Redacted(r.url)
	keys, err := r.size(ctx)
	if err != nil {
		return &problem{code: exitUnavailable, what: "cannot use " + name, why: err.Error()}
	}
	if keys > 0 {
		p := &problem{
			code: exitTemporary, what: name + " is not empty", why: fmt.Sprintf("it holds %d keys", keys),
			do: "name an empty database, like redis://HOST:PORT/15: bench touches nobody's data",
		}
		if since, err := r.client.Get(ctx, benchMark).Result(); err == nil {
			p.why = "a bench uses it, " + since
			p.do = "wait for its end; was it killed, then empty the database yourself: redis-cli -n DB FLUSHDB"
		}
		return p
	}
	host, _ := os.Hostname() // for people
	mark := fmt.Sprintf("process %d on %s since %s", os.Getpid(), host, time.Now().Format(time.RFC3339))
	alone, err := r.client.SetNX(ctx, benchMark, mark, 0).Result()
	if err != nil {
		return &problem{code: exitUnavailable, what: "cannot use " + name, why: err.Error()}
	}
	if !alone {
		return &problem{code: exitTemporary, what: name + " is taken by another bench this very moment"}
	}
	r.says, err = r.settings(ctx)
	return err
}

// settings says what matters of the Redis.
func (r *benchRedis) settings(ctx context.Context) (string, error) {
	server, err := r.info(ctx, "server")
	if err != nil {
		return "", err
	}
	aof := "no AOF"
	if persistence, err := r.info(ctx, "persistence"); err == nil && persistence[0]["aof_enabled"] == "1" {
		aof = "AOF"
		if fsync, err := r.fsync(ctx); err == nil {
			aof = "AOF " + fsync
		}
	}
	return fmt.Sprintf("Redis %s (%s, %s)", server[0]["redis_version"], redisstore.Redacted(r.url), aof), nil
}

func (r *benchRedis) store(string) string { return r.url }

func (r *benchRedis) describe() string { return r.says }

func (r *benchRedis) open(ctx context.Context, _ string) (store.Store, error) {
	return redisstore.Open(ctx, redisstore.Options{URL: r.url})
}

// clear removes what engines wrote, by its names, and waits until the memory is free.
func (r *benchRedis) clear() error {
	ctx, cancel := context.WithTimeout(context.Background(), benchClearWait)
	defer cancel()
	err := r.each(ctx, func(ctx context.Context, node *redis.Client) error {
		return scan(ctx, node, func(keys []string) error {
			pipe := node.Pipeline()
			for _, key := range keys {
				if engineKey(key) {
					pipe.Unlink(ctx, key)
				}
			}
			_, err := pipe.Exec(ctx)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("emptying %s: %w", redisstore.Redacted(r.url), err)
	}
	for {
		memory, err := r.info(ctx, "memory")
		if err != nil {
			return err
		}
		if sum(memory, "lazyfree_pending_objects") == 0 {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func engineKey(key string) bool {
	for _, prefix := range benchKeys {
		if strings.HasPrefix(key, prefix) {
			return true
		}
	}
	return false
}

// leave removes the last trace.
func (r *benchRedis) leave() error {
	err := r.clear()
	ctx, cancel := context.WithTimeout(context.Background(), benchRedisWait)
	defer cancel()
	if err == nil {
		err = r.client.Del(ctx, benchMark).Err()
	}
	_ = r.client.Close()
	return err
}

// each calls fn for every Redis process that holds a part of the database.
func (r *benchRedis) each(ctx context.Context, fn func(ctx context.Context, node *redis.Client) error) error {
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		var mu sync.Mutex // ForEachMaster asks all at once
		return c.ForEachMaster(ctx, func(ctx context.Context, node *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			return fn(ctx, node)
		})
	case *redis.Client:
		return fn(ctx, c)
	default:
		return fmt.Errorf("a Redis client of type %T", c)
	}
}

// scan hands out the names of all keys of one Redis process.
func scan(ctx context.Context, node *redis.Client, fn func(keys []string) error) error {
	for cursor := uint64(0); ; {
		keys, next, err := node.Scan(ctx, cursor, "*", benchScan).Result()
		if err != nil {
			return err
		}
		if err := fn(keys); err != nil {
			return err
		}
		if cursor = next; cursor == 0 {
			return nil
		}
	}
}

func (r *benchRedis) size(ctx context.Context) (keys int64, err error) {
	err = r.each(ctx, func(ctx context.Context, node *redis.Client) error {
		n, err := node.DBSize(ctx).Result()
		keys += n
		return err
	})
	return keys, err
}

// info reads a section of INFO of every Redis process.
func (r *benchRedis) info(ctx context.Context, section string) (all []map[string]string, err error) {
	err = r.each(ctx, func(ctx context.Context, node *redis.Client) error {
		text, err := node.Info(ctx, section).Result()
		if err != nil {
			return err
		}
		fields := map[string]string{}
		for line := range strings.Lines(text) {
			name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
			fields[name] = value
		}
		all = append(all, fields)
		return nil
	})
	return all, err
}

// sum adds up a field of INFO over all processes; what is not there counts nothing.
func sum(infos []map[string]string, field string) (total float64) {
	for _, fields := range infos {
		v, _ := strconv.ParseFloat(fields[field], 64) // 0 then
		total += v
	}
	return total
}

// cpu is what redis-server has used, without what its children rewrite.
func (r *benchRedis) cpu(ctx context.Context) (time.Duration, error) {
	infos, err := r.info(ctx, "cpu")
	seconds := sum(infos, "used_cpu_user") + sum(infos, "used_cpu_sys")
	return time.Duration(seconds * float64(time.Second)), err
}

// fsync reads how the AOF is written.
func (r *benchRedis) fsync(ctx context.Context) (how string, err error) {
	err = r.each(ctx, func(ctx context.Context, node *redis.Client) error {
		values, err := node.ConfigGet(ctx, "appendfsync").Result()
		how = values["appendfsync"]
		return err
	})
	return how, err
}

func (r *benchRedis) setFsync(ctx context.Context, how string) error {
	return r.each(ctx, func(ctx context.Context, node *redis.Client) error {
		return node.ConfigSet(ctx, "appendfsync", how).Err()
	})
}
