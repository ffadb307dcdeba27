package platform

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"evalq/tasks"
)

// Report is a stored comprehensive evaluation.
type Report struct {
	ID, UserID, ReportID int64
	Comment              string
	Score                float64
	Dimensions           json.RawMessage // an array
	CreatedAt, UpdatedAt time.Time
}

// Answers is a stored per-topic evaluation.
type Answers struct {
	ID, UserID, ReportID int64
	Records              json.RawMessage // an array
	CreatedAt, UpdatedAt time.Time
}

// Report reads the row that the platform reads. Without one it is
// tasks.ErrNotFound.
func (s *Store) Report(ctx context.Context, userID, reportID int64) (Report, error) {
	r := Report{UserID: userID, ReportID: reportID}
	var comment, dimensions sql.NullString
	var score sql.NullFloat64
	var created, updated sql.NullTime
	err := s.db.QueryRowContext(ctx, "SELECT id, comment, score, dimensions, created_at, updated_at FROM interview_evaluation WHERE "+shown, userID, reportID).
		Scan(&r.ID, &comment, &score, &dimensions, &created, &updated)
	if err != nil {
		return r, unread(evaluations, reportID, err)
	}
	r.Comment, r.Score, r.Dimensions, r.CreatedAt, r.UpdatedAt = comment.String, score.Float64, list(dimensions), created.Time, updated.Time
	return r, nil
}

// Answers reads the row that the platform reads, as Report does.
func (s *Store) Answers(ctx context.Context, userID, reportID int64) (Answers, error) {
	a := Answers{UserID: userID, ReportID: reportID}
	var records sql.NullString
	var created, updated sql.NullTime
	err := s.db.QueryRowContext(ctx, "SELECT id, records, created_at, updated_at FROM answer_report WHERE "+shown, userID, reportID).
		Scan(&a.ID, &records, &created, &updated)
	if err != nil {
		return a, unread(answers, reportID, err)
	}
	a.Records, a.CreatedAt, a.UpdatedAt = list(records), created.Time, updated.Time
	return a, nil
}

func unread(table string, report int64, err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("platform: no row of interview %d in %s: %w", report, table, tasks.ErrNotFound)
	}
	return storage(fmt.Sprintf("read %s of interview %d", table, report), err)
}

// list is a stored array, and an empty one in place of what is none: such rows
// are there from before.
func list(stored sql.NullString) json.RawMessage {
	var items []json.RawMessage
	if json.Unmarshal([]byte(stored.String), &items) != nil || items == nil {
		return json.RawMessage("[]")
	}
	return json.RawMessage(stored.String)
}
