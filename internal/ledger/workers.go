package ledger

import (
	"context"
	"database/sql"
	"fmt"

	"evalq/tasks"
)

// Join puts a worker process on record, alive.
func (l *Ledger) Join(ctx context.Context, w tasks.Worker) error {
	now := ms(l.now())
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`INSERT INTO evalq_workers (id, host, pid, build, slots, started_at, beat_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			w.ID, w.Host, w.PID, w.Build, w.Slots, now, now)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: join worker %s: %w", w.ID, err)
	}
	return nil
}

// Beat is a worker's sign of life.
func (l *Ledger) Beat(ctx context.Context, worker string, draining bool) error {
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_workers SET beat_at = ?, draining = ?, ended_at = 0 WHERE id = ?`, ms(l.now()), draining, worker)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: beat %s: %w", worker, err)
	}
	return nil
}

// Leave ends a worker that has stopped in order.
func (l *Ledger) Leave(ctx context.Context, worker string) error {
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_workers SET ended_at = ? WHERE id = ?`, ms(l.now()), worker)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: leave %s: %w", worker, err)
	}
	return nil
}

// AskedToStop lists the attempts of a worker whose jobs were cancelled while
// they run.
func (l *Ledger) AskedToStop(ctx context.Context, worker string) ([]tasks.Fence, error) {
	rows, err := l.read.QueryContext(ctx, `SELECT id, attempt FROM evalq_jobs WHERE state = 'running' AND worker = ? AND cancel_asked <> 0`, worker)
	if err != nil {
		return nil, fmt.Errorf("ledger: read cancellations: %w", err)
	}
	defer rows.Close()
	var out []tasks.Fence
	for rows.Next() {
		f := tasks.Fence{Worker: worker}
		if err := rows.Scan(&f.Job, &f.Attempt); err != nil {
			return nil, fmt.Errorf("ledger: read cancellations: %w", err)
		}
		out = append(out, f)
	}
	return out, rows.Err()
}

// alive reports whether a worker has neither left nor been silent too long.
func (l *Ledger) alive(t *txn, worker string) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_workers WHERE id = ? AND ended_at = 0 AND beat_at > ?`,
		worker, ms(l.now().Add(-l.cfg.LostAfter)))
	return n > 0, err
}

// Recover books the loss of every attempt whose worker is gone, and answers how
// many there were. With start set, on a ledger that belongs to one process,
// every earlier worker is gone.
func (l *Ledger) Recover(ctx context.Context, start bool) (int, error) {
	// No named result: when the caller gives up, the write goes on.
	lost := 0
	err := l.w.do(ctx, func(t *txn) error {
		if start && l.dialect.OneOwner {
			if _, err := t.exec(`UPDATE evalq_workers SET ended_at = beat_at WHERE ended_at = 0`); err != nil {
				return err
			}
		}
		rows, err := t.query(`SELECT ` + jobColumns + ` FROM evalq_jobs WHERE state = 'running'`)
		if err != nil {
			return err
		}
		running, err := scanJobs(rows)
		if err != nil {
			return err
		}
		lost = 0
		for _, j := range running {
			alive, err := l.alive(t, j.worker)
			if err != nil {
				return err
			}
			if alive {
				continue
			}
			lost++
			if err := l.lose(t, j); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: recover: %w", err)
	}
	return lost, nil
}

func scanJobs(rows *sql.Rows) ([]*job, error) {
	defer rows.Close()
	var out []*job
	for rows.Next() {
		j, err := scanJob(rows)
		if err != nil {
			return nil, unavailable("read", err)
		}
		out = append(out, j)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("read", err)
	}
	return out, nil
}
