package redisstore

import (
	"testing"

	"paynotify/store/storetest"
	"paynotify/test/redis"
)

func TestMover(t *testing.T) {
	server := redis.Shared(t)
	storetest.RunMover(t, func(t *testing.T) storetest.Harness { return harness(t, server) })
}
