package ledger

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"time"

	"evalq/tasks"
)

// Join puts a worker process on record, alive, with the kinds that it handles.
func (l *Ledger) Join(ctx context.Context, w tasks.Worker) error {
	err := l.w.do(ctx, func(t *txn) error {
		now := ms(l.now())
		l.reroute(t)
		n, err := t.changed(`UPDATE evalq_workers SET ended_at = 0, slots = ? WHERE id = ?`, w.Slots, w.ID)
		if err != nil || n > 0 {
			return err // the answer to the same call was lost
		}
		return t.join(w, now, now)
	})
	if err != nil {
		return fmt.Errorf("ledger: join worker %s: %w", w.ID, err)
	}
	w.StartedAt = l.now()
	l.joined.Store(w.ID, w)
	return nil
}

func (t *txn) join(w tasks.Worker, started, now int64) error {
	_, err := t.exec(`INSERT INTO evalq_workers (id, host, pid, build, slots, started_at, beat_at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		w.ID, w.Host, w.PID, w.Build, w.Slots, started, now)
	if err != nil {
		return err
	}
	return t.announce(w)
}

// Beat is a worker's sign of life. One that was given up meanwhile counts as alive
// again; what it ran is not its own any more. One that joined here and that the
// database does not know, because it is an older copy by now, joins again: else
// all that it begins would be taken for lost.
//
// On a shared ledger it is written on a connection of its own and waits for no
// other write.
func (l *Ledger) Beat(ctx context.Context, worker string, draining bool) error {
	err := l.pulse.soon(ctx, func(t *txn) error {
		if draining {
			t.after = append(t.after, func() { l.routed.Store(nil) })
		}
		now := ms(l.now())
		n, err := t.changed(`UPDATE evalq_workers SET beat_at = ?, beats = beats + 1, draining = ?, ended_at = 0 WHERE id = ?`, now, draining, worker)
		if err != nil || n > 0 {
			return err
		}
		if w, ok := l.joined.Load(worker); ok {
			w := w.(tasks.Worker)
			return t.join(w, ms(w.StartedAt), now)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("ledger: beat %s: %w", worker, err)
	}
	return nil
}

// Leave ends a worker that has stopped in order. What its handlers did not bring
// to an end is handed back at no cost, but for stuck ones: those count as a death.
func (l *Ledger) Leave(ctx context.Context, worker string) error {
	l.joined.Delete(worker)
	err := l.w.do(ctx, func(t *txn) error {
		left, err := t.runningOn(worker)
		if err != nil {
			return err
		}
		for _, j := range left {
			if err := l.leaveBehind(t, j); err != nil {
				return err
			}
		}
		return l.ended(t, worker)
	})
	if lockedOnly(err) {
		// The jobs whose rows are free go back; the relay books the others as lost
		// once it gets at them.
		err = l.w.do(ctx, func(t *txn) error {
			left, err := t.freeJobs(`state = 'running' AND worker = ?`, worker)
			if err != nil {
				return err
			}
			for _, j := range left {
				if _, err := t.attempt(func() error { return l.leaveBehind(t, j) }); err != nil {
					return err
				}
			}
			return l.ended(t, worker)
		})
	}
	if err != nil {
		return fmt.Errorf("ledger: leave %s: %w", worker, err)
	}
	return nil
}

// leaveBehind ends what j's worker did not bring to an end.
func (l *Ledger) leaveBehind(t *txn, j *job) error {
	var stuck bool
	if _, err := t.row([]any{&stuck}, `SELECT stuck FROM evalq_attempts WHERE job_id = ? AND number = ?`, j.ID, j.Attempt); err != nil {
		return err
	}
	if stuck {
		return l.lose(t, j)
	}
	_, err := l.handBack(t, j, "its handler did not return at shutdown")
	return err
}

func (l *Ledger) ended(t *txn, worker string) error {
	l.reroute(t)
	_, err := t.exec(`UPDATE evalq_workers SET ended_at = ? WHERE id = ?`, ms(l.now()), worker)
	return err
}

// HandBackStrays hands back, at no cost, the attempts that are on record for a
// living worker and that it knows nothing of: their Begin was committed and its
// answer lost. Attempts that began less than age ago are spared.
func (l *Ledger) HandBackStrays(ctx context.Context, worker string, known []tasks.Fence, age time.Duration) (int, error) {
	strays := 0
	err := l.w.soon(ctx, func(t *txn) error {
		strays = 0
		running, err := t.freeJobs(`state = 'running' AND worker = ?`, worker)
		if err != nil {
			return err
		}
		for _, j := range running {
			f := tasks.Fence{Job: j.ID, Attempt: j.Attempt, Worker: worker}
			if slices.Contains(known, f) || j.StartedAt.After(l.now().Add(-age)) {
				continue
			}
			ok, err := t.attempt(func() error { _, err := l.handBack(t, j, "its worker did not learn of it"); return err })
			if err != nil {
				return err
			}
			if ok {
				strays++
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
	return t.jobs(`state = 'running' AND worker = ?`, worker)
}

// AskedToStop names the attempts of a worker whose jobs were cancelled while they
// run, and those of the known ones that are not on record as running any more.
func (l *Ledger) AskedToStop(ctx context.Context, worker string, known []tasks.Fence) (cancelled, stale []tasks.Fence, err error) {
	rows, err := l.rows(ctx, `SELECT id, attempt, cancel_asked FROM evalq_jobs WHERE state = 'running' AND worker = ?`, worker)
	if err != nil {
		return nil, nil, readError("cancellations", err)
	}
	defer rows.Close()
	running := map[tasks.Fence]bool{}
	for rows.Next() {
		f := tasks.Fence{Worker: worker}
		var asked bool
		if err := rows.Scan(&f.Job, &f.Attempt, &asked); err != nil {
			return nil, nil, readError("cancellations", err)
		}
		running[f] = true
		if asked {
			cancelled = append(cancelled, f)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, readError("cancellations", err)
	}
	for _, f := range known {
		if !running[f] {
			stale = append(stale, f)
		}
	}
	return cancelled, stale, nil
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
