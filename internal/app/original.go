package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"evalq/internal/api"
	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/internal/view"
	"evalq/tasks"
)

// rows are the results as the platform's pages read them: from its own tables,
// and else from the ledger.
type rows struct {
	mirror *mirror // nil without a platform's database
	ledger *ledger.Ledger
}

// original is nil unless the settings ask for the platform's addresses.
func (a *App) original() api.Original {
	if !a.cfg.PlatformEndpoints {
		return nil
	}
	return rows{a.mirror, a.ledger.Ledger}
}

func (r rows) Owner(ctx context.Context, reportID int64) (int64, error) {
	if r.mirror != nil {
		user, err := r.mirror.platform.Owner(ctx, reportID)
		if tasks.ClassOf(err) != tasks.ClassInterviewMissing {
			return user, err
		}
	}
	return view.Owner(ctx, r.ledger, reportID)
}

// Row counts an empty result as none: such rows are there from before, and would
// be shown for ever.
func (r rows) Row(ctx context.Context, kind tasks.Kind, userID, reportID int64) (api.OriginalRow, error) {
	if r.mirror != nil {
		row, err := r.stored(ctx, kind, userID, reportID)
		if err != nil && !errors.Is(err, tasks.ErrNotFound) || err == nil && !empty(row.List) {
			return row, err
		}
	}
	row, err := r.kept(ctx, kind, userID, reportID)
	if err == nil && empty(row.List) {
		err = tasks.ErrNotFound
	}
	return row, err
}

func empty(list json.RawMessage) bool {
	var items []json.RawMessage
	return json.Unmarshal(list, &items) != nil || len(items) == 0
}

func (r rows) stored(ctx context.Context, kind tasks.Kind, userID, reportID int64) (api.OriginalRow, error) {
	if kind == tasks.KindTopicEvaluation {
		s, err := r.mirror.platform.Answers(ctx, userID, reportID)
		return api.OriginalRow{ID: s.ID, List: s.Records, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}, err
	}
	s, err := r.mirror.platform.Report(ctx, userID, reportID)
	return api.OriginalRow{ID: s.ID, Comment: s.Comment, Score: s.Score, List: s.Dimensions, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt}, err
}

// kept renders what the ledger has.
func (r rows) kept(ctx context.Context, kind tasks.Kind, userID, reportID int64) (row api.OriginalRow, err error) {
	out, err := view.Original(ctx, r.ledger, kind, userID, reportID)
	if err != nil {
		return row, err
	}
	if out == nil || out.Result == nil {
		return row, tasks.ErrNotFound
	}
	var result struct {
		evaluation.OriginalReportShape
		Dimensions json.RawMessage `json:"dimensions"`
		Records    json.RawMessage `json:"records"`
	}
	if err := json.Unmarshal(out.Result, &result); err != nil {
		return row, fmt.Errorf("app: read the result of %s: %w", out.Job.ID, err)
	}
	row = api.OriginalRow{Comment: result.Comment, Score: result.Score, List: result.Dimensions, CreatedAt: out.Job.AcceptedAt, UpdatedAt: out.Job.FinishedAt}
	if kind == tasks.KindTopicEvaluation {
		row.List = result.Records
	}
	return row, nil
}
