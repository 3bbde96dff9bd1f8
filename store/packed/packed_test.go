package packed

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// fields is one of everything.
type fields struct {
	B    byte
	U    uint64
	I    int64
	N    int
	U32  uint32
	Text string
	Raw  []byte
	On   bool
	At   time.Time
}

func (f *fields) pack(base int64) []byte {
	w := Writer{}
	w.Byte(f.B)
	w.Uint(f.U)
	w.Int(f.I)
	w.Count(f.N)
	w.U32(f.U32)
	w.Text(f.Text)
	w.Bytes(f.Raw)
	w.Bool(f.On)
	w.Time(f.At, base)
	return w.B
}

func unpack(r *Reader, base int64) (f fields) {
	f.B, f.U, f.I, f.N, f.U32 = r.Byte(), r.Uint(), r.Int(), r.Count(), r.U32()
	f.Text, f.Raw, f.On, f.At = r.Text(), r.Bytes(), r.Bool(), r.Time(base)
	return f
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		base := rapid.Int64Range(0, 4e15).Draw(t, "base")
		want := fields{
			B: rapid.Byte().Draw(t, "byte"), U: rapid.Uint64().Draw(t, "uint"), I: rapid.Int64().Draw(t, "int"),
			N: rapid.IntRange(0, 1<<31-1).Draw(t, "count"), U32: rapid.Uint32().Draw(t, "u32"),
			Text: rapid.String().Draw(t, "text"), On: rapid.Bool().Draw(t, "bool"),
		}
		if raw := rapid.SliceOf(rapid.Byte()).Draw(t, "raw"); len(raw) > 0 {
			want.Raw = raw
		}
		if ns := rapid.Int64Range(0, 4e18).Draw(t, "at"); ns > 0 {
			want.At = time.Unix(0, ns).UTC()
		}
		b := want.pack(base)
		r := Reader{B: b}
		if d := cmp.Diff(want, unpack(&r, base)); d != "" || r.Bad || len(r.B) != 0 {
			t.Fatalf("bad %v, %d bytes left (-want +got):\n%s", r.Bad, len(r.B), d)
		}
		r = Reader{B: b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")]}
		if unpack(&r, base); !r.Bad {
			t.Fatal("a record that was cut off is read without complaint")
		}
	})
}

func TestSeal(t *testing.T) {
	for _, text := range []string{"", "x", "a record"} {
		b := Seal([]byte(text))
		if got, ok := Open(b); !ok || string(got) != text {
			t.Errorf("%q is opened as %q, %v", text, got, ok)
		}
		for i := range b {
			b[i] ^= 1
			if _, ok := Open(b); ok {
				t.Errorf("%q is opened though byte %d is another", text, i)
			}
			b[i] ^= 1
		}
		if _, ok := Open(b[:len(b)-1]); ok {
			t.Errorf("%q is opened though its end is missing", text)
		}
	}
}

func TestSum(t *testing.T) {
	if Extend(Sum([]byte("x")), "a", "bc") == Extend(Sum([]byte("x")), "ab", "c") {
		t.Fatal("texts that are divided in another way have the same sum")
	}
}
