package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"paynotify/store"
	"paynotify/store/redisstore"
)

const (
	redisWait    = 3 * time.Second // of one question to Redis
	redisMajor   = 6               // the oldest version that the store runs on
	redisMinor   = 2
	pings        = 20
	rttAdvised   = 2 * time.Millisecond // above it the distance is what bounds the throughput
	skewAdvised  = time.Second
	memoryFull   = 0.85 // of maxmemory: from there on the store accepts nothing more
	memoryNearly = 0.70
)

// redisNode is one master and what it says of itself.
type redisNode struct {
	*redis.Client

	name string            // put in front of findings where there are several
	info map[string]string // INFO
}

// redis checks the Redis that the store is in, each master of it.
func (d *doctor) redis(ctx context.Context) {
	client, err := redisstore.Client(d.cfg.Store)
	if err != nil {
		d.fail(exitConfig, "redis", "", "%s", err)
		return
	}
	defer client.Close() //nolint:errcheck // nothing was written
	if d.redisMasters(ctx, client) {
		d.redisStore(ctx)
	} else {
		d.redisKeys(ctx, nil)
	}
}

// redisMasters checks each master; it reports whether they could be asked.
func (d *doctor) redisMasters(ctx context.Context, client redis.UniversalClient) bool {
	const check = "redis"
	where := storeName(d.cfg.Store)
	nodes, err := redisNodes(ctx, client)
	if err != nil {
		code, cure := redisCure(err)
		d.fail(code, check, cure, "%s: %s", where, err)
		return false
	}
	d.ok(check, "%s answers", where)
	for _, n := range nodes {
		d.redisNode(ctx, n)
	}
	return true
}

// redisNodes asks for the masters and what they say of themselves.
func redisNodes(ctx context.Context, client redis.UniversalClient) (nodes []redisNode, err error) {
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	if err := client.Ping(ctx).Err(); err != nil {
		return nil, err
	}
	switch c := client.(type) {
	case *redis.Client:
		nodes = []redisNode{{Client: c}}
	case *redis.ClusterClient:
		var mu sync.Mutex
		err = c.ForEachMaster(ctx, func(_ context.Context, master *redis.Client) error {
			mu.Lock()
			defer mu.Unlock()
			nodes = append(nodes, redisNode{Client: master, name: master.Options().Addr})
			return nil
		})
		sort.Slice(nodes, func(i, j int) bool { return nodes[i].name < nodes[j].name })
	default:
		err = fmt.Errorf("a client of kind %T", client)
	}
	for i := range nodes {
		if err == nil {
			var text string
			text, err = nodes[i].Info(ctx).Result()
			nodes[i].info = readInfo(text)
		}
	}
	return nodes, err
}

// readInfo reads the answer to INFO.
func readInfo(text string) map[string]string {
	info := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), ":"); found {
			info[name] = value
		}
	}
	return info
}

// redisCure says what to do about a Redis that does not answer as it should.
func redisCure(err error) (code int, cure string) {
	text := err.Error()
	switch {
	case strings.HasPrefix(text, "NOAUTH"), strings.HasPrefix(text, "WRONGPASS"),
		strings.Contains(text, "without any password"):
		return exitAuth, "put user:password@ in front of the host, percent-encoded"
	case strings.HasPrefix(text, "NOPERM"):
		return exitAuth, "let this user run all commands on all keys (ACL SETUSER … +@all ~* &*)"
	case strings.HasPrefix(text, "LOADING"):
		return exitUnavailable, "wait: Redis loads its data; serve would wait too"
	case strings.Contains(text, "does not look like a TLS handshake"):
		return exitConfig, "this port speaks no TLS: write redis instead of rediss"
	case strings.Contains(text, "cluster support disabled"):
		return exitConfig, "this Redis is no Cluster: write redis:// instead of redis-cluster://"
	case strings.Contains(text, "DB index is out of range"):
		return exitConfig, "this Redis has fewer databases: name another one behind the slash"
	case strings.Contains(text, "certificate"):
		return exitConfig, "use the name that the certificate is for, and a CA that this machine trusts " +
			"(SSL_CERT_FILE)"
	case strings.Contains(text, "unknown command 'sentinel'"):
		return exitConfig, "this is no Sentinel: name the Sentinels (port 26379), or write redis://"
	case strings.Contains(text, "sentinel"):
		return exitUnavailable, "check the Sentinels' addresses, and that they call the master so"
	case errors.Is(err, net.ErrClosed), strings.Contains(text, "EOF"):
		return exitUnavailable, "something closes the connection: if the port speaks TLS, write rediss for redis"
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable, "it does not answer in time: see whether Redis is frozen or far away; if the " +
			"port speaks no TLS, write redis instead of rediss"
	}
	return exitUnavailable, "start Redis, or correct store; serve would listen and wait for it"
}

