package mq

import (
	"context"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// A message that was handled while Redis was away stays in Asynq's lists, because
// Asynq cannot note its end then. Here it is known, for a day at least.
const (
	handledFor  = 24 * time.Hour
	handledMost = 100_000
)

// hands are the messages that this process works on, and those that it is done
// with, whether or not Asynq knows.
type hands struct {
	mu   sync.Mutex
	held map[string]context.CancelCauseFunc
	done map[string]time.Time
}

const (
	isNew = iota
	isHeld
	isDone
)

// take makes a message held if it is new.
func (h *hands) take(id string, cancel context.CancelCauseFunc) (state int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.done[id]; ok {
		return isDone
	}
	if _, ok := h.held[id]; ok {
		return isHeld
	}
	if h.held == nil {
		h.held, h.done = map[string]context.CancelCauseFunc{}, map[string]time.Time{}
	}
	h.held[id] = cancel
	return isNew
}

func (h *hands) drop(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, id)
}

func (h *hands) finish(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if len(h.done) >= handledMost {
		for k, at := range h.done {
			if len(h.done) >= handledMost/2 || now.Sub(at) > handledFor {
				delete(h.done, k)
			}
		}
	}
	h.done[id] = now
}

func (h *hands) cancel(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if cancel, ok := h.held[id]; ok {
		cancel(errCancelled)
	}
}

// state tells whether a message is held here, or was handled here and when.
func (h *hands) state(id string) (held bool, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, held = h.held[id]
	return held, h.done[id]
}

// Fields of ours beside Asynq's in a task's hash.
const (
	fieldLosses    = "evalq_mq_losses"    // processes that have died with it
	fieldSpent     = "evalq_mq_spent"     // Asynq's count of failures when it was last set aside
	fieldTransient = "evalq_mq_transient" // when its first transient error was, in milliseconds since 1970
)

// past is what a message has behind it since it was published, or set aside and run
// by an operator.
type past struct {
	losses, spent int
	transient     time.Time
}

func (s *subscription) key(id string) string { return "asynq:{" + s.q.name + "}:t:" + id }

// past is of a message that Asynq counts so many failures of. When Redis is away
// there are none: then the message is handled.
func (s *subscription) past(id string, retried int) (p past) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	var fields struct {
		Losses    int   `redis:"evalq_mq_losses"`
		Spent     int   `redis:"evalq_mq_spent"`
		Transient int64 `redis:"evalq_mq_transient"`
	}
	if err := s.rdb.HMGet(ctx, s.key(id), fieldLosses, fieldSpent, fieldTransient).Scan(&fields); err != nil {
		return past{spent: retried}
	}
	p = past{losses: fields.Losses, spent: fields.Spent}
	if fields.Transient > 0 {
		p.transient = time.UnixMilli(fields.Transient)
	}
	return p
}

// noted writes fields of a task that is still there.
var noted = redis.NewScript(`
if redis.call("EXISTS", KEYS[1]) == 1 then
	redis.call("HSET", KEYS[1], unpack(ARGV))
end
return 1`)

func (s *subscription) note(id string, fields ...any) {
	ctx, cancel := context.WithTimeout(context.Background(), publishTimeout)
	defer cancel()
	if err := noted.Run(ctx, s.rdb, []string{s.key(id)}, fields...).Err(); err != nil {
		s.q.rules.log.Warn("what becomes of a message could not be noted", "task_id", id, "err", err)
	}
}
