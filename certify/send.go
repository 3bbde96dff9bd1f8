package certify

import (
	"context"
	"time"

	"paynotify/dispatcher/egress"
	"paynotify/profile"
	"paynotify/store"
)

// defaultTimeout is the engine's.
const defaultTimeout = 15 * time.Second

// answer is what came back, judged.
type answer struct {
	profile.Judgement

	status int
	body   []byte
}

// send makes one exchange, as the engine makes an attempt. Every one has a connection of its own: what a
// merchant does to a connection must not show in the next case.
func (s *session) send(ctx context.Context, msg profile.Message) answer {
	timeout := s.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	req := egress.Request{
		Pool: s.Merchant.MchID, Target: s.Target, Query: msg.Query, Method: msg.Method, Body: msg.Body,
		Deadline: time.Now().Add(timeout), Fresh: true,
	}
	for _, line := range msg.Header {
		req.Header = append(req.Header, egress.Header(line))
	}
	r := s.Client.Do(ctx, &req)
	a := answer{status: r.Status, body: r.Body}
	a.Judgement = profile.Judge(s.ack, profile.Reply{
		Status: r.Status, ContentType: r.ContentType, ContentEncoding: r.ContentEncoding, Body: r.Body,
		Fault: store.Reason(r.Fault),
	})
	if a.Detail == "" {
		a.Detail = r.Detail
	}
	return a
}

// encode writes and signs a request, immediately before it is sent: receivers refuse old timestamps.
func (s *session) encode(n *store.Notification, keys *profile.Keys) (profile.Message, error) {
	return profile.Encode(s.Profile, profile.Input{
		Notification: n, Merchant: s.Merchant, Keys: keys, Now: s.now(),
	})
}
