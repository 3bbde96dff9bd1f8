package api

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// limits gives everybody who is named by a K a rate of their own, and remembers a bounded number of them.
type limits[K comparable] struct {
	perSecond rate.Limit
	burst     int
	max       int // remembered at once
	now       func() time.Time

	mu sync.Mutex
	of map[K]*rate.Limiter
}

func newLimits[K comparable](perSecond float64, burst, most int, now func() time.Time) *limits[K] {
	return &limits[K]{
		perSecond: rate.Limit(perSecond), burst: burst, max: most, now: now, of: map[K]*rate.Limiter{},
	}
}

// take takes one token of somebody's; when there is none it tells when there will be one.
func (l *limits[K]) take(who K) (wait time.Duration, ok bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	one := l.of[who]
	if one == nil {
		l.makeRoom(now)
		one = rate.NewLimiter(l.perSecond, l.burst)
		l.of[who] = one
	}
	if one.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - one.TokensAt(now)
	return time.Duration(missing / float64(l.perSecond) * float64(time.Second)), false
}

// makeRoom forgets those whose bucket is full again, which is as good as never having asked; when that is not
// enough it forgets some others.
func (l *limits[K]) makeRoom(now time.Time) {
	if len(l.of) < l.max {
		return
	}
	for who, one := range l.of {
		if one.TokensAt(now) >= float64(l.burst) {
			delete(l.of, who)
		}
	}
	for who := range l.of {
		if len(l.of) < l.max*3/4 {
			return
		}
		delete(l.of, who)
	}
}
