package ledger

import (
	"context"
	"fmt"

	"evalq/tasks"
)

// Begin answers a task's arrival at a worker. Only with tasks.Mine may the
// worker run the job; the attempt is then on record before it starts, so a job
// that kills its worker is counted. It does not wait for another transaction that
// has locked the job: the outcome is tasks.Locked then, and nothing has changed.
func (l *Ledger) Begin(ctx context.Context, d tasks.Delivery) (tasks.Claim, error) {
	var claim tasks.Claim
	err := l.w.soon(ctx, func(t *txn) error {
		claim = tasks.Claim{}
		if t.again {
			// Only the worker knows whether the attempt that may be on record is
			// at work already.
			return refuse(tasks.ErrOutcomeUnknown)
		}
		j, err := t.find(`id = ?`, d.Job)
		if err != nil {
			return err
		}
		if j == nil {
			claim.Outcome, err = t.stranger(d.Job)
			return err
		}
		if !l.begun(j, d) {
			claim.Outcome, err = l.admit(t, j, d)
			claim.Job = j.Job
			if err != nil || claim.Outcome != tasks.Mine {
				return err
			}
			if !d.Handles(j.Kind) {
				claim.Outcome, err = l.passOn(t, j, d.Worker)
				claim.Job = j.Job
				return err
			}
			if err := l.start(t, j, d); err != nil {
				return err
			}
		}
		claim.Outcome = tasks.Mine
		claim.Job, claim.Policy = j.Job, l.cfg.Policies(j.Kind)
		return nil
	})
	if lockedOnly(err) {
		return tasks.Claim{Outcome: tasks.Locked}, nil
	}
	if err != nil {
		return tasks.Claim{}, fmt.Errorf("ledger: begin %s: %w", d.Job, err)
	}
	return claim, nil
}

// begun reports whether the same worker's Begin of this delivery was committed
// before, while its answer was lost.
func (l *Ledger) begun(j *job, d tasks.Delivery) bool {
	return d.Again && j.State == tasks.Running && j.worker == d.Worker && j.Delivery == d.Number
}

// admit decides who may run; on tasks.Mine j is left in a state from which
// running is a legal move.
func (l *Ledger) admit(t *txn, j *job, d tasks.Delivery) (tasks.Outcome, error) {
	if d.Number < j.Delivery {
		return tasks.Settled, nil
	}
	if d.Number > newestDelivery(j) {
		return tasks.Forged, nil
	}
	// A number from the future means that the ledger is an older copy of the
	// one that handed the task out.
	j.Delivery = d.Number
	switch j.State {
	case tasks.Queued, tasks.Retrying:
		return tasks.Mine, nil
	case tasks.Accepted:
		// The hand-over was taken back while its answer was lost.
		return tasks.Mine, l.move(t, j, tasks.Queued, "relay", "found in Redis")
	case tasks.Running:
		return l.admitRunning(t, j)
	case tasks.Dead:
		return l.admitDead(t, j, d)
	case tasks.Held:
		// The relay delivers it again when it is due.
		return tasks.Settled, nil
	}
	return tasks.Settled, nil
}

func (l *Ledger) admitRunning(t *txn, j *job) (tasks.Outcome, error) {
	alive, err := l.alive(t, j.worker)
	if err != nil || alive {
		return tasks.Busy, err
	}
	// Its worker is gone; the loss is booked and the relay delivers it again.
	return tasks.Settled, l.lose(t, j)
}

// admitDead tells an operator's run past our routes from Asynq bringing a task
// back by itself: that raises Asynq's count of retries. A Redis that came back
// with older data does not; so the worker has to confirm, from what Asynq has on
// the task, that it had failed before.
func (l *Ledger) admitDead(t *txn, j *job, d tasks.Delivery) (tasks.Outcome, error) {
	if j.deadRetried != d.Retried || j.deadRetried < 0 {
		j.deadRetried, j.chore = d.Retried, false
		return tasks.Buried, l.save(t, j)
	}
	if !d.Forced {
		return tasks.Doubtful, nil
	}
	l.freshRun(j)
	if err := l.move(t, j, tasks.Accepted, "operator", "run in Asynq"); err != nil {
		return "", err
	}
	return tasks.Mine, l.move(t, j, tasks.Queued, "relay", "found in Redis")
}

func (l *Ledger) start(t *txn, j *job, d tasks.Delivery) error {
	if err := l.move(t, j, tasks.Running, d.Worker, ""); err != nil {
		return err
	}
	if j.Kind.Builtin() {
		// An interview that changes after this line is a reason for the next
		// revision, never a silent mix.
		hash, err := l.contentHash(t, j.Payload())
		if err != nil {
			return err
		}
		j.InputHash = hash
	}
	// A worker that was given up and is back may begin before it beats.
	if !l.dialect.OneOwner {
		if _, err := t.exec(`UPDATE evalq_workers SET ended_at = 0, beats = beats + 1 WHERE id = ? AND ended_at <> 0`, d.Worker); err != nil {
			return err
		}
	}
	j.Attempt++
	j.StartedAt, j.worker, j.Progress = l.now(), d.Worker, tasks.Progress{Total: j.Progress.Total}
	if _, err := t.exec(`INSERT INTO evalq_attempts (job_id, number, run, delivery, worker, started_at) VALUES (?, ?, ?, ?, ?, ?)`,
		j.ID, j.Attempt, j.Run, j.Delivery, d.Worker, ms(j.StartedAt)); err != nil {
		return err
	}
	return l.save(t, j)
}

