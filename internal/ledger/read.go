package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"evalq/internal/dberror"
	"evalq/tasks"
)

// Get reads one job with its result.
func (l *Ledger) Get(ctx context.Context, id string) (tasks.Job, error) {
	return l.one(ctx, `WHERE id = ?`, id)
}

// Find reads the newest revision of a natural key, with its result.
func (l *Ledger) Find(ctx context.Context, kind tasks.Kind, userID, reportID int64) (tasks.Job, error) {
	return l.one(ctx, `WHERE kind = ? AND user_id = ? AND report_id = ? ORDER BY revision DESC LIMIT 1`, kind, userID, reportID)
}

func (l *Ledger) one(ctx context.Context, where string, args ...any) (tasks.Job, error) {
	j, err := scanJob(l.row(ctx, `SELECT `+jobColumns+` FROM evalq_jobs `+where, args...))
	if isNoRows(err) {
		return tasks.Job{}, errNoSuchJob
	}
	if err != nil {
		return tasks.Job{}, readError("job", err)
	}
	if j.State == tasks.Succeeded {
		var body []byte
		if err := l.row(ctx, `SELECT body FROM evalq_results WHERE job_id = ?`, j.ID).Scan(&body); err != nil {
			return tasks.Job{}, readError("result", err)
		}
		j.Result = json.RawMessage(body)
	}
	return j.Job, nil
}

// readError marks an error of the database; a caller whose context has ended is
// told that instead.
func readError(what string, err error) error {
	out := fmt.Errorf("ledger: read %s: %w: %w", what, tasks.ErrUnavailable, err)
	if f, ok := dberror.Of(err); ok && (f.Kind == dberror.Denied || f.Kind == dberror.Absent || f.Kind == dberror.Unknown) {
		return &refusedNow{out}
	}
	return out
}

// maxPageBytes bounds a page of a list, however many rows the caller asks for.
// Each row counts as rowBytes and its texts.
const (
	maxPageBytes = 1 << 20
	rowBytes     = 1 << 10
)

// List reads one page of jobs, newest first, without results and without the data
// of their payloads; Get has both. A page ends before the limit when its texts
// fill maxPageBytes. A bad filter is a *tasks.InvalidError.
func (l *Ledger) List(ctx context.Context, f tasks.Filter) (tasks.Page, error) {
	where, args, err := conditions(f)
	if err != nil {
		return tasks.Page{}, &tasks.InvalidError{Err: err}
	}
	limit := f.Limit
	if limit <= 0 {
		limit = 50
	}
	limit = min(limit, 500)
	rows, err := l.rows(ctx, `SELECT `+listColumns+` FROM evalq_jobs `+where+` ORDER BY seq DESC LIMIT ?`, append(args, limit+1)...)
	if err != nil {
		return tasks.Page{}, readError("jobs", err)
	}
	found, err := scanJobs(rows)
	if err != nil {
		return tasks.Page{}, readError("jobs", err)
	}
	page := tasks.Page{Jobs: []tasks.Job{}}
	if len(found) > limit {
		found = found[:limit]
		page.Next = strconv.FormatInt(found[limit-1].seq, 36)
	}
	size := 0
	for i, j := range found {
		size += j.listed()
		if i > 0 && size > maxPageBytes {
			page.Next = strconv.FormatInt(found[i-1].seq, 36)
			break
		}
		page.Jobs = append(page.Jobs, j.Job)
	}
	return page, nil
}

// listed is about how many bytes a list gives to the job.
func (j *job) listed() int {
	n := rowBytes + len(j.Skipped) + len(j.Judge)
	if j.Error != nil {
		n += len(j.Error.Message)
	}
	return n
}

