package redisstore

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
)

// Limits and defaults of the connection to Redis.
const (
	prefixDefault   = "pn:"
	shardsDefault   = 16
	shardsMax       = 36 // one digit of a notify_id
	maxInflight     = 16 // of a lane, when neither merchant nor options say
	dialTimeout     = time.Second
	replyTimeout    = 10 * time.Second // of a pipeline: a Redis that is 2 s away, or takes 10 KB/s, still works
	patienceDefault = 5 * time.Second  // of a call whose context has no end
	poolSize        = 64               // connections to one Redis process; only those needed are made
	poolTimeout     = 2 * time.Second
	bufferBytes     = 64 << 10 // of a connection, each way: a whole pipeline in few system calls
	waitReplicas    = time.Second
)

// Options say which Redis is the store and how to use it. The zero value of everything but URL is useful.
type Options struct {
	// URL names the Redis: redis://, redis-sentinel:// or redis-cluster://, or with rediss for TLS; see
	// CheckURL.
	URL string
	// Prefix is what every key begins with; empty = "pn:".
	Prefix string
	// Shards is how many shards a new store gets, 1–36; 0 = 16. A store keeps what it was made with.
	Shards int
	// WaitReplicas is how many replicas must have what is accepted before it counts; 0 = none.
	WaitReplicas int
	// AllowVolatile accepts a Redis that loses what it holds: one without AOF, or that evicts.
	AllowVolatile bool
	// ForMigration opens a store that is being migrated or has been migrated away.
	ForMigration bool
	// MaxInflightDefault is the cap of a lane whose merchant sets none; 0 = 16.
	MaxInflightDefault int
	// Shift is added to Redis's clock; nil = nothing. Tests move time with it.
	Shift func() time.Duration
	// Dial connects to Redis; nil = over the network. Tests hand out pipes. TLS is put on top of it.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
	// Log takes what an operator should know; nil = silent.
	Log *slog.Logger
	// OnFatal is called at most once, from a goroutine of the store, with what must end the process though
	// Open has returned already: a *VolatileError, say, found once Redis answers. nil = it is logged only.
	OnFatal func(error)
}

// complete fills in the defaults.
func (o *Options) complete() error {
	if o.Prefix == "" {
		o.Prefix = prefixDefault
	}
	if o.Shards == 0 {
		o.Shards = shardsDefault
	}
	if o.Shards < 1 || o.Shards > shardsMax {
		return fmt.Errorf("store: a Redis store has 1 to %d shards, not %d", shardsMax, o.Shards)
	}
	if o.MaxInflightDefault == 0 {
		o.MaxInflightDefault = maxInflight
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Shift == nil {
		o.Shift = func() time.Duration { return 0 }
	}
	if o.OnFatal == nil {
		o.OnFatal = func(error) {}
	}
	return nil
}

// Client makes a client for other users of the same Redis, such as the queue. It retries nothing by itself:
// what was sent and not answered may have happened. The caller closes it.
func Client(text string) (redis.UniversalClient, error) {
	t, err := parseURL(text)
	if err != nil {
		return nil, err
	}
	return t.client(nil), nil
}

type dialFunc = func(ctx context.Context, network, addr string) (net.Conn, error)

// client makes the go-redis client for a target. One pool for all: go-redis's extra pool for pipelines
// would dial a dead Redis twice before it says so. RESP2, because nothing here is pushed.
func (t *target) client(dial dialFunc) redis.UniversalClient {
	quiet()
	secure := t.secure()
	switch t.form {
	case sentinel:
		return redis.NewFailoverClient(&redis.FailoverOptions{
			MasterName: t.master, SentinelAddrs: t.addrs,
			SentinelUsername: t.sentinelUser, SentinelPassword: t.sentinelPassword,
			Username: t.user, Password: t.password, DB: t.db, TLSConfig: secure, Dialer: over(dial, secure),
			Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
			DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: replyTimeout, WriteTimeout: replyTimeout,
			PoolSize: poolSize, PoolTimeout: poolTimeout, PipelinePoolSize: -1,
			ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
		})
	case cluster:
		return redis.NewClusterClient(&redis.ClusterOptions{
			Addrs: t.addrs, ClusterStateReloadInterval: time.Second,
			Username: t.user, Password: t.password, TLSConfig: secure, Dialer: over(dial, secure),
			Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
			DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: replyTimeout, WriteTimeout: replyTimeout,
			PoolSize: poolSize, PoolTimeout: poolTimeout, PipelinePoolSize: -1,
			ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
		})
	default:
		return redis.NewClient(&redis.Options{
			Addr: t.addrs[0], Username: t.user, Password: t.password, DB: t.db,
			TLSConfig: secure, Dialer: over(dial, secure),
			Protocol: 2, DisableIdentity: true, MaxRetries: -1, ContextTimeoutEnabled: true,
			DialTimeout: dialTimeout, DialerRetries: 1, ReadTimeout: replyTimeout, WriteTimeout: replyTimeout,
			PoolSize: poolSize, PoolTimeout: poolTimeout, PipelinePoolSize: -1,
			ReadBufferSize: bufferBytes, WriteBufferSize: bufferBytes,
		})
	}
}

// secure is how TLS is spoken, nil without. The name that the certificate must bear is the host dialled.
func (t *target) secure() *tls.Config {
	if !t.tls {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12}
}

// over puts TLS on what a caller's own dialer connects; nil leaves dialling to go-redis.
func over(dial dialFunc, secure *tls.Config) dialFunc {
	if dial == nil || secure == nil {
		return dial
	}
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		raw, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			host = addr
		}
		c := secure.Clone()
		c.ServerName = host
		conn := tls.Client(raw, c)
		if err := conn.HandshakeContext(ctx); err != nil {
			raw.Close()
			return nil, err
		}
		return conn, nil
	}
}
