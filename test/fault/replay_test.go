package fault

import (
	"context"
	"net/http"
	"testing"
	"time"

	"paynotify/test/redis"
)

// replayed is what GET /v1/replays/{replay_id} says.
type replayed struct {
	ID      string `json:"replay_id"`
	State   string `json:"state"`
	Matched int    `json:"matched"`
	Asked   int    `json:"asked"`
	Sent    int    `json:"sent"`
	Spent   int    `json:"spent"`
	Skipped int    `json:"skipped"`
	Held    int    `json:"held"`
}

// lost are merchants to whom both sends of the schedule are lost, and who acknowledge the third: a replay's.
// One of them takes its time, so that there is something to kill.
func lost() map[string]*merchant {
	return map[string]*merchant{
		"quick": {acksFrom: 3, schedule: "0", inflight: 4},
		"slow":  {acksFrom: 3, takes: 30 * time.Millisecond, schedule: "0", inflight: 2},
	}
}

// beginReplay makes so many notifications of each merchant, waits until they are exhausted, and replays them.
func (r *rig) beginReplay(each int) replayed {
	r.t.Helper()
	for mch := range r.merchants {
		for i := range each {
			r.produce(context.Background(), mch, i)
		}
	}
	r.quiet(settled)
	var begun replayed
	status, err := r.call("POST", "/v1/notifications/replay", nil, map[string]any{"reason": "lost"}, &begun)
	if err != nil || status != http.StatusAccepted || begun.Matched != each*len(r.merchants) {
		r.t.Fatalf("replay: %d %v %+v", status, err, begun)
	}
	return begun
}

// replayIs waits until a replay is as told.
func (r *rig) replayIs(id, what string, ok func(v replayed) bool) replayed {
	r.t.Helper()
	var last replayed
	await(r.t, settled, "the replay is "+what, func() bool {
		var v replayed
		status, err := r.call("GET", "/v1/replays/"+id, nil, nil, &v)
		if err != nil || status != http.StatusOK {
			return false
		}
		last = v
		return ok(v)
	})
	return last
}

// finishReplay waits for the end of a replay and checks that it sent each notification once. A send that a
// kill cut off is made again.
func (r *rig) finishReplay(id string) {
	r.t.Helper()
	v := r.replayIs(id, "done", func(v replayed) bool { return v.State == "done" })
	n := v.Matched
	if want := (replayed{v.ID, "done", n, n, n, n, 0, 0}); v != want {
		r.t.Errorf("%+v, want %+v", v, want)
	}
	r.mu.Lock()
	accepted := r.h.Accepted
	r.mu.Unlock()
	records, cut := r.records(accepted), 0
	for id, record := range records {
		sends := 0
		for _, a := range record.Attempts {
			switch {
			case a.Send > 0:
			case a.Verdict == "interrupted":
				cut++
			default:
				sends++
			}
		}
		if sends != 1 || record.State != "spent" {
			r.t.Errorf("%s: %d sends by the replay, and %s: %+v", id, sends, record.State, record.Attempts)
		}
	}
	posts := len(r.posts(time.Time{}))
	if most := 3*n + cut; len(records) != n || posts < 3*n || posts > most {
		r.t.Errorf("%d of %d notifications, %d POSTs, want %d to %d", len(records), n, posts, 3*n, most)
	}
	r.t.Logf("%d replayed, %d sends cut off, %d POSTs", n, cut, posts)
}

// TestKillDuringReplay kills the product three times while it replays.
func TestKillDuringReplay(t *testing.T) {
	r := newRig(t, lost())
	p := r.start("")
	r.register()
	id := r.beginReplay(150).ID
	for _, sent := range []int{10, 60, 120} {
		r.replayIs(id, "on its way", func(v replayed) bool { return v.Sent >= sent })
		p.kill()
		p = r.start("")
	}
	r.finishReplay(id)
}

// TestRedisKillDuringReplay kills one of two processes after the other while they replay: whoever is left
// goes on when the lease has run out.
func TestRedisKillDuringReplay(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leases")
	}
	t.Parallel()
	r := newRedisRig(t, redis.Start(t).URL(), lost())
	nodes := []*process{r.start(""), r.start("")}
	r.register()
	id := r.beginReplay(150).ID
	for i, sent := range []int{10, 60} {
		r.replayIs(id, "on its way", func(v replayed) bool { return v.Sent >= sent })
		nodes[i].kill()
		nodes[i] = r.start("")
	}
	r.finishReplay(id)
}
