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
	stop context.Context // ends every wait
	wait time.Duration   // of the last fetch that failed; Asynq fetches one at a time
}

const (
	firstPatience = 20 * time.Millisecond
	lastPatience  = time.Second
)

func (c *patient) EvalSha(ctx context.Context, sha1 string, keys []string, args ...any) *redis.Cmd {
	cmd := c.UniversalClient.EvalSha(ctx, sha1, keys, args...)
	if !redis.HasErrorPrefix(cmd.Err(), "NOSCRIPT") { // Eval comes next
		c.bear(keys, cmd.Err())
	}
	return cmd
}

func (c *patient) Eval(ctx context.Context, script string, keys []string, args ...any) *redis.Cmd {
	cmd := c.UniversalClient.Eval(ctx, script, keys, args...)
	c.bear(keys, cmd.Err())
	return cmd
}

// bear waits after a fetch that failed, longer each time. A fetch is told by its
// keys: it is the only script that looks whether a queue is paused.
func (c *patient) bear(keys []string, err error) {
	if len(keys) != 4 || !strings.HasSuffix(keys[1], ":paused") {
		return
	}
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
