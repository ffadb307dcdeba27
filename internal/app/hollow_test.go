package app

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/platform/platformtest"
	"evalq/tasks"
	"evalq/worker"
)

// saver are a platform's own functions as they are: each asks a model, saves what it
// can read of the answer, which may be nothing, and returns no result and no error.
type saver struct {
	p     *platformtest.Platform
	calls atomic.Int64 // of the model
	bad   atomic.Int64 // answers of the model to come that cannot be read
}

func (s *saver) evaluate(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
	text, err := worker.Checkpoint(ctx, "model", func(context.Context) (json.RawMessage, error) {
		s.calls.Add(1)
		if s.bad.Add(-1) >= 0 {
			return json.RawMessage(`"no JSON"`), nil
		}
		return json.RawMessage(`"an answer"`), nil
	})
	if err != nil {
		return nil, err
	}
	list := `[]`
	if string(text) == `"an answer"` {
		list = `[{"name":"depth","score":70}]`
	}
	if job.Kind == tasks.KindEvaluationReport {
		s.p.Exec(`DELETE FROM interview_evaluation WHERE report_id = ?`, job.ReportID)
		s.p.Exec(`INSERT INTO interview_evaluation (user_id, report_id, comment, score, dimensions) VALUES (?, ?, '', 0, ?)`, job.UserID, job.ReportID, list)
		return json.RawMessage(`null`), nil
	}
	s.p.Exec(`DELETE FROM answer_report WHERE report_id = ?`, job.ReportID)
	s.p.Exec(`INSERT INTO answer_report (user_id, report_id, records) VALUES (?, ?, ?)`, job.UserID, job.ReportID, list)
	return json.RawMessage(`null`), nil
}

// onSaver starts an evalq whose built-in kinds are the platform's functions. A failed
// try is repeated at once.
func onSaver(t *testing.T) (*App, *saver) {
	t.Helper()
	s := &saver{}
	a, p := onPlatform(t, platformtest.ByProgram, Extras{
		Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: s.evaluate, tasks.KindTopicEvaluation: s.evaluate},
		Policies: func(k tasks.Kind) tasks.Policy {
			p := tasks.PolicyFor(k)
			p.BackoffBase, p.BackoffMax = time.Millisecond, time.Millisecond
			return p
		},
	}, nil)
	s.p = p
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "a hash table")
	return a, s
}

func TestAnEmptyRowOfAPlatformsOwnFunctionIsNoSuccessAndTheModelIsAskedAgain(t *testing.T) {
	t.Parallel()
	for _, kind := range tasks.Kinds() {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			a, s := onSaver(t)
			s.bad.Store(2)
			job := await(t, a, submit(t, a, ask(kind, 7, 42), 202), func(job map[string]any) bool {
				return tasks.State(job["state"].(string)).Finished()
			})
			if job["state"] != "succeeded" || s.calls.Load() != 3 {
				t.Errorf("after %d calls: %v", s.calls.Load(), job)
			}
			if got := fmt.Sprint(job["charged"]); got != "2" {
				t.Errorf("%s attempts were charged, want the two that gave nothing", got)
			}
		})
	}
}

func TestAFunctionThatNeverGivesThePlatformAnythingEndsAsDeadAndABackfillLeavesIt(t *testing.T) {
	t.Parallel()
	a, s := onSaver(t)
	s.bad.Store(1_000_000)
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	job := await(t, a, id, state("dead"))
	if job["error"].(map[string]any)["class"] != "invalid_output" || s.calls.Load() > 10 {
		t.Errorf("after %d calls: %v", s.calls.Load(), job)
	}
	submitted := s.calls.Load()
	got := backfill(t, a, map[string]any{"older_than": "0s"})
	if n := got.Kinds[tasks.KindEvaluationReport]; n != (tasks.BackfilledKind{Found: 1, Dead: 1}) || s.calls.Load() < submitted {
		t.Errorf("a backfill found %+v", n)
	}
	s.bad.Store(0)
	submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	await(t, a, id, state("succeeded"))
}

func TestABackfillHasAFunctionRunAnewWhoseRowIsEmptyOrGoneAndSaysSoBefore(t *testing.T) {
	t.Parallel()
	a, s := onSaver(t)
	for _, kind := range tasks.Kinds() {
		await(t, a, submit(t, a, ask(kind, 7, 42), 202), state("succeeded"))
	}
	s.p.Exec(`UPDATE interview_evaluation SET dimensions = '[]'`) // as versions before have left it
	s.p.Exec(`DELETE FROM answer_report`)
	want := both(tasks.BackfilledKind{Found: 1, Submitted: 1})
	if got := perKind(backfill(t, a, map[string]any{"older_than": "0s", "dry_run": true})); got != want {
		t.Errorf("a dry run found %s, want %s", got, want)
	}
	if got := perKind(backfill(t, a, map[string]any{"older_than": "0s"})); got != want {
		t.Errorf("found %s, want %s", got, want)
	}
	eventually(t, "nothing is missing", func() bool {
		return perKind(backfill(t, a, map[string]any{"older_than": "0s"})) == both(tasks.BackfilledKind{})
	})
	if n := s.calls.Load(); n != 4 {
		t.Errorf("%d calls, want two of each kind", n)
	}
}

func TestADryRunCountsWhatCannotBeWrittenAsTheRunDoes(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, only(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`{"own":true}`), nil }), nil)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "a hash table")
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), state("succeeded"))
	var counts [2]tasks.BackfilledKind
	for i, dry := range []bool{true, false} {
		counts[i] = backfill(t, a, map[string]any{"older_than": "0s", "dry_run": dry}).Kinds[tasks.KindEvaluationReport]
	}
	if counts[0] != counts[1] || counts[1] != (tasks.BackfilledKind{Found: 1, Failed: 1}) {
		t.Errorf("a dry run says %+v, the run %+v", counts[0], counts[1])
	}
}

func TestAnInterviewThatChangedStartsTheNextRevisionWhenThePlatformsOwnFunctionEvaluates(t *testing.T) {
	t.Parallel()
	a, s := onSaver(t)
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	await(t, a, id, state("succeeded"))
	if again := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 200); again != id {
		t.Errorf("unchanged, it is %s, want %s", again, id)
	}
	s.p.Exec(`UPDATE interview_dialogues SET answer = 'a hash table with buckets'`)
	next := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	if job := await(t, a, next, state("succeeded")); next == id || fmt.Sprint(job["revision"]) != "2" {
		t.Errorf("after a change it is %v", job)
	}
	if n := s.calls.Load(); n != 2 {
		t.Errorf("%d calls, want 2", n)
	}
}
