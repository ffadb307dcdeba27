package evaluation_test

import (
	"encoding/json"
	"strings"
	"testing"

	"evalq/internal/evaluation"
)

func TestOriginalReportHasTheThreeFieldsAndOnlyAssessedDimensions(t *testing.T) {
	t.Parallel()
	in := interview()
	in.Language = "zh"
	r, err := newWorld(t, in).service.GenerateRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(evaluation.OriginalReport(r))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Comment    string
		Dimensions []map[string]any
		Score      float64
	}
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Dimensions) != 1 || got.Dimensions[0]["dimension_name"] != "要点完整性" || got.Dimensions[0]["score"] != 50.0 || got.Dimensions[0]["evaluation"] == "" {
		t.Errorf("dimensions = %v", got.Dimensions)
	}
	if got.Score != 50 || !strings.Contains(got.Comment, "不足：Redis（33 分）") || !strings.Contains(got.Comment, "没有评估的维度") {
		t.Errorf("score %v, comment %q", got.Score, got.Comment)
	}
}

func TestOriginalReportScoreIsTheMeanOfItsDimensions(t *testing.T) {
	t.Parallel()
	r := &evaluation.Report{Language: "en", Dimensions: []evaluation.ReportDimension{
		{Key: evaluation.Correctness, Score: 50, Assessed: true, Answers: 2},
		{Key: evaluation.Completeness, Score: 75, Assessed: true, Answers: 2},
		{Key: evaluation.Depth, Score: 100},
		{Key: evaluation.Clarity, Score: 76, Assessed: true, Answers: 2},
	}}
	got := evaluation.OriginalReport(r)
	if got.Score != 67 || len(got.Dimensions) != 3 || got.Dimensions[0].Name != "Correctness" {
		t.Errorf("score %v, dimensions %+v", got.Score, got.Dimensions)
	}
}

func TestOriginalAnswersTakeTheirWordsFromTheInterview(t *testing.T) {
	t.Parallel()
	in := interview()
	in.Answers[0].KeyPoints = nil
	e, err := newWorld(t, in).service.GenerateAnswerRecordEvaluation(t.Context(), 1, 10)
	if err != nil {
		t.Fatal(err)
	}
	got := evaluation.OriginalAnswerReport(e, in)
	if len(got.Records) != 3 {
		t.Fatalf("%d records", len(got.Records))
	}
	first, second := got.Records[0], got.Records[1]
	if first.Comment.Score != nil || first.Comment.Difficulty != "easy" {
		t.Errorf("an answer without score: %+v", first.Comment)
	}
	if second.Order != 2 || second.Content != "Two?" || second.Message[0].Answer != "alpha only" || *second.Comment.Score != 50 ||
		second.Comment.Difficulty != "hard" || second.Comment.KeyPoints != "alpha; gamma" || second.Comment.Suggestion != "Say gamma" {
		t.Errorf("record = %+v", second)
	}
	if strings.Contains(second.Comment.Thinking, "changed") {
		t.Errorf("thinking = %q", second.Comment.Thinking)
	}
	in.Answers[1].Answer = "something else"
	if got := evaluation.OriginalAnswerReport(e, in); !strings.Contains(got.Records[1].Comment.Thinking, "has changed since") {
		t.Errorf("a changed answer is not marked: %+v", got.Records[1].Comment)
	}
	if got := evaluation.OriginalAnswerReport(e, evaluation.Interview{}); len(got.Records[1].Message) != 0 {
		t.Errorf("words without an interview: %+v", got.Records[1].Message)
	}
}
