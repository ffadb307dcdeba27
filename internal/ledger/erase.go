package ledger

import (
	"context"
	"fmt"

	"evalq/tasks"
)

// Stop cancels every unfinished job of a user for good and asks the running ones
// to stop. It answers how many still run.
func (l *Ledger) Stop(ctx context.Context, user int64, who, why string) (running int, err error) {
	for _, some := range []string{`state = 'running' AND cancel_asked = 0`, `state IN ('accepted', 'queued', 'retrying', 'held')`} {
		for {
			n, err := l.stopSome(ctx, user, some, who, why)
			if err != nil {
				return 0, fmt.Errorf("ledger: stop jobs of user %d: %w", user, err)
			}
			if n < trimChunk {
				break
			}
		}
	}
	return l.Running(ctx, user)
}

func (l *Ledger) stopSome(ctx context.Context, user int64, some, who, why string) (int, error) {
	stopped := 0
	err := l.w.do(ctx, func(t *txn) error {
		found, err := t.jobs(`user_id = ? AND `+some+` ORDER BY seq LIMIT ?`, user, trimChunk)
		if err != nil {
			return err
		}
		stopped = len(found)
		for _, j := range found {
			if err := l.cancel(t, j, who, why); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return stopped, nil
}

// Running counts the jobs of a user that a worker has.
func (l *Ledger) Running(ctx context.Context, user int64) (int, error) {
	return l.countRows(ctx, "evalq_jobs", `user_id = ? AND state = 'running'`, user)
}

// Erase removes everything of one user: the jobs with their results, attempts,
// events and checkpoints, the interviews, and the payloads that could not be
// read and that name the user. Jobs that are not finished are left, and then it
// is not done: call Stop first. A dry run counts those too. The audit log is kept; it
// contains no interview answers.
func (l *Ledger) Erase(ctx context.Context, user int64, r Removal) (tasks.Removed, error) {
	doing := fmt.Sprintf("erase user %d", user)
	where := `user_id = ?`
	if !r.Dry {
		where += ` AND finished_at > 0`
	}
	s := l.sweep(r, where, user)
	end, err := s.jobs(ctx, "", "user_id", func(d doomed) int64 { return d.UserID })
	if err != nil {
		return s.fail(doing, err)
	}
	if end {
		end, err = s.ofUser(ctx, user)
	}
	if err != nil {
		return s.fail(doing, err)
	}
	if !end {
		return s.out, nil
	}
	left := 0
	if !s.Dry {
		if left, err = l.countRows(ctx, "evalq_jobs", `user_id = ?`, user); err != nil {
			return s.fail(doing, err)
		}
	}
	s.out.Done = left == 0
	return s.out, nil
}

// ofUser removes what belongs to a user and to no job.
func (s *sweep) ofUser(ctx context.Context, user int64) (bool, error) {
	var err error
	if s.Dry {
		if s.out.Interviews, err = s.countRows(ctx, "evalq_interviews", `user_id = ?`, user); err != nil {
			return false, err
		}
	}
	for !s.Dry {
		if s.over() {
			return false, nil
		}
		n, err := s.deleteRows(ctx, "evalq_interviews", `report_id IN (SELECT report_id FROM
			(SELECT report_id FROM evalq_interviews WHERE user_id = ? LIMIT ?) AS part)`, user, trimChunk)
		if err != nil {
			return false, err
		}
		s.out.Interviews += n
		s.took = true
		if n < trimChunk {
			break
		}
	}
	return true, s.quarantined(ctx, user)
}

// quarantined removes what could not be read and may be about the user: doubt removes
// it too, and is counted.
func (s *sweep) quarantined(ctx context.Context, user int64) error {
	for after := int64(0); ; {
		about, doubts, last, err := s.aboutUser(ctx, after, user)
		if err != nil || last == after {
			return err
		}
		after = last
		s.out.Quarantined += len(about)
		s.out.Doubtful += doubts
		if s.Dry || len(about) == 0 {
			continue
		}
		if _, err := s.deleteRows(ctx, "evalq_quarantine", `seq IN (`+list(trimChunk)+`)`, fill(about)...); err != nil {
			return err
		}
	}
}

// aboutUser looks through one page of what could not be read. It answers the entries
// to remove, how many of them are there on doubt, and the last that it has seen.
func (s *sweep) aboutUser(ctx context.Context, after, user int64) (about []any, doubts int, last int64, err error) {
	rows, err := s.rows(ctx, `SELECT seq, task_id, reason, body FROM evalq_quarantine WHERE seq > ? ORDER BY seq LIMIT ?`, after, trimChunk)
	if err != nil {
		return nil, 0, 0, readError("quarantine", err)
	}
	defer rows.Close()
	last = after
	for rows.Next() {
		var q tasks.Quarantined
		var body []byte
		if err := rows.Scan(&last, &q.TaskID, &q.Reason, &body); err != nil {
			return nil, 0, 0, readError("quarantine", err)
		}
		yes, doubt := Mentions(q, body, user)
		if yes {
			about = append(about, last)
		}
		if doubt {
			doubts++
		}
	}
	if err := rows.Err(); err != nil {
		return nil, 0, 0, readError("quarantine", err)
	}
	return about, doubts, last, nil
}
