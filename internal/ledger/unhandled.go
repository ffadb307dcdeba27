package ledger

import (
	"context"
	"fmt"
	"slices"
	"time"

	"evalq/tasks"
)

const (
	// busyLook is when a job that waits for busy workers is looked at again if they
	// did not ask for it before.
	busyLook = time.Hour
	// workersGap is how long no worker may have been at work between two that count
	// as one after the other.
	workersGap = time.Minute
	// nowHandled is why a job goes on whose kind no worker handled.
	nowHandled = "a worker handles its kind now"
)

// passOn deals with a job that has arrived at a worker without a handler for it.
// That costs the job nothing: it is left to the workers that have one, or held
// until there are some.
func (l *Ledger) passOn(t *txn, j *job, worker string) (tasks.Outcome, error) {
	r, err := t.routing()
	if err != nil {
		return "", err
	}
	if r.handled(j.Kind) {
		return tasks.Others, l.save(t, j)
	}
	return tasks.Settled, l.holdUnhandled(t, j, worker)
}

// holdUnhandled holds j until a worker handles its kind.
func (l *Ledger) holdUnhandled(t *txn, j *job, who string) error {
	return l.holdAt(t, j, tasks.HoldNoWorker, who, l.now().Add(l.cfg.KindWait))
}

// holdAt holds a job that no attempt is at work on.
func (l *Ledger) holdAt(t *txn, j *job, hold tasks.Hold, who string, due time.Time) error {
	if err := l.move(t, j, tasks.Held, who, string(hold)); err != nil {
		return err
	}
	j.Hold, j.DueAt = hold, due
	return l.save(t, j)
}

// ReleaseHandled delivers held jobs again whose kind a worker handles by now. It
// answers how many; with more, others may be left.
func (l *Ledger) ReleaseHandled(ctx context.Context) (gone int, more bool, err error) {
	r, err := l.routes(ctx)
	if err != nil {
		return 0, false, err
	}
	for _, q := range tasks.Priorities() {
		kinds, err := l.heldKinds(ctx, tasks.HoldNoWorker, q)
		if err != nil {
			return gone, false, err
		}
		for _, k := range kinds {
			if !r.handled(k) {
				continue
			}
			n, full, err := l.releaseSome(ctx, q, k)
			if err != nil {
				return gone, false, fmt.Errorf("ledger: release jobs of kind %s: %w", k, err)
			}
			gone, more = gone+n, more || full && n > 0
		}
	}
	return gone, more, nil
}

func (l *Ledger) releaseSome(ctx context.Context, q tasks.Priority, k tasks.Kind) (int, bool, error) {
	gone, full := 0, false
	err := l.w.soon(ctx, func(t *txn) error {
		held, err := t.seqs(heldFor+` ORDER BY user_id, seq LIMIT ?`, tasks.HoldNoWorker, q, k, feedChunk)
		if err != nil {
			return err
		}
		full = len(held) == feedChunk
		gone, err = l.goOn(t, held, tasks.HoldNoWorker, "relay", nowHandled)
		return err
	})
	return gone, full, err
}

// heldFor names the index of held jobs. PostgreSQL has to be told that hold is not
// empty.
const heldFor = `hold <> '' AND hold = ? AND queue = ? AND kind = ?`

// heldKinds lists the kinds of a queue's jobs that are held for a reason. It goes
// from kind to kind along the index, so that it costs the same however many jobs
// wait.
func (l *Ledger) heldKinds(ctx context.Context, hold tasks.Hold, q tasks.Priority) ([]tasks.Kind, error) {
	var out []tasks.Kind
	for after := tasks.Kind(""); ; {
		var next tasks.Kind
		err := l.row(ctx, `SELECT kind FROM evalq_jobs WHERE hold <> '' AND hold = ? AND queue = ? AND kind > ? ORDER BY kind LIMIT 1`, hold, q, after).Scan(&next)
		if isNoRows(err) {
			return out, nil
		}
		if err != nil {
			return nil, readError("held jobs", err)
		}
		out, after = append(out, next), next
	}
}

// waitOver deals with a held job whose wait for a worker of its kind is over. It
// goes on when there is one. Else it is dead, unless the workers were away for a
// part of the time: that was no wait.
func (l *Ledger) waitOver(t *txn, j *job) error {
	r, err := t.routing()
	if err != nil {
		return err
	}
	if r.handled(j.Kind) {
		return l.afresh(t, j, "relay", nowHandled)
	}
	now := l.now()
	since := now
	if r.workers > 0 {
		if since, err = l.atWorkSince(t, now.Add(-l.cfg.KindWait)); err != nil {
			return err
		}
	}
	if end := since.Add(l.cfg.KindWait); end.After(now) {
		j.DueAt = end
		return l.save(t, j)
	}
	why := fmt.Sprintf("no worker handled the kind %q within %v", j.Kind, l.cfg.KindWait)
	j.Error = &tasks.Failure{Class: tasks.ClassNoHandler, Message: why}
	return l.die(t, j, "relay", string(tasks.ClassNoHandler), -1)
}

// atWorkSince is since when workers have been at work without a gap, or some time
// before the given one. It looks at those that had not ended by then.
func (l *Ledger) atWorkSince(t *txn, before time.Time) (time.Time, error) {
	rows, err := t.query(`SELECT started_at, ended_at FROM evalq_workers WHERE ended_at = 0 OR ended_at >= ?`, ms(before.Add(-workersGap)))
	if err != nil {
		return time.Time{}, err
	}
	defer rows.Close()
	since := l.now()
	var ended [][2]time.Time
	for rows.Next() {
		var from, to int64
		if err := rows.Scan(&from, &to); err != nil {
			return time.Time{}, unavailable("read", err)
		}
		if to != 0 {
			ended = append(ended, [2]time.Time{at(from), at(to)})
		} else if from := at(from); from.Before(since) {
			since = from
		}
	}
	if err := rows.Err(); err != nil {
		return time.Time{}, unavailable("read", err)
	}
	// From the one that ended last, each reaches back as far as it has begun.
	slices.SortFunc(ended, func(a, b [2]time.Time) int { return b[1].Compare(a[1]) })
	for _, w := range ended {
		if w[1].Add(workersGap).Before(since) {
			break
		}
		if w[0].Before(since) {
			since = w[0]
		}
	}
	return since, nil
}
