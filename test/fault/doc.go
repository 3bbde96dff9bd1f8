// Package fault breaks the running product and reads three logs afterwards: what producers were promised,
// what merchants received and what the store says. A checker compares them and prints the one line that
// matters: "0 lost / N accepted, D duplicates".
//
// The embedded pair is killed at random and at named points, and its disk is filled. The Redis pair, several
// processes on real redis-server children, is killed, frozen, drained and rolled over; its Redis is killed,
// restarted, cut off, slowed down, filled, emptied and failed over. FAULTS=full, as in make test-faults,
// gives the long cases the lengths that the promises name; without it they are short.
//
// Start reading at Check in check.go, then at rig_test.go, kill_test.go and redis_kill_test.go.
package fault
