package redisstore

import (
	"sync"
	"time"

	"paynotify/store"
)

// keyFresh is how long an API key that was read is used without asking again, from when it was asked for:
// what store.Store promises.
const keyFresh = 100 * time.Millisecond

// keysCached bounds what is kept, about 300 bytes each, also of IDs that nobody knows; then all are
// forgotten, and read again as they are needed.
const keysCached = 16384

// keyCache keeps what is known of API keys for keyFresh. The zero value is empty.
type keyCache struct {
	mu  sync.RWMutex
	m   map[string]cachedKey
	gen uint64 // changes with every change made here
}

type cachedKey struct {
	store.APIKey

	known bool
	until time.Time
}

// get returns what is known of a key, and otherwise the generation to offer what will be read.
func (c *keyCache) get(id string, now time.Time) (k cachedKey, ok bool, gen uint64) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	k, ok = c.m[id]
	return k, ok && now.Before(k.until), c.gen
}

// offer keeps what was read, unless something was changed here meanwhile.
func (c *keyCache) offer(id string, k cachedKey, gen uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen != gen {
		return
	}
	if c.m == nil || len(c.m) >= keysCached {
		c.m = make(map[string]cachedKey)
	}
	c.m[id] = k
}

// changed forgets everything: keys are changed seldom.
func (c *keyCache) changed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	clear(c.m)
}
