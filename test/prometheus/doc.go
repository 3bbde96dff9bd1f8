// Package prometheus has a real Prometheus and a real Alertmanager watch the running binary while its
// merchants misbehave: the query of every panel must return data, exemplars must name notifications, and
// alerts must fire, reach whoever they are for, and clear.
//
// It has tests only. Start reading at TestLive in live_test.go.
package prometheus
