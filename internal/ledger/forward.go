package ledger

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"evalq/tasks"
)

// bringForward gives a job that is under way what another submission of its key asks
// for: the earlier time and the more urgent queue, never the later or the less
// urgent. Job.Changed says what that was. A pause after a failure stays: the
// submission does not know why it is there.
func (l *Ledger) bringForward(t *txn, j *job, r tasks.Request, who string) error {
	if j.State.Finished() {
		return nil
	}
	if err := l.renumber(t, j, who); err != nil {
		return err
	}
	var what []string
	earlier, err := l.earlier(t, j, l.dueFor(r))
	if err != nil {
		return err
	}
	if earlier {
		j.DueAt = l.dueFor(r)
		j.Changed = append(j.Changed, tasks.ChangedRunAt)
		what = append(what, "to run "+when(j.DueAt))
	}
	old, wanted := j.Priority, cmp.Or(r.Priority, tasks.Default)
	if wanted.Weight() > old.Weight() {
		j.Priority = wanted
		j.Changed = append(j.Changed, tasks.ChangedPriority)
		what = append(what, fmt.Sprintf("from queue %s to %s", old, wanted))
	}
	if len(what) == 0 {
		return nil
	}
	if err := l.requeue(t, j, old, who, "submitted again: "+strings.Join(what, ", ")); err != nil {
		return err
	}
	t.after = append(t.after, l.notices.wake)
	return l.save(t, j)
}

// requeue notes why a job was brought forward. One with a task in Asynq changes its
// queue by another delivery. A running one does so with its next delivery, and a
// held one has no task.
func (l *Ledger) requeue(t *txn, j *job, old tasks.Priority, who, why string) error {
	moved := old != j.Priority
	switch {
	case moved && (j.State == tasks.Queued || j.State == tasks.Retrying):
		return l.deliverAgain(t, j, who, why)
	case moved && j.State == tasks.Accepted:
		// Its hand-over may have been taken back while the answer was lost: then
		// there is a task in the old queue.
		if err := l.nextDelivery(t, j); err != nil {
			return err
		}
	}
	return l.event(t, j.ID, j.State, j.State, who, why)
}

// earlier reports whether j waits for a time that a caller has set and that is later
// than due; a zero due is now.
func (l *Ledger) earlier(t *txn, j *job, due time.Time) (bool, error) {
	if j.State != tasks.Accepted || j.DueAt.IsZero() || !due.IsZero() && ms(due) >= ms(j.DueAt) {
		return false, nil
	}
	// After an attempt of the present run the time is that of a pause.
	if j.Attempt == 0 {
		return true, nil
	}
	run, err := l.runOf(t, j)
	return run != j.Run, err
}

// runOf is the run that the newest attempt of j was of. A caller's transaction may
// have begun before the attempt, and would not see it.
func (l *Ledger) runOf(t *txn, j *job) (run int, err error) {
	const query = `SELECT run FROM evalq_attempts WHERE job_id = ? AND number = ?`
	if !t.patient {
		_, err = t.row([]any{&run}, query, j.ID, j.Attempt)
		return run, err
	}
	if err := l.row(t.ctx, query, j.ID, j.Attempt).Scan(&run); err != nil && !isNoRows(err) {
		return 0, readError("attempt", err)
	}
	return run, nil
}

func when(due time.Time) string {
	if due.IsZero() {
		return "now"
	}
	return "at " + due.Format(time.RFC3339)
}

// revive takes a dead or cancelled job up again as the submission asks: at its time,
// and in its queue when it names one.
func (l *Ledger) revive(t *txn, j *job, r tasks.Request, who string) error {
	l.freshRun(j)
	if err := l.deliverAgain(t, j, who, "submitted again"); err != nil {
		return err
	}
	j.DueAt = l.dueFor(r)
	switch {
	case r.Priority != "":
		j.Priority = r.Priority
	case j.Priority.Weight() < tasks.Default.Weight():
		j.Priority = tasks.Default
	}
	return l.save(t, j)
}