// redisNode checks one master.
func (d *doctor) redisNode(ctx context.Context, n redisNode) {
	d.redisVersion(n)
	d.redisRole(n)
	d.redisPersistence(ctx, n)
	d.redisMemory(n)
	d.redisReplicas(n)
	d.redisDistance(ctx, n)
}

// about names a check of a node.
func (n *redisNode) about(check string) string {
	if n.name == "" {
		return check
	}
	return check + " " + n.name
}

func (n *redisNode) number(name string) int64 {
	v, err := strconv.ParseInt(n.info[name], 10, 64)
	if err != nil {
		return 0
	}
	return v
}

func (d *doctor) redisVersion(n redisNode) {
	check, version := n.about("redis version"), n.info["redis_version"]
	var major, minor int
	if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
		d.warn(check, "", "it does not say its version")
		return
	}
	if major < redisMajor || major == redisMajor && minor < redisMinor {
		d.fail(exitConfig, check, fmt.Sprintf("use Redis %d.%d or newer", redisMajor, redisMinor), "%s", version)
		return
	}
	d.ok(check, "%s", version)
}

func (d *doctor) redisRole(n redisNode) {
	check := n.about("redis role")
	switch {
	case n.info["role"] == "slave":
		d.fail(exitConfig, check, "name the master, or use redis-sentinel://", "a replica, which takes no writes")
	case n.info["cluster_enabled"] == "1" && n.name == "":
		d.fail(exitConfig, check, "write redis-cluster:// instead of redis://", "a node of a Cluster")
	default:
		d.ok(check, "master")
	}
}

// volatile is a finding about what may be lost: it fails like serve does, unless it was overridden.
func (d *doctor) volatile(check, cure, format string, args ...any) {
	if d.cfg.AllowVolatile {
		d.warn(check, cure, format+"; --"+volatileFlag+" lets serve start all the same", args...)
		return
	}
	d.fail(exitConfig, check, cure, format, args...)
}

func (d *doctor) redisPersistence(ctx context.Context, n redisNode) {
	check := n.about("redis persistence")
	if n.info["aof_enabled"] != "1" {
		d.volatile(check, "CONFIG SET appendonly yes",
			"appendonly no: what was accepted is lost when Redis restarts")
	} else {
		d.redisAOF(ctx, n)
	}
	check = n.about("redis eviction")
	if policy := n.info["maxmemory_policy"]; policy != "noeviction" {
		d.volatile(check, "CONFIG SET maxmemory-policy noeviction",
			"maxmemory-policy %s: a full Redis drops what was accepted", cmp.Or(policy, "unknown"))
		return
	}
	d.ok(check, "maxmemory-policy noeviction")
}

