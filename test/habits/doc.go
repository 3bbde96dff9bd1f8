// Package habits checks the habits of the repository: who may import whom and why, documented packages and
// names, sizes that a reader can hold, a static binary of few modules that runs in an empty chroot, and the
// commands that the README promises.
//
// It has tests only. Start reading at importRules in imports_test.go.
package habits
