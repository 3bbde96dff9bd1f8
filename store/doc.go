// Package store holds the words and the contract of paynotify's truth: what a notification, a merchant, an
// attempt and a lane are, how a notification changes state, and what every Store promises.
//
// The store is the truth and the clock. What it has returned nil for survives a crash; "now" is its now.
// Packages below this one (sqlitestore, …) keep the promises; package storetest checks them one by one.
//
// Start reading at Store in store.go, then at Notification.Settle in state.go.
package store
