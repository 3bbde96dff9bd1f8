package redisstore

import (
	"math"
	"testing"
)

// Whatever the sizes of shelves, every rank is as likely as any other, each is taken once at most, and there
// are as many as were asked for, a few at most missing.
func TestRanksAreFair(t *testing.T) {
	t.Parallel()
	for _, most := range []int{1, 2, 7, 50, 400, 501, 1000, 9000} {
		all := []shelf{
			{shard: 0, set: "a", n: 1, before: 5},
			{shard: 1, set: "b", n: 9700},
			{shard: 0, set: "c", n: 3},
			{shard: 2, set: "d", n: 2, before: 1},
			{shard: 1, set: "e", n: 94},
		}
		const total, draws = 9800, 1000
		taken := map[string][]int{}
		for _, at := range all {
			taken[at.set] = make([]int, at.n)
		}
		sum := 0
		for range draws {
			once := map[string]map[int64]bool{}
			n := 0
			for shard, ranks := range ranksOf(all, most) {
				for ; len(ranks) >= 3; ranks = ranks[3:] {
					set := ranks[0].(string) //nolint:forcetypeassert // ours
					if once[set] == nil {
						once[set] = map[int64]bool{}
					}
					for rank := ranks[1].(int64); rank <= ranks[2].(int64); rank++ { //nolint:forcetypeassert // ours
						at := shelfOf(t, all, shard, set)
						if once[set][rank] {
							t.Fatalf("%d: rank %d of %s is taken twice", most, rank, set)
						}
						once[set][rank] = true
						taken[set][rank-at.before]++
						n++
					}
				}
			}
			if n > most || n < min(most, total)-neighbours+1 {
				t.Fatalf("%d are taken of %d, asked for %d", n, total, most)
			}
			sum += n
		}
		mean := float64(sum) / total
		for set, ns := range taken {
			for rank, n := range ns {
				if math.Abs(float64(n)-mean) > 7*math.Sqrt(mean)+1 {
					t.Errorf("%d: rank %d of %s was taken %d times, on average %.1f", most, rank, set, n, mean)
				}
			}
		}
	}
}

func shelfOf(t *testing.T, all []shelf, shard int, set string) shelf {
	t.Helper()
	for _, at := range all {
		if at.shard == shard && at.set == set {
			return at
		}
	}
	t.Fatalf("there is no %s in shard %d", set, shard)
	return shelf{}
}
