package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"paynotify/signer/keyring"
	"paynotify/test/redis"
)

// diagnose runs doctor on a Redis and returns the exit code and the findings by their check.
func diagnose(t *testing.T, url string, args ...string) (code int, found map[string][]finding) {
	t.Helper()
	args = append([]string{"doctor", "--json", "--listen", "127.0.0.1:0", "--store", url}, args...)
	code, out, errs := runAgainst(t, "http://127.0.0.1:1", args...)
	found = map[string][]finding{}
	for line := range strings.Lines(out) {
		var f finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %q\n%s", err, line, errs)
		}
		found[f.Check] = append(found[f.Check], f)
	}
	if len(found) == 0 {
		t.Fatal(errs)
	}
	return code, found
}

// wantFinding checks that one finding of a check has this level and these words.
func wantFinding(t *testing.T, found map[string][]finding, check string, l level, words ...string) {
	t.Helper()
	fits := func(f finding) bool {
		return f.Level == l && !slices.ContainsFunc(words, func(w string) bool {
			return !strings.Contains(f.Found+"\n"+f.Cure, w)
		})
	}
	if !slices.ContainsFunc(found[check], fits) {
		t.Errorf("%s: got %+v, want one %s with %q", check, found[check], l, words)
	}
}

func TestDoctorOfRedis(t *testing.T) {
	t.Setenv("PAYNOTIFY_MASTER_KEY", keyring.Generate())
	r := redis.Start(t, "maxmemory 100mb")
	code, found := diagnose(t, r.URL())
	if code != exitOK {
		t.Errorf("exit code %d: %+v", code, found)
	}
	wantFinding(t, found, "redis", levelOK, r.URL())
	wantFinding(t, found, "redis version", levelOK)
	wantFinding(t, found, "redis role", levelOK, "master")
	wantFinding(t, found, "redis persistence", levelWarn, "everysec", "CONFIG SET appendfsync always")
	wantFinding(t, found, "redis eviction", levelOK, "noeviction")
	wantFinding(t, found, "redis memory", levelOK, "of 100.0 MB used")
	wantFinding(t, found, "redis replicas", levelOK, "0 online")
	wantFinding(t, found, "redis distance", levelOK, "p50")
	wantFinding(t, found, "redis clock", levelOK)
	wantFinding(t, found, "store", levelOK, "nothing of ours there yet")
	wantFinding(t, found, "master key", levelOK)
	if n, err := r.Do("DBSIZE"); err != nil || fmt.Sprint(n) != "0" {
		t.Errorf("it left %v keys, %v", n, err)
	}

	// What serve would refuse; shouted about when that is overridden.
	r.MustDo("CONFIG", "SET", "appendonly", "no")
	r.MustDo("CONFIG", "SET", "maxmemory-policy", "volatile-ttl")
	for l, flags := range map[level][]string{levelFail: nil, levelWarn: {"--" + volatileFlag}} {
		code, found = diagnose(t, r.URL(), flags...)
		if want := map[level]int{levelFail: exitConfig, levelWarn: exitOK}[l]; code != want {
			t.Errorf("%v: exit code %d, want %d", flags, code, want)
		}
		wantFinding(t, found, "redis persistence", l, "appendonly no", "CONFIG SET appendonly yes")
		wantFinding(t, found, "redis eviction", l, "volatile-ttl", "CONFIG SET maxmemory-policy noeviction")
	}

	// Replicas that are asked for and missing, and a key that was never given.
	t.Setenv("PAYNOTIFY_REDIS_WAIT_REPLICAS", "1")
	r.MustDo("CONFIG", "SET", "appendonly", "yes")
	r.MustDo("CONFIG", "SET", "appendfsync", "always")
	r.MustDo("CONFIG", "SET", "maxmemory-policy", "noeviction")
	code, found = diagnose(t, r.URL())
	if code != exitUnavailable {
		t.Errorf("exit code %d, want %d", code, exitUnavailable)
	}
	wantFinding(t, found, "redis replicas", levelFail, "redis.wait_replicas wants 1")
	wantFinding(t, found, "redis persistence", levelOK, "appendfsync always")
}

