package app

import (
	"context"
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/platform/platformtest"
	"evalq/mq"
	"evalq/tasks"
	"evalq/worker"
)

// payer are a platform's own two functions, which count their calls.
type payer struct{ calls atomic.Int64 }

func (o *payer) evaluate(context.Context, uint, uint64) (map[string]any, error) {
	o.calls.Add(1)
	return map[string]any{"comment": "72.00"}, nil
}

func (o *payer) extras() Extras {
	h := mq.Handler(o.evaluate)
	return Extras{Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: h, tasks.KindTopicEvaluation: h}}
}

func TestAnInterviewWithoutAnswersIsSkippedBeforeAPlatformsOwnFunctionIsPaid(t *testing.T) {
	t.Parallel()
	for name, tables := range platformtest.Variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := &payer{}
			a, p := onPlatform(t, tables, o.extras(), nil)
			for report, answers := range map[int64][]any{
				42: {},
				43: {""},
				44: {nil, nil},
				45: {" \t\r\n", "\u3000\u00a0\u3000"},
				46: {"\x00"},
				// Beyond the bounds of evalq's own judge.
				47: {strings.Repeat(" ", 60_000), strings.Repeat("\u3000", 20_000)},
			} {
				p.Record(report, 7, "completed", time.Now())
				for _, answer := range answers {
					p.Say(7, report, strings.Repeat("What is a map? ", 3000), answer)
				}
				p.Say(8, report, "Whose is it?", "another user's")
			}
			for report := int64(42); report <= 47; report++ {
				for _, kind := range tasks.Kinds() {
					job := await(t, a, submit(t, a, ask(kind, 7, report), 202), func(job map[string]any) bool {
						return tasks.State(job["state"].(string)).Finished()
					})
					if job["state"] != "skipped" || job["skipped"] != "empty" {
						t.Errorf("%s of %d: %v", kind, report, job)
					}
				}
			}
			if n := o.calls.Load(); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestAPlatformsOwnFunctionWaitsForTheInterviewAndIsNotCalledForAnotherUsers(t *testing.T) {
	t.Parallel()
	o := &payer{}
	a, p := onPlatform(t, platformtest.ByProgram, o.extras(), nil)
	mine, other := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), submit(t, a, ask(tasks.KindTopicEvaluation, 8, 42), 202)
	for _, id := range []string{mine, other} {
		if job := await(t, a, id, state("held")); job["hold"] != "interview missing" {
			t.Fatalf("held as %v", job)
		}
	}
	if n := o.calls.Load(); n != 0 {
		t.Fatalf("%d calls without an interview", n)
	}
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", nil)
	if job := await(t, a, mine, state("skipped")); job["skipped"] != "empty" {
		t.Errorf("%v", job)
	}
	if job := await(t, a, other, state("dead")); job["error"].(map[string]any)["class"] != "wrong_user" {
		t.Errorf("another user's: %v", job)
	}
	if n := o.calls.Load(); n != 0 {
		t.Errorf("%d calls", n)
	}
	// An answer that is given later is a reason to evaluate.
	p.Exec(`UPDATE interview_dialogues SET answer = 'a hash table'`)
	next := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	eventually(t, "the function is called for the answer", func() bool { return next != mine && o.calls.Load() > 0 })
}

func TestAPlatformsOwnKindNeedsNoInterview(t *testing.T) {
	t.Parallel()
	x := Extras{Handlers: map[tasks.Kind]worker.Handler{"resume_parse": func(context.Context, tasks.Job) (json.RawMessage, error) {
		return json.RawMessage(`{"parsed":true}`), nil
	}}}
	a, _ := onPlatform(t, platformtest.ByProgram, x, nil)
	await(t, a, submit(t, a, `{"kind":"resume_parse","user_id":7,"report_id":42}`, 202), state("succeeded"))
}
