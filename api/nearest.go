package api

// nearest is the name that a mistyped one was most likely meant to be; empty when none is near.
func nearest(typed string, names []string) string {
	if len(typed) > 64 {
		return ""
	}
	best, least := "", 1+min(3, (len(typed)+1)/3)
	for _, n := range names {
		if d := editDistance(typed, n); d < least {
			best, least = n, d
		}
	}
	return best
}

// editDistance counts the insertions, deletions and replacements of bytes between two short names.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
