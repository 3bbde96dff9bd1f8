// Package redisstore keeps a store in Redis, for many processes: single, Sentinel, Cluster or managed.
//
// A merchant belongs to one of the shards by the hash of its mch_id; a shard is a hash tag, {s0}, {s1}, …, so
// that everything of a merchant lies in one slot and every step of the Store is one script. Behind the prefix
// of its shard (pn:{s7}:) lie
//
//	meta          hash    marks the shard as ours: format, number of shards, identity of the store
//	m             hash    mch_id → merchant (live ones)
//	names, gone   zset    mch_id of the live merchants, of the deleted ones
//	l:MCH         hash    the lane: limits, pause, tokens, breaker, until when it is awake; see lua/lane.lua
//	lanes         zset    mch_id → when Wakes must look at the lane
//	n:ID          string  a notification: front, progress, frozen body, attempts; see codec.go
//	d0:MCH d1 d2  zset    what waits, by store.Class: notify_id → due
//	c:MCH         zset    live claims: notify_id → end of the lease
//	t:MCH:PART    zset    the lists: every notification is in exactly one partition of its merchant, by state
//	                      and last verdict and reason: notify_id → microsecond of acceptance
//	b:MCH         zset    what is held for its own address
//	o:N           zset    order numbers: notify_id → 52 bits of a hash; 512 sets by its first 9 bits
//	k:MCH         hash    idempotency keys: 16 bytes of a hash → notify_id
//	snd           hash    pending ones by the number of their next send, from the second
//	log           stream  the order of settlement
//	stop, sending string  the switch that stops all sending
//	tok           string  counts claim tokens
//	keys          hash    API keys: ID → key (shard 0)
//	audit         stream  the audit log, never trimmed: SEQ-0 → an entry's fields; see audit.go (shard 0)
//	marks         hash    how far the engine itself has read: name → text (shard 0)
//	nodes         zset    processes that serve the store: node → when it was last seen (shard 0)
//	moving        string  the migration that has the store for itself (shard 0)
//
// The state machine is package store's alone: a script moves records and indexes, but what becomes of a
// notification Go computes, and writes it by compare-and-swap on the record's front. Whoever holds a claim
// nearly always finds the record as it was, so a settlement is one script too. Cap, rate, pause, breaker and
// the awake mark are decided in scripts, which see all nodes.
//
// Redis's own clock is the store's.
//
// Start reading at Open, then Store.Accept and lua/accept.lua, then change.go.
package redisstore
