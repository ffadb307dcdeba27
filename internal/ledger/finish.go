package ledger

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"evalq/tasks"
)

// Complete stores the result and the state in one transaction. It refuses with
// tasks.ErrStale when another attempt has taken over, and with
// tasks.ErrCancelled when the job was cancelled meanwhile: then the attempt is
// closed as cancelled and nothing is stored.
func (l *Ledger) Complete(ctx context.Context, f tasks.Fence, fin tasks.Finish) error {
	cancelled := false
	err := l.w.do(ctx, func(t *txn) error {
		cancelled = false
		j, err := t.byID(f.Job)
		if err != nil {
			return err
		}
		if before, err := t.completedBefore(j, f, fin); err != nil || before {
			return err
		}
		if err := j.fence(f); err != nil {
			return err
		}
		if j.CancelAsk {
			cancelled = true
			return l.endCancelled(t, j, f.Worker)
		}
		to, why := tasks.Succeeded, ""
		if fin.Skipped != "" {
			to, why, j.Skipped = tasks.Skipped, fin.Skipped, fin.Skipped
		} else if _, err := t.exec(`INSERT INTO evalq_results (job_id, attempt, judge, body, created_at) VALUES (?, ?, ?, ?, ?)`,
			j.ID, j.Attempt, fin.Judge, []byte(fin.Result), ms(l.now())); err != nil {
			return err
		}
		if _, err := l.closeAttempt(t, j, string(to), false, nil); err != nil {
			return err
		}
		j.Judge, j.Error = fin.Judge, nil
		if err := l.move(t, j, to, f.Worker, why); err != nil {
			return err
		}
		return l.save(t, j)
	})
	if err == nil && cancelled {
		err = tasks.ErrCancelled
	}
	if err != nil {
		return fmt.Errorf("ledger: complete %s: %w", f.Job, err)
	}
	return nil
}

// fenced reads the job of a running attempt. A fence that is not the newest is
// refused.
func (t *txn) fenced(f tasks.Fence) (*job, error) {
	j, err := t.byID(f.Job)
	if err != nil {
		return nil, err
	}
	return j, j.fence(f)
}

func (j *job) fence(f tasks.Fence) error {
	if j.State != tasks.Running || j.Attempt != f.Attempt || j.worker != f.Worker {
		return refuse(fmt.Errorf("attempt %d: %w", f.Attempt, tasks.ErrStale))
	}
	return nil
}

// completedBefore reports whether the attempt has stored the very same end.
func (t *txn) completedBefore(j *job, f tasks.Fence, fin tasks.Finish) (bool, error) {
	before, err := t.endedBefore(j, f, tasks.Succeeded, tasks.Skipped)
	if err != nil || !before || j.Skipped != fin.Skipped || fin.Skipped != "" {
		return before && j.Skipped == fin.Skipped, err
	}
	var body []byte
	_, err = t.row([]any{&body}, `SELECT body FROM evalq_results WHERE job_id = ?`, j.ID)
	return bytes.Equal(body, fin.Result), err
}

// endedBefore reports whether the attempt itself has brought the job to one of
// those states and nothing has happened since: the answer to its commit was
// lost, and it says the same again.
func (t *txn) endedBefore(j *job, f tasks.Fence, states ...tasks.State) (bool, error) {
	if j.Attempt != f.Attempt || !slices.Contains(states, j.State) {
		return false, nil
	}
	var worker, outcome string
	_, err := t.row([]any{&worker, &outcome}, `SELECT worker, outcome FROM evalq_attempts WHERE job_id = ? AND number = ?`, f.Job, f.Attempt)
	return worker == f.Worker && outcome == string(j.State), err
}

func (l *Ledger) endCancelled(t *txn, j *job, who string) error {
	if _, err := l.closeAttempt(t, j, string(tasks.Cancelled), false, nil); err != nil {
		return err
	}
	if err := l.move(t, j, tasks.Cancelled, who, "stopped as asked"); err != nil {
		return err
	}
	return l.save(t, j)
}

// Fail ends an attempt that did not finish and decides what becomes of the job:
// retrying after a delay, held, handed back, cancelled, or dead when its budget
// or its time is used up. Dead is never written while a try is left.
func (l *Ledger) Fail(ctx context.Context, f tasks.Fence, tr tasks.Trouble) (tasks.Verdict, error) {
	var v tasks.Verdict
	err := l.w.do(ctx, func(t *txn) error {
		j, err := t.byID(f.Job)
		if err != nil {
			return err
		}
		if before, err := t.endedBefore(j, f, tasks.Retrying, tasks.Held, tasks.Dead, tasks.Cancelled); err != nil || before {
			v = tasks.Verdict{State: j.State, Delay: max(0, j.DueAt.Sub(l.now()))}
			return err
		}
		if err := j.fence(f); err != nil {
			return err
		}
		v, err = l.judgeTrouble(t, j, tr)
		return err
	})
	if err != nil {
		return tasks.Verdict{}, fmt.Errorf("ledger: fail %s: %w", f.Job, err)
	}
	return v, nil
}

