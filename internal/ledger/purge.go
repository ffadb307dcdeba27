package ledger

import (
	"context"
	"fmt"
	"time"

	"evalq/tasks"
)

// Purge removes the jobs that finished before then, whatever their end, with
// their results, attempts, events and checkpoints; then the interviews of which no
// job is left and that have not changed since then, and settled payloads that
// could not be read. The answers that the jobs of a report share go with its
// last job. What is still on its way stays, however old it is.
func (l *Ledger) Purge(ctx context.Context, before time.Time, r Removal) (tasks.Removed, error) {
	s := l.sweep(r, `finished_at > 0 AND finished_at < ?`, ms(before))
	finished := func(d doomed) int64 { return d.finished }
	for _, part := range []string{` AND trimmed = 0`, ` AND trimmed = 1`} {
		end, err := s.jobs(ctx, part, "finished_at", finished)
		if err != nil {
			return s.fail("purge", err)
		}
		if !end {
			return s.out, nil
		}
	}
	end, err := s.interviews(ctx, before)
	if err != nil || !end {
		return s.out, err
	}
	const settled = `settled_at > 0 AND settled_at < ?`
	if s.Dry {
		s.out.Quarantined, err = l.countRows(ctx, "evalq_quarantine", settled, ms(before))
	} else {
		s.out.Quarantined, err = l.deleteRows(ctx, "evalq_quarantine", settled, ms(before))
	}
	if err != nil {
		return s.fail("purge", err)
	}
	s.out.Done = true
	return s.out, nil
}

// interviews removes, a chunk at a time, those that no job asks for any more.
func (s *sweep) interviews(ctx context.Context, before time.Time) (bool, error) {
	// Whoever asks, and be it in vain: he would be told that it is missing.
	unasked := `updated_at < ? AND NOT EXISTS (SELECT 1 FROM evalq_jobs WHERE report_id = evalq_interviews.report_id`
	if s.Dry {
		n, err := s.countRows(ctx, "evalq_interviews", unasked+` AND NOT (`+s.where+`))`, append([]any{ms(before)}, s.args...)...)
		s.out.Interviews += n
		return true, err
	}
	for {
		if s.over() {
			return false, nil
		}
		n, err := s.deleteRows(ctx, "evalq_interviews", `report_id IN (SELECT report_id FROM
			(SELECT report_id FROM evalq_interviews WHERE `+unasked+`) LIMIT ?) AS part)`, ms(before), trimChunk)
		if err != nil {
			return false, fmt.Errorf("ledger: purge interviews: %w", err)
		}
		s.out.Interviews += n
		s.took = true
		if n < trimChunk {
			return true, nil
		}
	}
}

func (l *Ledger) deleteRows(ctx context.Context, table, where string, args ...any) (int, error) {
	deleted := int64(0)
	err := l.w.do(ctx, func(t *txn) error {
		var err error
		deleted, err = t.changed(`DELETE FROM `+table+` WHERE `+where, args...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return int(deleted), nil
}