func conditions(f tasks.Filter) (string, []any, error) {
	var parts []string
	var args []any
	add := func(cond string, arg any) { parts, args = append(parts, cond), append(args, arg) }
	if f.Kind != "" {
		if err := f.Kind.Validate(); err != nil {
			return "", nil, err
		}
		add(`kind = ?`, f.Kind)
	}
	if f.State != "" {
		if !f.State.Valid() {
			return "", nil, fmt.Errorf("state %.40q: use one of %v", string(f.State), tasks.States())
		}
		add(`state = ?`, f.State)
		if f.State != tasks.Accepted {
			parts = append(parts, `state <> 'accepted'`) // names the index to PostgreSQL
		}
	}
	if f.Priority != "" {
		if err := f.Priority.Validate(); err != nil {
			return "", nil, err
		}
		add(`queue = ?`, f.Priority)
	}
	if f.UserID < 0 || f.ReportID < 0 {
		return "", nil, fmt.Errorf("user_id and report_id: must be above 0")
	}
	if f.UserID != 0 {
		add(`user_id = ?`, f.UserID)
	}
	if f.ReportID != 0 {
		add(`report_id = ?`, f.ReportID)
	}
	if f.Class != "" {
		if !f.Class.Valid() {
			return "", nil, fmt.Errorf("class %.40q: use one of %v", string(f.Class), tasks.Classes())
		}
		add(`error_class = ?`, f.Class)
	}
	if f.Cursor != "" {
		seq, err := strconv.ParseInt(f.Cursor, 36, 64)
		if err != nil || seq < 1 {
			return "", nil, fmt.Errorf("cursor %.40q: use the next of the page before", f.Cursor)
		}
		add(`seq < ?`, seq)
	}
	if len(parts) == 0 {
		return "", nil, nil
	}
	return `WHERE ` + strings.Join(parts, ` AND `), args, nil
}

// Attempts lists the attempts of a job, oldest first.
func (l *Ledger) Attempts(ctx context.Context, id string) ([]tasks.Attempt, error) {
	rows, err := l.rows(ctx, `SELECT number, run, delivery, worker, started_at, finished_at, outcome, charged, saved, class, message, stack, stuck
		FROM evalq_attempts WHERE job_id = ? ORDER BY number`, id)
	if err != nil {
		return nil, readError("attempts", err)
	}
	defer rows.Close()
	out := []tasks.Attempt{}
	for rows.Next() {
		var a tasks.Attempt
		var f tasks.Failure
		var started, finished int64
		if err := rows.Scan(&a.Number, &a.Run, &a.Delivery, &a.Worker, &started, &finished, &a.Outcome, &a.Charged, &a.Saved, &f.Class, &f.Message, &f.Stack, &a.Stuck); err != nil {
			return nil, readError("attempts", err)
		}
		a.StartedAt, a.FinishedAt = at(started), at(finished)
		if f != (tasks.Failure{}) {
			a.Error = &f
		}
		out = append(out, a)
	}
	return out, l.known(ctx, id, len(out), rows.Err())
}

// Events lists the moves of a job, oldest first.
func (l *Ledger) Events(ctx context.Context, id string) ([]tasks.Event, error) {
	rows, err := l.rows(ctx, `SELECT at, from_state, to_state, who, why, build FROM evalq_events WHERE job_id = ? ORDER BY seq`, id)
	if err != nil {
		return nil, readError("events", err)
	}
	defer rows.Close()
	out := []tasks.Event{}
	for rows.Next() {
		var e tasks.Event
		var when int64
		if err := rows.Scan(&when, &e.From, &e.To, &e.Who, &e.Why, &e.Build); err != nil {
			return nil, readError("events", err)
		}
		e.At = at(when)
		out = append(out, e)
	}
	return out, l.known(ctx, id, len(out), rows.Err())
}

// known tells an empty list from a job that does not exist.
func (l *Ledger) known(ctx context.Context, id string, n int, err error) error {
	if err != nil {
		return readError("job", err)
	}
	if n > 0 {
		return nil
	}
	var seq int64
	err = l.row(ctx, `SELECT seq FROM evalq_jobs WHERE id = ?`, id).Scan(&seq)
	if isNoRows(err) {
		return errNoSuchJob
	}
	if err != nil {
		return readError("job", err)
	}
	return nil
}