func (l *Ledger) judgeTrouble(t *txn, j *job, tr tasks.Trouble) (tasks.Verdict, error) {
	worker := j.worker
	switch {
	case j.CancelAsk || tr.Cancelled:
		return tasks.Verdict{State: tasks.Cancelled}, l.endCancelled(t, j, worker)
	case tr.HandBack:
		return l.handBack(t, j, "handed back at shutdown")
	case tr.Hold != tasks.HoldNone:
		return l.hold(t, j, tr)
	}
	return l.retryOrDie(t, j, tr)
}

// handBack ends the attempt at no cost and delivers the job again at once.
func (l *Ledger) handBack(t *txn, j *job, why string) (tasks.Verdict, error) {
	worker := j.worker
	if _, err := l.closeAttempt(t, j, string(tasks.Accepted), false, nil); err != nil {
		return tasks.Verdict{}, err
	}
	if err := l.deliverAgain(t, j, worker, why); err != nil {
		return tasks.Verdict{}, err
	}
	return tasks.Verdict{State: tasks.Accepted}, l.save(t, j)
}

// Why a job goes on at once that would have been held.
const (
	answerThere    = "the answer is there"
	interviewThere = "the interview is there"
)

// handedBack reports whether j went on for that reason since then.
func (t *txn) handedBack(j *job, why string, since time.Time) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_events WHERE job_id = ? AND why = ? AND at > ?`, j.ID, why, ms(since))
	return n > 0, err
}

// interviewStored reports whether the report has an interview, whoever owns it.
func (t *txn) interviewStored(report int64) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_interviews WHERE report_id = ?`, report)
	return n > 0, err
}

// lateHold reports whether what j is to wait for has happened between its
// handler's look and this transaction: then nobody is left to release it, and why
// says so. A handler that asks for the same again without any such thing having
// happened waits for something else.
func (t *txn) lateHold(j *job, hold tasks.Hold, now time.Time) (why string, err error) {
	switch hold {
	case tasks.HoldAnswerInProgress:
		if busy, err := t.othersClaim(j); err != nil || busy {
			return "", err
		}
		why = answerThere
		if saved, err := t.othersSaved(j); err != nil || saved {
			return why, err
		}
	case tasks.HoldInterviewMissing:
		if there, err := t.interviewStored(j.ReportID); err != nil || !there {
			return "", err
		}
		why = interviewThere
	default:
		return "", nil
	}
	if again, err := t.handedBack(j, why, now.Add(-time.Minute)); err != nil || again {
		return "", err
	}
	return why, nil
}

