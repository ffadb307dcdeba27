package ledger

import "evalq/tasks"

// acceptNew stores in one statement what those callers ask for all of whose
// requests are for jobs that do not exist, and returns the other callers'
// writes. It is a transaction by itself when it is not in one.
func (l *Ledger) acceptNew(t *txn, ops []*write) (left []*write, err error) {
	seen := map[naturalKey]bool{}
	skipped := map[int64]bool{}
	var fresh []*ask
	var places []int64 // in ops, of the write that has the request
	for n, op := range ops {
		if place := int64(n); !op.distinct(seen) {
			skipped[place] = true
		} else {
			for _, a := range op.asks {
				a.job, a.created = l.newJob(a.r, 1), true
				fresh, places = append(fresh, a), append(places, place)
			}
		}
	}
	if len(fresh) == 0 {
		return ops, nil
	}
	if err := t.insertUnknown(skipped, fresh, places, l.cfg.Build); err != nil {
		return ops, err
	}
	for n, op := range ops {
		if skipped[int64(n)] {
			left = append(left, op)
		}
	}
	if len(left) < len(ops) {
		t.after = append(t.after, l.notices.wake)
	}
	return left, nil
}

// distinct reports whether no key of the write was seen before, and takes note
// of them all.
func (op *write) distinct(seen map[naturalKey]bool) bool {
	distinct := true
	for _, a := range op.asks {
		distinct = distinct && !seen[a.key]
		seen[a.key] = true
	}
	return distinct
}

// insertUnknown leaves out, and puts into known, the places of writes one of
// whose jobs exists.
func (t *txn) insertUnknown(known map[int64]bool, fresh []*ask, places []int64, build string) error {
	cols := []series{
		{"place", places},
		texts("id", fresh, func(a *ask) string { return a.job.ID }),
		texts("kind", fresh, func(a *ask) tasks.Kind { return a.job.Kind }),
		numbers("user_id", fresh, func(a *ask) int64 { return a.job.UserID }),
		numbers("report_id", fresh, func(a *ask) int64 { return a.job.ReportID }),
		texts("queue", fresh, func(a *ask) tasks.Priority { return a.job.Priority }),
		numbers("budget", fresh, func(a *ask) int64 { return int64(a.job.Budget) }),
		numbers("moved_at", fresh, func(a *ask) int64 { return a.job.movedAt }),
		numbers("due_at", fresh, func(a *ask) int64 { return ms(a.job.DueAt) }),
		texts("input_hash", fresh, func(a *ask) string { return a.job.InputHash }),
		blobs("data", fresh, (*ask).data),
		texts("who", fresh, func(a *ask) string { return a.who }),
	}
	from, args := unnest(cols)
	args = append(args, build)
	rows, err := t.query(`WITH asked AS MATERIALIZED (SELECT * FROM `+from+` AS a (`+names(cols)+`)),
		known AS MATERIALIZED (SELECT DISTINCT place FROM asked a WHERE `+newest+` IS NOT NULL),
		made AS MATERIALIZED (SELECT * FROM asked WHERE place NOT IN (SELECT place FROM known)),
		jobs AS (INSERT INTO evalq_jobs (id, kind, user_id, report_id, revision, queue, state, budget, accepted_at, due_at, moved_at, input_hash, data)
			SELECT id, kind, user_id, report_id, 1, queue, '`+string(tasks.Accepted)+`', budget, moved_at, due_at, moved_at, input_hash, data FROM made),
		events AS (INSERT INTO evalq_events (job_id, at, from_state, to_state, who, why, build)
			SELECT id, moved_at, '', '`+string(tasks.Accepted)+`', who, '`+submitted+`', ?::text FROM made)
		SELECT place FROM known`, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var place int64
		if err := rows.Scan(&place); err != nil {
			return unavailable("read", err)
		}
		known[place] = true
	}
	if err := rows.Err(); err != nil {
		return unavailable("read", err)
	}
	return nil
}