// Overview counts the jobs by queue and state, and lists the workers that have
// not left.
func (l *Ledger) Overview(ctx context.Context) (tasks.Overview, error) {
	o := tasks.Overview{At: l.now(), Queues: map[tasks.Priority]map[tasks.State]int{}, Workers: []tasks.Worker{}}
	for _, q := range tasks.Priorities() {
		o.Queues[q] = map[tasks.State]int{}
	}
	rows, err := l.rows(ctx, `SELECT queue, state, count(*) FROM evalq_jobs GROUP BY state, queue`)
	if err != nil {
		return o, readError("overview", err)
	}
	defer rows.Close()
	for rows.Next() {
		var q tasks.Priority
		var s tasks.State
		var n int
		if err := rows.Scan(&q, &s, &n); err != nil {
			return o, readError("overview", err)
		}
		if o.Queues[q] == nil {
			o.Queues[q] = map[tasks.State]int{}
		}
		o.Queues[q][s] = n
	}
	if err := rows.Err(); err != nil {
		return o, readError("overview", err)
	}
	if o.Oldest, err = l.oldest(ctx); err != nil {
		return o, err
	}
	running, err := l.running(ctx)
	if err != nil {
		return o, err
	}
	if o.Workers, err = l.workers(ctx, running); err != nil {
		return o, err
	}
	o.Unhandled, err = l.unhandledKinds(ctx)
	return o, err
}

// oldest finds, a queue, the job that has waited longest and could run now.
func (l *Ledger) oldest(ctx context.Context) (map[tasks.Priority]tasks.Job, error) {
	out := map[tasks.Priority]tasks.Job{}
	now := ms(l.now())
	for _, q := range tasks.Priorities() {
		// The inner query reads the index of ready jobs alone; a plain min(seq) would
		// have PostgreSQL go through all jobs from the oldest on.
		j, err := scanJob(l.row(ctx, `SELECT `+listColumns+` FROM evalq_jobs WHERE seq =
			(SELECT min(seq + 0) FROM evalq_jobs WHERE state IN ('accepted', 'queued', 'retrying') AND queue = ? AND due_at <= ?)`, q, now))
		if isNoRows(err) {
			continue
		}
		if err != nil {
			return nil, readError("overview", err)
		}
		out[q] = j.Job
	}
	return out, nil
}

func (l *Ledger) running(ctx context.Context) (map[string][]tasks.ActiveAttempt, error) {
	rows, err := l.rows(ctx, `SELECT j.worker, j.id, j.kind, j.attempt, j.started_at, j.done, j.kept, j.total, a.stuck
		FROM evalq_jobs j JOIN evalq_attempts a ON a.job_id = j.id AND a.number = j.attempt WHERE j.state = 'running' ORDER BY j.started_at LIMIT 1000`)
	if err != nil {
		return nil, readError("running jobs", err)
	}
	defer rows.Close()
	out := map[string][]tasks.ActiveAttempt{}
	for rows.Next() {
		var worker string
		var started int64
		var a tasks.ActiveAttempt
		if err := rows.Scan(&worker, &a.Job, &a.Kind, &a.Attempt, &started, &a.Progress.Done, &a.Progress.Kept, &a.Progress.Total, &a.Stuck); err != nil {
			return nil, readError("running jobs", err)
		}
		a.StartedAt = at(started)
		out[worker] = append(out[worker], a)
	}
	return out, rows.Err()
}

func (l *Ledger) workers(ctx context.Context, running map[string][]tasks.ActiveAttempt) ([]tasks.Worker, error) {
	rows, err := l.rows(ctx, `SELECT id, host, pid, build, slots, started_at, beat_at, draining FROM evalq_workers WHERE ended_at = 0 ORDER BY started_at`)
	if err != nil {
		return nil, readError("workers", err)
	}
	defer rows.Close()
	out := []tasks.Worker{}
	for rows.Next() {
		var w tasks.Worker
		var started, beat int64
		if err := rows.Scan(&w.ID, &w.Host, &w.PID, &w.Build, &w.Slots, &started, &beat, &w.Draining); err != nil {
			return nil, readError("workers", err)
		}
		w.StartedAt, w.BeatAt, w.Running = at(started), at(beat), running[w.ID]
		if w.Running == nil {
			w.Running = []tasks.ActiveAttempt{}
		}
		out = append(out, w)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("workers", err)
	}
	kinds, err := l.workerKinds(ctx)
	for i := range out {
		out[i].Kinds = append([]tasks.Kind{}, kinds[out[i].ID]...)
	}
	return out, err
}
