package redisstore

import (
	"crypto/sha256"
	"hash/fnv"
	"time"

	"paynotify/store"
)

// shardOf is the shard that a merchant belongs to.
func shardOf(mchID string, shards int) int {
	h := fnv.New64a()
	h.Write([]byte(mchID))
	return int(mix(h.Sum64()) % uint64(shards)) //nolint:gosec // 1 to 36
}

// mix spreads what FNV leaves in the high bits of short, similar texts.
func mix(v uint64) uint64 {
	v ^= v >> 33
	v *= 0xff51afd7ed558ccd
	return v ^ v>>33
}

// scoreBits are what the score of a sorted set holds exactly.
const scoreBits = 52

// otnScore is where an order number stands in the index of order numbers. Different ones may share a score:
// the record says which it is.
func otnScore(outTradeNo string) int64 {
	sum := sha256.Sum256([]byte(outTradeNo))
	return int64(bigEndian(string(sum[:8])) >> (64 - scoreBits))
}

// keyField is where an idempotency key stands among those of its merchant: 16 bytes of its SHA-256.
func keyField(idempotencyKey string) string {
	sum := sha256.Sum256([]byte(idempotencyKey))
	return string(sum[:16])
}

// shrunkDigit is the state, in the name of a partition, of spent records that were shrunk.
const shrunkDigit = '5'

// partOf names the partition of its merchant's notifications that one belongs to.
func partOf(s store.State, shrunk bool, v store.Verdict, reason store.Reason) string {
	state := byte('0') + number(states, s)
	if shrunk {
		state = shrunkDigit
	}
	return string([]byte{state, base62[number(verdicts, v)], base62[number(reasons, reason)]})
}

func (r *record) part() string {
	return partOf(r.n.State, r.n.Shrunk, r.n.LastVerdict, r.n.LastReason)
}

// dueOf says in which due set a notification waits, and for when; no class when in none. A microsecond begun
// is waited for: never early.
func dueOf(n *store.Notification) (class string, us int64) {
	at, c := n.Due()
	if at.IsZero() {
		return "", 0
	}
	return string([]byte{'0' + byte(c)}), ceilMicro(at) //nolint:gosec // 0 to 2
}

func ceilMicro(at time.Time) int64 { return (at.UnixNano() + 999) / 1000 }

// sendOf is the number of the next send as it is counted apart, empty for what is not: those that are not
// pending, and the first send, which is the rest.
func sendOf(n *store.Notification) any {
	if n.State == store.Pending && n.Send() > 1 {
		return n.Send()
	}
	return ""
}
