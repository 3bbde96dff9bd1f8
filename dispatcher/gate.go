package dispatcher

import "sync/atomic"

// gate keeps one promise: no send without the power to record it. Every outcome that the store would not take
// holds the gate closed until it is settled. While it is closed nothing is claimed, so that this process
// never claims again what it has not settled, and nothing already claimed is dialled.
type gate struct{ unsettled atomic.Int64 }

func (g *gate) open() bool { return g.unsettled.Load() == 0 }
func (g *gate) shut()      { g.unsettled.Add(1) }

// settled opens the gate by one outcome and reports whether it is open now.
func (g *gate) settled() bool { return g.unsettled.Add(-1) == 0 }
