package app

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"

	"evalq/internal/evaluation"
	"evalq/internal/ledger"
	"evalq/internal/rubric"
	"evalq/tasks"
	"evalq/worker"
)

// evaluators are the handlers of the two built-in kinds, and what a platform
// adds to them or puts in their place. With a mirror, interviews come from the
// platform's database and results go there before the ledger has them, so that a
// result that could not be written is tried again; all its paid steps are kept.
func evaluators(store *ledger.Ledger, m *mirror, judge evaluation.Judge, more map[tasks.Kind]worker.Handler) (map[tasks.Kind]worker.Handler, error) {
	if judge == nil {
		judge = rubric.New()
	}
	var from evaluation.Store = store
	if m != nil {
		from = m
	}
	s, err := evaluation.NewService(from, judge, steps{}, nil)
	if err != nil {
		return nil, fmt.Errorf("app: evaluation: %w", err)
	}
	by := judge.Identity().String()
	out := map[tasks.Kind]worker.Handler{
		tasks.KindEvaluationReport: func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
			ctx = withWork(ctx, job)
			r, err := s.GenerateRecordEvaluation(ctx, job.UserID, job.ReportID)
			if err == nil && m != nil {
				err = deliver(ctx, func(ctx context.Context) error {
					return m.platform.SaveReport(ctx, job.UserID, job.ReportID, evaluation.OriginalReport(r))
				})
			}
			return document(ctx, by, r, err)
		},
		tasks.KindTopicEvaluation: func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
			ctx = withWork(ctx, job)
			t, err := s.GenerateAnswerRecordEvaluation(ctx, job.UserID, job.ReportID)
			if err == nil && m != nil {
				err = deliver(ctx, func(ctx context.Context) error {
					return m.platform.SaveAnswers(ctx, job.UserID, job.ReportID, evaluation.OriginalAnswerReport(t, workOf(ctx).interview))
				})
			}
			return document(ctx, by, t, err)
		},
	}
	maps.Copy(out, own(m, more))
	return out, nil
}

// document turns what the service returned into what is stored.
func document(ctx context.Context, by string, result any, err error) (json.RawMessage, error) {
	if err != nil {
		return nil, err
	}
	worker.MadeBy(ctx, by)
	return json.Marshal(result)
}

// steps are the worker's checkpoints as the evaluation needs them: shared by
// all jobs of a report, because both kinds rest on the same answers.
type steps struct{}

func (steps) Once(ctx context.Context, key string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, bool, error) {
	return worker.SharedCheckpoint(ctx, key, fn)
}

func (steps) Progress(ctx context.Context, done, kept, total int) error {
	if w := workOf(ctx); w != nil {
		w.done, w.kept, w.total = done, kept, total
	}
	return worker.Progress(ctx, done, kept, total)
}
