package doctor

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
)

// redis is the gate of the checks that need one.
func (v *visit) redis(ctx context.Context) ([]Finding, error) {
	switch {
	case errors.Is(v.RedisErr, ErrInside):
		return one(note(v.RedisErr.Error(), "see its /readyz, and Asynqmon on its dashboard"))
	case errors.Is(v.RedisErr, ErrIdle):
		return one(note(v.RedisErr.Error(), ""))
	case errors.Is(v.RedisErr, redisconn.ErrOldServer):
		f := oldServer(v.RedisErr)
		f.Check = "redis.version"
		return one(f)
	case v.RedisErr != nil:
		what, do := redisconn.Advice(v.RedisErr)
		if v.RedisPlace == "" { // it cannot be started
			return one(failure(what, "install one, name it in --managed-binary, or use another --engine"))
		}
		if do == "" {
			do = seeRedis
		}
		return one(failure(fmt.Sprintf("Redis at %s: %s", v.RedisPlace, what), do))
	case v.Redis == nil:
		return none()
	}
	info, err := v.Redis.Info(ctx).Result()
	if err != nil {
		return one(failure(fmt.Sprintf("Redis at %s does not answer: %v", v.RedisPlace, err), seeRedis))
	}
	v.info = info
	if v.says("loading") == "1" {
		return one(failure("Redis is still reading its data from disk", "wait until it is done"))
	}
	return one(fine("Redis answers at %s", v.RedisPlace))
}

const seeRedis = "see that it runs; submissions are accepted meanwhile and wait in the ledger"

func (v *visit) says(field string) string { return redisconn.Field(v.info, field) }

func (v *visit) number(field string) int64 {
	n, _ := strconv.ParseInt(v.says(field), 10, 64) // what is missing counts as none
	return n
}

func oldServer(err error) Finding {
	what, do := redisconn.Advice(err)
	return failure(what, do)
}

func (v *visit) redisVersion(context.Context) ([]Finding, error) {
	if err := redisconn.CheckVersion(v.info); err != nil {
		return one(oldServer(err))
	}
	if valkey := v.says("valkey_version"); valkey != "" {
		return one(fine("Valkey %s", valkey))
	}
	return one(fine("Redis %s", v.says("redis_version")))
}

func (v *visit) redisRole(context.Context) ([]Finding, error) {
	switch mode := v.says("redis_mode"); mode {
	case "sentinel":
		return one(failure("this is a Sentinel, which holds no data", "name the Redis that it watches in --redis-url"))
	case "cluster":
		return one(warning("this is a node of a Redis Cluster: evalq speaks to this one node and follows no redirection", "name a Redis that stands alone in --redis-url"))
	}
	switch v.says("role") {
	case "":
		return none()
	case "master":
		return one(fine("a master"))
	}
	master := v.says("master_host") + ":" + v.says("master_port")
	return one(failure("this Redis is a replica of "+master+" and takes no tasks",
		"name its master in --redis-url; or, when the master is lost, make it one: REPLICAOF NO ONE"))
}

// lost is what a Redis without its data costs.
const lost = "the ledger delivers its jobs again, which takes a while; tasks of plain Asynq producers and redis:// clients are gone"

func (v *visit) redisPersistence(ctx context.Context) ([]Finding, error) {
	if v.says("aof_enabled") == "1" {
		return one(fine("an append-only file"))
	}
	const do = "CONFIG SET appendonly yes, and `appendonly yes` in redis.conf so that it stays"
	save, err := v.config(ctx, "save")
	if err != nil {
		return nil, err
	}
	if save == "" {
		return one(warning("Redis keeps nothing on disk: when it ends, "+lost, do))
	}
	return one(note("Redis keeps snapshots only: when it ends badly, it loses what came since the last one; "+lost, do))
}

// redisWork does what evalq does in Redis.
func (v *visit) redisWork(ctx context.Context) ([]Finding, error) {
	err := redisconn.Probe(ctx, v.Redis, v.queues()...)
	if err == nil {
		return one(fine("Redis takes work"))
	}
	if do := redisconn.Remedy(err); do != "" {
		return one(failure(fmt.Sprintf("Redis refuses work, and jobs wait in the ledger: %v", err), do))
	}
	var refusal redis.Error
	if errors.As(err, &refusal) {
		return one(failure(fmt.Sprintf("Redis refuses work, and jobs wait in the ledger: %v", err), "see the log of Redis"))
	}
	return nil, err
}

