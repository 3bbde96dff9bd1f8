package storetest

import (
	"context"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paynotify/store"
)

// mutant is the reference store with one deliberate bug.
type mutant struct {
	*memory
	bug    bug
	serial sync.Mutex // the bugs reach into memory without its lock
}

// bug spoils what goes into a method or comes out of it. Nil hooks do nothing.
type bug struct {
	afterAccept func(m *memory, out []store.Accepted)
	duringClaim func(m *memory, lane string) (undo func())
	afterClaim  func(m *memory, lane string, limit int, out *store.Claims)
	duringWakes func(m *memory) (undo func())
	afterWakes  func(m *memory, out *store.Wakes)
	settle      func(m *memory, r *record, s *store.Settlement)
	afterSettle func(m *memory, r *record, s store.Settlement)
	afterResend func(r *record)
	afterOpen   func(m *memory)
	afterAudit  func(m *memory, e *store.AuditEntry)
	setMark     func(m *memory, name string, was *string)
}

func (x *mutant) Accept(
	ctx context.Context, items []store.Incoming, lease time.Duration,
) ([]store.Accepted, error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	out, err := x.memory.Accept(ctx, items, lease)
	if x.bug.afterAccept != nil {
		x.bug.afterAccept(x.memory, out)
	}
	return out, err
}

func (x *mutant) Claim(
	ctx context.Context, lane string, limit int, lease time.Duration,
) (store.Claims, error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	if x.bug.duringClaim != nil {
		defer x.bug.duringClaim(x.memory, lane)()
	}
	out, err := x.memory.Claim(ctx, lane, limit, lease)
	if x.bug.afterClaim != nil {
		x.bug.afterClaim(x.memory, lane, limit, &out)
	}
	return out, err
}

func (x *mutant) Wakes(ctx context.Context, limit int) (store.Wakes, error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	if x.bug.duringWakes != nil {
		defer x.bug.duringWakes(x.memory)()
	}
	out, err := x.memory.Wakes(ctx, limit)
	if x.bug.afterWakes != nil {
		x.bug.afterWakes(x.memory, &out)
	}
	return out, err
}

func (x *mutant) Settle(ctx context.Context, ss []store.Settlement) (ready []string, err error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	for _, s := range ss {
		r := x.records[s.NotifyID]
		if x.bug.settle != nil && r != nil {
			x.bug.settle(x.memory, r, &s)
		}
		lanes, err := x.memory.Settle(ctx, []store.Settlement{s})
		if err != nil {
			return nil, err
		}
		ready = append(ready, lanes...)
		if x.bug.afterSettle != nil && r != nil {
			x.bug.afterSettle(x.memory, r, s)
		}
	}
	return ready, nil
}

func (x *mutant) Resend(
	ctx context.Context, id string, t store.Trigger, force bool,
) (store.Notification, error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	n, err := x.memory.Resend(ctx, id, t, force)
	if x.bug.afterResend != nil && err == nil {
		x.bug.afterResend(x.records[id])
	}
	return n, err
}

func (x *mutant) Audit(ctx context.Context, e store.AuditEntry) (store.AuditEntry, error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	out, err := x.memory.Audit(ctx, e)
	if x.bug.afterAudit != nil && err == nil {
		x.bug.afterAudit(x.memory, &out)
	}
	return out, err
}

func (x *mutant) SetMark(ctx context.Context, name, was, value string) (bool, error) {
	x.serial.Lock()
	defer x.serial.Unlock()
	if x.bug.setMark != nil {
		x.bug.setMark(x.memory, name, &was)
	}
	return x.memory.SetMark(ctx, name, was, value)
}

// changed lets the merchant of a lane be another one for a while.
func changed(m *memory, lane string, change func(mch *store.Merchant)) (undo func()) {
	old := m.merchants[lane]
	other := old
	change(&other)
	m.merchants[lane] = other
	return func() { m.merchants[lane] = old }
}

