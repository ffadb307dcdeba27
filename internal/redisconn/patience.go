package redisconn

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Patient is a client for Asynq to fetch tasks with. After a fetch that failed it
// waits, up to a second, or until stop ends. It serves one Asynq server.
func Patient(rdb redis.UniversalClient, stop context.Context) redis.UniversalClient {
	return &patient{UniversalClient: rdb, stop: stop}
}

// patient is the client that Asynq fetches tasks with. After an error Asynq asks
// again at once, which a Redis that is full answers twenty thousand times a
// second. Here the error comes back late instead.
type patient struct {
	redis.UniversalClient
	stop  context.Context // ends every wait
	fetch *redis.Script   // Asynq's own, behind what looks at sizes; nil until its text is known
	wait  time.Duration   // of the last fetch that failed; Asynq fetches one at a time
}

const (
	firstPatience = 20 * time.Millisecond
	lastPatience  = time.Second
)

func (c *patient) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	if isFetch(keys) {
		return c.fetchSha(ctx, keys, args)
	}
	return c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
}

func (c *patient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	if isFetch(keys) {
		return c.fetchText(ctx, script, keys, args)
	}
	return c.UniversalClient.Eval(ctx, script, keys, args...)
}

// isFetch tells a fetch by its keys: it is the only script that looks whether a
// queue is paused.
func isFetch(keys []string) bool { return len(keys) == 4 && strings.HasSuffix(keys[1], ":paused") }

// bear waits after a fetch that failed, longer each time.
func (c *patient) bear(err error) {
	if err == nil || errors.Is(err, redis.Nil) {
		c.wait = 0
		return
	}
	c.wait = min(max(2*c.wait, firstPatience), lastPatience)
	t := time.NewTimer(c.wait)
	defer t.Stop()
	select {
	case <-t.C:
	case <-c.stop.Done():
	}
}
