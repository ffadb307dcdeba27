package ledger

import (
	"database/sql"

	"evalq/tasks"
)

func scanDoomed(rows *sql.Rows) ([]doomed, error) {
	defer rows.Close()
	var out []doomed
	for rows.Next() {
		var d doomed
		if err := rows.Scan(&d.seq, &d.finished, &d.ID, &d.Kind, &d.UserID, &d.ReportID, &d.Revision, &d.Priority, &d.State, &d.Delivery); err != nil {
			return nil, unavailable("read", err)
		}
		out = append(out, d)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("read", err)
	}
	return out, nil
}

// sharedScopes gives the scopes of the jobs' reports but for those of which rows
// names another job.
func sharedScopes(jobs []doomed, rows *sql.Rows) ([]any, error) {
	defer rows.Close()
	left := map[string]bool{}
	for rows.Next() {
		var other tasks.Job
		if err := rows.Scan(&other.UserID, &other.ReportID); err != nil {
			return nil, unavailable("read", err)
		}
		left[other.ReportScope()] = true
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable("read", err)
	}
	var out []any
	for _, d := range jobs {
		if scope := d.ReportScope(); !left[scope] {
			left[scope] = true // once
			out = append(out, scope)
		}
	}
	return out, nil
}

func idsOf(jobs []doomed) []any {
	return columnOf(jobs, func(d doomed) any { return d.ID })
}

func seqsOf(jobs []doomed) []any {
	return columnOf(jobs, func(d doomed) any { return d.seq })
}

func reportsOf(jobs []doomed) []any {
	return columnOf(jobs, func(d doomed) any { return d.ReportID })
}

func columnOf(jobs []doomed, of func(doomed) any) []any {
	out := make([]any, len(jobs))
	for i, d := range jobs {
		out[i] = of(d)
	}
	return out
}

// fill repeats the last key until there are as many as a chunk has: a statement
// with a length of its own for each list would be prepared for each anew.
func fill(keys []any) []any {
	out := append(make([]any, 0, trimChunk), keys...)
	for len(out) < trimChunk {
		out = append(out, keys[len(keys)-1])
	}
	return out
}
