package relay

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/redis/go-redis/v9"

	"evalq/tasks"
)

// Asynq keeps 10,000 archived tasks of a queue for 90 days. Where it trims it
// fails on many at once, or forgets to delete what it trimmed. So the relay
// trims before Asynq would. The ledger's own pages have every dead job.
const (
	keptArchived = 5_000
	archivedFor  = 80 * 24 * time.Hour
	trimChunk    = 500
	trimMost     = 2 * 10_000 / trimChunk // chunks at a time: all that Asynq keeps, by size and by age
)

// unarchive removes archived tasks that are still archived.
var unarchive = redis.NewScript(`
for i = 2, #ARGV do
	if redis.call("ZREM", KEYS[1], ARGV[i]) == 1 then
		redis.call("DEL", ARGV[1] .. ARGV[i])
	end
end
return 1`)

func (r *Relay) trimArchives(ctx context.Context) error {
	for _, p := range tasks.Priorities() {
		for range trimMost {
			trimmed, err := r.trimArchive(ctx, p, time.Now())
			if err != nil {
				return err
			}
			if trimmed == 0 {
				break
			}
		}
	}
	return nil
}

// trimArchive removes a chunk of a queue's oldest archived tasks, if there are
// too many or they are too old.
func (r *Relay) trimArchive(ctx context.Context, p tasks.Priority, now time.Time) (trimmed int, err error) {
	prefix := r.keys(p)
	ids, err := r.outdated(ctx, prefix+"archived", now)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	bodies, err := r.bodies(ctx, r.cfg.Namespace.Queue(p), ids)
	if err != nil {
		return 0, err
	}
	argv := []any{prefix + "t:"}
	for i, id := range ids {
		argv = append(argv, id)
		m, ok := readMessage(bodies[i].text)
		if bodies[i].unread == "" && (len(bodies[i].text) == 0 || ok && m.ledger == r.ledger.ID()) {
			continue // a name without a task, or a dead job that the ledger has
		}
		if err := r.quarantine(ctx, brokenTask{r.cfg.Namespace.Queue(p), id, reasonTrimmed, bodies[i].text}); err != nil {
			return 0, err
		}
	}
	if err := unarchive.Run(ctx, r.rdb, []string{prefix + "archived"}, argv...).Err(); err != nil {
		return 0, fmt.Errorf("relay: trim archive of %s: %w", p, err)
	}
	return len(ids), nil
}

// outdated lists the oldest of an archive that are beyond its size or age.
func (r *Relay) outdated(ctx context.Context, key string, now time.Time) ([]string, error) {
	size, err := r.rdb.ZCard(ctx, key).Result()
	if err != nil {
		return nil, fmt.Errorf("relay: count %s: %w", key, err)
	}
	if over := min(size-keptArchived, trimChunk); over > 0 {
		ids, err := r.rdb.ZRange(ctx, key, 0, over-1).Result()
		if err != nil {
			return nil, fmt.Errorf("relay: read %s: %w", key, err)
		}
		return ids, nil
	}
	ids, err := r.rdb.ZRangeByScore(ctx, key, &redis.ZRangeBy{
		Min: "-inf", Max: strconv.FormatInt(now.Add(-archivedFor).Unix(), 10), Count: trimChunk,
	}).Result()
	if err != nil {
		return nil, fmt.Errorf("relay: read %s: %w", key, err)
	}
	return ids, nil
}

// sweepArchived finds jobs whose tasks were archived by somebody who does not
// own them, such as a worker of another environment on the same Redis.
func (r *Relay) sweepArchived(ctx context.Context) error {
	for _, p := range tasks.Priorities() {
		q := r.queues[p]
		found, err := r.rdb.ZRangeByScoreWithScores(ctx, r.keys(p)+"archived", &redis.ZRangeBy{
			Min: strconv.FormatInt(q.archived, 10), Max: "+inf", Count: page,
		}).Result()
		if err != nil {
			return fmt.Errorf("relay: read archived tasks of %s: %w", p, err)
		}
		var ids []string
		for _, z := range found {
			id, _ := z.Member.(string)
			ids = append(ids, id)
		}
		if err := r.deliver(ctx, ids, "its task was archived by somebody else"); err != nil {
			return err
		}
		if n := len(found); n > 0 {
			// Another program can have archived one at any time, also one to come.
			last := int64(min(found[n-1].Score, float64(time.Now().Unix())))
			if n == page && last == q.archived {
				last++ // a page of one second: go on with the next
			}
			q.archived = last
		}
	}
	return nil
}
