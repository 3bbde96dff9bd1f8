// Package egress is the HTTP/1.1 client that talks to merchants. A merchant's server may be slow, broken,
// compromised or aimed at our inside, so this client promises three things:
//
//   - It cannot reach inside. Rules judge a URL when it is written down (CheckURL) and, authoritatively,
//     every single address when it is dialled, after resolution, in the socket's control hook. A proxy is
//     asked to connect to such an address, never to a name.
//   - It cannot be hung. One deadline covers everything from the claim to the last byte; the reply's head
//     and body are capped; a 101 is refused unread; redirects are not followed; nothing is decompressed.
//   - It never sends twice. One Do is at most one POST. A kept-alive connection that dies without one
//     reply byte is reported as ConnStale, and the caller decides about the one recorded re-send.
//
// Idle connections belong to one merchant. Bytes behind a complete reply are never read as another reply:
// the connection is closed, and a connection is reused only if it is found silent.
//
// The package knows nothing of notifications: it returns a status, at most 4 KiB of body, and a Fault, whose
// words are those of the public contract's reasons.
//
// The rules are in rules.go, url.go and addr.go, the ways to connect in dial.go and tunnel.go, and a
// merchant's own TLS is in tlsoptions.go.
//
// Start reading at Client.Do in client.go.
package egress