// mutants are one bug for every invariant, and more.
var mutants = []struct {
	name string
	want string // the invariant that it breaks
	bug  bug
}{
	{"claims two seconds early", claimedEarly, bug{
		duringClaim: func(m *memory, lane string) func() {
			if m.merchants[lane].RatePerSecond > 0 { // else it would be found out by the rate
				return func() {}
			}
			clock := m.clock
			m.clock = func() time.Time { return clock().Add(2 * time.Second) }
			return func() { m.clock = clock }
		},
		afterClaim: func(m *memory, lane string, _ int, out *store.Claims) {
			for i := range out.Items {
				if m.merchants[lane].RatePerSecond > 0 {
					continue
				}
				c := &out.Items[i]
				c.ClaimedAt, c.LeaseUntil = c.ClaimedAt.Add(-2*time.Second), c.LeaseUntil.Add(-2*time.Second)
				m.records[c.NotifyID].claim = c
			}
		},
	}},
	{"sends after spent", claimedFinal, bug{
		afterClaim: func(m *memory, lane string, limit int, out *store.Claims) {
			for _, r := range m.sorted() {
				if r.MchID == lane && r.State == store.Spent && r.claim == nil && len(out.Items) < limit {
					m.token++
					out.Items = append(out.Items, store.Claim{
						Notification: r.Notification, Token: m.token, Trigger: store.Retry,
						Send: r.Notification.Send(), ClaimedAt: m.now(), LeaseUntil: m.now().Add(lease),
					})
				}
			}
		},
	}},
	{"claims twice", claimedTwice, bug{afterClaim: func(m *memory, _ string, limit int, out *store.Claims) {
		if len(out.Items) > 0 && len(out.Items) < limit {
			again := out.Items[0]
			m.token++
			again.Token = m.token
			out.Items = append(out.Items, again)
		}
	}}},
	{"cap and one more", claimedOverCap, bug{duringClaim: func(m *memory, lane string) func() {
		return changed(m, lane, func(mch *store.Merchant) { mch.MaxInflight++ })
	}}},
	{"a full bucket each time", claimedOverRate, bug{duringClaim: func(m *memory, lane string) func() {
		delete(m.rates, lane)
		return func() {}
	}}},
	{"a full bucket after a crash", claimedOverRate, bug{afterOpen: func(m *memory) { clear(m.rates) }}},
	{"claims while paused", claimedHeld, bug{duringClaim: func(m *memory, lane string) func() {
		return changed(m, lane, func(mch *store.Merchant) { mch.Paused = false })
	}}},
	{"claims while sending is stopped", claimedHeld, bug{duringClaim: func(m *memory, _ string) func() {
		old := m.switched
		m.switched.Paused = false
		return func() { m.switched = old }
	}}},
	{"skips a send", claimedWrong, bug{afterClaim: func(_ *memory, _ string, _ int, out *store.Claims) {
		for i := range out.Items {
			if out.Items[i].Trigger == store.Retry {
				out.Items[i].Send++
			}
		}
	}}},
	{"tokens start again after a crash", claimTokens, bug{afterOpen: func(m *memory) { m.token = 0 }}},
	{"overlooks the newest", claimsMissing, bug{duringClaim: func(m *memory, _ string) func() {
		all := m.sorted()
		if len(all) < 3 {
			return func() {}
		}
		r := all[len(all)-1]
		delete(m.records, r.NotifyID)
		return func() { m.records[r.NotifyID] = r }
	}}},
	{"says idle with more to do", claimsMissing, bug{
		afterClaim: func(_ *memory, _ string, _ int, out *store.Claims) {
			if out.Lane == store.LaneMore {
				out.Lane = store.LaneIdle
			}
		},
	}},
	{"says capped with places free", laneWrong, bug{
		afterClaim: func(_ *memory, _ string, _ int, out *store.Claims) {
			if out.Lane == store.LaneIdle {
				out.Lane = store.LaneCapped
			}
		},
	}},
	{"wakes an idle lane", wakesWrong, bug{afterWakes: func(m *memory, out *store.Wakes) {
		if len(out.Lanes) == 0 && len(m.due("m2")) == 0 {
			m.awake["m2"] = out.Now.Add(store.AwakeLeaseMax)
			out.Lanes = []string{"m2"}
		}
	}}},
	{"drops one accept", acceptedLost, bug{afterAccept: func(m *memory, out []store.Accepted) {
		if len(out) == 4 {
			delete(m.records, out[3].NotifyID)
		}
	}}},
	{"loses what a crash interrupts", acceptedLost, bug{afterOpen: func(m *memory) {
		for _, r := range m.sorted() {
			if r.LastReason == store.Crash {
				delete(m.records, r.NotifyID)
			}
		}
	}}},
	{"forgets a lane", neverClaimable, bug{afterWakes: func(_ *memory, out *store.Wakes) {
		out.Lanes = slices.DeleteFunc(out.Lanes, func(lane string) bool { return lane == "m3" })
	}}},
	{"never looks at leases", interruptWrong, bug{duringWakes: func(m *memory) func() {
		hidden := map[string]*store.Claim{}
		for _, r := range m.records {
			if r.claim != nil {
				later := *r.claim
				hidden[r.NotifyID] = r.claim
				later.LeaseUntil = m.now().Add(1000 * time.Hour)
				r.claim = &later
			}
		}
		return func() {
			for id, c := range hidden {
				m.records[id].claim = c
			}
		}
	}}},
	{"numbers with gaps", numbersGap, bug{afterSettle: func(_ *memory, r *record, s store.Settlement) {
		if s.Outcome.Stale != nil && len(r.attempts) > 0 {
			r.attempts[len(r.attempts)-1].N++
		}
	}}},
	{"counts what is not charged", countsWrong, bug{afterSettle: func(_ *memory, r *record, s store.Settlement) {
		if s.Outcome.Attempt.Verdict == store.DNSError {
			r.NotifyCount++
		}
	}}},
	{"forgets the stale connection", countsWrong, bug{settle: func(_ *memory, _ *record, s *store.Settlement) {
		s.Outcome.Stale = nil
	}, afterSettle: func(_ *memory, r *record, s store.Settlement) {
		if s.Outcome.Attempt.Verdict == store.Timeout {
			r.AttemptCount++
		}
	}}},
	{"charges a crash", chargedToCrash, bug{afterOpen: func(m *memory) {
		for _, r := range m.records {
			last := len(r.attempts) - 1
			if last >= 0 && r.LastReason == store.Crash && r.State == store.Pending {
				r.attempts[last].Charged = true
				r.NotifyCount = r.attempts[last].Send
			}
		}
	}}},
	{"a refusal takes spent back", leftSpent, bug{afterSettle: func(m *memory, r *record, s store.Settlement) {
		if s.Outcome.State == store.Pending && r.State == store.Spent {
			r.State, r.NextAt, r.PlannedAt = store.Pending, m.now(), m.now()
		}
	}}},
	{"a resend moves the schedule", progressWrong, bug{afterResend: func(r *record) {
		if !r.NextAt.IsZero() {
			r.NextAt = r.NextAt.Add(time.Minute)
		}
	}}},
	{"settles without looking at the token", interruptWrong, bug{
		settle: func(_ *memory, r *record, s *store.Settlement) {
			if r.claim != nil {
				s.Token = r.claim.Token
			}
		},
	}},
	{"takes no late acknowledgement", progressWrong, bug{
		settle: func(_ *memory, r *record, s *store.Settlement) {
			if r.claim == nil || r.claim.Token != s.Token {
				s.NotifyID = ""
			}
		},
	}},
	{"a lease is half as long", interruptWrong, bug{duringWakes: func(m *memory) func() {
		for _, r := range m.sorted() {
			if r.claim != nil && m.now().Sub(r.claim.ClaimedAt) >= lease/2 {
				m.interrupt(r, m.now())
			}
		}
		return func() {}
	}}},
	{"forgets keys in a crash", keyWrong, bug{afterOpen: func(m *memory) { clear(m.keys) }}},
	{"leaves a gap in the audit log", auditBroken, bug{afterAudit: func(m *memory, e *store.AuditEntry) {
		if last := &m.log[len(m.log)-1]; last.Seq == 3 { // chained all the same
			last.Seq = 4
			last.Sum = last.Chain(m.log[1].Sum)
			*e = *last
		}
	}}},
	{"loses the last audit entry in a crash", auditBroken, bug{afterOpen: func(m *memory) {
		m.log = m.log[:max(0, len(m.log)-1)]
	}}},
	{"a revoked key comes back with a crash", accessWrong, bug{afterOpen: func(m *memory) {
		for id, k := range m.apiKeys {
			k.RevokedAt = time.Time{}
			m.apiKeys[id] = k
		}
	}}},
	{"sets a mark whatever it was", markWrong, bug{setMark: func(m *memory, name string, was *string) {
		*was = m.marks[name]
	}}},
}

