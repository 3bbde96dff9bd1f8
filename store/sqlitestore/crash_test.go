package sqlitestore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"paynotify/store"
)

// The tests of this file run the test binary again as a child process, which does one of these.
var children = map[string]func(path string) int{
	"load":  childLoad,
	"hold":  childHold,
	"fsize": childFileSize,
	"die":   childDieMigrating,
}

func TestMain(m *testing.M) {
	if name, path, ok := strings.Cut(os.Getenv("SQLITESTORE_CHILD"), ":"); ok {
		os.Exit(children[name](path))
	}
	os.Exit(m.Run())
}

func child(t *testing.T, name, path string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0], "-test.run=^$")
	c.Env = append(os.Environ(), "SQLITESTORE_CHILD="+name+":"+path)
	c.Stderr = os.Stderr
	return c
}

func childOpen(path string) *Store {
	s, err := Open(context.Background(), Options{Path: path})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return s
}

// childLoad accepts, settles and audits for as long as it lives, and says on stdout what was acknowledged:
// "a ID" for accepted, "s ID" for settled as spent, "u SEQ" for audited.
func childLoad(path string) int {
	s := childOpen(path)
	ctx := context.Background()
	if _, err := s.CreateMerchant(ctx, store.Merchant{MchID: "m1", MaxInflight: 1000}); err != nil &&
		!errors.Is(err, store.ErrExists) {
		return 1
	}
	var out sync.Mutex
	say := func(what, id string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what, id)
	}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := 0; ; i++ {
				as, err := s.Accept(ctx, []store.Incoming{benchItem("m1", true), benchItem("m1", false)}, time.Minute)
				if err != nil {
					return
				}
				say("a", as[0].NotifyID)
				say("a", as[1].NotifyID)
				if e, err := s.Audit(ctx, store.AuditEntry{Action: "load", Object: as[0].NotifyID}); err == nil {
					say("u", strconv.FormatInt(e.Seq, 10))
				}
				claims := []store.Claim{}
				if as[0].Claim != nil {
					claims = append(claims, *as[0].Claim)
				} else if cs, err := s.Claim(ctx, "m1", 2, time.Minute); err == nil {
					claims = cs.Items
				}
				for j := range claims {
					if i%3 == 2 {
						continue // stays in flight until the end
					}
					if _, err := s.Settle(ctx, benchAcked(&claims[j])); err != nil {
						return
					}
					say("s", claims[j].NotifyID)
				}
			}
		})
	}
	all.Wait()
	return 0
}

