package ledger

import "evalq/tasks"

// mayPayAgain begins the events that name a paid step which was under way and was
// not stored: it failed, or nobody knows how it ended. Should it be paid for
// again, the job's history says why.
const mayPayAgain = "a call may be paid for again: "

// noteOpenSteps names the steps that the newest attempt of j leaves unfinished.
func (l *Ledger) noteOpenSteps(t *txn, j *job) error {
	rows, err := t.query(`SELECT name FROM evalq_checkpoints WHERE job_id = ? AND attempt = ? AND done_at = 0 ORDER BY name`, j.ID, j.Attempt)
	if err != nil {
		return err
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			rows.Close()
			return unavailable("read", err)
		}
		names = append(names, name)
	}
	rows.Close()
	if err := rows.Err(); err != nil {
		return unavailable("read", err)
	}
	for _, name := range names {
		if err := l.event(t, j.ID, j.State, j.State, "ledger", mayPayAgain+name); err != nil {
			return err
		}
	}
	return nil
}

// noteUnsure names one such step in the history of the job that claimed it.
func (l *Ledger) noteUnsure(t *txn, id, name string) error {
	var state tasks.State
	found, err := t.row([]any{&state}, `SELECT state FROM evalq_jobs WHERE id = ?`, id)
	if err != nil || !found {
		return err
	}
	return l.event(t, id, state, state, "ledger", mayPayAgain+name)
}