// redisWrites finds a Redis that refuses writes, or soon will, for its disk.
func (v *visit) redisWrites(ctx context.Context) ([]Finding, error) {
	const disk = "see its log and free its disk"
	if s := v.says("aof_last_write_status"); s != "" && s != "ok" {
		return one(failure("Redis could not write its append-only file and refuses tasks", disk+"; it goes on by itself"))
	}
	if s := v.says("rdb_last_bgsave_status"); s == "" || s == "ok" {
		return one(fine("the last writes to its disk went well"))
	}
	const do = disk + ", then BGSAVE"
	stops, err := v.config(ctx, "stop-writes-on-bgsave-error")
	if err != nil {
		return nil, err
	}
	save, err := v.config(ctx, "save")
	if err != nil {
		return nil, err
	}
	if stops == "yes" && save != "" {
		return one(failure("Redis could not write its last snapshot and refuses tasks until it can", do+"; to go on without snapshots meanwhile: CONFIG SET stop-writes-on-bgsave-error no"))
	}
	return one(warning("Redis could not write its last snapshot", do))
}

func (v *visit) redisEviction(context.Context) ([]Finding, error) {
	policy := v.says("maxmemory_policy")
	switch {
	case policy == "" || policy == "noeviction":
		return one(fine("nothing is evicted"))
	case v.number("maxmemory") == 0:
		return one(warning("maxmemory-policy is "+policy+": as soon as a maxmemory is set, Redis would throw tasks away", noEviction))
	}
	return one(warning("maxmemory-policy is "+policy+": with its memory full, Redis throws tasks away; "+lost, noEviction))
}

const noEviction = "CONFIG SET maxmemory-policy noeviction, and the same in redis.conf so that it stays"

// full is the part of maxmemory from which on it is time to see to it.
const full = 0.8

func (v *visit) redisMemory(context.Context) ([]Finding, error) {
	most, used := v.number("maxmemory"), v.number("used_memory")
	if most == 0 {
		return one(fine("%s in use, without a limit", size(used)))
	}
	share := float64(used) / float64(most)
	what := fmt.Sprintf("%s of %s in use, %.0f %%", size(used), size(most), 100*share)
	const do = "raise it: CONFIG SET maxmemory, and the same in redis.conf; or lower --window and --retention; see who else uses this Redis"
	switch {
	case share >= 1:
		return one(failure(what+": Redis refuses tasks; jobs wait in the ledger", do))
	case share >= full:
		return one(warning(what+"; when it is full, Redis refuses tasks and jobs wait in the ledger", do))
	}
	return one(fine("%s", what))
}

// Clocks may differ by so much without anybody noticing, and by so much before
// it does harm.
const (
	skewNoted  = 2 * time.Second
	skewHarms  = 30 * time.Second
	skewAdvice = "let all machines set their clocks by one source: chrony, or systemd-timesyncd (timedatectl set-ntp true)"
)

func (v *visit) redisClock(ctx context.Context) ([]Finding, error) {
	if err := v.Redis.Ping(ctx).Err(); err != nil { // connects, which takes time
		return nil, err
	}
	asked := v.cfg.Now()
	theirs, err := v.Redis.Time(ctx).Result()
	if err != nil {
		return nil, err
	}
	trip := v.cfg.Now().Sub(asked)
	return one(skewed("Redis", asked.Add(trip/2).Sub(theirs),
		"Asynq times retries, schedules and leases by the clocks of the processes: with clocks apart they come early or late, and from a minute on a task at work looks lost and is delivered twice, which the ledger sorts out"))
}

func skewed(whose string, skew time.Duration, harm string) Finding {
	side := "ahead of"
	if skew < 0 {
		side, skew = "behind", -skew
	}
	what := fmt.Sprintf("this machine's clock is %v %s that of %s", skew.Round(10*time.Millisecond), side, whose)
	switch {
	case skew > skewHarms:
		return warning(what+": "+harm, skewAdvice)
	case skew > skewNoted:
		return note(what, skewAdvice)
	}
	return fine("%s", what)
}

// config reads one setting of Redis.
func (v *visit) config(ctx context.Context, name string) (string, error) {
	all, err := v.Redis.ConfigGet(ctx, name).Result()
	if err != nil {
		return "", err
	}
	return strings.TrimSpace(all[name]), nil
}

// size writes a number of bytes for people.
func size(n int64) string {
	value, unit := float64(n), "B"
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value /= 1024; value < 1024 {
			break
		}
	}
	return fmt.Sprintf("%.1f %s", value, unit)
}
