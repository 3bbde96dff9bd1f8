package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"time"
)

// A notify_id is 26 characters of [0-9a-z]: ten for the microsecond of acceptance, one for the shard, and
// fifteen random ones (77 bits). It sorts by time, needs no escaping anywhere (merchants paste it into
// notify_verify URLs as it is), and a look-up needs no directory: time and shard say where the record is.
const (
	NotifyIDChars = 26

	idTimeChars   = 10 // 36^10 µs reaches into 2085
	idRandomChars = NotifyIDChars - idTimeChars - 1
	base36        = "0123456789abcdefghijklmnopqrstuvwxyz"
)

// ErrBadID says that a text cannot be a notify_id.
var ErrBadID = errors.New("not a notify_id: want 26 characters of [0-9a-z]")

// NewID makes the notify_id of a notification accepted at the given instant on a shard (0–35).
func NewID(at time.Time, shard int) string {
	var id [NotifyIDChars]byte
	us := uint64(at.UnixMicro()) // instants before 1970 do not occur
	for i := idTimeChars - 1; i >= 0; i-- {
		id[i] = base36[us%36]
		us /= 36
	}
	id[idTimeChars] = base36[shard%36]
	var raw [16]byte
	rand.Read(raw[:]) // never fails
	hi, lo := binary.NativeEndian.Uint64(raw[:8]), binary.NativeEndian.Uint64(raw[8:])
	for i := range idRandomChars {
		word := &hi
		if i%2 == 1 {
			word = &lo
		}
		id[idTimeChars+1+i] = base36[*word%36]
		*word /= 36
	}
	return string(id[:])
}

// ParseID tells the instant (to the microsecond) and the shard that a notify_id carries.
func ParseID(id string) (at time.Time, shard int, err error) {
	if len(id) != NotifyIDChars {
		return time.Time{}, 0, ErrBadID
	}
	var us int64
	for i := range len(id) {
		d := digit36(id[i])
		if d < 0 {
			return time.Time{}, 0, ErrBadID
		}
		if i < idTimeChars {
			us = us*36 + int64(d)
		}
	}
	return time.UnixMicro(us).UTC(), digit36(id[idTimeChars]), nil
}

func digit36(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'z':
		return int(c-'a') + 10
	}
	return -1
}
