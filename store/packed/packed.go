// Package packed writes and reads the records of stores: fixed fields, varints, length-prefixed texts. JSON
// would cost more than the operation that stores it, and several times the bytes.
//
// Checksums are CRC-32C, which finds every error of up to 32 bits in a row; they guard against decay, not
// against people.
//
// Start reading at Writer; Reader takes the same fields off in the same order.
package packed

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"time"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sum is the checksum of b.
func Sum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// Update is the checksum of what sum covers, followed by b.
func Update(sum uint32, b []byte) uint32 { return crc32.Update(sum, castagnoli, b) }

// Extend is the checksum of what sum covers, followed by the texts, each ended by a zero byte.
func Extend(sum uint32, texts ...string) uint32 {
	for _, text := range texts {
		sum = crc32.Update(sum, castagnoli, []byte(text))
		sum = crc32.Update(sum, castagnoli, []byte{0})
	}
	return sum
}

// Seal closes a record with its checksum.
func Seal(b []byte) []byte { return binary.BigEndian.AppendUint32(b, Sum(b)) }

// Open checks the checksum of a sealed record and takes it off; false when the record is not what was sealed.
func Open(b []byte) ([]byte, bool) {
	end := len(b) - 4
	if end < 0 || Sum(b[:end]) != binary.BigEndian.Uint32(b[end:]) {
		return nil, false
	}
	return b[:end], true
}

// Writer appends fields to B.
type Writer struct{ B []byte }

// Byte appends one byte.
func (w *Writer) Byte(v byte) { w.B = append(w.B, v) }

// Uint appends a number of 1 to 10 bytes, small ones in few.
func (w *Writer) Uint(v uint64) { w.B = binary.AppendUvarint(w.B, v) }

// Int appends a number that may be negative.
func (w *Writer) Int(v int64) { w.B = binary.AppendVarint(w.B, v) }

// Count appends a number that is never negative.
func (w *Writer) Count(v int) { w.Uint(uint64(max(v, 0))) }

// U32 appends a number of exactly four bytes, big end first.
func (w *Writer) U32(v uint32) { w.B = binary.BigEndian.AppendUint32(w.B, v) }

// Text appends a text behind its length in bytes.
func (w *Writer) Text(v string) {
	w.Count(len(v))
	w.B = append(w.B, v...)
}

// Bytes appends bytes behind their number.
func (w *Writer) Bytes(v []byte) {
	w.Count(len(v))
	w.B = append(w.B, v...)
}

// Bool appends one byte.
func (w *Writer) Bool(v bool) {
	if v {
		w.Byte(1)
	} else {
		w.Byte(0)
	}
}

// Time appends an instant, to the nanosecond, as its distance from a base in microseconds since 1970: near
// ones take few bytes. The zero Time stays zero.
func (w *Writer) Time(t time.Time, base int64) {
	if t.IsZero() {
		w.Uint(0)
		return
	}
	d := t.UnixNano() - base*1000
	w.Uint(uint64(d<<1^d>>63) + 1) //nolint:gosec // zigzag
}

// Reader takes fields off B. After the first that is not there everything is zero and Bad is set.
type Reader struct {
	B   []byte
	Bad bool
}

func (r *Reader) spoil() {
	r.Bad, r.B = true, nil
}

// Take takes n bytes, which stay part of the record's buffer.
func (r *Reader) Take(n uint64) []byte {
	if n > uint64(len(r.B)) {
		r.spoil()
		return nil
	}
	head := r.B[:n:n]
	r.B = r.B[n:]
	return head
}

// Byte takes one byte.
func (r *Reader) Byte() byte {
	if b := r.Take(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint takes what Writer.Uint appended.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.B)
	if n <= 0 {
		r.spoil()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Int takes what Writer.Int appended.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.B)
	if n <= 0 {
		r.spoil()
		return 0
	}
	r.B = r.B[n:]
	return v
}

// Count takes what Writer.Count appended.
func (r *Reader) Count() int {
	v := r.Uint()
	if v > math.MaxInt32 {
		r.spoil()
		return 0
	}
	return int(v)
}

// U32 takes four bytes.
func (r *Reader) U32() uint32 {
	if b := r.Take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Text takes a text.
func (r *Reader) Text() string { return string(r.Take(r.Uint())) }

// Bytes takes a copy of bytes: the record's buffer is not kept alive by a part of it. None are nil.
func (r *Reader) Bytes() []byte {
	if b := r.Take(r.Uint()); len(b) > 0 {
		return append([]byte(nil), b...)
	}
	return nil
}

// Bool takes one byte.
func (r *Reader) Bool() bool { return r.Byte() == 1 }

// Time takes an instant, in UTC.
func (r *Reader) Time(base int64) time.Time {
	v := r.Uint()
	if v == 0 {
		return time.Time{}
	}
	v--
	return time.Unix(0, base*1000+(int64(v>>1)^-int64(v&1))).UTC()
}
