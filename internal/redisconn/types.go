package redisconn

import (
	"context"
	"fmt"

	"github.com/redis/go-redis/v9"
)

// asynqKeys are the keys of a queue and what Asynq keeps in them.
var asynqKeys = []struct{ name, kind string }{
	{"pending", "list"}, {"active", "list"},
	{"lease", "zset"}, {"scheduled", "zset"}, {"retry", "zset"}, {"archived", "zset"}, {"completed", "zset"},
	{"paused", "string"},
}

// WrongTypeError names a key of Asynq that holds something else, so that its queue
// stands still.
type WrongTypeError struct{ Key, Have, Want string }

func (e *WrongTypeError) Error() string {
	return fmt.Sprintf("the key %q in Redis is a %s, where Asynq keeps a %s", e.Key, e.Have, e.Want)
}

// checkTypes looks at the keys that Asynq has for all queues and for some.
func checkTypes(ctx context.Context, rdb redis.UniversalClient, queues []string) error {
	wants := []WrongTypeError{
		{Key: "asynq:queues", Want: "set"}, {Key: "asynq:servers", Want: "zset"}, {Key: "asynq:workers", Want: "zset"},
	}
	for _, q := range queues {
		for _, k := range asynqKeys {
			wants = append(wants, WrongTypeError{Key: "asynq:{" + q + "}:" + k.name, Want: k.kind})
		}
	}
	types := make([]*redis.StatusCmd, len(wants))
	_, err := rdb.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i, w := range wants {
			types[i] = p.Type(ctx, w.Key)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("redisconn: look at the types of keys: %w", err)
	}
	for i, w := range wants {
		if w.Have = types[i].Val(); w.Have != "none" && w.Have != w.Want {
			return &w
		}
	}
	return nil
}
