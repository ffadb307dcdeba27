package relay

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/redis/go-redis/v9"
	"google.golang.org/protobuf/encoding/protowire"

	"evalq/internal/ledger"
	"evalq/internal/redisconn"
	"evalq/tasks"
)

// Sources of what package mq leaves in quarantine. Each has its own bound there, so
// that a flood of other types takes no room from evaluations.
const (
	sourceMessages    = "mq"
	sourceEvaluations = tasks.SourceEvaluations
)

const reasonMessageTrimmed = "it was set aside, and among the oldest of a full archive"

// overflowPage bounds how many messages are read at once.
const overflowPage = 20

// took removes a message from an overflow list. KEYS: the list, the counts. ARGV:
// the message.
var took = redis.NewScript(`
local n = redis.call("LREM", KEYS[1], 1, ARGV[1])
if n > 0 then
	redis.call("HINCRBY", KEYS[2], KEYS[1], -#ARGV[1])
end
return n`)

// keepMessages moves to the quarantine what package mq took out of a full archive.
func (r *Relay) keepMessages(ctx context.Context) error {
	queue := r.cfg.Namespace.Queue(tasks.Messages)
	for _, evaluations := range []bool{true, false} {
		for {
			n, err := r.keepSome(ctx, queue, evaluations)
			if err != nil {
				return err
			}
			if n < overflowPage {
				break
			}
		}
	}
	return nil
}

func (r *Relay) keepSome(ctx context.Context, queue string, evaluations bool) (int, error) {
	list, source := redisconn.OverflowKey(queue, evaluations), sourceMessages
	if evaluations {
		source = sourceEvaluations
	}
	found, err := r.rdb.LRange(ctx, list, 0, overflowPage-1).Result()
	if err != nil {
		return 0, fmt.Errorf("relay: read messages of %s: %w", queue, err)
	}
	if len(found) == 0 {
		return 0, nil
	}
	entries, bodies := make([]tasks.Quarantined, len(found)), make([][]byte, len(found))
	for i, text := range found {
		id, body := published([]byte(text))
		entries[i] = tasks.Quarantined{Source: source, Queue: queue, TaskID: id, Reason: reasonMessageTrimmed}
		bodies[i] = body
	}
	kept, err := r.ledger.QuarantineMany(ctx, entries, bodies, 0)
	if err != nil {
		return 0, err
	}
	r.cfg.Logger.Warn("messages that were set aside are in quarantine now", "queue", queue, "reason", reasonMessageTrimmed, "messages", kept)
	if dropped := len(found) - kept; dropped > 0 {
		r.cfg.Logger.Error("messages were dropped: the quarantine is full", "queue", queue, "messages", dropped)
	}
	for _, text := range found {
		if err := took.Run(ctx, r.rdb, []string{list, redisconn.OverflowCount(queue)}, text).Err(); err != nil {
			return 0, fmt.Errorf("relay: remove a message of %s: %w", queue, err)
		}
	}
	return len(found), nil
}

// published gives a message the form in which it is published on the original
// channels, which is the one that is tried again; what has no such form stays as
// Asynq has it.
func published(text []byte) (id string, body []byte) {
	var kind string
	var payload []byte
	ok := eachField(text, func(n protowire.Number, t protowire.Type, v []byte) bool {
		if t != protowire.BytesType {
			return true
		}
		switch n {
		case 1:
			kind = string(v)
		case 2:
			payload = v
		case fieldID:
			id = string(v)
		}
		return true
	})
	if !ok || !json.Valid(payload) {
		return id, text
	}
	body, err := json.Marshal(struct {
		Type    string          `json:"type"`
		Payload json.RawMessage `json:"payload"`
	}{kind, payload})
	if err != nil {
		return id, text
	}
	return id, body
}

// overflowOfUser removes, or counts, what names a user among the messages that are
// on their way to the quarantine.
func (s *Sweeper) overflowOfUser(ctx context.Context, user int64, dry bool) (found int, err error) {
	for _, evaluations := range []bool{true, false} {
		list := redisconn.OverflowKey(s.messages, evaluations)
		for from := int64(0); ; {
			some, err := s.rdb.LRange(ctx, list, from, from+overflowPage-1).Result()
			if err != nil {
				return found, fmt.Errorf("relay: read messages: %w: %w", ErrRedis, err)
			}
			for _, text := range some {
				id, body := published([]byte(text))
				if !ledger.Owns(id, body, user) {
					from++
					continue
				}
				found++
				if dry {
					from++
				} else if err := took.Run(ctx, s.rdb, []string{list, redisconn.OverflowCount(s.messages)}, text).Err(); err != nil {
					return found, fmt.Errorf("relay: remove a message: %w: %w", ErrRedis, err)
				}
			}
			if len(some) < overflowPage {
				break
			}
		}
	}
	return found, nil
}
