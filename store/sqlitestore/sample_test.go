package sqlitestore

import (
	"context"
	"math"
	"path/filepath"
	"testing"
	"time"

	"paynotify/store"
)

// TestSampleIsFair draws by every way from notifications of which some came in crowds and some one by one,
// over seconds and over weeks: each must be as likely as any other.
func TestSampleIsFair(t *testing.T) {
	const rows, most, draws = 3000, 150, 400
	for name, way := range map[string]sampling{
		"listed":        {listed: 2 * rows, walked: 2 * rows, block: 64},
		"walked":        {listed: 0, walked: 2 * rows, block: 64},
		"blocks":        {listed: 0, walked: 1, block: 64},
		"blocks of all": {listed: 0, walked: 1, block: 64},
	} {
		q := store.Query{MchID: "m"}
		if name == "blocks of all" {
			q.MchID = ""
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			s := open(t, Options{Path: filepath.Join(t.TempDir(), "s.db"), Now: c.now, ReserveBytes: 1 << 12})
			importMerchants(t, s, "m", "other")
			s.sampling = way
			index, page := crowds(c.now().Add(-24*time.Hour), rows, q.MchID == "")
			if err := s.Import(context.Background(), page); err != nil {
				t.Fatal(err)
			}
			taken, total, squares := make([]int, len(index)), 0, 0.0
			for range draws {
				ns, err := s.Sample(context.Background(), q, most)
				if err != nil || len(ns) > most || len(ns) < most/3 {
					t.Fatalf("a sample of %d, asked for %d: %v", len(ns), most, err)
				}
				for _, n := range ns {
					i, ok := index[n.NotifyID]
					if !ok {
						t.Fatalf("%s of %s does not match", n.NotifyID, n.MchID)
					}
					taken[i]++
					total++
				}
			}
			if total < draws*most*9/10 {
				t.Errorf("%d in %d samples, asked for %d in each", total, draws, most)
			}
			mean := float64(total) / float64(len(index))
			for i, n := range taken { // 8 standard deviations: never by chance
				if math.Abs(float64(n)-mean) > 8*math.Sqrt(mean) {
					t.Errorf("#%d was taken %d times, on average %.1f", i, n, mean)
				}
				squares += (float64(n) - mean) * (float64(n) - mean)
			}
			if spread := squares / float64(len(index)) / mean; spread > 1.5 { // 1 where each is drawn by itself
				t.Errorf("taken %.1f times on average, with %.2f times the variance of chance", mean, spread)
			}
		})
	}
}

// crowds are notifications of two merchants, rows of each, some in crowds and some alone, and the places of
// the first one's, or of both's, by notify_id.
func crowds(at time.Time, rows int, both bool) (index map[string]int, page []store.Moved) {
	index = map[string]int{}
	for i := range rows {
		switch {
		case i%500 < 300:
			at = at.Add(time.Microsecond)
		case i%500 == 300:
			at = at.Add(2 * time.Hour)
		default:
			at = at.Add(time.Duration(i%7) * time.Second)
		}
		m, other := moved("m", at, 0), moved("other", at, 0)
		index[m.NotifyID] = i
		if page = append(page, m, other); both {
			index[other.NotifyID] = rows + i
		}
	}
	return index, page
}
