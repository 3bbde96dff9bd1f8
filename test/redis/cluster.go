package redis

import (
	"fmt"
	"strings"
	"testing"
)

const (
	clusterBus   = "cluster-port free" // start puts a free port in
	clusterSlots = 16384
)

// Cluster is a Redis Cluster of masters with replicas.
type Cluster struct {
	Servers []*Server // the masters of the start first, in the order of their slots, then the replicas

	tb      testing.TB
	masters int
}

// StartCluster starts a Cluster of that many masters with that many replicas in all, and waits until it is
// complete. A master counts as dead after three seconds. Healthy masters go on without a dead one
// (cluster-require-full-coverage no), as we recommend.
func StartCluster(tb testing.TB, masters, replicas int) *Cluster {
	tb.Helper()
	c := &Cluster{tb: tb, masters: masters}
	for range masters + replicas {
		c.Servers = append(c.Servers, Start(tb, "cluster-enabled yes", clusterBus, "cluster-node-timeout 3000",
			"cluster-require-full-coverage no"))
	}
	first := c.Servers[0]
	for i, s := range c.Servers {
		s.MustDo("CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i < masters {
			slots := []any{"CLUSTER", "ADDSLOTS"}
			for slot := i * clusterSlots / masters; slot < (i+1)*clusterSlots/masters; slot++ {
				slots = append(slots, slot)
			}
			s.MustDo(slots...)
		}
	}
	for _, s := range c.Servers[1:] {
		bus, _ := s.MustDo("CONFIG", "GET", "cluster-port").([]any)
		first.MustDo("CLUSTER", "MEET", "127.0.0.1", s.port(), bus[1])
	}
	for _, s := range c.Servers {
		await(tb, "the nodes of the Cluster know each other", func() bool {
			return s.clusterField("cluster_known_nodes") == fmt.Sprint(len(c.Servers)) && !c.handshaking(s)
		})
	}
	for i, s := range c.Servers[masters:] {
		id := c.Servers[i%masters].MustDo("CLUSTER", "MYID")
		await(tb, "the replica knows its master", func() bool {
			_, err := s.Do("CLUSTER", "REPLICATE", id)
			return err == nil
		})
	}
	c.WaitOK()
	return c
}

// handshaking reports whether the node still talks to one that it does not know.
func (c *Cluster) handshaking(s *Server) bool {
	nodes, _ := s.MustDo("CLUSTER", "NODES").(string)
	return strings.Contains(nodes, "handshake")
}

func (s *Server) clusterField(name string) string {
	reply, err := s.Do("CLUSTER", "INFO")
	if err != nil {
		return ""
	}
	text, _ := reply.(string)
	return infoField(text, name)
}

// WaitOK waits until there are as many living masters as at the start, every living node says that all slots
// are served, and every living replica follows. After KillMaster that is the end of the failover.
func (c *Cluster) WaitOK() {
	c.tb.Helper()
	await(c.tb, "the nodes of the Cluster agree", c.complete)
	for _, s := range c.Servers {
		if s.Pid() == 0 {
			continue
		}
		await(c.tb, "cluster_state:ok at "+s.Addr, func() bool {
			return s.clusterField("cluster_state") == "ok" &&
				s.clusterField("cluster_slots_ok") == fmt.Sprint(clusterSlots) &&
				(s.role() == "master" || s.inSync())
		})
	}
}

// complete reports whether there are enough masters and every living node agrees on who is a replica.
func (c *Cluster) complete() bool {
	replicas, masters := 0, 0
	for _, s := range c.Servers {
		switch {
		case s.Pid() == 0:
		case s.role() == "slave":
			replicas++
		default:
			masters++
		}
	}
	if masters != c.masters {
		return false
	}
	for _, s := range c.Servers {
		if s.Pid() == 0 {
			continue
		}
		reply, err := s.Do("CLUSTER", "NODES")
		nodes, _ := reply.(string)
		if err != nil || liveReplicas(nodes) != replicas {
			return false
		}
	}
	return true
}

// liveReplicas counts the replicas in CLUSTER NODES that are not failing.
func liveReplicas(nodes string) int {
	n := 0
	for line := range strings.Lines(nodes) {
		if fields := strings.Fields(line); len(fields) > 2 && strings.Contains(fields[2], "slave") &&
			!strings.Contains(fields[2], "fail") {
			n++
		}
	}
	return n
}

// URL is what --store takes.
func (c *Cluster) URL() string {
	var hosts []string
	for _, s := range c.Servers {
		hosts = append(hosts, s.Addr)
	}
	return "redis-cluster://" + strings.Join(hosts, ",")
}

// KillMaster kills the i-th master of the start and returns it. Its replica takes its place after a few
// seconds; a Restart makes it a replica.
func (c *Cluster) KillMaster(i int) *Server {
	c.tb.Helper()
	if i >= c.masters {
		c.tb.Fatalf("no master %d, there are %d", i, c.masters)
	}
	c.Servers[i].Kill()
	return c.Servers[i]
}
