package redis

import (
	"fmt"
	"strings"
	"testing"
)

// masterName is what our Sentinels call their master.
const masterName = "mymaster"

// StartReplica starts a server that follows master, and waits until it has everything.
func StartReplica(tb testing.TB, master *Server, config ...string) *Server {
	tb.Helper()
	config = append([]string{"replicaof 127.0.0.1 " + master.port()}, config...)
	s := Start(tb, config...)
	await(tb, "the replica follows its master", s.inSync)
	return s
}

// inSync reports whether the server is a replica that follows a living master.
func (s *Server) inSync() bool { return s.field("replication", "master_link_status") == "up" }

// role is "master" or "slave"; empty when the server does not answer.
func (s *Server) role() string { return s.field("replication", "role") }

// Sentinel is a master, its replicas and the three Sentinels that choose another master when it is gone.
type Sentinel struct {
	Servers   []*Server // the first one was the master at the start
	Sentinels []*Server

	tb testing.TB
}

// StartSentinel starts one master, two replicas and three Sentinels with a quorum of two, which replace a
// master that does not answer for a second. With two replicas WAIT 1 still works after a failover.
func StartSentinel(tb testing.TB) *Sentinel {
	tb.Helper()
	const replicas = 2
	s := &Sentinel{tb: tb}
	master := Start(tb)
	s.Servers = []*Server{master}
	for range replicas {
		s.Servers = append(s.Servers, StartReplica(tb, master))
	}
	for range 3 {
		s.Sentinels = append(s.Sentinels, start(tb, tb.TempDir(), []string{"--sentinel"}, []string{
			"bind 127.0.0.1", "protected-mode no", "daemonize no", "logfile redis.log",
			fmt.Sprintf("sentinel monitor %s 127.0.0.1 %s 2", masterName, master.port()),
			fmt.Sprintf("sentinel down-after-milliseconds %s 1000", masterName),
			fmt.Sprintf("sentinel failover-timeout %s 5000", masterName),
			fmt.Sprintf("sentinel parallel-syncs %s 2", masterName),
		}))
	}
	for _, each := range s.Sentinels {
		await(tb, "the Sentinels know each other and the replicas", func() bool {
			view := each.masterView()
			return view["num-other-sentinels"] == "2" && view["num-slaves"] == fmt.Sprint(replicas)
		})
	}
	return s
}

// masterView is what a Sentinel says about the master.
func (s *Server) masterView() map[string]string {
	reply, err := s.Do("SENTINEL", "MASTER", masterName)
	pairs, ok := reply.([]any)
	if err != nil || !ok {
		return nil
	}
	view := make(map[string]string)
	for i := 0; i+1 < len(pairs); i += 2 {
		view[fmt.Sprint(pairs[i])] = fmt.Sprint(pairs[i+1])
	}
	return view
}

// URL is what --store takes.
func (s *Sentinel) URL() string {
	var hosts []string
	for _, each := range s.Sentinels {
		hosts = append(hosts, each.Addr)
	}
	return "redis-sentinel://" + strings.Join(hosts, ",") + "/0?master=" + masterName
}

// Master is the living server that the Sentinels name now; nil while they name a dead one.
func (s *Sentinel) Master() *Server {
	reply, err := s.Sentinels[0].Do("SENTINEL", "GET-MASTER-ADDR-BY-NAME", masterName)
	address, ok := reply.([]any)
	if err != nil || !ok || len(address) != 2 {
		return nil
	}
	for _, each := range s.Servers {
		if each.Addr == fmt.Sprintf("%v:%v", address[0], address[1]) && each.Pid() != 0 {
			return each
		}
	}
	return nil
}

// KillMaster kills the master and returns it, for a Restart: then it comes back as a replica.
func (s *Sentinel) KillMaster() *Server {
	s.tb.Helper()
	master := s.Master()
	if master == nil {
		s.tb.Fatal("the Sentinels name no living master")
	}
	master.Kill()
	return master
}

// WaitMaster waits until the Sentinels name a living master that takes writes, and returns it.
func (s *Sentinel) WaitMaster() *Server {
	s.tb.Helper()
	var master *Server
	await(s.tb, "the Sentinels have a master", func() bool {
		master = s.Master()
		return master != nil && master.role() == "master"
	})
	return master
}
