package ledger

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

// Removal says how Purge and Erase go about it.
type Removal struct {
	// Dry counts and changes nothing.
	Dry bool
	// Turn bounds one call; what is left after it is for the next. A dry run
	// needs to see all and is not bounded. Defaults to no bound.
	Turn time.Duration
	// Drop takes the tasks of some jobs out of Redis, or counts them in a dry
	// run, and answers how many there were. It comes before the jobs leave the
	// ledger, so that who is cut off can do it again. Defaults to nothing.
	Drop func(ctx context.Context, jobs []tasks.Job) (int, error)
}

// doomed is what is needed to know of a job to remove it.
type doomed struct {
	seq, finished int64
	tasks.Job
}

const doomedColumns = `SELECT seq, finished_at, id, kind, user_id, report_id, revision, queue, state, delivery FROM evalq_jobs WHERE `

// doomed reads jobs to remove them or parts of them. It leaves out those that
// somebody else is changing just now.
func (t *txn) doomed(where string, args ...any) ([]doomed, error) {
	rows, err := t.query(doomedColumns+where+t.d.free, args...)
	if err != nil {
		return nil, err
	}
	return scanDoomed(rows)
}

// sweep is one call of Purge or Erase. The jobs that it may take are known by
// where.
type sweep struct {
	*Ledger
	Removal
	where string
	args  []any
	until time.Time
	took  bool            // something: each call gets on
	seen  map[string]bool // scopes that a dry run has counted
	out   tasks.Removed
}

func (l *Ledger) sweep(r Removal, where string, args ...any) *sweep {
	s := &sweep{Ledger: l, Removal: r, where: where, args: args, seen: map[string]bool{}}
	if r.Turn > 0 && !r.Dry {
		s.until = time.Now().Add(r.Turn)
	}
	return s
}

func (s *sweep) over() bool { return s.took && !s.until.IsZero() && time.Now().After(s.until) }

// jobs removes the jobs that also fulfil more, in the order of column, which an
// index has. It reports whether it came to the end.
func (s *sweep) jobs(ctx context.Context, more, column string, value func(doomed) int64) (bool, error) {
	var last doomed
	for {
		from := value(last)
		rows, err := s.rows(ctx, doomedColumns+s.where+more+` AND `+column+` >= ? AND (`+column+` > ? OR seq > ?) ORDER BY `+column+`, seq LIMIT ?`,
			append(append([]any{}, s.args...), from, from, last.seq, trimChunk)...)
		if err != nil {
			return false, readError("jobs", err)
		}
		page, err := scanDoomed(rows)
		if err != nil {
			return false, err
		}
		if len(page) == 0 {
			return true, nil
		}
		if s.over() {
			return false, nil
		}
		last = page[len(page)-1]
		began := time.Now()
		if err := s.take(ctx, page); err != nil {
			return false, err
		}
		// As much time for others.
		if !s.Dry && len(page) == trimChunk && !wait(ctx, time.Since(began)) {
			return false, context.Cause(ctx)
		}
	}
}

// take removes a page of jobs with what belongs to them.
func (s *sweep) take(ctx context.Context, page []doomed) error {
	s.took = true
	if s.Drop != nil {
		jobs := make([]tasks.Job, len(page))
		for i, d := range page {
			jobs[i] = d.Job
		}
		n, err := s.Drop(ctx, jobs)
		s.out.Tasks += n
		if err != nil {
			return err
		}
	}
	if s.Dry {
		got, err := s.count(ctx, page)
		s.add(got)
		return err
	}
	var got tasks.Removed
	err := s.w.do(ctx, func(t *txn) error {
		got = tasks.Removed{}
		// They may have been revived since they were read.
		still, err := t.doomed(`seq IN (`+list(trimChunk)+`) AND `+s.where, append(fill(seqsOf(page)), s.args...)...)
		if err != nil || len(still) == 0 {
			return err
		}
		got, err = s.delete(t, still)
		return err
	})
	if err != nil {
		return err
	}
	s.add(got)
	return nil
}

func (s *sweep) add(got tasks.Removed) { s.out = got.Plus(s.out) }