// redisAOF looks at an append-only file: how often it is synced, and whether that works.
func (d *doctor) redisAOF(ctx context.Context, n redisNode) {
	check := n.about("redis persistence")
	if state := n.info["aof_last_write_status"]; state != "" && state != "ok" {
		d.fail(exitIO, check, "look at Redis's log and disk", "the last write to the AOF failed: %s", state)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	values, err := n.ConfigGet(ctx, "appendfsync").Result()
	switch fsync := values["appendfsync"]; {
	case err != nil || fsync == "":
		d.warn(check, "", "AOF; how often it is synced cannot be read here (no CONFIG)")
	case fsync == "always":
		d.ok(check, "AOF, appendfsync always: what was accepted survives a power failure")
	case fsync == "no":
		d.warn(check, "CONFIG SET appendfsync always",
			"AOF, appendfsync no: a power failure may lose half a minute")
	default:
		d.warn(check, "CONFIG SET appendfsync always",
			"AOF, appendfsync %s: a power failure or a stalled disk may lose about 2 s", fsync)
	}
	if late := n.number("aof_delayed_fsync"); late > 0 {
		d.warn(n.about("redis disk"), "give Redis a quicker disk, or one of its own",
			"%d times since its start a sync of the AOF took longer than a second", late)
	}
}

func (d *doctor) redisMemory(n redisNode) {
	check := n.about("redis memory")
	used, most := n.number("used_memory"), n.number("maxmemory")
	if most == 0 {
		whole := n.number("total_system_memory")
		d.warn(check, "CONFIG SET maxmemory with a bound that leaves the machine room, half of its memory say",
			"%s used, no maxmemory: a full machine (%s) ends Redis instead of refusing", size(used), size(whole))
		return
	}
	const cure = "raise maxmemory, or shorten retention"
	switch share := float64(used) / float64(most); {
	case share >= memoryFull:
		d.fail(exitIO, check, cure, "%s of %s used: nothing is accepted any more", size(used), size(most))
	case share >= memoryNearly:
		d.warn(check, cure, "%s of %s used", size(used), size(most))
	default:
		d.ok(check, "%s of %s used", size(used), size(most))
	}
}

func (d *doctor) redisReplicas(n redisNode) {
	check, want, online := n.about("redis replicas"), d.cfg.Redis.WaitReplicas, 0
	for name, value := range n.info {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			online++
		}
	}
	switch {
	case online < want:
		d.fail(exitUnavailable, check, "bring replicas back, or lower redis.wait_replicas",
			"%d online, and redis.wait_replicas wants %d: nothing would be accepted", online, want)
	case want > 0:
		d.ok(check, "%d online, accepting waits for %d", online, want)
	default:
		d.ok(check, "%d online, accepting waits for none", online)
	}
}

// redisDistance measures the round trip and compares the clocks.
func (d *doctor) redisDistance(ctx context.Context, n redisNode) {
	check := n.about("redis distance")
	ctx, cancel := context.WithTimeout(ctx, 2*redisWait)
	defer cancel()
	var trips []time.Duration
	for range pings {
		began := time.Now()
		if err := n.Ping(ctx).Err(); err != nil {
			d.fail(exitUnavailable, check, "", "%s", err)
			return
		}
		trips = append(trips, time.Since(began))
	}
	slices.Sort(trips)
	p50, worst := trips[pings/2], trips[pings-1]
	if p50 > rttAdvised {
		d.warn(check, "run it nearer to Redis", "round trip p50 %s, max %s", round(p50), round(worst))
	} else {
		d.ok(check, "round trip p50 %s, max %s", round(p50), round(worst))
	}
	check = n.about("redis clock")
	began := time.Now()
	theirs, err := n.Time(ctx).Result()
	if err != nil {
		d.fail(exitUnavailable, check, "", "%s", err)
		return
	}
	skew := theirs.Sub(began.Add(time.Since(began) / 2))
	if skew.Abs() > skewAdvised {
		d.warn(check, "synchronise both clocks: Redis's says when a send is due, this one stands in what is signed",
			"Redis's clock is %s from this one", round(skew))
		return
	}
	d.ok(check, "%s from this one", round(skew))
}

// redisStore looks at the store as a start would, and changes nothing: no store is made, and no migration
// disturbed.
func (d *doctor) redisStore(ctx context.Context) {
	const check = "store"
	ctx, cancel := context.WithTimeout(ctx, redisWait)
	defer cancel()
	g, err := redisstore.Peek(ctx, redisstore.Options{URL: d.cfg.Store})
	switch {
	case errors.Is(err, store.ErrUnavailable):
		d.fail(exitUnavailable, check, "look at Redis's log; /readyz of a server says the same", "%s", err)
		return
	case err != nil:
		d.failed(check, cannotOpenRedis(d.cfg.Store, err))
		return
	case !g.Made:
		d.ok(check, "nothing of ours there yet: serve makes it")
		g.Texts = map[string]string{} // known to be none
	case len(g.Served) > 0:
		d.ok(check, "ours, %d shards, in use by %s", g.Shards, strings.Join(g.Served, ", "))
	default:
		d.ok(check, "ours, %d shards, served by nobody", g.Shards)
	}
	d.redisKeys(ctx, metaTexts(g.Texts))
}

// redisKeys checks the master key, which every process must be given. s is nil where the store cannot be
// asked what is sealed with it.
func (d *doctor) redisKeys(ctx context.Context, s metaTexts) {
	const check = "master key"
	if d.cfg.MasterKey == "" {
		d.failed(check, noMasterKey())
		return
	}
	d.matchKeys(ctx, check, "master_key", string(d.cfg.MasterKey), s, s != nil)
}
