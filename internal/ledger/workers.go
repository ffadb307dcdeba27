package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

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

// Leave ends a worker that has stopped in order. What its handlers did not bring
// to an end is handed back at no cost, but for stuck ones: those count as a death.
func (l *Ledger) Leave(ctx context.Context, worker string) error {
	err := l.w.do(ctx, func(t *txn) error {
		left, err := t.runningOn(worker)
		if err != nil {
			return err
		}
		for _, j := range left {
			var stuck bool
			if _, err := t.row([]any{&stuck}, `SELECT stuck FROM evalq_attempts WHERE job_id = ? AND number = ?`, j.ID, j.Attempt); err != nil {
				return err
			}
			if stuck {
				err = l.lose(t, j)
			} else {
				_, err = l.handBack(t, j, "its handler did not return at shutdown")
			}
			if err != nil {
				return err
			}
		}
		_, err = t.exec(`UPDATE evalq_workers SET ended_at = ? WHERE id = ?`, ms(l.now()), worker)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: leave %s: %w", worker, err)
	}
	return nil
}

// HandBackStrays hands back, at no cost, the attempts that are on record for a
// living worker and that it knows nothing of: their Begin was committed and its
// answer lost. Attempts that began less than age ago are spared.
func (l *Ledger) HandBackStrays(ctx context.Context, worker string, known []tasks.Fence, age time.Duration) (int, error) {
	strays := 0
	err := l.w.do(ctx, func(t *txn) error {
		strays = 0
		running, err := t.runningOn(worker)
		if err != nil {
			return err
		}
		for _, j := range running {
			f := tasks.Fence{Job: j.ID, Attempt: j.Attempt, Worker: worker}
			if slices.Contains(known, f) || j.StartedAt.After(l.now().Add(-age)) {
				continue
			}
			strays++
			if _, err := l.handBack(t, j, "its worker did not learn of it"); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("ledger: hand back strays of %s: %w", worker, err)
	}
	return strays, nil
}

func (t *txn) runningOn(worker string) ([]*job, error) {
	rows, err := t.query(`SELECT `+jobColumns+` FROM evalq_jobs WHERE state = 'running' AND worker = ?`, worker)
	if err != nil {
		return nil, err
	}
	return scanJobs(rows)
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

// alive reports whether a worker is still at work. On a ledger that belongs to
// one process, every worker that has joined and not left is in this process, so
// no clock has a say: a machine that slept, or a disk that was full for a while,
// is no death.
func (l *Ledger) alive(t *txn, worker string) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_workers WHERE id = ? AND ended_at = 0`, worker)
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