// Killed at any moment, a store loses nothing that it has acknowledged, in no state but the one it said, and
// gives every claim of the dead process out again.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kill.db")
	accepted, spent := map[string]bool{}, map[string]bool{}
	audited := int64(0)
	for round := range 5 {
		c := child(t, "load", path)
		pipe, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(pipe)
		for n := 0; lines.Scan(); n++ {
			what, id, _ := strings.Cut(lines.Text(), " ")
			if seq, err := strconv.ParseInt(id, 10, 64); what == "u" && err == nil {
				audited = max(audited, seq) // of a line that was cut a smaller one
				n--
				continue
			}
			if len(id) != store.NotifyIDChars {
				continue // the last line, cut
			}
			accepted[id] = true
			if what == "s" {
				spent[id] = true
			}
			if n == 500+300*round {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = c.Wait()
		checkAfterKill(t, path, accepted, spent)
	}
	s := open(t, Options{Path: path})
	log, err := s.AuditLog(context.Background(), 0, 1_000_000)
	at, ok := store.VerifyChain([32]byte{}, log)
	if !ok || int64(len(log)) < audited || audited == 0 || err != nil {
		t.Fatalf("%d audit entries, acknowledged up to %d, broken at %d, %v", len(log), audited, at, err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if len(spent) == 0 {
		t.Fatal("the child settled nothing")
	}
	rep, err := Fsck(path)
	if err != nil || !rep.Sound() {
		t.Fatalf("fsck: %+v, %v", rep, err)
	}
}

func checkAfterKill(t *testing.T, path string, accepted, spent map[string]bool) {
	t.Helper()
	ctx := context.Background()
	s, err := Open(ctx, Options{Path: path})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	st, err := s.Stats(ctx)
	if err != nil || st.InFlight != 0 {
		t.Fatalf("in flight after a restart: %d, %v", st.InFlight, err)
	}
	interrupted := 0
	counts := map[store.State]int{}
	for id := range accepted {
		n, as, err := s.Get(ctx, id)
		if err != nil {
			t.Fatalf("accepted, and lost: %s: %v", id, err)
		}
		counts[n.State]++
		if spent[id] && n.State != store.Spent {
			t.Fatalf("%s was settled as spent and is %s", id, n.State)
		}
		if string(n.Params) != string(benchParams) {
			t.Fatalf("%s has other parameters", id)
		}
		for _, a := range as {
			if a.Verdict == store.Interrupted {
				interrupted++
				if a.Charged {
					t.Fatalf("%s: a crash was charged", id)
				}
			}
		}
	}
	if interrupted == 0 {
		t.Error("no claim of the dead process was recorded as interrupted")
	}
	if st.States[store.Pending] < counts[store.Pending] || st.States[store.Spent] < counts[store.Spent] {
		t.Errorf("Stats counts %v, there are at least %v", st.States, counts)
	}
}

// childHold opens the store, says so, and waits to be killed.
func childHold(path string) int {
	childOpen(path)
	fmt.Println("open")
	select {}
}

func TestInUse(t *testing.T) {
	path := filepath.Join(t.TempDir(), "held.db")
	c := child(t, "hold", path)
	pipe, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(pipe).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	_, err = Open(context.Background(), Options{Path: path})
	var inUse *InUseError
	if !errors.As(err, &inUse) || !errors.Is(err, ErrInUse) || inUse.PID != c.Process.Pid {
		t.Errorf("Open of a store in use: %v, want an InUseError naming process %d", err, c.Process.Pid)
	}
	if _, err := Fsck(path); !errors.Is(err, ErrInUse) {
		t.Errorf("Fsck of a store in use: %v, want ErrInUse", err)
	}
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
	open(t, Options{Path: path}) // the kernel has dropped the lock
}

// childFileSize makes the write of a commit fail in another way than by a full disk: the file may not grow.
func childFileSize(path string) int {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	var fatal atomic.Int64
	s, err := Open(ctx, Options{Path: path, Fatal: func(error) { fatal.Add(1) }})
	if err != nil {
		return 1
	}
	if _, err := s.CreateMerchant(ctx, store.Merchant{MchID: "m1"}); err != nil {
		return 2
	}
	as, err := s.Accept(ctx, []store.Incoming{benchItem("m1", true)}, time.Minute)
	if err != nil || as[0].Claim == nil {
		return 3
	}
	fmt.Println("a", as[0].NotifyID)
	wal, err := os.Stat(path + "-wal")
	if err != nil {
		return 4
	}
	limit := syscall.Rlimit{Cur: uint64(wal.Size()), Max: uint64(wal.Size())}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return 5
	}
	for range 2 {
		_, err = s.Accept(ctx, []store.Incoming{benchItem("m1", false)}, time.Minute)
		if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrFull) {
			fmt.Fprintln(os.Stderr, "Accept:", err)
			return 6
		}
		if _, err = s.Settle(ctx, benchAcked(as[0].Claim)); !errors.Is(err, store.ErrUnavailable) {
			return 7
		}
	}
	health := s.Health(ctx).Err
	_ = s.Close() // waits for whoever calls Fatal
	if health == nil || fatal.Load() != 1 {
		return 8
	}
	return 0
}

// A commit whose write fails ends the service: Fatal is called once, nothing is acknowledged any more, and
// what was acknowledged before is there after a restart.
func TestFatal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fatal.db")
	out, err := child(t, "fsize", path).Output()
	if err != nil {
		t.Fatalf("the child: %v", err)
	}
	id := strings.TrimSpace(strings.TrimPrefix(string(out), "a "))
	s := open(t, Options{Path: path})
	n, as, err := s.Get(context.Background(), id)
	if err != nil || n.State != store.Pending || len(as) != 1 || as[0].Verdict != store.Interrupted {
		t.Fatalf("after a restart: %s with attempts %+v, %v; want pending, interrupted once", n.State, as, err)
	}
	if st, err := s.Stats(context.Background()); err != nil || st.States[store.Pending] != 1 {
		t.Fatalf("Stats: %+v, %v; want one pending", st, err)
	}
}

// childDieMigrating dies in the middle of a migration.
func childDieMigrating(path string) int {
	steps := 0
	_, _ = Open(context.Background(), Options{Path: path, Point: func(name string) {
		if steps++; name == "migrate" && steps == 2 {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	}})
	return 1
}

func TestMigrationKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "migrate.db")
	err := child(t, "die", path).Run()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child ended with %v", err)
	}
	s := open(t, Options{Path: path})
	if _, err := s.CreateMerchant(context.Background(), store.Merchant{MchID: "m1"}); err != nil {
		t.Fatal(err)
	}
}
