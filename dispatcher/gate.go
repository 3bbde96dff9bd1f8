package dispatcher

import (
	"maps"
	"slices"
	"sync"

	"paynotify/store"
)

// gate keeps one promise: no send without the power to record it. Every outcome that the store would not take
// holds the gate closed until it is settled. While it is closed nothing is claimed, so that this process
// never claims again what it has not settled, and nothing already claimed is dialled.
//
// Where parts of a store fail apart (store.Divided), each has a gate of its own: merchants on the healthy
// ones go on.
type gate struct {
	domain func(mchID string) int // nil: the store fails or works as a whole
	parts  [store.DomainsMax]gatePart
}

type gatePart struct {
	mu        sync.Mutex
	unsettled int
	parked    map[string]bool // lanes that came while it was closed
}

// newGate makes the gate of a store.
func newGate(s store.Store) *gate {
	g := &gate{}
	if divided, ok := s.(store.Divided); ok {
		g.domain = divided.Domain
	}
	return g
}

func (g *gate) of(mchID string) *gatePart {
	if g.domain == nil {
		return &g.parts[0]
	}
	return &g.parts[g.domain(mchID)]
}

// open tells whether the lane may send.
func (g *gate) open(mchID string) bool {
	p := g.of(mchID)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.unsettled == 0
}

// shutForAll tells whether no lane may send.
func (g *gate) shutForAll() bool { return g.domain == nil && !g.open("") }

// pass is open for a lane that has its turn: one that may not send is named again when the gate opens.
func (g *gate) pass(lane string) bool {
	p := g.of(lane)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.unsettled == 0 {
		return true
	}
	if p.parked == nil {
		p.parked = make(map[string]bool)
	}
	p.parked[lane] = true
	return false
}

func (g *gate) shut(mchID string) {
	p := g.of(mchID)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsettled++
}

// settled opens the gate by one outcome. It reports whether it is open now, and which lanes wait for that.
func (g *gate) settled(mchID string) (open bool, lanes []string) {
	p := g.of(mchID)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.unsettled--
	if p.unsettled > 0 {
		return false, nil
	}
	lanes = slices.Sorted(maps.Keys(p.parked))
	p.parked = nil
	return true, lanes
}
