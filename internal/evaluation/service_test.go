package evaluation_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// wordJudge gives a point for each key point whose text is in the answer.
type wordJudge struct {
	version string
	asked   []string
	fail    map[string]error // by dialog id
	lie     bool             // quotes what is not there and names another answer
}

func (j *wordJudge) Identity() evaluation.Identity {
	return evaluation.Identity{Evaluator: "words", Version: j.version}
}

func (j *wordJudge) Judge(_ context.Context, in evaluation.Input) (evaluation.AnswerEvaluation, error) {
	j.asked = append(j.asked, in.Answer.DialogID)
	if err := j.fail[in.Answer.DialogID]; err != nil {
		return evaluation.AnswerEvaluation{}, err
	}
	e := evaluation.Begin(j.Identity(), in)
	e.Audit.Tokens.Prompt = 10
	cost := int64(5)
	e.Audit.CostMicro = &cost
	if len(in.Answer.KeyPoints) == 0 {
		e.Flags = []evaluation.Flag{evaluation.FlagNoReference}
		return e, nil
	}
	said, sum := 0.0, 0.0
	for _, p := range in.Answer.KeyPoints {
		point := evaluation.Point{ID: p.ID, Text: p.Text, Weight: p.Weight, Status: evaluation.Missing}
		sum += p.Weight
		if j.lie || strings.Contains(in.Answer.Answer, p.Text) {
			said += p.Weight
			point.Status, point.Credit = evaluation.Covered, 1
			point.Evidence = &evaluation.Evidence{Quote: p.Text, End: len(p.Text)}
		} else {
			e.Suggestions = append(e.Suggestions, "Say "+p.Text)
		}
		e.Points = append(e.Points, point)
	}
	e.Dimensions[1].Assessed, e.Dimensions[1].Score = true, 4*said/sum
	e.Confidence = 0.8
	if j.lie {
		e.DialogID, e.Topic, e.Score = "other", "other", new(int)
	}
	return e, nil
}

type shelf map[int64]evaluation.Interview

func (s shelf) Interview(_ context.Context, userID, reportID int64) (evaluation.Interview, error) {
	in, ok := s[reportID]
	if !ok {
		return in, tasks.NewError(tasks.ClassInterviewMissing, tasks.ErrNotFound)
	}
	return in, nil
}

type ledgerSteps struct {
	kept     map[string]json.RawMessage
	progress [][3]int
}

func (s *ledgerSteps) Once(ctx context.Context, key string, fn func(context.Context) (json.RawMessage, error)) (json.RawMessage, bool, error) {
	if out, ok := s.kept[key]; ok {
		return out, true, nil
	}
	out, err := fn(ctx)
	if err == nil {
		s.kept[key] = out
	}
	return out, false, err
}

func (s *ledgerSteps) Progress(_ context.Context, done, kept, total int) error {
	s.progress = append(s.progress, [3]int{done, kept, total})
	return nil
}

