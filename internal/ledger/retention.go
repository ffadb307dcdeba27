package ledger

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

const (
	// trimChunk bounds how many jobs one write of Trim, Purge or Erase takes, so
	// that other writes get their turn.
	trimChunk = 200
	// goneFor is how long a removed job is remembered: far longer than one of its
	// tasks can be on its way.
	goneFor = 7 * 24 * time.Hour
	// workerFor is how long a worker that has ended stays on record at least. One
	// that was given up because its machine slept may come back.
	workerFor = 30 * 24 * time.Hour
)

// Trim removes the events and attempts of jobs that finished before then, and of
// those that succeeded or were skipped the checkpoints which no other job can
// use. The jobs and their results stay. It also drops what nobody needs after a
// while: ended workers, settled payloads that could not be read, the ids of
// removed jobs. It answers how many jobs it has trimmed. A zero time keeps all
// history.
//
// It works in small writes with as much time between them as they take, so that
// it may run beside everything else, in several processes too.
func (l *Ledger) Trim(ctx context.Context, before time.Time) (int, error) {
	total := 0
	for !before.IsZero() {
		began := time.Now()
		n, err := l.trimSome(ctx, before)
		total += n
		if err != nil {
			return total, fmt.Errorf("ledger: trim: %w", err)
		}
		if n < trimChunk {
			break
		}
		if !wait(ctx, time.Since(began)) {
			return total, context.Cause(ctx)
		}
	}
	if err := l.dropOld(ctx, before); err != nil {
		return total, fmt.Errorf("ledger: trim: %w", err)
	}
	return total, nil
}

func (l *Ledger) trimSome(ctx context.Context, before time.Time) (int, error) {
	trimmed := 0
	err := l.w.do(ctx, func(t *txn) error {
		trimmed = 0
		old, err := t.doomed(`trimmed = 0 AND finished_at > 0 AND finished_at < ? ORDER BY finished_at, seq LIMIT ?`, ms(before), trimChunk)
		if err != nil || len(old) == 0 {
			return err
		}
		var settled []any
		for _, d := range old {
			if d.State == tasks.Succeeded || d.State == tasks.Skipped {
				settled = append(settled, d.Scope())
			}
		}
		for _, cut := range []struct {
			table, column string
			keys          []any
		}{
			{"evalq_events", "job_id", idsOf(old)},
			{"evalq_attempts", "job_id", idsOf(old)},
			{"evalq_checkpoints", "scope", settled},
		} {
			if _, err := t.deleteAll(cut.table, cut.column, cut.keys); err != nil {
				return err
			}
		}
		trimmed = len(old)
		_, err = t.exec(`UPDATE evalq_jobs SET trimmed = 1 WHERE seq IN (`+list(trimChunk)+`)`, fill(seqsOf(old))...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return trimmed, nil
}

// dropOld removes rows that are of no use any more. Each is one short statement:
// there are few of them, but for the ids of removed jobs.
func (l *Ledger) dropOld(ctx context.Context, before time.Time) error {
	now := l.now()
	workers := now.Add(-workerFor)
	if !before.IsZero() && before.Before(workers) {
		workers = before
	}
	for {
		var gone int64
		err := l.w.do(ctx, func(t *txn) error {
			if _, err := t.exec(`DELETE FROM evalq_worker_kinds WHERE worker IN (SELECT id FROM evalq_workers WHERE ended_at > 0 AND ended_at < ?)`, ms(workers)); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM evalq_kinds WHERE seen_at < ?`, ms(now.Add(-kindFor))); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM evalq_workers WHERE ended_at > 0 AND ended_at < ?`, ms(workers)); err != nil {
				return err
			}
			if _, err := t.exec(`DELETE FROM evalq_quarantine WHERE settled_at > 0 AND settled_at < ?`, ms(before)); err != nil {
				return err
			}
			n, err := t.changed(`DELETE FROM evalq_gone WHERE job_id IN (SELECT job_id FROM
				(SELECT job_id FROM evalq_gone WHERE gone_at < ? ORDER BY gone_at LIMIT ?) AS old)`, ms(now.Add(-goneFor)), ripenChunk)
			gone = n
			return err
		})
		if err != nil || gone < ripenChunk {
			return err
		}
	}
}

// stranger tells a task whose job was removed from one of a job that was never
// here.
func (t *txn) stranger(id string) (tasks.Outcome, error) {
	var n int
	if _, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_gone WHERE job_id = ?`, id); err != nil {
		return "", err
	}
	if n > 0 {
		return tasks.Settled, nil
	}
	return tasks.Unknown, nil
}

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
