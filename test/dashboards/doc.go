// Package dashboards checks what operators load into Prometheus, Alertmanager and Grafana: that the alert
// rules fire when they must and not otherwise (promtool), that a slip in any of them would be noticed (the
// rules are mutated), that the boards keep the rules of the house and ask for nothing that the binary does
// not tell, that nothing it tells is on no board, and that each alert has its page in the runbook.
//
// It has tests only. Start reading at TestRules in rules_test.go.
package dashboards
