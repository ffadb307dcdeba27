package doctor_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/redis/go-redis/v9"

	"evalq/internal/doctor"
	"evalq/internal/redisconn"
	"evalq/internal/redistest"
)

func TestARedisAsItShouldBeHasNoWarning(t *testing.T) {
	t.Parallel()
	e := examine(t, onRedis(redistest.Start(t, redistest.WithAOF()).Client(t)), nil)
	if doctor.Worst(e.found).AtLeast(doctor.Warning) {
		t.Errorf("found:\n%s", e)
	}
	for _, check := range []string{"redis", "redis.version", "redis.role", "redis.work", "redis.persistence", "redis.writes", "redis.eviction", "redis.memory", "redis.clock", "queues.archive", "queues.paused"} {
		e.want(check, doctor.OK)
	}
}

// Each ailment is made, found, and cured by the line that the finding says.
func TestASettingOfRedisIsFoundAndItsAdviceCuresIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		options []redistest.Option
		make    []string
		check   string
		level   doctor.Level
		says    string
		cure    string
	}{
		"nothing is kept on disk": {
			check: "redis.persistence", level: doctor.Warning, says: "keeps nothing on disk", cure: "CONFIG SET appendonly yes",
		},
		"only snapshots are kept": {
			make:  []string{"CONFIG SET save 3600,1"},
			check: "redis.persistence", level: doctor.Note, says: "snapshots only", cure: "CONFIG SET appendonly yes",
		},
		"keys would be evicted as soon as there is a limit": {
			options: []redistest.Option{redistest.WithArgs("--maxmemory-policy", "allkeys-lru")},
			check:   "redis.eviction", level: doctor.Warning, says: "as soon as a maxmemory is set", cure: "CONFIG SET maxmemory-policy noeviction",
		},
		"keys are evicted": {
			options: []redistest.Option{redistest.WithArgs("--maxmemory-policy", "volatile-ttl", "--maxmemory", "100mb")},
			check:   "redis.eviction", level: doctor.Warning, says: "throws tasks away", cure: "CONFIG SET maxmemory-policy noeviction",
		},
		"the memory is full": {
			options: []redistest.Option{redistest.WithArgs("--maxmemory", "1b")},
			check:   "redis.memory", level: doctor.Failure, says: "refuses tasks", cure: "CONFIG SET maxmemory 100mb",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Start(t, c.options...).Client(t)
			for _, line := range c.make {
				args := strings.SplitN(line, " ", 4)
				if err := rdb.ConfigSet(t.Context(), args[2], strings.ReplaceAll(args[3], ",", " ")).Err(); err != nil {
					t.Fatal(err)
				}
			}
			said, _, _ := strings.Cut(c.cure, " 100mb") // how much is for people to know
			examine(t, onRedis(rdb), nil).want(c.check, c.level, c.says, said)
			do(t, rdb, c.cure)
			examine(t, onRedis(rdb), nil).want(c.check, doctor.OK)
		})
	}
}

func TestAMemoryThatIsNearlyFullIsAWarning(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	info, err := rdb.Info(t.Context(), "memory").Result()
	if err != nil {
		t.Fatal(err)
	}
	used, err := strconv.Atoi(redisconn.Field(info, "used_memory"))
	if err != nil {
		t.Fatal(err)
	}
	do(t, rdb, "CONFIG SET maxmemory "+strconv.Itoa(used*10/9))
	examine(t, onRedis(rdb), nil).want("redis.memory", doctor.Warning, "raise it: CONFIG SET maxmemory", "--window")
}

func TestAReplicaIsAFailureUntilItIsMadeAMaster(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t, redistest.WithTCP())
	host, port, err := net.SplitHostPort(master.Addr)
	if err != nil {
		t.Fatal(err)
	}
	rdb := redistest.Start(t, redistest.WithArgs("--replicaof", host+" "+port)).Client(t)
	if err := rdb.Set(t.Context(), "k", "v", 0).Err(); err == nil || !strings.Contains(err.Error(), "READONLY") {
		t.Fatalf("the replica takes a write: %v", err)
	}
	examine(t, onRedis(rdb), nil).want("redis.role", doctor.Failure, master.Addr, "REPLICAOF NO ONE", "--redis-url")
	do(t, rdb, "REPLICAOF NO ONE")
	examine(t, onRedis(rdb), nil).want("redis.role", doctor.OK)
}