func TestDoctorOfAServedRedis(t *testing.T) {
	r := redis.Start(t)
	cfg := redisConfig(t, r.URL())
	e := testEngine(t, cfg)
	defer e.Shutdown()
	t.Setenv("PAYNOTIFY_MASTER_KEY", string(cfg.MasterKey))
	code, found := diagnose(t, r.URL())
	if code != exitOK {
		t.Errorf("exit code %d: %+v", code, found)
	}
	wantFinding(t, found, "store", levelOK, "ours")
	wantFinding(t, found, "redis memory", levelWarn, "no maxmemory")
	wantFinding(t, found, "master key", levelOK, "opens what is sealed")
	t.Setenv("PAYNOTIFY_MASTER_KEY", keyring.Generate())
	code, found = diagnose(t, r.URL())
	if code != exitConfig {
		t.Errorf("another key: exit code %d, want %d", code, exitConfig)
	}
	wantFinding(t, found, "master key", levelFail, "is not the one of this store")
	if !isReady(t, e) {
		t.Error("the server was disturbed")
	}

	// A replica of it, and a password that it does not know.
	replica := redis.StartReplica(t, r)
	code, found = diagnose(t, replica.URL())
	if code != exitConfig {
		t.Errorf("a replica: exit code %d, want %d", code, exitConfig)
	}
	wantFinding(t, found, "redis role", levelFail, "a replica")
	locked := redis.Start(t, "requirepass hunter2")
	code, found = diagnose(t, "redis://:hunter3@"+locked.Addr)
	if code != exitAuth {
		t.Errorf("a wrong password: exit code %d, want %d: %+v", code, exitAuth, found)
	}
	if text := fmt.Sprint(found); strings.Contains(text, "hunter") {
		t.Errorf("it shows a password: %s", text)
	}
}

func TestDoctorOfACluster(t *testing.T) {
	t.Setenv("PAYNOTIFY_MASTER_KEY", keyring.Generate())
	c := redis.StartCluster(t, 3, 0)
	code, found := diagnose(t, c.URL())
	if code != exitOK {
		t.Errorf("exit code %d: %+v", code, found)
	}
	masters := 0
	for check := range found {
		if strings.HasPrefix(check, "redis persistence 127.0.0.1:") {
			masters++
		}
	}
	if masters != 3 {
		t.Errorf("%d masters were looked at, want 3: %+v", masters, found)
	}
	wantFinding(t, found, "store", levelOK, "nothing of ours there yet")
	_, one, _ := strings.Cut(c.URL(), "://")
	one, _, _ = strings.Cut(one, ",")
	if code, found = diagnose(t, "redis://"+one); code != exitConfig {
		t.Errorf("one node of it: exit code %d, want %d: %+v", code, exitConfig, found)
	}
	wantFinding(t, found, "redis role", levelFail, "redis-cluster://")

	cfg := redisConfig(t, c.URL())
	t.Setenv("PAYNOTIFY_MASTER_KEY", string(cfg.MasterKey))
	e := testEngine(t, cfg)
	defer e.Shutdown()
	testMerchant(t, e, "success")
	sent(t, e)
	_, found = diagnose(t, c.URL())
	wantFinding(t, found, "store", levelOK, "ours")
	wantFinding(t, found, "master key", levelOK, "opens what is sealed")
}

// TestDoctorOfTheWrongKindOfRedis: a URL whose scheme does not fit what answers.
func TestDoctorOfTheWrongKindOfRedis(t *testing.T) {
	t.Setenv("PAYNOTIFY_MASTER_KEY", keyring.Generate())
	r := redis.Start(t)
	for scheme, want := range map[string]string{
		"redis-cluster": "redis:// instead", "rediss": "redis instead of rediss", "redis-sentinel": "no Sentinel",
	} {
		url := scheme + "://" + r.Addr
		if scheme == "redis-sentinel" {
			url += "/0?master=m"
		}
		if code, found := diagnose(t, url); code == exitOK {
			t.Errorf("%s: exit code %d", scheme, code)
		} else {
			wantFinding(t, found, "redis", levelFail, want)
		}
	}
}
