package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// redisProbe is what readiness asks of Redis. A Redis that is full, or a replica,
// answers a ping and takes no task, so it does what evalq does there; that writes,
// and /readyz needs no credentials, so once a second at most.
type redisProbe struct {
	rdb    redis.UniversalClient
	queues []string
	every  time.Duration

	mu   sync.Mutex
	at   time.Time // of the last look
	last error
}

func newRedisProbe(rdb redis.UniversalClient, n tasks.Namespace) *redisProbe {
	p := &redisProbe{rdb: rdb, every: time.Second}
	for _, of := range append(tasks.Priorities(), tasks.Messages) {
		p.queues = append(p.queues, n.Queue(of))
	}
	return p
}

// check leaves the other checks of /readyz time to end: a Redis that is away is
// dialled again and again.
func (p *redisProbe) check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if err := p.rdb.Ping(ctx).Err(); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) >= p.every {
		p.last = redisconn.Probe(ctx, p.rdb, p.queues...)
		p.at = time.Now()
	}
	if do := redisconn.Remedy(p.last); do != "" {
		return fmt.Errorf("%w; %s", p.last, do)
	}
	return p.last
}
