package ledger

import (
	"context"
	"encoding/json"
	"fmt"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// PutInterview stores an interview under its report id, replacing what was
// there, and sends the jobs that wait for it on their way. The answer is false when
// the content is the same. An interview of another user under the same id is
// refused with tasks.ErrConflict.
func (l *Ledger) PutInterview(ctx context.Context, doc evaluation.Interview, who string) (bool, error) {
	hash := doc.Hash()
	body, err := json.Marshal(doc)
	if err != nil {
		return false, fmt.Errorf("ledger: put interview %d: %w", doc.ReportID, err)
	}
	// No named result: when the caller gives up, the write goes on.
	changed := false
	err = l.w.do(ctx, func(t *txn) error {
		var user int64
		var have string
		found, err := t.row([]any{&user, &have}, `SELECT user_id, hash FROM evalq_interviews WHERE report_id = ?`, doc.ReportID)
		if err != nil {
			return err
		}
		changed = !found || have != hash
		switch {
		case found && user != doc.UserID:
			return refuse(fmt.Errorf("the interview belongs to another user: %w", tasks.ErrConflict))
		case !found:
			_, err = t.exec(`INSERT INTO evalq_interviews (report_id, user_id, hash, body, updated_at) VALUES (?, ?, ?, ?, ?)`,
				doc.ReportID, doc.UserID, hash, body, ms(l.now()))
		case changed:
			_, err = t.exec(`UPDATE evalq_interviews SET hash = ?, body = ?, updated_at = ? WHERE report_id = ?`, hash, body, ms(l.now()), doc.ReportID)
		}
		if err != nil {
			return err
		}
		return l.releaseReport(t, doc.ReportID, who)
	})
	if err != nil {
		return false, fmt.Errorf("ledger: put interview %d: %w", doc.ReportID, err)
	}
	return changed, nil
}

// releaseReport also releases the jobs of other users that ask for the report:
// they learn now that it is not theirs.
func (l *Ledger) releaseReport(t *txn, report int64, who string) error {
	rows, err := t.query(`SELECT DISTINCT user_id FROM evalq_jobs WHERE report_id = ? AND state = 'held' AND hold = ?`, report, tasks.HoldInterviewMissing)
	if err != nil {
		return err
	}
	var users []int64
	for rows.Next() {
		var u int64
		if err := rows.Scan(&u); err != nil {
			rows.Close()
			return unavailable("read", err)
		}
		users = append(users, u)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return unavailable("read", err)
	}
	for _, u := range users {
		if err := l.release(t, u, report, tasks.HoldInterviewMissing, who, "the interview arrived"); err != nil {
			return err
		}
	}
	return nil
}

// Interview reads an interview. UserID 0 reads it whoever owns it. The errors
// have the classes interview_missing (which is also tasks.ErrNotFound) and
// wrong_user.
func (l *Ledger) Interview(ctx context.Context, userID, reportID int64) (evaluation.Interview, error) {
	var doc evaluation.Interview
	var user int64
	var body []byte
	err := l.row(ctx, `SELECT user_id, body FROM evalq_interviews WHERE report_id = ?`, reportID).Scan(&user, &body)
	if isNoRows(err) {
		return doc, tasks.NewError(tasks.ClassInterviewMissing, fmt.Errorf("interview %d: %w", reportID, tasks.ErrNotFound))
	}
	if err != nil {
		return doc, tasks.NewError(tasks.ClassStorage, readError("interview", err))
	}
	if userID != 0 && user != userID {
		return doc, tasks.NewError(tasks.ClassWrongUser, fmt.Errorf("interview %d belongs to another user", reportID))
	}
	if err := json.Unmarshal(body, &doc); err != nil {
		return doc, tasks.NewError(tasks.ClassStorage, readError("interview", err))
	}
	return doc, nil
}

// Saw puts on record which interview a running attempt evaluates, by its hash,
// for a handler that has it from elsewhere than Begin did. So a later submission
// tells whether it has changed since. An attempt that is not the newest is
// refused with tasks.ErrStale.
func (l *Ledger) Saw(ctx context.Context, jobID string, attempt int, hash string) error {
	err := l.w.do(ctx, func(t *txn) error {
		j, err := t.byID(jobID)
		if err != nil {
			return err
		}
		if j.State != tasks.Running || j.Attempt != attempt {
			return refuse(fmt.Errorf("attempt %d: %w", attempt, tasks.ErrStale))
		}
		if j.InputHash == hash {
			return nil
		}
		_, err = t.exec(`UPDATE evalq_jobs SET input_hash = ? WHERE seq = ?`, hash, j.seq)
		return err
	})
	if err != nil {
		return fmt.Errorf("ledger: note what job %s saw: %w", jobID, err)
	}
	return nil
}
