package platform

import (
	"context"
	"database/sql"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// Unevaluated looks at one page of the platform's interviews and tells those in
// which something was answered and for which the row that the platform reads is
// missing or empty: a report without dimensions, an evaluation of answers without
// records. What evalq has stored elsewhere does not count. An index over
// interview_dialogues.report_id keeps it fast.
func (s *Store) Unevaluated(ctx context.Context, look evaluation.Look) (evaluation.Backlog, error) {
	out, err := s.unevaluated(ctx, look)
	if err != nil {
		return evaluation.Backlog{}, storage("look for interviews without results", err)
	}
	return out, nil
}

func (s *Store) unevaluated(ctx context.Context, look evaluation.Look) (evaluation.Backlog, error) {
	page, err := s.owners(ctx, look)
	if err != nil {
		return evaluation.Backlog{}, err
	}
	out := evaluation.Backlog{Looked: len(page)}
	if len(page) == 0 {
		return out, nil
	}
	if len(page) == look.Limit {
		out.Next = page[len(page)-1].report
	}
	have := map[tasks.Kind]map[owned]bool{}
	for kind, query := range filled {
		if have[kind], err = s.filled(ctx, query, page); err != nil {
			return evaluation.Backlog{}, err
		}
	}
	page = slices.DeleteFunc(page, func(o owned) bool {
		return have[tasks.KindEvaluationReport][o] && have[tasks.KindTopicEvaluation][o]
	})
	if len(page) == 0 {
		return out, nil
	}
	ages, err := s.answeredAgo(ctx, page)
	if err != nil {
		return evaluation.Backlog{}, err
	}
	for _, o := range page {
		age, answered := ages[o]
		if !answered {
			continue
		}
		lack := evaluation.Lack{UserID: o.user, ReportID: o.report, Age: age}
		for _, k := range tasks.Kinds() {
			if !have[k][o] {
				lack.Kinds = append(lack.Kinds, k)
			}
		}
		out.Lacks = append(out.Lacks, lack)
	}
	return out, nil
}

// Unknown gives those of some interviews that the platform has no record of.
func (s *Store) Unknown(ctx context.Context, lacks []evaluation.Lack) ([]evaluation.Lack, error) {
	if len(lacks) == 0 {
		return nil, nil
	}
	page := make([]owned, len(lacks))
	for i, lack := range lacks {
		page[i].report = lack.ReportID
	}
	fail := func(err error) ([]evaluation.Lack, error) { return nil, storage("look for interviews", err) }
	rows, err := s.db.QueryContext(ctx, "SELECT id FROM interview_record WHERE id IN "+marks(page), reports(page)...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	have := map[int64]bool{}
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return fail(err)
		}
		have[id] = true
	}
	if err := rows.Err(); err != nil {
		return fail(err)
	}
	return slices.DeleteFunc(slices.Clone(lacks), func(lack evaluation.Lack) bool { return have[lack.ReportID] }), nil
}

// owned is an interview and whose it is.
type owned struct{ report, user int64 }

// owners reads a page of records. Ids that evalq cannot name are left out.
func (s *Store) owners(ctx context.Context, look evaluation.Look) ([]owned, error) {
	where, args := "id > ? AND id <= ? AND user_id BETWEEN 1 AND ?", []any{look.After, int64(math.MaxInt64), int64(math.MaxInt64)}
	if look.UserID != 0 {
		where, args = where+" AND user_id = ?", append(args, look.UserID)
	}
	rows, err := s.db.QueryContext(ctx, "SELECT id, user_id FROM interview_record WHERE "+where+" ORDER BY id LIMIT ?", append(args, look.Limit)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var out []owned
	for rows.Next() {
		var o owned
		if err := rows.Scan(&o.report, &o.user); err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	return out, rows.Err()
}

// full is a condition on a column that holds a JSON array with something in it.
// The column may be of text, with anything in it.
func full(column string) string {
	return fmt.Sprintf("IF(JSON_VALID(%[1]s), IF(JSON_TYPE(%[1]s) = 'ARRAY', JSON_LENGTH(%[1]s) > 0, 0), 0)", column)
}

// filled reads, a kind, the rows of some interviews and whether there is
// something in them. The values themselves may be large and stay there.
var filled = map[tasks.Kind]string{
	tasks.KindEvaluationReport: "SELECT report_id, user_id, id, " + full("dimensions") + " FROM " + evaluations,
	tasks.KindTopicEvaluation:  "SELECT report_id, user_id, id, " + full("records") + " FROM " + answers,
}

// filled tells the interviews whose row that the platform reads, the lowest that
// is not deleted, has something in it.
func (s *Store) filled(ctx context.Context, query string, page []owned) (map[owned]bool, error) {
	rows, err := s.db.QueryContext(ctx, query+" WHERE deleted = 0 AND report_id IN "+marks(page), reports(page)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out, lowest := map[owned]bool{}, map[owned]uint64{}
	for rows.Next() {
		var o owned
		var id uint64
		var something bool
		if err := rows.Scan(&o.report, &o.user, &id, &something); err != nil {
			return nil, err
		}
		if have, ok := lowest[o]; !ok || id < have {
			lowest[o], out[o] = id, something
		}
	}
	return out, rows.Err()
}

// answeredAgo tells for the interviews in which something was answered how long
// ago that was last.
func (s *Store) answeredAgo(ctx context.Context, page []owned) (map[owned]time.Duration, error) {
	rows, err := s.db.QueryContext(ctx, "SELECT report_id, user_id, MAX(created_at) FROM interview_dialogues WHERE report_id IN "+marks(page)+
		" AND answer REGEXP '[^[:space:]]' GROUP BY report_id, user_id", reports(page)...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[owned]time.Duration{}
	for rows.Next() {
		var o owned
		var newest sql.NullTime
		if err := rows.Scan(&o.report, &o.user, &newest); err != nil {
			return nil, err
		}
		out[o] = math.MaxInt64 // nobody knows when, so nobody is about to submit it
		if newest.Valid {
			out[o] = s.cfg.Now().Sub(newest.Time)
		}
	}
	return out, rows.Err()
}

func marks(page []owned) string {
	return "(" + strings.TrimSuffix(strings.Repeat("?, ", len(page)), ", ") + ")"
}

func reports(page []owned) []any {
	out := make([]any, len(page))
	for i, o := range page {
		out[i] = o.report
	}
	return out
}
