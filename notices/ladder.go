package notices

import "math/bits"

const (
	windowSends = 20 // of a merchant, that its failures are counted among: half an hour of a small shop
	windowMin   = 10 // before there are so many, a share says nothing
)

// rungs are the shares of failed sends, in percent, at which operators are told.
var rungs = []int{50, 70, 90, 100}

// ladder is a merchant's last sends. The zero value is a merchant with none.
type ladder struct {
	failures uint32 // a bit for each send, the newest lowest
	sends    int    // at most windowSends
	rung     int    // that operators were told last; 0 = none, since less than the lowest failed
}

// see counts a send. It answers the rung to tell when the share has climbed over one that was not told yet;
// of several at once the highest.
func (l *ladder) see(failed bool) (rung int) {
	l.failures = l.failures << 1 & (1<<windowSends - 1)
	if failed {
		l.failures |= 1
	}
	l.sends = min(l.sends+1, windowSends)
	if l.sends < windowMin {
		return 0
	}
	now := 0
	for _, r := range rungs {
		if 100*l.failed() >= r*l.sends {
			now = r
		}
	}
	switch {
	case now == 0:
		l.rung = 0
	case now > l.rung:
		l.rung = now
		return now
	}
	return 0
}

// failed counts the failed sends.
func (l *ladder) failed() int { return bits.OnesCount32(l.failures) }
