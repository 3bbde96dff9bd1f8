// Package product builds the paynotify binary and runs it the way users do, for tests of the whole product.
//
// Start reading at Build, then at Serve.
package product
