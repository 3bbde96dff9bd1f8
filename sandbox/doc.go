// Package sandbox plays merchants: an HTTP receiver that verifies signatures as real merchants do, books
// each notification once, and answers with every reply that real merchants have been seen to give, down to
// broken connections and endless bodies. The demo, `paynotify listen` and the tests use it.
//
//	shop := &sandbox.Merchant{Reply: "flaky:3"}
//	if err := shop.Start(nil); err != nil { … } // 127.0.0.1, a free port
//	defer shop.Close()
//	notifyURL := shop.URL()
//
// Start reading at Merchant in merchant.go, then at the table of replies in reply.go.
package sandbox
