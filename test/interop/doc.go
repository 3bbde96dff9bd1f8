// Package interop sends through the running binary to the SDKs that merchants really verify with, Go's and
// Node's, and sees what they make of it. It is a module of its own, so that no SDK is a dependency of the
// product. It knows the product by its HTTP API alone, as users do: no package of paynotify is imported.
//
// What is tested: every SDK accepts, refuses one changed byte (accept_test.go) and refuses the wrongly signed
// probe (probe_test.go); random parameters that were let in are accepted by several SDKs and arrive as they
// were given (random_test.go); what an SDK would stumble over is refused at accept (refuse_test.go); keys
// that were given or rotated verify, and so does the header signature (key_test.go); a resend keeps what must
// stay (resend_test.go).
//
// Run it with "go test ./..." in this folder. INTEROP_SEED=N repeats the random parameters of a run,
// INTEROP_BINARY=FILE tests a binary that is there already. Without npm, or with its registry out of reach,
// the Node SDKs are skipped.
//
// Start reading at dialects in dialects_test.go, then at TestSDKs in accept_test.go.
package interop
