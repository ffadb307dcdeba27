package ledger

import (
	"context"
	"fmt"
)

// RestoredMark is the name in evalq_meta under which a restored ledger says that
// it is one; see Restored. Its value is the time.
const RestoredMark = "restored_at"

// Restored reports whether the ledger is a copy that was put back and that has
// not yet taken up what Redis remembers of the jobs submitted since the copy was
// made.
func (l *Ledger) Restored(ctx context.Context) (bool, error) {
	n, err := l.countRows(ctx, "evalq_meta", `name = ?`, RestoredMark)
	return n > 0, err
}

// TookUp notes that a restored ledger has taken up what there was.
func (l *Ledger) TookUp(ctx context.Context) error {
	_, err := l.deleteRows(ctx, "evalq_meta", `name = ?`, RestoredMark)
	if err != nil {
		return fmt.Errorf("ledger: note the end of a restoration: %w", err)
	}
	return nil
}

// Unknown gives those of some ids that are of no job, and of none that was
// removed a while ago.
func (l *Ledger) Unknown(ctx context.Context, ids []string) ([]string, error) {
	known := map[string]bool{}
	for start := 0; start < len(ids); start += trimChunk {
		some := make([]any, 0, trimChunk)
		for _, id := range ids[start:min(start+trimChunk, len(ids))] {
			some = append(some, id)
		}
		some = fill(some)
		in := ` IN (` + list(trimChunk) + `)`
		rows, err := l.rows(ctx, `SELECT id FROM evalq_jobs WHERE id`+in+` UNION ALL SELECT job_id FROM evalq_gone WHERE job_id`+in, append(some, some...)...)
		if err != nil {
			return nil, readError("jobs", err)
		}
		for rows.Next() {
			var id string
			if err := rows.Scan(&id); err != nil {
				rows.Close()
				return nil, readError("jobs", err)
			}
			known[id] = true
		}
		rows.Close()
		if err := rows.Err(); err != nil {
			return nil, readError("jobs", err)
		}
	}
	var out []string
	for _, id := range ids {
		if !known[id] {
			out = append(out, id)
		}
	}
	return out, nil
}
