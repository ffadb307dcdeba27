package ledger

import (
	"encoding/json"
	"fmt"
	"strings"

	"evalq/tasks"
)

// job is a row of evalq_jobs: what callers see, and what only the ledger needs.
type job struct {
	tasks.Job
	seq            int64
	worker         string
	movedAt        int64
	holdSince      int64
	transients     int
	transientSince int64
	deadRetried    int  // Asynq's retry count when the job died; -1 until its task has been archived
	stepsAfter     int  // steps of its own attempts up to this one are not used
	chore          bool // the relay has to set Redis right; see Chores
}

const jobColumns = `seq, id, kind, user_id, report_id, revision, queue, state, hold, hold_since, skipped,
	delivery, attempt, worker, run, charged, deaths, transients, transient_since, budget,
	accepted_at, due_at, started_at, finished_at, moved_at, done, kept, total, cancel_asked, chore, dead_retried,
	error_class, error_message, judge, steps_since, steps_after, input_hash, data`

// listColumns are jobColumns without the payload's data, which may be 256 KiB a
// job.
var listColumns = strings.Replace(jobColumns, "input_hash, data", "input_hash, ''", 1)

// scanner is a *sql.Row or *sql.Rows.
type scanner interface{ Scan(dest ...any) error }

func scanJob(s scanner) (*job, error) {
	var j job
	var accepted, due, started, finished, since int64
	var class, message string
	var data []byte
	err := s.Scan(&j.seq, &j.ID, &j.Kind, &j.UserID, &j.ReportID, &j.Revision, &j.Priority, &j.State, &j.Hold, &j.holdSince, &j.Skipped,
		&j.Delivery, &j.Attempt, &j.worker, &j.Run, &j.Charged, &j.Deaths, &j.transients, &j.transientSince, &j.Budget,
		&accepted, &due, &started, &finished, &j.movedAt, &j.Progress.Done, &j.Progress.Kept, &j.Progress.Total, &j.CancelAsk, &j.chore, &j.deadRetried,
		&class, &message, &j.Judge, &since, &j.stepsAfter, &j.InputHash, &data)
	if err != nil {
		return nil, err
	}
	j.AcceptedAt, j.DueAt, j.StartedAt, j.FinishedAt, j.StepsSince = at(accepted), at(due), at(started), at(finished), at(since)
	if class != "" {
		j.Error = &tasks.Failure{Class: tasks.Class(class), Message: message}
	}
	if len(data) > 0 {
		j.Data = json.RawMessage(data)
	}
	return &j, nil
}

// find reads one job to change it; nil when there is none.
func (t *txn) find(where string, args ...any) (*job, error) {
	found, err := t.jobs(where, args...)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return found[0], nil
}

// byID reads a job to change it; a missing one is refused.
func (t *txn) byID(id string) (*job, error) {
	j, err := t.find(`id = ?`, id)
	if err != nil {
		return nil, err
	}
	if j == nil {
		return nil, refuse(errNoSuchJob)
	}
	return j, nil
}

// save writes the columns that change in a job's life.
func (l *Ledger) save(t *txn, j *job) error {
	var class, message string
	if j.Error != nil {
		class, message = string(j.Error.Class), j.Error.Message
	}
	_, err := t.exec(`UPDATE evalq_jobs SET queue = ?, state = ?, hold = ?, hold_since = ?, skipped = ?,
		delivery = ?, attempt = ?, worker = ?, run = ?, charged = ?, deaths = ?, transients = ?, transient_since = ?, budget = ?,
		due_at = ?, started_at = ?, finished_at = ?, moved_at = ?, done = ?, kept = ?, total = ?, cancel_asked = ?, chore = ?, dead_retried = ?,
		error_class = ?, error_message = ?, judge = ?, steps_since = ?, steps_after = ?, input_hash = ?, trimmed = 0 WHERE seq = ?`,
		j.Priority, j.State, j.Hold, j.holdSince, j.Skipped,
		j.Delivery, j.Attempt, j.worker, j.Run, j.Charged, j.Deaths, j.transients, j.transientSince, j.Budget,
		ms(j.DueAt), ms(j.StartedAt), ms(j.FinishedAt), ms(l.now()), j.Progress.Done, j.Progress.Kept, j.Progress.Total, j.CancelAsk, j.chore, j.deadRetried,
		class, message, j.Judge, ms(j.StepsSince), j.stepsAfter, j.InputHash, j.seq)
	return err
}

// move takes j along one arrow of the table and writes the event. The caller
// saves j afterwards.
func (l *Ledger) move(t *txn, j *job, to tasks.State, who, why string) error {
	from := j.State
	if !from.CanMove(to) {
		return fmt.Errorf("ledger: job %s: no move from %s to %s", j.ID, from, to)
	}
	now := l.now()
	j.State = to
	if to != tasks.Held {
		j.Hold = tasks.HoldNone
	}
	if to != tasks.Held && to != tasks.Retrying && to != tasks.Accepted {
		j.DueAt = at(0)
	}
	if to.Finished() {
		j.FinishedAt, j.CancelAsk = now, false
		id := j.ID
		t.after = append(t.after, func() { l.notices.finished(id) })
	} else {
		j.FinishedAt = at(0)
	}
	if to != tasks.Running {
		j.worker = ""
	}
	t.after = append(t.after, l.notices.wake)
	return l.event(t, j.ID, from, to, who, why)
}

func (l *Ledger) event(t *txn, id string, from, to tasks.State, who, why string) error {
	_, err := t.exec(`INSERT INTO evalq_events (job_id, at, from_state, to_state, who, why, build) VALUES (?, ?, ?, ?, ?, ?, ?)`,
		id, ms(l.now()), from, to, who, why, l.cfg.Build)
	return err
}

// deliverAgain sends j back to the relay under a new delivery, so that whatever
// the old one still does in Redis finds no owner.
func (l *Ledger) deliverAgain(t *txn, j *job, who, why string) error {
	if j.State != tasks.Accepted {
		if err := l.move(t, j, tasks.Accepted, who, why); err != nil {
			return err
		}
	}
	return l.nextDelivery(t, j)
}

// freshRun gives j a new budget.
func (l *Ledger) freshRun(j *job) {
	j.Run++
	j.Charged, j.Deaths, j.transients, j.transientSince, j.holdSince = 0, 0, 0, 0, 0
	j.Budget = l.cfg.Policies(j.Kind).Attempts
	j.CancelAsk, j.chore, j.deadRetried = false, false, -1
	j.DueAt = at(0)
}
