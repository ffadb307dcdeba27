package app

import (
	"net/http"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/internal/redisconn"
	"evalq/internal/redistest"
)

func TestAProcessIsNotReadyWhileItsRedisRefusesWork(t *testing.T) {
	t.Parallel()
	s := redistest.Start(t)
	a := start(t, settings(t, func(c *config.Config) { c.Engine, c.RedisURL = config.EngineRedis, s.URL }), Extras{})
	rdb := s.Client(t)
	is := func(want int) func() bool {
		return func() bool {
			status, _ := call(t, http.MethodGet, a.URL()+"/readyz", "")
			return status == want
		}
	}
	eventually(t, "it is ready", is(http.StatusOK))
	for setting, values := range map[string][2]string{"maxmemory": {"1b", "0"}, "min-replicas-to-write": {"1", "0"}} {
		if err := rdb.ConfigSet(t.Context(), setting, values[0]).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is not ready with "+setting, is(http.StatusServiceUnavailable))
		if err := rdb.ConfigSet(t.Context(), setting, values[1]).Err(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it is ready without "+setting, is(http.StatusOK))
	}
}

func TestManyWhoAskWhetherItIsReadyDoNotMakeRedisWrite(t *testing.T) {
	t.Parallel()
	rdb := redistest.Start(t).Client(t)
	probe := newRedisProbe(rdb, "")
	probe.every = time.Hour
	written := func() string { return redisconn.Field(rdb.Info(t.Context(), "commandstats").Val(), "cmdstat_zadd") }
	if err := probe.check(t.Context()); err != nil {
		t.Fatal(err)
	}
	once := written()
	for range 100 {
		if err := probe.check(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if now := written(); now != once || once == "" {
		t.Errorf("writes after one question: %q, after more: %q", once, now)
	}
}
