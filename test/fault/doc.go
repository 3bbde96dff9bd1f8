// Package fault kills the product under load and reads three logs afterwards: what producers were promised,
// what merchants received and what the store says. A checker compares them and prints the one line that
// matters: "0 lost / N accepted, D duplicates".
//
// Start reading at Check in check.go, then at rig_test.go and kill_test.go.
package fault
