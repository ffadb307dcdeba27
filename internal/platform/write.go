package platform

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// maxComment is the size of the platform's column for comments, in bytes.
const maxComment = 65_535

// SaveReport stores a comprehensive evaluation where the platform reads it. Where
// there is a row, the lowest that is not deleted is updated, with its id and
// created_at as they were; else one is inserted, one alone however many writers
// come at once. Saving again is safe, also when the answer was lost.
//
// The errors have the classes interview_missing and wrong_user as those of
// Interview, invalid_output for a report without dimensions, which is written
// nowhere because the platform would show it for ever, and storage.
func (s *Store) SaveReport(ctx context.Context, userID, reportID int64, shape evaluation.OriginalReportShape) error {
	if len(shape.Dimensions) == 0 {
		return empty(reportID, "report without dimensions")
	}
	dimensions := make([]evaluation.OriginalDimension, len(shape.Dimensions))
	for i, d := range shape.Dimensions {
		d.Score = min(max(d.Score, 0), 100)
		dimensions[i] = d
	}
	body, err := json.Marshal(dimensions)
	if err != nil {
		return fmt.Errorf("platform: save the report of interview %d: %w", reportID, err)
	}
	return s.save(ctx, row{
		table: evaluations, user: userID, report: reportID, columns: []string{"comment", "score", "dimensions"},
		values: []any{clip(legible(shape.Comment), maxComment), percent(shape.Score), string(body)},
	})
}

// percent is a score as the platform's decimal(5,2) takes it.
func percent(score float64) string {
	if math.IsNaN(score) {
		score = 0
	}
	return fmt.Sprintf("%.2f", min(max(score, 0), 100))
}

// SaveAnswers stores a per-topic evaluation, as SaveReport does a report. One
// without records is refused like a report without dimensions.
func (s *Store) SaveAnswers(ctx context.Context, userID, reportID int64, shape evaluation.OriginalAnswerShape) error {
	if len(shape.Records) == 0 {
		return empty(reportID, "evaluation without records")
	}
	body, err := json.Marshal(shape.Records)
	if err != nil {
		return fmt.Errorf("platform: save the answers of interview %d: %w", reportID, err)
	}
	return s.save(ctx, row{table: answers, user: userID, report: reportID, columns: []string{"records"}, values: []any{string(body)}})
}

func empty(report int64, what string) error {
	return tasks.NewError(tasks.ClassInvalidOutput, fmt.Errorf("platform: interview %d: a %s is not written", report, what))
}

// row is what is to stand in a table of results.
type row struct {
	table        string
	user, report int64
	columns      []string
	values       []any
}

// tries is how often a write is made that was in another's way.
const tries = 3

func (s *Store) save(ctx context.Context, r row) (err error) {
	for range tries {
		if err = s.saveOnce(ctx, r); !inTheWay(err) {
			break
		}
	}
	var classed *tasks.Error
	if err != nil && !errors.As(err, &classed) {
		err = storage(fmt.Sprintf("write %s of interview %d", r.table, r.report), err)
	}
	return err
}

// saveOnce has the lock of the interview's record before it looks for a row, so
// that of several writers one finds none.
func (s *Store) saveOnce(ctx context.Context, r row) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	var owner, id int64
	switch err := tx.QueryRowContext(ctx, "SELECT user_id FROM interview_record WHERE id = ? FOR UPDATE", r.report).Scan(&owner); {
	case errors.Is(err, sql.ErrNoRows):
		return missing(r.report, tasks.ErrNotFound)
	case err != nil:
		return err
	case owner != r.user:
		return wrongUser(r.report)
	}
	now := s.cfg.Now().In(s.zone).Truncate(time.Millisecond)
	err = tx.QueryRowContext(ctx, "SELECT id FROM "+r.table+" WHERE "+shown, r.user, r.report).Scan(&id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = insert(ctx, tx, r, now)
	case err == nil:
		err = update(ctx, tx, r, id, now)
	}
	if err != nil {
		return err
	}
	return tx.Commit()
}

// shown is the row that the platform reads.
const shown = "user_id = ? AND report_id = ? AND deleted = 0 ORDER BY id LIMIT 1"

func insert(ctx context.Context, tx *sql.Tx, r row, now time.Time) error {
	query, marks := "INSERT INTO "+r.table+" (user_id, report_id, deleted, created_at, updated_at", "?, ?, 0, ?, ?"
	for _, c := range r.columns {
		query += ", " + c
		marks += ", ?"
	}
	_, err := tx.ExecContext(ctx, query+") VALUES ("+marks+")", append([]any{r.user, r.report, now, now}, r.values...)...)
	return err
}

func update(ctx context.Context, tx *sql.Tx, r row, id int64, now time.Time) error {
	query := "UPDATE " + r.table + " SET updated_at = ?"
	for _, c := range r.columns {
		query += ", " + c + " = ?"
	}
	args := append([]any{now}, r.values...)
	_, err := tx.ExecContext(ctx, query+" WHERE id = ?", append(args, id)...)
	return err
}
