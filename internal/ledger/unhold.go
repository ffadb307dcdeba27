package ledger

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

// Unhold sends held jobs on their way that wait for something which is there.
// Whoever brings it releases them; but two processes that commit at the same
// moment do not see each other, so the relay looks again. It answers how many.
func (l *Ledger) Unhold(ctx context.Context) (int, error) {
	if l.dialect.OneOwner {
		return 0, nil // one writer sees everything
	}
	total := 0
	for _, w := range []struct {
		hold tasks.Hold
		why  string
		need string
	}{
		{tasks.HoldInterviewMissing, interviewThere, `EXISTS (SELECT 1 FROM evalq_interviews i WHERE i.report_id = j.report_id)`},
		{tasks.HoldAnswerInProgress, answerThere, `NOT EXISTS (SELECT 1 FROM evalq_jobs o JOIN evalq_checkpoints c ON c.job_id = o.id AND c.attempt = o.attempt
			WHERE o.report_id = j.report_id AND o.user_id = j.user_id AND o.state = 'running' AND o.id <> j.id AND c.done_at = 0)`},
	} {
		held, err := l.waitingFor(ctx, w.hold, w.need, w.why)
		if err != nil {
			return total, err
		}
		if len(held) == 0 {
			continue
		}
		gone := 0
		err = l.w.soon(ctx, func(t *txn) (err error) {
			gone, err = l.goOn(t, held, w.hold, "relay", w.why)
			return err
		})
		if err != nil {
			return total, fmt.Errorf("ledger: release held jobs: %w", err)
		}
		total += gone
	}
	return total, nil
}

// unholds is how often in a minute a job is sent on its way because what it waits
// for is there. One that comes back more often waits for something else.
const unholds = 5

// waitingFor lists the held jobs whose need is met.
func (l *Ledger) waitingFor(ctx context.Context, hold tasks.Hold, need, why string) ([]int64, error) {
	rows, err := l.rows(ctx, `SELECT j.seq FROM evalq_jobs j WHERE j.state = 'held' AND j.hold = ? AND `+need+`
		AND (SELECT count(*) FROM evalq_events e WHERE e.job_id = j.id AND e.who = 'relay' AND e.why = ? AND e.at > ?) < ? LIMIT ?`,
		hold, why, ms(l.now().Add(-time.Minute)), unholds, feedChunk)
	if err != nil {
		return nil, readError("held jobs", err)
	}
	defer rows.Close()
	var out []int64
	for rows.Next() {
		var seq int64
		if err := rows.Scan(&seq); err != nil {
			return nil, readError("held jobs", err)
		}
		out = append(out, seq)
	}
	return out, rows.Err()
}