// A folder stands where the snapshot is to be.
func TestARedisThatRefusesWritesForItsDiskIsAFailure(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t, redistest.WithArgs("--save", "3600 1"))
	rdb := s.Client(t)
	blocked := filepath.Join(s.Dir, "dump.rdb")
	if err := os.Mkdir(blocked, 0o700); err != nil {
		t.Fatal(err)
	}
	saved := func() string {
		info, err := rdb.Info(t.Context(), "persistence").Result()
		if err != nil {
			t.Fatal(err)
		}
		if redisconn.Field(info, "rdb_bgsave_in_progress") != "0" {
			return ""
		}
		return redisconn.Field(info, "rdb_last_bgsave_status")
	}
	do(t, rdb, "SET k v")
	do(t, rdb, "BGSAVE")
	eventually(t, "the snapshot fails", func() bool { return saved() == "err" })
	if err := rdb.Set(t.Context(), "k", "v", 0).Err(); err == nil || !strings.Contains(err.Error(), "MISCONF") {
		t.Fatalf("Redis takes a write: %v", err)
	}
	examine(t, onRedis(rdb), nil).want("redis.writes", doctor.Failure, "refuses tasks", "CONFIG SET stop-writes-on-bgsave-error no", "BGSAVE")

	do(t, rdb, "CONFIG SET stop-writes-on-bgsave-error no")
	do(t, rdb, "SET k v")
	examine(t, onRedis(rdb), nil).want("redis.writes", doctor.Warning, "snapshot", "BGSAVE")

	if err := os.Remove(blocked); err != nil {
		t.Fatal(err)
	}
	do(t, rdb, "BGSAVE")
	eventually(t, "the snapshot works", func() bool { return saved() == "ok" })
	examine(t, onRedis(rdb), nil).want("redis.writes", doctor.OK)
}

func TestANodeOfAClusterIsAWarning(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t, redistest.WithTCP(), redistest.WithArgs("--cluster-enabled", "yes", "--cluster-port", strconv.Itoa(redistest.FreePort(t)))).Client(t)
	examine(t, onRedis(rdb), nil).want("redis.role", doctor.Warning, "Cluster", "--redis-url")
}