// lose books the death of the worker that ran j: back to the relay, or dead
// when too many workers have died with it.
func (l *Ledger) lose(t *txn, j *job) error {
	worker := j.worker
	saved, err := l.closeAttempt(t, j, "lost", false, &tasks.Failure{Class: tasks.ClassWorkerLost, Message: "the worker ended while it was at work"})
	if err != nil {
		return err
	}
	if j.CancelAsk {
		if err := l.move(t, j, tasks.Cancelled, worker, "worker lost after cancel was asked"); err != nil {
			return err
		}
		return l.save(t, j)
	}
	if saved == 0 {
		j.Deaths++
	}
	if j.Deaths >= l.cfg.Policies(j.Kind).Deaths {
		why := fmt.Sprintf("%d workers died with it", j.Deaths)
		j.Error = &tasks.Failure{Class: tasks.ClassWorkerLost, Message: why}
		if err := l.nextDelivery(t, j); err != nil { // the old task may still be somewhere in Redis
			return err
		}
		return l.die(t, j, worker, why, -1)
	}
	if err := l.deliverAgain(t, j, worker, "worker lost"); err != nil {
		return err
	}
	return l.save(t, j)
}

// die ends j. Retried is Asynq's count when a task of j is about to be
// archived, or -1 when there is none: then the relay delivers one, so that the
// job is seen among Asynq's archived tasks too.
func (l *Ledger) die(t *txn, j *job, who, why string, retried int) error {
	if err := l.move(t, j, tasks.Dead, who, why); err != nil {
		return err
	}
	j.deadRetried, j.chore = retried, retried < 0
	return l.save(t, j)
}

// closeAttempt ends the newest attempt and lets go of the steps it had claimed.
// It answers how many steps the attempt has stored.
func (l *Ledger) closeAttempt(t *txn, j *job, outcome string, charged bool, f *tasks.Failure) (saved int, err error) {
	if _, err := t.row([]any{&saved}, `SELECT saved FROM evalq_attempts WHERE job_id = ? AND number = ?`, j.ID, j.Attempt); err != nil {
		return 0, err
	}
	if f == nil {
		f = &tasks.Failure{}
	}
	if _, err := t.exec(`UPDATE evalq_attempts SET finished_at = ?, outcome = ?, charged = ?, class = ?, message = ?,
		stack = CASE WHEN ? = '' THEN stack ELSE ? END WHERE job_id = ? AND number = ?`,
		ms(l.now()), outcome, charged, f.Class, f.Message, f.Stack, f.Stack, j.ID, j.Attempt); err != nil {
		return 0, err
	}
	if err := l.noteOpenSteps(t, j); err != nil {
		return 0, err
	}
	n, err := t.changed(`DELETE FROM evalq_checkpoints WHERE job_id = ? AND attempt = ? AND done_at = 0`, j.ID, j.Attempt)
	// Only who let go of something has something to tell: jobs that wait for a
	// third one would wake each other without end.
	if err != nil || n == 0 {
		return saved, err
	}
	return saved, l.release(t, j.UserID, j.ReportID, tasks.HoldAnswerInProgress, "ledger", "the other job let go")
}

// release sends every job of a report that is held for a reason on its way. It
// locks those alone: the others of the report may be at work.
func (l *Ledger) release(t *txn, user, report int64, hold tasks.Hold, who, why string) error {
	held, err := t.seqs(`report_id = ? AND user_id = ? AND state = 'held' AND hold = ?`, report, user, hold)
	if err != nil {
		return err
	}
	_, err = l.goOn(t, held, hold, who, why)
	return err
}

// goOn delivers held jobs again that are still held for that reason. It leaves out
// those that another transaction has locked: Unhold finds them later. It answers how
// many went on.
func (l *Ledger) goOn(t *txn, held []int64, hold tasks.Hold, who, why string) (gone int, err error) {
	for _, seq := range held {
		found, err := t.freeJobs(`seq = ? AND state = 'held' AND hold = ?`, seq, hold)
		if err != nil {
			return gone, err
		}
		for _, j := range found {
			ok, err := t.attempt(func() error { return l.afresh(t, j, who, why) })
			if err != nil {
				return gone, err
			}
			if ok {
				gone++
			}
		}
	}
	return gone, nil
}

// afresh delivers a held job again, now.
func (l *Ledger) afresh(t *txn, j *job, who, why string) error {
	if err := l.deliverAgain(t, j, who, why); err != nil {
		return err
	}
	j.DueAt = at(0)
	return l.save(t, j)
}
