package doctor

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"evalq/internal/redisconn"
	"evalq/tasks"
)

// messagesSetAside looks at what package mq has set aside: how full the archive of
// its queue is, and what left it.
func (v *visit) messagesSetAside(ctx context.Context) ([]Finding, error) {
	queue := v.Namespace.Queue(tasks.Messages)
	archived, err := v.Redis.ZCard(ctx, "asynq:{"+queue+"}:archived").Result()
	if err != nil {
		return nil, err
	}
	waiting := int64(0)
	for _, evaluations := range []bool{true, false} {
		n, err := v.Redis.LLen(ctx, redisconn.OverflowKey(queue, evaluations)).Result()
		if err != nil {
			return nil, err
		}
		waiting += n
	}
	counts, err := v.Redis.HGetAll(ctx, redisconn.OverflowCount(queue)).Result()
	if err != nil {
		return nil, err
	}
	var out []Finding
	if dropped, last := counted(counts); dropped > 0 && time.Since(last) < recent {
		out = append(out, failure(fmt.Sprintf("of the messages that were set aside in the queue %s, %d were dropped for want of room, the last at %s", queue, dropped, last.UTC().Format(time.RFC3339)),
			"find out what floods the queue; run a relay on this Redis, which moves such messages to the quarantine"))
	}
	if waiting > overflowing {
		out = append(out, warning(fmt.Sprintf("%s left the full archive of the queue %s and wait for the quarantine", amount(int(waiting), "message"), queue),
			"run a relay on this Redis, which moves them there within a minute"))
	}
	if archived >= archiveNear/2 {
		out = append(out, warning(fmt.Sprintf("%s set aside in the queue %s; above 7500 the oldest go to the quarantine, evaluations last", amount(int(archived), "message"), queue),
			"run them again or delete them on Asynqmon's page of archived tasks, and give types of your own a handler"))
	}
	if len(out) > 0 {
		return out, nil
	}
	if archived > 0 {
		evaluations, err := redisconn.CountDead(ctx, v.Redis, queue, string(tasks.KindEvaluationReport), string(tasks.KindTopicEvaluation))
		if err != nil {
			return nil, err
		}
		return one(note(fmt.Sprintf("%s set aside in the queue %s, %s among them", amount(int(archived), "message"), queue, amount(evaluations, "evaluation")),
			"Asynqmon's page of archived tasks says why; mend that, then run them again there"))
	}
	return one(fine("no message is set aside"))
}

// overflowing is how many messages a relay may be at work on just now.
const overflowing = 100

func counted(counts map[string]string) (dropped int64, last time.Time) {
	dropped, _ = strconv.ParseInt(counts[redisconn.OverflowDropped], 10, 64)
	at, _ := strconv.ParseInt(counts[redisconn.OverflowDroppedAt], 10, 64)
	return dropped, time.Unix(at, 0)
}
