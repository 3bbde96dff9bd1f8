// Package console is the web console: what support engineers, operators and, in a portal, merchants look at.
//
// Pages are templates in templates/, English texts in them are the keys of words/, and everything else is
// computed in Go: a page's function asks api.Service, the same as the API does, and makes texts of what it
// gets. Scripts only make pages livelier; each page and form works without them. Nothing here decides who may
// do what: a route of the console takes the rights of a route of the API.
//
// Start reading at New in console.go, then at any page, such as notification.go.
package console
