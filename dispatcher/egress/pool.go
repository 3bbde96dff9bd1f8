package egress

import (
	"sync"
	"time"
)

// poolKey says for whom and for what an idle connection is good: one owner, one scheme, host and port, and
// the way in which the server was verified.
type poolKey struct {
	owner  string      // Request.Pool
	server string      // scheme://host:port
	tls    *TLSOptions // Request.TLS; nil without TLS
}

// pool keeps idle connections. Per key they form a stack, the warmest on top; over all keys a queue by age,
// from which limits and expiry take the oldest. Every operation is a few pointers under one lock.
type pool struct {
	perKeyMax, totalMax int
	ttl                 time.Duration

	mu     sync.Mutex
	stacks map[poolKey]stack
	oldest *conn
	newest *conn
	total  int
	timer  *time.Timer // runs while there is, or just was, an idle connection; nil otherwise
	closed bool
}

type stack struct {
	top *conn
	n   int
}

// links are the places of an idle connection; they belong to the pool's lock.
type links struct {
	above, below *conn // in its stack
	older, newer *conn // in the queue
	since        time.Time
}

// take removes and returns the warmest idle connection, or nil.
func (p *pool) take(key poolKey) *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := p.stacks[key].top
	if c != nil {
		p.remove(c)
	}
	return c
}

// put keeps a connection for reuse. What the limits push out is closed.
func (p *pool) put(c *conn, now time.Time) {
	p.mu.Lock()
	var out *conn
	switch s := p.stacks[c.key]; {
	case p.closed || s.n >= p.perKeyMax:
		out = c
	default:
		if p.total >= p.totalMax {
			out = p.oldest
			p.remove(out)
		}
		p.add(c, now)
	}
	p.mu.Unlock()
	if out != nil {
		out.close()
	}
}

func (p *pool) add(c *conn, now time.Time) {
	if p.stacks == nil {
		p.stacks = make(map[poolKey]stack)
	}
	s := p.stacks[c.key]
	c.links = links{below: s.top, older: p.newest, since: now}
	if s.top != nil {
		s.top.above = c
	}
	p.stacks[c.key] = stack{c, s.n + 1}
	if p.newest != nil {
		p.newest.newer = c
	} else {
		p.oldest = c
	}
	p.newest = c
	p.total++
	if p.timer == nil {
		p.timer = time.AfterFunc(p.ttl, p.expire)
	}
}

func (p *pool) remove(c *conn) {
	s := p.stacks[c.key]
	if c.below != nil {
		c.below.above = c.above
	}
	if c.above != nil {
		c.above.below = c.below
	} else {
		s.top = c.below
	}
	if s.n--; s.n == 0 {
		delete(p.stacks, c.key) // merchants come and go; an empty stack must not stay
	} else {
		p.stacks[c.key] = s
	}
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		p.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		p.newest = c.older
	}
	p.total--
	c.links = links{}
}

// expire closes what has been idle for too long and sets the timer to the next expiry.
func (p *pool) expire() {
	now := time.Now()
	p.mu.Lock()
	var out []*conn
	for p.oldest != nil && now.Sub(p.oldest.since) >= p.ttl {
		out = append(out, p.oldest)
		p.remove(p.oldest)
	}
	switch {
	case p.closed || p.oldest == nil:
		p.timer = nil
	default:
		p.timer.Reset(p.ttl - now.Sub(p.oldest.since))
	}
	p.mu.Unlock()
	closeAll(out)
}

// shed closes every idle connection, when descriptors are short and when the client is closed for good.
func (p *pool) shed(forGood bool) {
	p.mu.Lock()
	p.closed = p.closed || forGood
	if p.closed && p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
	var out []*conn
	for p.oldest != nil {
		out = append(out, p.oldest)
		p.remove(p.oldest)
	}
	p.mu.Unlock()
	closeAll(out)
}

func closeAll(cs []*conn) {
	for _, c := range cs {
		c.close()
	}
}