type world struct {
	judge   *wordJudge
	steps   *ledgerSteps
	shelf   shelf
	service *evaluation.Service
}

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func newWorld(t *testing.T, ins ...evaluation.Interview) *world {
	t.Helper()
	w := &world{judge: &wordJudge{version: "1", fail: map[string]error{}}, steps: &ledgerSteps{kept: map[string]json.RawMessage{}}, shelf: shelf{}}
	for _, in := range ins {
		w.shelf[in.ReportID] = in
	}
	var err error
	w.service, err = evaluation.NewService(w.shelf, w.judge, w.steps, &evaluation.Config{Now: func() time.Time { return noon }})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func points(texts ...string) []evaluation.KeyPoint {
	var out []evaluation.KeyPoint
	for i, text := range texts {
		out = append(out, evaluation.KeyPoint{ID: string(rune('a' + i)), Text: text, Weight: 1})
	}
	return out
}

func interview() evaluation.Interview {
	return evaluation.Interview{
		UserID: 1, ReportID: 10, Title: "Round one", Language: "en",
		Answers: []evaluation.Answer{
			{DialogID: "q1", Topic: "Go", Difficulty: 1, Question: "One?", Answer: "alpha and beta", KeyPoints: points("alpha", "beta")},
			{DialogID: "q2", Topic: "Redis", Difficulty: 5, Question: "Two?", Answer: "alpha only", KeyPoints: points("alpha", "gamma")},
			{DialogID: "q3", Topic: "Redis", Difficulty: 1, Question: "Three?", Answer: " ", KeyPoints: points("delta")},
		},
	}
}

func TestReportWeighsByDifficultyAndCountsBlanksAsZero(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	r, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	// (1·100 + 2·50 + 1·0) / 4
	if r.Overall != 50 || r.Band != evaluation.BandPartial || r.Answered != 2 || r.Evaluated != 3 || r.Total != 3 {
		t.Errorf("overall %d (%s), %d answered, %d evaluated of %d", r.Overall, r.Band, r.Answered, r.Evaluated, r.Total)
	}
	if d := r.Dimensions[1]; d.Key != evaluation.Completeness || d.Score != 50 || !d.Assessed || d.Answers != 3 {
		t.Errorf("completeness = %+v", d)
	}
	if d := r.Dimensions[0]; d.Assessed || d.Answers != 0 {
		t.Errorf("correctness = %+v", d)
	}
	weakest, _ := r.Weakest()
	if weakest.Topic != "Redis" || *weakest.Score != 33 || *weakest.Min != 0 || *weakest.Max != 50 || weakest.DifficultyMean != 3 {
		t.Errorf("weakest = %+v", weakest)
	}
	if diff := cmp.Diff([]string{"gamma", "delta"}, weakest.Gaps); diff != "" {
		t.Error(diff)
	}
	if len(r.Strengths) != 1 || !slices.Equal(r.Strengths[0].DialogIDs, []string{"q1"}) || len(r.Weaknesses) != 1 || !slices.Equal(r.Weaknesses[0].DialogIDs, []string{"q2", "q3"}) {
		t.Errorf("strengths %+v, weaknesses %+v", r.Strengths, r.Weaknesses)
	}
	if r.Audit.CostMicro == nil || *r.Audit.CostMicro != 10 || r.Audit.Tokens.Prompt != 20 || !r.Audit.EvaluatedAt.Equal(noon) || r.Audit.Evaluator != "words" {
		t.Errorf("audit = %+v", r.Audit)
	}
	limits := strings.Join(r.Limits, "\n")
	for _, want := range []string{"Not answered, counted as 0: q3", "Dimensions not assessed: Correctness, Depth, Clarity", "advice"} {
		if !strings.Contains(limits, want) {
			t.Errorf("limits %q lack %q", limits, want)
		}
	}
}

func TestBothKindsShareTheEvaluationOfEachAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	if _, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10); err != nil {
		t.Fatal(err)
	}
	w.steps.progress = nil
	e, err := w.service.GenerateAnswerRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"q1", "q2"}, w.judge.asked); diff != "" {
		t.Errorf("asked:\n%s", diff)
	}
	if diff := cmp.Diff([][3]int{{0, 0, 3}, {1, 1, 3}, {2, 2, 3}, {3, 2, 3}}, w.steps.progress); diff != "" {
		t.Errorf("progress:\n%s", diff)
	}
	if len(e.Answers) != 3 || *e.Answers[1].Score != 50 || e.Evaluated != 3 || !e.Answers[2].Has(evaluation.FlagEmpty) {
		t.Errorf("evaluation = %+v", e)
	}
}

func TestOnlyTheChangedAnswerIsEvaluatedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	run := func() {
		if _, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10); err != nil {
			t.Fatal(err)
		}
	}
	run()
	w.judge.asked = nil
	changed := interview()
	changed.Title = "Renamed"
	changed.Answers[1].Answer = "alpha and gamma"
	w.shelf[10] = changed
	run()
	if diff := cmp.Diff([]string{"q2"}, w.judge.asked); diff != "" {
		t.Error(diff)
	}
	w.judge.asked, w.judge.version = nil, "2"
	run()
	if len(w.judge.asked) != 2 {
		t.Errorf("another judge was asked %v", w.judge.asked)
	}
}

func TestAnInterviewWithoutAnswersIsSkipped(t *testing.T) {
	t.Parallel()
	blank := interview()
	for i := range blank.Answers {
		blank.Answers[i].Answer = "\t"
	}
	blank.ReportID = 11
	w := newWorld(t, blank, evaluation.Interview{UserID: 1, ReportID: 12, Language: "zh"})
	for _, report := range []int64{11, 12} {
		_, err := w.service.GenerateRecordEvaluation(t.Context(), 1, report)
		if reason, ok := tasks.SkipReason(err); !ok || reason != "empty" {
			t.Errorf("report %d: %v", report, err)
		}
	}
	if len(w.judge.asked) > 0 {
		t.Errorf("the judge was asked %v", w.judge.asked)
	}
}

func TestNothingToMeasureAgainstIsPermanentAndNamesTheQuestions(t *testing.T) {
	t.Parallel()
	in := interview()
	for i := range in.Answers {
		in.Answers[i].KeyPoints = nil
	}
	w := newWorld(t, in)
	_, err := w.service.GenerateAnswerRecordEvaluation(t.Context(), 1, 10)
	if tasks.ClassOf(err) != tasks.ClassNotAssessable || !tasks.IsPermanent(err) || !strings.Contains(err.Error(), "q1, q2") || strings.Contains(err.Error(), "q3") {
		t.Errorf("error = %v", err)
	}
}