// othersSaved reports whether another job has stored a step of the report since
// the present attempt of j began.
func (t *txn) othersSaved(j *job) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_jobs j JOIN evalq_checkpoints c ON c.job_id = j.id
		WHERE j.report_id = ? AND j.user_id = ? AND j.id <> ? AND c.done_at >= ?`, j.ReportID, j.UserID, j.ID, ms(j.StartedAt))
	return n > 0, err
}

// othersClaim reports whether another job of the same report is at work on a
// step. The end of each claim releases who waits, so there is no waiting without
// one.
func (t *txn) othersClaim(j *job) (bool, error) {
	var n int
	_, err := t.row([]any{&n}, `SELECT count(*) FROM evalq_jobs j JOIN evalq_checkpoints c ON c.job_id = j.id AND c.attempt = j.attempt
		WHERE j.report_id = ? AND j.user_id = ? AND j.state = 'running' AND j.id <> ? AND c.done_at = 0`, j.ReportID, j.UserID, j.ID)
	return n > 0, err
}

func (l *Ledger) hold(t *txn, j *job, tr tasks.Trouble) (tasks.Verdict, error) {
	now, worker := l.now(), j.worker
	wait := tr.HoldFor
	if wait <= 0 {
		wait = 2 * time.Second
	}
	if tr.Hold == tasks.HoldInterviewMissing {
		if j.holdSince == 0 {
			j.holdSince = ms(now)
		}
		wait = at(j.holdSince).Add(l.cfg.InterviewWait).Sub(now)
	}
	why, err := t.lateHold(j, tr.Hold, now)
	if err != nil {
		return tasks.Verdict{}, err
	}
	if why != "" {
		return l.handBack(t, j, why)
	}
	if tr.Hold == tasks.HoldInterviewMissing && wait <= 0 {
		j.Error = &tasks.Failure{Class: tasks.ClassInterviewMissing, Message: "the interview did not arrive within " + l.cfg.InterviewWait.String()}
		if _, err := l.closeAttempt(t, j, string(tasks.Dead), false, j.Error); err != nil {
			return tasks.Verdict{}, err
		}
		return tasks.Verdict{State: tasks.Dead}, l.die(t, j, worker, string(tasks.ClassInterviewMissing), tr.Retried)
	}
	if _, err := l.closeAttempt(t, j, string(tasks.Held), false, nil); err != nil {
		return tasks.Verdict{}, err
	}
	if err := l.move(t, j, tasks.Held, worker, string(tr.Hold)); err != nil {
		return tasks.Verdict{}, err
	}
	j.Hold, j.DueAt = tasks.Hold(fits(legible(string(tr.Hold)), 63)), now.Add(wait)
	return tasks.Verdict{State: tasks.Held}, l.save(t, j)
}

func (l *Ledger) retryOrDie(t *txn, j *job, tr tasks.Trouble) (tasks.Verdict, error) {
	now, p, worker := l.now(), l.cfg.Policies(j.Kind), j.worker
	failure := tr.Failure
	if failure.Class == "" {
		failure.Class = tasks.ClassInternal
	}
	var saved int
	if _, err := t.row([]any{&saved}, `SELECT saved FROM evalq_attempts WHERE job_id = ? AND number = ?`, j.ID, j.Attempt); err != nil {
		return tasks.Verdict{}, err
	}
	v := tasks.Verdict{State: tasks.Retrying}
	class := failure.Class
	failures := 1
	switch {
	case class.Permanent():
		v.State = tasks.Dead
	case class.Transient():
		if j.transientSince == 0 {
			j.transientSince = ms(now)
		}
		j.transients++
		failures = j.transients
		if now.Sub(at(j.transientSince)) >= p.TransientFor {
			v.State = tasks.Dead
		}
	case saved > 0:
		// It got further than the attempt before: free.
	default:
		j.Charged++
		v.Charged = true
		failures = j.Charged
		if j.Charged >= p.Attempts {
			v.State = tasks.Dead
		}
	}
	if _, err := l.closeAttempt(t, j, string(v.State), v.Charged, &failure); err != nil {
		return tasks.Verdict{}, err
	}
	j.Error = &tasks.Failure{Class: class, Message: failure.Message}
	if v.State == tasks.Dead {
		return v, l.die(t, j, worker, string(class), tr.Retried)
	}
	v.Delay = max(p.Backoff(failures, l.cfg.Jitter()), min(tr.After, p.TransientFor))
	if err := l.move(t, j, tasks.Retrying, worker, string(class)); err != nil {
		return tasks.Verdict{}, err
	}
	j.DueAt = now.Add(v.Delay)
	if tr.Queue != "" && tr.Queue != j.Priority {
		// It was brought forward while it ran, so its task is in the old queue.
		v.State = tasks.Accepted
		if err := l.deliverAgain(t, j, worker, "its queue has changed"); err != nil {
			return tasks.Verdict{}, err
		}
	}
	return v, l.save(t, j)
}

// Progress records how far a running attempt is. It is a sign of life, and
// answers tasks.ErrStale or tasks.ErrCancelled when the attempt should stop.
func (l *Ledger) Progress(ctx context.Context, f tasks.Fence, p tasks.Progress) error {
	err := l.w.do(ctx, func(t *txn) error {
		j, err := t.fenced(f)
		if err != nil {
			return err
		}
		if j.CancelAsk {
			return refuse(tasks.ErrCancelled)
		}
		_, err = t.exec(`UPDATE evalq_jobs SET done = ?, kept = ?, total = ? WHERE seq = ?`, p.Done, p.Kept, p.Total, j.seq)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: progress %s: %w", f.Job, err)
	}
	return nil
}

// Stuck marks an attempt whose handler is long past its limit, with its stack.
func (l *Ledger) Stuck(ctx context.Context, f tasks.Fence, stack string) error {
	err := l.w.do(ctx, func(t *txn) error {
		_, err := t.exec(`UPDATE evalq_attempts SET stuck = 1, stack = ? WHERE job_id = ? AND number = ?`, stack, f.Job, f.Attempt)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: mark stuck %s: %w", f.Job, err)
	}
	return nil
}
