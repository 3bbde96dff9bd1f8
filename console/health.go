package console

import (
	"paynotify/api"
	"paynotify/store"
)

// healthOf is how many of a merchant's newest notifications its health is told from. Each is a slot of the
// bar, so that bars of different merchants compare.
const healthOf = 100

// health is what the last sends to a merchant came to: of each of its newest notifications the last one.
type health struct {
	Bar   bar
	Acked string // the share of those that were sent
	Last  chip   // the newest verdict

	acked, nearMisses, failed, unclear, unsent int

	missed map[string]int // by verdict and reason, what was not acknowledged
}

// healthOfMerchant looks at the newest notifications of a merchant.
func (c *Console) healthOfMerchant(r *request, mchID string) (health, error) {
	newest, err := c.service.Notifications(r.Context(), store.Query{MchID: mchID, Limit: healthOf})
	if err != nil {
		return health{}, err
	}
	return r.health(newest.Notifications), nil
}

// health is told from notifications, newest first.
func (r *request) health(ns []api.NotificationSummary) health {
	h := health{missed: map[string]int{}}
	const slot = 1000 / healthOf
	for i := range ns {
		tone := h.see(&ns[i])
		at := 1000 - (i+1)*slot // the newest is at the right
		if last := len(h.Bar.Parts) - 1; last >= 0 && h.Bar.Parts[last].Tone == tone {
			h.Bar.Parts[last].X, h.Bar.Parts[last].W = at, h.Bar.Parts[last].W+slot
			continue
		}
		h.Bar.Parts = append(h.Bar.Parts, barPart{Tone: tone, X: at, W: slot})
	}
	h.Bar.Label = r.t("%d acknowledged, %d near-misses, %d failed, %d unclear, %d not sent yet",
		h.acked, h.nearMisses, h.failed, h.unclear, h.unsent)
	h.Acked = share(h.acked, len(ns)-h.unsent)
	return h
}

// see counts a notification and tells the tone of its slot.
func (h *health) see(n *api.NotificationSummary) string {
	if n.LastVerdict == nil || n.LastReason == nil {
		h.unsent++
		return "idle"
	}
	judged := judgedChip(*n.LastVerdict, *n.LastReason)
	if h.Last.Text == "" {
		h.Last = judged
	}
	switch judged.Tone {
	case "ok":
		h.acked++
		return judged.Tone
	case "warn":
		h.nearMisses++
	case "idle":
		h.unclear++
	default:
		h.failed++
	}
	h.missed[judged.Text]++
	return judged.Tone
}
