package samples_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"evalq/internal/evaluation"
	"evalq/internal/rubric"
	"evalq/samples"
	"evalq/tasks"
)

func bank(t *testing.T) []samples.Question {
	t.Helper()
	qs, err := samples.Bank()
	if err != nil {
		t.Fatal(err)
	}
	return qs
}

func all(t *testing.T) []evaluation.Interview {
	t.Helper()
	ins, err := samples.All()
	if err != nil {
		t.Fatal(err)
	}
	return ins
}

func score(t *testing.T, q samples.Question, answer string) int {
	t.Helper()
	e, err := rubric.New().Judge(t.Context(), q.Input(answer))
	if err != nil {
		t.Fatal(err)
	}
	if e.Score == nil {
		t.Fatalf("%s: no score", q.ID)
	}
	return *e.Score
}

func TestStrongAnswersScoreAbovePartialOnesAndThoseAboveOffTopicOnes(t *testing.T) {
	t.Parallel()
	const margin = 10
	for _, q := range bank(t) {
		strong, partial, off := score(t, q, q.Strong), score(t, q, q.Partial), score(t, q, q.OffTopic)
		if strong < partial+margin || partial < off+margin {
			t.Errorf("%s: strong %d, partial %d, off topic %d", q.ID, strong, partial, off)
		}
	}
}

func TestNoSampleAnswerLooksLikeAWordList(t *testing.T) {
	t.Parallel()
	for _, q := range bank(t) {
		for _, answer := range []string{q.Strong, q.Partial, q.OffTopic} {
			e, err := rubric.New().Judge(t.Context(), q.Input(answer))
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range []evaluation.Flag{evaluation.FlagWordList, evaluation.FlagLanguageMismatch, evaluation.FlagQuestionEcho} {
				if e.Has(f) {
					t.Errorf("%s: %.40q… is flagged %s", q.ID, answer, f)
				}
			}
		}
	}
}

func TestNoAnswerIsPastedFromItsKeyPoints(t *testing.T) {
	t.Parallel()
	for _, q := range bank(t) {
		for _, p := range q.KeyPoints {
			if strings.Contains(q.Strong, p.Text) || strings.Contains(q.Partial, p.Text) {
				t.Errorf("%s: an answer contains the text of %s", q.ID, p.ID)
			}
		}
	}
}

func TestTheBankCoversItsTopicsInBothLanguages(t *testing.T) {
	t.Parallel()
	ids, topics, languages := map[string]bool{}, map[string]int{}, map[string]int{}
	for _, q := range bank(t) {
		if ids[q.ID] {
			t.Errorf("%s is there twice", q.ID)
		}
		ids[q.ID] = true
		languages[q.Language]++
		for _, topic := range []string{"Go", "Redis", "MySQL", "消息队列", "Message queues"} {
			if strings.HasPrefix(q.Topic, topic) {
				topics[topic]++
			}
		}
		if n := len(q.KeyPoints); n < 3 || n > 6 {
			t.Errorf("%s has %d key points", q.ID, n)
		}
		weights := map[float64]bool{}
		for _, p := range q.KeyPoints {
			weights[p.Weight] = true
			if len(p.Aliases) == 0 {
				t.Errorf("%s: %s has no alias", q.ID, p.ID)
			}
		}
		if len(weights) < 2 {
			t.Errorf("%s: all points weigh the same", q.ID)
		}
	}
	if len(ids) < 24 || languages["zh"] != 2*languages["en"] {
		t.Errorf("%d questions: %v", len(ids), languages)
	}
	if topics["Go"] < 6 || topics["Redis"] < 6 || topics["MySQL"] < 6 || topics["消息队列"]+topics["Message queues"] < 5 {
		t.Errorf("topics: %v", topics)
	}
}

type one struct{ in evaluation.Interview }

func (o one) Interview(context.Context, int64, int64) (evaluation.Interview, error) { return o.in, nil }

type unstored struct{}

func (unstored) Once(ctx context.Context, _ string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, bool, error) {
	out, err := fn(ctx)
	return out, false, err
}
func (unstored) Progress(context.Context, int, int, int) error { return nil }

func report(t *testing.T, in evaluation.Interview) (*evaluation.Report, error) {
	t.Helper()
	s, err := evaluation.NewService(one{in}, rubric.New(), unstored{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s.GenerateRecordEvaluation(t.Context(), in.UserID, in.ReportID)
}

func TestEveryInterviewEndsAsItShould(t *testing.T) {
	t.Parallel()
	ins := all(t)
	if len(ins) < 8 {
		t.Fatalf("%d interviews", len(ins))
	}
	for i, in := range ins {
		if want := int64(5001 + i); in.ReportID != want || in.UserID < 1001 {
			t.Errorf("interview %d has report id %d, user id %d", i, in.ReportID, in.UserID)
		}
		r, err := report(t, in)
		switch in.ReportID {
		case samples.ReportNotAssessable:
			if tasks.ClassOf(err) != tasks.ClassNotAssessable {
				t.Errorf("%d: %v", in.ReportID, err)
			}
		case samples.ReportUnanswered:
			if reason, ok := tasks.SkipReason(err); !ok || reason != "empty" {
				t.Errorf("%d: %v", in.ReportID, err)
			}
		default:
			if err != nil {
				t.Errorf("%d: %v", in.ReportID, err)
			} else {
				t.Logf("%d: %d, %s", in.ReportID, r.Overall, r.Summary)
			}
		}
	}
}

func TestKeyPointsMakeTheNotAssessableInterviewAssessable(t *testing.T) {
	t.Parallel()
	before, err := samples.NotAssessable()
	if err != nil {
		t.Fatal(err)
	}
	after, err := samples.NotAssessableWithKeyPoints()
	if err != nil {
		t.Fatal(err)
	}
	if before.ReportID != after.ReportID || before.UserID != after.UserID || before.Hash() == after.Hash() {
		t.Errorf("before %d, after %d, hash changed: %v", before.ReportID, after.ReportID, before.Hash() != after.Hash())
	}
	r, err := report(t, after)
	if err != nil {
		t.Fatal(err)
	}
	if r.Evaluated != len(after.Answers) || r.Overall < 40 {
		t.Errorf("evaluated %d, overall %d", r.Evaluated, r.Overall)
	}
}

func TestThePartialInterviewSaysWhatWasLeftOut(t *testing.T) {
	t.Parallel()
	for _, in := range all(t) {
		if in.ReportID != 5008 {
			continue
		}
		r, err := report(t, in)
		if err != nil {
			t.Fatal(err)
		}
		if r.Evaluated != 3 || r.Total != 4 || !strings.Contains(strings.Join(r.Limits, "\n"), "Evaluated 3 of 4") {
			t.Errorf("evaluated %d of %d, limits %q", r.Evaluated, r.Total, r.Limits)
		}
		return
	}
	t.Error("report 5008 is missing")
}
