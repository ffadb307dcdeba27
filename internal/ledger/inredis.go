package ledger

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"evalq/tasks"
)

// setBack is by how many milliseconds a job's last move has to lie in the future to
// show that the clock was set back. Then what it waits for by the clock is as far
// away as the clock was set, and it is taken up at once.
const setBack = 60_000

// InRedis lists, a page at a time in order of acceptance, the jobs that should
// have a task in Asynq that no worker holds: queued, and retrying ones. Age
// leaves out those that moved less than that many milliseconds ago, and
// retrying ones that are not overdue by as much.
func (l *Ledger) InRedis(ctx context.Context, after int64, age int64, limit int) (jobs []tasks.Job, next int64, err error) {
	// A clock that went back must hide nothing: what moved in the future is old.
	now := ms(l.now())
	before := now - age
	// A state each, so that no database goes through all finished jobs in order of
	// acceptance to find a few.
	one := func(state, moved string) string {
		return `SELECT * FROM (SELECT ` + jobColumns + ` FROM evalq_jobs WHERE state = '` + state + `' AND seq > ?
			AND (? = 0 OR ` + moved + ` <= ? OR moved_at > ?) ORDER BY seq LIMIT ?) AS ` + state
	}
	rows, err := l.rows(ctx, one("queued", "moved_at")+` UNION ALL `+one("retrying", "due_at")+` ORDER BY seq LIMIT ?`,
		after, age, before, now, limit, after, age, before, now+setBack, limit, limit)
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: read tasks in Redis: %w", err)
	}
	found, err := scanJobs(rows)
	if err != nil {
		return nil, 0, fmt.Errorf("ledger: read tasks in Redis: %w", err)
	}
	for _, j := range found {
		jobs, next = append(jobs, j.Job), j.seq
	}
	return jobs, next, nil
}

// Redeliver raises the delivery of a queued or retrying job whose task was lost
// in Redis. It changes nothing when the job has moved on from that delivery. A
// retrying job keeps its time. A job that another transaction has locked is left
// for the next look.
func (l *Ledger) Redeliver(ctx context.Context, id string, delivery int, why string) error {
	err := l.w.soon(ctx, func(t *txn) error {
		j, err := t.byID(id)
		if err != nil {
			return err
		}
		if j.Delivery != delivery || (j.State != tasks.Queued && j.State != tasks.Retrying) {
			return nil
		}
		if j.State == tasks.Retrying && j.movedAt > ms(l.now())+setBack {
			j.DueAt = at(0) // by a clock that has gone back since
		}
		if err := l.deliverAgain(t, j, "relay", why); err != nil {
			return err
		}
		return l.save(t, j)
	})
	if err != nil && !lockedOnly(err) {
		return fmt.Errorf("ledger: redeliver %s: %w", id, err)
	}
	return nil
}

// Unbegun gives those of the jobs that wait for a worker to begin them at one of the
// deliveries, with the delivery.
func (l *Ledger) Unbegun(ctx context.Context, deliveries map[string][]int) (map[string]int, error) {
	ids := slices.Sorted(maps.Keys(deliveries))
	out := map[string]int{}
	for chunk := range slices.Chunk(ids, 200) {
		args := make([]any, len(chunk))
		for i, id := range chunk {
			args[i] = id
		}
		rows, err := l.rows(ctx, `SELECT id, delivery FROM evalq_jobs WHERE state IN ('queued', 'retrying') AND id IN (`+list(len(args))+`)`, args...)
		if err != nil {
			return nil, readError("tasks that were taken", err)
		}
		for rows.Next() {
			var id string
			var delivery int
			if err := rows.Scan(&id, &delivery); err != nil {
				rows.Close()
				return nil, readError("tasks that were taken", err)
			}
			if slices.Contains(deliveries[id], delivery) {
				out[id] = delivery
			}
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, readError("tasks that were taken", err)
		}
	}
	return out, nil
}

// Chores lists finished jobs whose tasks in Redis are not as they should be: a
// dead job that Asynq has no task of, which belongs among its archived ones,
// and a cancelled job whose task still waits there.
func (l *Ledger) Chores(ctx context.Context, limit int) ([]tasks.Job, error) {
	rows, err := l.rows(ctx, `SELECT `+jobColumns+` FROM evalq_jobs WHERE chore = 1 ORDER BY seq LIMIT ?`, limit)
	if err != nil {
		return nil, fmt.Errorf("ledger: read chores: %w", err)
	}
	found, err := scanJobs(rows)
	if err != nil {
		return nil, fmt.Errorf("ledger: read chores: %w", err)
	}
	out := make([]tasks.Job, len(found))
	for i, j := range found {
		out[i] = j.Job
	}
	return out, nil
}

// ShowDead makes chores of the newest dead jobs, up to limit, because a Redis
// that was wiped does not show them among its archived tasks any more.
func (l *Ledger) ShowDead(ctx context.Context, limit int) error {
	err := l.w.soon(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_jobs SET chore = 1, dead_retried = -1 WHERE state = 'dead' AND seq IN (SELECT seq FROM
			(SELECT seq FROM evalq_jobs WHERE state = 'dead' ORDER BY seq DESC LIMIT ?) AS newest)`, limit)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: show dead jobs: %w", err)
	}
	return nil
}

// ChoreDone notes that Redis is right for the job at that delivery. While another
// transaction has locked the job, it stays a chore.
func (l *Ledger) ChoreDone(ctx context.Context, id string, delivery int) error {
	err := l.w.soon(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_jobs SET chore = 0 WHERE id = ? AND delivery = ?`, id, delivery)
		return err
	})
	if err != nil && !lockedOnly(err) {
		return fmt.Errorf("ledger: note chore of %s: %w", id, err)
	}
	return nil
}
