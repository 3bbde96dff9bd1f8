// Package asynqqueue hands out lanes between the processes that share a Redis, over hibiken/asynq.
//
// A task of asynq says "this lane has work now", no more: it is enqueued at once, given to one of the runners
// of one of the processes at once, and means nothing once it is old. Of all that asynq offers only that is
// used. Its schedule is kept in whole seconds, its retries and its archive are trimmed silently, its unique
// ids can block a lane for ever; the store is the clock and the truth here, and names a lane again when a
// task was lost.
//
// Lanes are spread by hash over a few queues, each with an asynq server of its own: one server is one loop
// that takes one task after the other, and on a Cluster a dead master must not stop the queues of the others.
//
//	Wake ─▶ line ─▶ batch ─▶ Redis ─▶ taker ─▶ asynq ─▶ runners ─▶ run
//	        (one of the queues)       (asks when woken or by poll)
//
// Wakes of one lane fold: see table in lanes.go. What asynq does with its connection is put right in
// taker.go.
//
// Start reading at Queue.Wake, then at Queue.Run.
package asynqqueue