// saying is a server that says of itself what no server here is.
func saying(t *testing.T, info string) redis.UniversalClient {
	t.Helper()
	m := miniredis.RunT(t)
	m.Server().SetPreHook(func(p *server.Peer, cmd string, _ ...string) bool {
		if cmd == "INFO" {
			p.WriteBulk(info)
		}
		return cmd == "INFO"
	})
	c := redis.NewClient(&redis.Options{Addr: m.Addr()})
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestWhatAServerSaysOfItselfIsJudged(t *testing.T) {
	t.Parallel()
	for info, want := range map[string]doctor.Finding{
		"redis_version:5.0.7\r\nrole:master":                                  {Check: "redis.version", Level: doctor.Failure, What: "6.2", Do: "upgrade"},
		"redis_version:7.2.4\r\nvalkey_version:8.0.1\r\nrole:master":          {Check: "redis.version", Level: doctor.OK, What: "Valkey 8.0.1"},
		"redis_version:7.0.0\r\nredis_mode:sentinel":                          {Check: "redis.role", Level: doctor.Failure, What: "Sentinel", Do: "--redis-url"},
		"redis_version:7.0.0\r\nloading:1":                                    {Check: "redis", Level: doctor.Failure, What: "reading its data", Do: "wait"},
		"redis_version:7.0.0\r\naof_enabled:1\r\naof_last_write_status:err":   {Check: "redis.writes", Level: doctor.Failure, What: "append-only", Do: "disk"},
		"redis_version:7.0.0\r\nmaxmemory:1000\r\nused_memory:799":            {Check: "redis.memory", Level: doctor.OK},
		"redis_version:7.0.0\r\nmaxmemory:1000\r\nused_memory:800":            {Check: "redis.memory", Level: doctor.Warning, What: "80 %", Do: "CONFIG SET maxmemory"},
		"redis_version:7.0.0\r\naof_enabled:1\r\nrdb_last_bgsave_status:okay": {Check: "redis.persistence", Level: doctor.OK},
	} {
		examine(t, onRedis(saying(t, info)), nil).want(want.Check, want.Level, want.What, want.Do)
	}
	e := examine(t, onRedis(saying(t, "redis_version:7.0.0\r\nloading:1")), nil)
	e.wantNothingOf("redis.version") // one finding says enough
	e.wantNothingOf("queues.archive")
}

func TestClocksThatDifferAreNotedAndThenWarnedOf(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	for off, want := range map[time.Duration]doctor.Level{
		0: doctor.OK, time.Second: doctor.OK, 3 * time.Second: doctor.Note, -3 * time.Second: doctor.Note,
		40 * time.Second: doctor.Warning, -time.Hour: doctor.Warning,
	} {
		e := examine(t, onRedis(rdb), &doctor.Config{Now: func() time.Time { return time.Now().Add(off) }})
		words := []string{"clock"}
		if want != doctor.OK {
			words = append(words, map[bool]string{true: "ahead of", false: "behind"}[off > 0], "chrony")
		}
		e.want("redis.clock", want, words...)
	}
}

func TestWhatMayNotBeAskedIsANote(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	do(t, rdb, "ACL SETUSER default -config")
	examine(t, onRedis(rdb), nil).want("redis.persistence", doctor.Note, "could not be asked", "NOPERM")
}

func TestARedisThatHangsOrIsGoneIsOneFailure(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	rdb := s.Client(t)
	do(t, rdb, "CLIENT PAUSE 3000 ALL")
	begin := time.Now()
	e := examine(t, onRedis(rdb), &doctor.Config{Patience: 200 * time.Millisecond})
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	e.want("redis", doctor.Failure, "does not answer", "see that it runs")
	e.wantNothingOf("redis.version")

	s.Kill()
	examine(t, onRedis(rdb), &doctor.Config{Patience: 200 * time.Millisecond}).want("redis", doctor.Failure, "does not answer")
}

func TestWhyThereIsNoRedisIsSaid(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]doctor.Level{doctor.ErrInside: doctor.Note, doctor.ErrIdle: doctor.Note, errors.New("broken"): doctor.Failure} {
		examine(t, doctor.Subject{RedisErr: err, RedisPlace: "redis://h"}, nil).want("redis", want, err.Error())
	}
	old := saying(t, "redis_version:6.0.20").(*redis.Client).Options().Addr
	_, err := redisconn.Open(t.Context(), "redis://"+old, nil)
	examine(t, doctor.Subject{RedisErr: err, RedisPlace: "redis://" + old}, nil).want("redis.version", doctor.Failure, "6.0.20", "6.2", "upgrade")
	_, err = redisconn.Open(t.Context(), "redis://:s3cret@127.0.0.1:1", nil)
	e := examine(t, doctor.Subject{RedisErr: err, RedisPlace: "redis://:***@127.0.0.1:1/0"}, nil)
	e.want("redis", doctor.Failure, "redis://:***@127.0.0.1:1/0", "refused", "start Redis")
	if strings.Contains(e.String(), "s3cret") {
		t.Errorf("a password is shown:\n%s", e)
	}
}

func TestAnExaminationEndsWithItsContext(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	s, _ := onLedger(t, nil)
	s.Redis, s.RedisErr = rdb, nil
	s.Ready = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	e := examined{t, doctor.Examine(ctx, s, nil)}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("it took %v", took)
	}
	e.want("ledger.durability", doctor.Warning, "no time left for ledger.durability, ledger.settings, ledger.connections", "evalq doctor")
}

func TestEachCheckHasANameOfItsOwnAndSaysWhatItLooksAt(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, c := range doctor.Checks() {
		if seen[c.Name] || c.Name == "" || c.Looks == "" || c.Start && c.Deep {
			t.Errorf("%+v", c)
		}
		seen[c.Name] = true
	}
	// Whatever is found names a check of the table.
	s, _ := onLedger(t, nil)
	s.Redis, s.RedisErr = redistest.Start(t).Client(t), nil
	for _, f := range examine(t, s, &doctor.Config{Deep: true}).found {
		if !seen[f.Check] {
			t.Errorf("%q is not in the table", f.Check)
		}
	}
}

func TestARedisThatRefusesWorkIsAFailureWithItsRemedyWhateverItsReason(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ set, to, cured, advice string }{
		"memory":   {"maxmemory", "1b", "0", "CONFIG SET maxmemory"},
		"replicas": {"min-replicas-to-write", "1", "0", "CONFIG SET min-replicas-to-write"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rdb := redistest.Start(t).Client(t)
			do(t, rdb, "CONFIG SET "+c.set+" "+c.to)
			examine(t, onRedis(rdb), nil).want("redis.work", doctor.Failure, "refuses work", c.advice)
			do(t, rdb, "CONFIG SET "+c.set+" "+c.cured)
			examine(t, onRedis(rdb), nil).want("redis.work", doctor.OK)
		})
	}
}
