// Package console drives the console of the running binary in a real browser, Debian's Chromium, as people
// do: by forms, buttons and keys. It is a module of its own, so that what drives a browser is no dependency
// of the product. It knows the product by its pages and its HTTP API alone: no package of paynotify is
// imported.
//
// What is tested: somebody finds out why a reply did not count, sends again and sees it spent; pauses and
// resumes a merchant (people_test.go); replays many and sees the bar move (replay_test.go); a portal link
// shows one merchant (portal_test.go); hostile texts stay texts on every page (hostile_test.go); it all works
// by keyboard, and without scripts (ways_test.go); and every page is photographed light, dark, narrow and in
// Chinese, is not wider than its screen and says its language (screenshots_test.go). Whatever a browser
// complains of in its console fails the test that it was met in.
//
// Run it with "go test ./..." in this folder. SCREENSHOTS=DIR keeps the pictures, CONSOLE_BINARY=FILE tests a
// binary that is there already. Without chromium everything is skipped.
//
// Start reading at TestNearMiss in people_test.go, then at tab in browser_test.go.
package console
