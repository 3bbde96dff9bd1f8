package main

import (
	"slices"
	"strings"
	"testing"

	"paynotify/console"
	"paynotify/test/redis"
)

func foundOf(t *testing.T, cfg Config) map[string]console.Check {
	t.Helper()
	c := newCheckup(cfg, readVersion())
	found := map[string]console.Check{}
	for _, check := range c.look(t.Context()) {
		if !slices.Contains([]string{"ok", "warning", "fault"}, check.State) || check.Detail == "" {
			t.Errorf("%+v", check)
		}
		found[check.Name] = check
	}
	if again := c.look(t.Context()); len(again) < len(found) || &again[0] != &c.found[0] {
		t.Error("it looks again at once")
	}
	return found
}

func TestCheckupOfTheEmbeddedStore(t *testing.T) {
	cfg := testConfig(t)
	found := foundOf(t, cfg)
	for _, check := range []string{
		"build", "configuration", "disk", "clock", "file descriptors", "egress", "access", "dns",
	} {
		if found[check].Name == "" {
			t.Errorf("%s was not looked at: %+v", check, found)
		}
	}
	if !strings.Contains(found["configuration"].Detail, cfg.digest()) {
		t.Errorf("configuration: %+v", found["configuration"])
	}
}

func TestCheckupOfRedis(t *testing.T) {
	r := redis.Start(t)
	found := foundOf(t, redisConfig(t, r.URL()))
	if found["redis"].State != "ok" || found["redis persistence"].State != "warning" {
		t.Errorf("%+v", found)
	}
	if n, err := r.Do("DBSIZE"); err != nil || n != int64(0) {
		t.Errorf("it left %v keys, %v", n, err)
	}
	r.Kill()
	found = foundOf(t, redisConfig(t, r.URL()))
	if found["redis"].State != "fault" || found["redis"].Cure == "" {
		t.Errorf("%+v", found)
	}
}
