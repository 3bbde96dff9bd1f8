// Package api is the HTTP API: it accepts notifications, manages merchants, and tells how everything stands.
//
// It has two layers. Service does the work and returns typed results or a *Problem; the console and the tests
// call the same methods. The routes above it read requests strictly (duplicate members, unknown fields and
// unknown query parameters are refused, never guessed at) and write what Service returns. Accepting is the
// hot path and has handlers of its own, in ingest.go; every other route is declared in routes.go, with the
// types that it takes and answers. The OpenAPI document comes from the same declarations.
//
// Start reading at Service.Accept in accept.go, then at New in api.go.
package api