// recorder is a test that may fail.
type recorder struct {
	name   string
	failed bool
	errors []string
}

func (r *recorder) Helper()                   {}
func (r *recorder) Name() string              { return r.name }
func (r *recorder) Logf(string, ...any)       {}
func (r *recorder) Log(...any)                {}
func (r *recorder) Skipf(string, ...any)      { r.SkipNow() }
func (r *recorder) Skip(...any)               { r.SkipNow() }
func (r *recorder) SkipNow()                  { runtime.Goexit() }
func (r *recorder) Errorf(f string, a ...any) { r.Error(fmt.Sprintf(f, a...)) }
func (r *recorder) Error(a ...any)            { r.Fail(); r.errors = append(r.errors, fmt.Sprint(a...)) }
func (r *recorder) Fatalf(f string, a ...any) { r.Errorf(f, a...); r.FailNow() }
func (r *recorder) Fatal(a ...any)            { r.Error(a...); r.FailNow() }
func (r *recorder) FailNow()                  { r.Fail(); runtime.Goexit() }
func (r *recorder) Fail()                     { r.failed = true }
func (r *recorder) Failed() bool              { return r.failed }

// falsify looks for a history that a store does not survive, and returns what rapid says.
func falsify(name string, open func() Harness) *recorder {
	r := &recorder{name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		rapid.Check(r, func(rt *rapid.T) { history(rt, open()) })
	}()
	<-done
	return r
}