func TestAPartialResultSaysSo(t *testing.T) {
	t.Parallel()
	in := interview()
	in.Answers[0].KeyPoints = nil
	w := newWorld(t, in)
	r, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	// (2·50 + 1·0) / 3: the first is left out, not counted as 0.
	if r.Overall != 33 || r.Evaluated != 2 || !r.NeedsReview || r.Answers[0].Score != nil {
		t.Errorf("overall %d, evaluated %d, review %v", r.Overall, r.Evaluated, r.NeedsReview)
	}
	if limits := strings.Join(r.Limits, "\n"); !strings.Contains(limits, "Evaluated 2 of 3") || !strings.Contains(limits, "not scored: q1") {
		t.Errorf("limits = %q", limits)
	}
}

func TestAnAnswerThatTheJudgeRefusesIsLeftOut(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	w.judge.fail["q1"] = tasks.NewError(tasks.ClassContentFiltered, errors.New("no"))
	r, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	if r.Evaluated != 2 || !slices.Contains(r.Answers[0].Flags, evaluation.FlagNotEvaluated) || !strings.Contains(strings.Join(r.Limits, "\n"), "could not score: q1") {
		t.Errorf("evaluated %d, flags %v, limits %q", r.Evaluated, r.Answers[0].Flags, r.Limits)
	}
	w.judge.fail["q2"] = w.judge.fail["q1"]
	clear(w.steps.kept)
	if _, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10); tasks.ClassOf(err) != tasks.ClassContentFiltered {
		t.Errorf("all refused: %v", err)
	}
}

func TestAFailingJudgeKeepsWhatIsDone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	w.judge.fail["q2"] = tasks.NewError(tasks.ClassRateLimited, errors.New("slow down"))
	if _, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10); tasks.ClassOf(err) != tasks.ClassRateLimited {
		t.Fatalf("error = %v", err)
	}
	w.judge.fail, w.judge.asked = nil, nil
	if _, err := w.service.GenerateRecordEvaluation(t.Context(), 1, 10); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"q2"}, w.judge.asked); diff != "" {
		t.Error(diff)
	}
}

func TestAJudgeCannotDecideWhatIsNotItsToDecide(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	w.judge.lie = true
	e, err := w.service.GenerateAnswerRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	got := e.Answers[1]
	if got.DialogID != "q2" || got.Topic != "Redis" || *got.Score != 100 {
		t.Errorf("evaluation = %+v", got)
	}
	if p := got.Points[1]; p.Credit != 0 || p.Evidence != nil || p.Status != evaluation.Missing {
		t.Errorf("an invented quote kept its credit: %+v", p)
	}
}

func TestOwnershipAndIdsAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t, interview())
	for _, tc := range []struct {
		user, report int64
		want         tasks.Class
	}{
		{2, 10, tasks.ClassWrongUser},
		{1, 99, tasks.ClassInterviewMissing},
		{0, 10, tasks.ClassInvalidPayload},
		{1, -1, tasks.ClassInvalidPayload},
	} {
		if _, err := w.service.GenerateRecordEvaluation(t.Context(), tc.user, tc.report); tasks.ClassOf(err) != tc.want {
			t.Errorf("user %d, report %d: %v, want %s", tc.user, tc.report, err, tc.want)
		}
	}
}

func TestTheSameInterviewGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	var first []byte
	for range 10 {
		r, err := newWorld(t, interview()).service.GenerateRecordEvaluation(t.Context(), 1, 10)
		if err != nil {
			t.Fatal(err)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = b
		}
		if diff := cmp.Diff(string(first), string(b)); diff != "" {
			t.Fatal(diff)
		}
	}
	if strings.Contains(string(first), ":null,\"strengths\"") || strings.Contains(string(first), `"flags":null`) {
		t.Errorf("a list is null: %s", first)
	}
}

func TestNewServiceNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := evaluation.NewService(nil, w.judge, w.steps, nil); err == nil || !strings.Contains(err.Error(), "store") {
		t.Errorf("no store: %v", err)
	}
	if _, err := evaluation.NewService(w.shelf, nil, w.steps, nil); err == nil || !strings.Contains(err.Error(), "judge") {
		t.Errorf("no judge: %v", err)
	}
	if _, err := evaluation.NewService(w.shelf, w.judge, nil, nil); err == nil || !strings.Contains(err.Error(), "steps") {
		t.Errorf("no steps: %v", err)
	}
}
