// Package hostile has tests of what merchants' servers do to us: every reply of the bad-input matrix over
// real sockets, plain and TLS, through the client and the judge; merchants that share a host; and the running
// binary under hundreds of hostile replies at once.
//
// Start reading at TestReplies in replies_test.go.
package hostile
