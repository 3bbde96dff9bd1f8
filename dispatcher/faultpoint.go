//go:build !faultpoint

package dispatcher

// faultPoints says that this build can be told to die at a named point; see faultpoint_on.go.
const faultPoints = false

func point(string) {}
