package tasks_test

import (
	"errors"
	"fmt"
	"testing"

	"evalq/tasks"
)

func TestZeroValuesAndNilPointersOfErrorsHaveATextAndAClass(t *testing.T) {
	t.Parallel()
	for _, err := range []error{
		&tasks.Error{}, (*tasks.Error)(nil), fmt.Errorf("wrapped: %w", (*tasks.Error)(nil)), errors.Join((*tasks.Error)(nil)),
		&tasks.Error{Err: (*tasks.Error)(nil)}, &tasks.InvalidError{}, (*tasks.InvalidError)(nil), tasks.NewError("", nil), tasks.Skip(""), tasks.WaitFor("", 0),
	} {
		if err.Error() == "" {
			t.Errorf("%T has no text", err)
		}
		if c := tasks.ClassOf(err); c != tasks.ClassInternal {
			t.Errorf("%T: class %q", err, c)
		}
		if tasks.RetryAfter(err) != 0 || tasks.IsPermanent(err) || errors.Is(err, tasks.ErrStale) {
			t.Errorf("%T says something that it does not know", err)
		}
	}
	if reason, ok := tasks.SkipReason(tasks.Skip("")); !ok || reason == "" {
		t.Errorf("an empty skip has the reason %q, %v", reason, ok)
	}
}

func TestNoPayloadAndAPointerToOneAreRefusedBeforeTheyAreUsed(t *testing.T) {
	t.Parallel()
	for _, p := range []tasks.Payload{nil, (*tasks.Custom)(nil), (*tasks.EvaluationReport)(nil), &tasks.TopicEvaluation{UserID: 1, ReportID: 1}, tasks.Custom{}, tasks.EvaluationReport{}} {
		if _, err := tasks.Encode(p); err == nil {
			t.Errorf("%#v was encoded", p)
		}
		if err := (tasks.Request{Payload: p}).Validate(); err == nil {
			t.Errorf("%#v is a request", p)
		}
	}
}

func TestZeroValuesOfTheVocabularyAnswerWithoutAPanic(t *testing.T) {
	t.Parallel()
	var j tasks.Job
	_ = []any{j.Payload(), j.Sentence(""), j.Failing(), j.Ref().LogValue(), j.Scope(), j.ReportScope(), j.TaskID()}
	_ = []any{tasks.Overview{}.Count(tasks.Dead), tasks.Backfilled{}.Plus(tasks.Backfilled{}), tasks.Removed{}.Plus(tasks.Removed{})}
	_ = []any{tasks.Class("").Sentence("", true), tasks.Hold("").Sentence("zh"), tasks.State("").Finished(), tasks.Namespace("").Queue("")}
	if d := (tasks.Policy{}).Backoff(-1, 0.5); d != 0 {
		t.Errorf("no policy waits %s", d)
	}
	if err := (tasks.Policy{}).Validate(); err == nil {
		t.Error("no policy is a policy")
	}
	if err := tasks.DecodeStrict([]byte(`{}`), nil); err == nil {
		t.Error("something was decoded into nothing")
	}
	if err := tasks.CheckJSON(nil); err == nil {
		t.Error("nothing is JSON")
	}
}
