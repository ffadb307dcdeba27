package dashboard

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// messagesLimit bounds how long a page waits for Redis, which it does not need.
const messagesLimit = 2 * time.Second

// messagesView is what the pages show of the queue of package mq, which is in Redis
// alone.
type messagesView struct {
	redisconn.Messages
	Evaluations int // of Dead, those of evalq's own kinds
}

// Later counts what is tried at a later time.
func (v messagesView) Later() int { return v.Scheduled + v.Retried }

// messages looks at the queue of package mq.
type messages struct {
	redis redis.UniversalClient
	queue string

	mu          sync.Mutex
	mark        string // of what was counted last
	evaluations int
}

// read gives nothing of a queue that was never used, or while Redis does not answer.
func (m *messages) read(ctx context.Context) messagesView {
	ctx, cancel := context.WithTimeout(ctx, messagesLimit)
	defer cancel()
	now, err := redisconn.ReadMessages(ctx, m.redis, m.queue)
	if err != nil {
		return messagesView{}
	}
	v := messagesView{Messages: now}
	if now.Dead == 0 {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mark != now.Mark {
		n, err := redisconn.CountDead(ctx, m.redis, m.queue, string(tasks.KindEvaluationReport), string(tasks.KindTopicEvaluation))
		if err != nil {
			return v
		}
		m.mark, m.evaluations = now.Mark, n
	}
	v.Evaluations = min(m.evaluations, now.Dead)
	return v
}
