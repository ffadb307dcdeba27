package platform

import "context"

// Interviews lists whose records have ids in those ranges, ends included: a user
// and a report each, at most limit of them.
func (s *Store) Interviews(ctx context.Context, userLow, userHigh, reportLow, reportHigh int64, limit int) ([][2]int64, error) {
	fail := func(err error) ([][2]int64, error) { return nil, storage("look for interviews", err) }
	rows, err := s.db.QueryContext(ctx, `SELECT user_id, id FROM interview_record WHERE id BETWEEN ? AND ? AND user_id BETWEEN ? AND ? ORDER BY id LIMIT ?`,
		reportLow, reportHigh, userLow, userHigh, limit)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	var out [][2]int64
	for rows.Next() {
		var pair [2]int64
		if err := rows.Scan(&pair[0], &pair[1]); err != nil {
			return fail(err)
		}
		out = append(out, pair)
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return out, nil
}
