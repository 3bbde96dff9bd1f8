// Package distance measures what a Redis that is farther away costs: nothing may be one round trip for each
// notification in series.
//
// Start reading at TestThroughput.
package distance