// setFlag sets one of rapid's flags for the rest of the test.
func setFlag(t *testing.T, name, value string) {
	t.Helper()
	old := flag.Lookup(name).Value.String()
	if err := flag.Set(name, value); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := flag.Set(name, old); err != nil {
			t.Error(err)
		}
	})
}

// dressed opens stores that have a bug.
func dressed(b bug) func() Harness {
	return func() Harness {
		return memoryHarness(func(m *memory) store.Store {
			if b.afterOpen != nil {
				b.afterOpen(m)
			}
			return &mutant{memory: m, bug: b}
		})
	}
}

// TestCasesCatchMutants proves that the cases alone find out each of the bugs.
func TestCasesCatchMutants(t *testing.T) {
	for _, x := range mutants {
		t.Run(x.name, func(t *testing.T) {
			for _, c := range cases() {
				r := &recorder{name: c.name}
				done := make(chan struct{})
				go func() {
					defer close(done)
					c.run(newEnv(r, dressed(x.bug)()))
				}()
				<-done
				if r.failed {
					t.Logf("%s: %s", c.name, strings.Join(r.errors, "\n"))
					return
				}
			}
			t.Fatal("survives every case")
		})
	}
}

// TestPropertiesCatchMutants proves each invariant: a store that breaks it is found out.
func TestPropertiesCatchMutants(t *testing.T) {
	setFlag(t, "rapid.seed", "20261121")
	setFlag(t, "rapid.checks", "1000")
	setFlag(t, "rapid.nofailfile", "true")
	setFlag(t, "rapid.shrinktime", "0s")
	for _, x := range mutants {
		t.Run(x.name, func(t *testing.T) {
			r := falsify(t.Name(), dressed(x.bug))
			if !r.failed {
				t.Fatalf("survives every history; it should break: %s", x.want)
			}
			if got := strings.Join(r.errors, "\n"); !strings.Contains(got, x.want) {
				t.Fatalf("broke another invariant, want: %s; got:\n%s", x.want, got)
			}
		})
	}
}
