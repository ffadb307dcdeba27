package app

import (
	"testing"

	"evalq/internal/config"
)

func TestWhatIsReachedOnOtherMachinesWithoutTLSIsNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  config.Config
		want int
	}{
		{config.Config{LedgerURL: "postgres://u:s3cret@db.example/x"}, 1},
		{config.Config{LedgerURL: "postgres://u:s3cret@db.example/x?sslmode=disable"}, 1},
		{config.Config{LedgerURL: "postgres://u:s3cret@a.example,b.example/x?sslmode=prefer"}, 2},
		{config.Config{LedgerURL: "postgres://u:s3cret@db.example/x?sslmode=require"}, 0},
		{config.Config{LedgerURL: "postgres://u:s3cret@127.0.0.1/x"}, 0},
		{config.Config{LedgerURL: "postgres://u:s3cret@/x?host=/run/postgresql"}, 0},
		{config.Config{LedgerURL: "mysql://u:s3cret@db.example/x"}, 1},
		{config.Config{LedgerURL: "mysql://u:s3cret@db.example/x?tls=preferred"}, 1},
		{config.Config{LedgerURL: "mysql://u:s3cret@db.example/x?tls=skip-verify"}, 0},
		{config.Config{LedgerURL: "mysql://u:s3cret@[2001:db8::1]:3306/x?tls=true"}, 0},
		{config.Config{LedgerURL: "mysql://u:s3cret@[::1]/x"}, 0},
		{config.Config{LedgerURL: "mysql://u:s3cret@unix(/run/mysqld.sock)/x"}, 0},
		{config.Config{PlatformDB: "mysql://u:s3cret@db.example/x"}, 1},
		{config.Config{Engine: config.EngineRedis, RedisURL: "redis://:s3cret@redis.example"}, 1},
		{config.Config{Engine: config.EngineRedis, RedisURL: "rediss://:s3cret@redis.example"}, 0},
		{config.Config{Engine: config.EngineRedis, RedisURL: "redis://localhost"}, 0},
		{config.Config{Engine: config.EngineRedis, RedisURL: "unix:///run/redis.sock"}, 0},
		{config.Config{Engine: config.EngineRedis, RedisURL: "redis://a.example", BridgeRedisURL: "redis://b.example"}, 2},
	} {
		if got := plainPlaces(c.cfg); len(got) != c.want {
			t.Errorf("%+v: %+v, want %d", c.cfg, got, c.want)
		}
	}
}
