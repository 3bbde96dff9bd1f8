package sandbox

import "sync"

// book is what the merchant remembers: the last requests, and which notifications it has booked. Both are
// bounded, oldest out first.
type book struct {
	mu    sync.Mutex
	hits  []Hit
	bytes int
	total int64

	known map[string]record
	order []string // of known, as a ring once it is full
	next  int
}

// record is what is known of one notification.
type record struct {
	posts  int
	booked bool
}

// see counts one more POST of a notification and lets decide say, given that number, whether the reply will
// be a yes. It returns the record with the new count and with booked as it was before.
func (b *book) see(identity string, decide func(posts int) (yes bool)) record {
	b.mu.Lock()
	defer b.mu.Unlock()
	r, old := b.known[identity]
	if !old {
		b.enroll(identity)
	}
	r.posts++
	before := r
	r.booked = decide(r.posts) || r.booked
	b.known[identity] = r
	return before
}

// enroll makes room for a new notification.
func (b *book) enroll(identity string) {
	if b.known == nil {
		b.known = map[string]record{}
	}
	if len(b.order) < KnownMax {
		b.order = append(b.order, identity)
		return
	}
	delete(b.known, b.order[b.next])
	b.order[b.next] = identity
	b.next = (b.next + 1) % KnownMax
}

func (b *book) look(identity string) record {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.known[identity]
}

// keep remembers a request, and forgets the oldest ones above the limits.
func (b *book) keep(h Hit) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.total++
	b.hits = append(b.hits, h)
	b.bytes += len(h.Body)
	for len(b.hits) > HitsMax || b.bytes > HitBytesMax {
		b.bytes -= len(b.hits[0].Body)
		b.hits[0] = Hit{} // append will drop it from the array some day; its body goes now
		b.hits = b.hits[1:]
	}
}

func (b *book) recent() []Hit {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]Hit(nil), b.hits...)
}

func (b *book) count() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.total
}
