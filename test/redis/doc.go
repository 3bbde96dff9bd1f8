// Package redis starts real redis-server children for tests: a single server, replicas, a Sentinel set, a
// Cluster, and a proxy that makes the way to any of them slow or cuts it. Everything listens on a free port
// of loopback, keeps its data in a folder of the test and ends with it, also when the test fails; nothing
// else is ever touched. Where redis-server is not installed the test is skipped.
//
// Start reading at Start in server.go, then at StartSentinel, StartCluster and NewProxy.
package redis
