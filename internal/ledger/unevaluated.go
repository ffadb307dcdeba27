package ledger

import (
	"context"
	"encoding/json"
	"slices"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// Unevaluated looks at one page of the stored interviews and tells those in which
// something was answered and for which a built-in kind has no result: its newest
// job has not succeeded, or there is none. One that was skipped as it is now
// needs no result. A result of an older form of the interview counts as one.
func (l *Ledger) Unevaluated(ctx context.Context, look evaluation.Look) (evaluation.Backlog, error) {
	page, err := l.interviewPage(ctx, look)
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
	asked := make([]tasks.Payload, 0, 2*len(page))
	for _, p := range page {
		for _, k := range tasks.Kinds() {
			asked = append(asked, tasks.NewPayload(k, p.user, p.report, nil))
		}
	}
	jobs, err := l.Newest(ctx, asked)
	if err != nil {
		return evaluation.Backlog{}, err
	}
	now := l.now()
	for _, p := range page {
		lack := evaluation.Lack{UserID: p.user, ReportID: p.report, Age: now.Sub(at(p.updated))}
		for _, k := range tasks.Kinds() {
			j := jobs[0]
			jobs = jobs[1:]
			if j.State == tasks.Succeeded || j.State == tasks.Skipped && j.InputHash == p.hash {
				continue
			}
			lack.Kinds = append(lack.Kinds, k)
		}
		if len(lack.Kinds) > 0 {
			out.Lacks = append(out.Lacks, lack)
		}
	}
	out.Lacks, err = l.answered(ctx, out.Lacks)
	return out, err
}

// storedInterview is a row of evalq_interviews without the interview.
type storedInterview struct {
	report, user, updated int64
	hash                  string
}

func (l *Ledger) interviewPage(ctx context.Context, look evaluation.Look) ([]storedInterview, error) {
	where, args := `report_id > ?`, []any{look.After}
	if look.UserID != 0 {
		where, args = where+` AND user_id = ?`, append(args, look.UserID)
	}
	rows, err := l.rows(ctx, `SELECT report_id, user_id, updated_at, hash FROM evalq_interviews WHERE `+where+` ORDER BY report_id LIMIT ?`, append(args, look.Limit)...)
	if err != nil {
		return nil, readError("interviews", err)
	}
	defer rows.Close()
	var out []storedInterview
	for rows.Next() {
		var p storedInterview
		if err := rows.Scan(&p.report, &p.user, &p.updated, &p.hash); err != nil {
			return nil, readError("interviews", err)
		}
		out = append(out, p)
	}
	if err := rows.Err(); err != nil {
		return nil, readError("interviews", err)
	}
	return out, nil
}

// answered leaves out the interviews in which nothing was answered: there is
// nothing to evaluate. It reads one interview at a time, since each may be large.
func (l *Ledger) answered(ctx context.Context, lacks []evaluation.Lack) ([]evaluation.Lack, error) {
	full := map[int64]bool{}
	for some := range slices.Chunk(lacks, trimChunk) {
		reports := make([]any, len(some))
		for i, lack := range some {
			reports[i] = lack.ReportID
		}
		if err := l.addAnswered(ctx, full, reports); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(lacks, func(lack evaluation.Lack) bool { return !full[lack.ReportID] }), nil
}

func (l *Ledger) addAnswered(ctx context.Context, to map[int64]bool, reports []any) error {
	rows, err := l.rows(ctx, `SELECT report_id, body FROM evalq_interviews WHERE report_id IN (`+list(trimChunk)+`)`, fill(reports)...)
	if err != nil {
		return readError("interviews", err)
	}
	defer rows.Close()
	for rows.Next() {
		var report int64
		var body []byte
		if err := rows.Scan(&report, &body); err != nil {
			return readError("interviews", err)
		}
		var in evaluation.Interview
		if err := json.Unmarshal(body, &in); err != nil {
			return readError("interviews", err)
		}
		to[report] = in.Answered()
	}
	if err := rows.Err(); err != nil {
		return readError("interviews", err)
	}
	return nil
}

// Newest reads, for each payload, the newest revision of its job, without data
// and result; the zero Job where there is none. Of a job it has what identifies
// it, its state and the hash of what it saw.
func (l *Ledger) Newest(ctx context.Context, asked []tasks.Payload) ([]tasks.Job, error) {
	found := map[naturalKey]tasks.Job{}
	for some := range slices.Chunk(asked, trimChunk) {
		var reports []any
		for _, p := range some {
			k := keyOf(p)
			if _, ok := found[k]; !ok {
				found[k] = tasks.Job{}
				reports = append(reports, k.report)
			}
		}
		if err := l.addNewest(ctx, found, reports); err != nil {
			return nil, err
		}
	}
	out := make([]tasks.Job, len(asked))
	for i, p := range asked {
		out[i] = found[keyOf(p)]
	}
	return out, nil
}

func keyOf(p tasks.Payload) naturalKey {
	k := naturalKey{kind: p.Kind()}
	k.user, k.report = p.Subject()
	return k
}

// addNewest names only the reports to the database: their index leads to a few
// rows each, and a planner that knew the kinds could prefer the index of those,
// which leads to all.
func (l *Ledger) addNewest(ctx context.Context, found map[naturalKey]tasks.Job, reports []any) error {
	if len(reports) == 0 {
		return nil
	}
	rows, err := l.rows(ctx, `SELECT id, kind, user_id, report_id, revision, state, queue, input_hash FROM evalq_jobs WHERE report_id IN (`+list(trimChunk)+`)`, fill(reports)...)
	if err != nil {
		return readError("jobs", err)
	}
	defer rows.Close()
	for rows.Next() {
		var j tasks.Job
		if err := rows.Scan(&j.ID, &j.Kind, &j.UserID, &j.ReportID, &j.Revision, &j.State, &j.Priority, &j.InputHash); err != nil {
			return readError("jobs", err)
		}
		k := naturalKey{j.Kind, j.UserID, j.ReportID}
		if have, ok := found[k]; ok && have.Revision < j.Revision {
			found[k] = j
		}
	}
	if err := rows.Err(); err != nil {
		return readError("jobs", err)
	}
	return nil
}