// delete removes jobs, and remembers for a while that they were there.
func (s *sweep) delete(t *txn, jobs []doomed) (tasks.Removed, error) {
	var out tasks.Removed
	now := ms(s.now())
	for _, d := range jobs {
		if _, err := t.exec(`INSERT INTO evalq_gone (job_id, gone_at) VALUES (?, ?)`, d.ID, now); err != nil {
			return out, err
		}
	}
	err := each(jobs, &out, t.deleteAll)
	if err != nil {
		return out, err
	}
	if out.Jobs, err = t.deleteAll("evalq_jobs", "seq", seqsOf(jobs)); err != nil {
		return out, err
	}
	rows, err := t.query(`SELECT DISTINCT user_id, report_id FROM evalq_jobs WHERE report_id IN (`+list(trimChunk)+`)`, fill(reportsOf(jobs))...)
	if err != nil {
		return out, err
	}
	scopes, err := sharedScopes(jobs, rows)
	if err != nil || len(scopes) == 0 {
		return out, err
	}
	// A claim is somebody's who came just now.
	n, err := t.changed(`DELETE FROM evalq_checkpoints WHERE scope IN (`+list(trimChunk)+`) AND done_at <> 0`, fill(scopes)...)
	out.Checkpoints += int(n)
	return out, err
}

// count answers what delete would remove, if it removed all that the sweep may
// take.
func (s *sweep) count(ctx context.Context, jobs []doomed) (tasks.Removed, error) {
	out := tasks.Removed{Jobs: len(jobs)}
	if err := each(jobs, &out, func(table, column string, keys []any) (int, error) { return s.countAll(ctx, table, column, keys) }); err != nil {
		return out, err
	}
	rows, err := s.rows(ctx, `SELECT DISTINCT user_id, report_id FROM evalq_jobs WHERE report_id IN (`+list(trimChunk)+`) AND NOT (`+s.where+`)`,
		append(fill(reportsOf(jobs)), s.args...)...)
	if err != nil {
		return out, readError("jobs", err)
	}
	scopes, err := sharedScopes(jobs, rows)
	if err != nil {
		return out, err
	}
	var fresh []any
	for _, scope := range scopes {
		if !s.seen[scope.(string)] {
			s.seen[scope.(string)] = true
			fresh = append(fresh, scope)
		}
	}
	n, err := s.countAll(ctx, "evalq_checkpoints", "scope", fresh)
	out.Checkpoints += n
	return out, err
}

// each does to the rows that belong to jobs what do says.
func each(jobs []doomed, out *tasks.Removed, do func(table, column string, keys []any) (int, error)) error {
	ids, scopes := idsOf(jobs), make([]any, len(jobs))
	for i, d := range jobs {
		scopes[i] = d.Scope()
	}
	for _, part := range []struct {
		table, column string
		keys          []any
		n             *int
	}{
		{"evalq_events", "job_id", ids, &out.Events},
		{"evalq_attempts", "job_id", ids, &out.Attempts},
		{"evalq_results", "job_id", ids, &out.Results},
		{"evalq_checkpoints", "scope", scopes, &out.Checkpoints},
	} {
		n, err := do(part.table, part.column, part.keys)
		if err != nil {
			return err
		}
		*part.n += n
	}
	return nil
}

// deleteAll removes the rows with one of those keys.
func (t *txn) deleteAll(table, column string, keys []any) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	n, err := t.changed(`DELETE FROM `+table+` WHERE `+column+` IN (`+list(trimChunk)+`)`, fill(keys)...)
	return int(n), err
}

func (l *Ledger) countAll(ctx context.Context, table, column string, keys []any) (int, error) {
	if len(keys) == 0 {
		return 0, nil
	}
	return l.countRows(ctx, table, column+` IN (`+list(trimChunk)+`)`, fill(keys)...)
}

func (l *Ledger) countRows(ctx context.Context, table, where string, args ...any) (n int, err error) {
	if err := l.row(ctx, `SELECT count(*) FROM `+table+` WHERE `+where, args...).Scan(&n); err != nil {
		return 0, readError("what is to go", err)
	}
	return n, nil
}

// fail words the end of a sweep that was cut off.
func (s *sweep) fail(doing string, err error) (tasks.Removed, error) {
	return s.out, fmt.Errorf("ledger: %s: %w", doing, err)
}
