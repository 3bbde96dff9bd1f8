package dispatcher_test

import (
	"strings"
	"testing"
	"time"

	"paynotify/store"
)

// TestNoCardNumberIsKept checks that a reply is judged as it came, and kept without the card number in it.
func TestNoCardNumberIsKept(t *testing.T) {
	inVirtualTime(t, func(t *testing.T, w *world) {
		const ack = "4111111111111111 ok" // an odd acknowledgement, but the merchant's own
		w.merchant(store.Merchant{MchID: "m1", Ack: store.Ack{Match: "trim", Text: ack, Status: []string{"200"}}})
		w.answer = func(_ *world, _ string, nth int, _ post) reply {
			if nth == 1 {
				before := strings.Repeat(".", store.ReplyBytesKept-8)
				return reply{status: 500, body: before + "card 4111-1111-1111-1111"}
			}
			return says(ack)
		}
		id := w.accept("m1", "1")[0]
		w.pass(time.Hour)
		n, attempts := w.get(id)
		if n.State != store.Spent || len(attempts) != 2 {
			t.Fatalf("%s after %d attempts", n.State, len(attempts))
		}
		kept := string(attempts[0].Reply)
		if len(kept) != store.ReplyBytesKept || !strings.HasSuffix(kept, "card 411") {
			t.Errorf("kept %d bytes, …%q", len(kept), kept[len(kept)-12:])
		}
		kept = string(attempts[1].Reply)
		if kept != "411111******1111 ok" || attempts[1].Verdict != store.Acked {
			t.Errorf("%s, kept %q", attempts[1].Verdict, kept)
		}
	})
}
