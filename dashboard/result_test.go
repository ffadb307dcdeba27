package dashboard_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

// What the evaluation stores and what the page reads are two lists of fields;
// this test keeps them one.
func TestThePageReadsWhatTheEvaluationStores(t *testing.T) {
	t.Parallel()
	seven, nine := 57, 79
	answer := evaluation.AnswerEvaluation{
		Schema: evaluation.AnswerSchema, DialogID: "dlg-1", Topic: "topic-x", Language: "en", Score: &nine, Band: evaluation.BandGood, Confidence: 0.375, NeedsReview: true,
		Dimensions: []evaluation.Dimension{{Key: evaluation.Completeness, Score: 3.5, Max: 4, Weight: 0.3, Assessed: true, Reason: "reason-x"}},
		Points:     []evaluation.Point{{ID: "p", Text: "point-x", Weight: 2.5, Status: evaluation.Partial, Credit: 0.625, Evidence: &evaluation.Evidence{Quote: "quote-x"}}},
		Strengths:  []string{"strength-x"}, Weaknesses: []string{"weakness-x"}, Suggestions: []string{"suggestion-x"}, Flags: []evaluation.Flag{evaluation.FlagWordList},
	}
	report := evaluation.Report{
		Language: "en", Overall: 63, Band: evaluation.BandGood, Answered: 3, Evaluated: 4, Total: 5, Summary: "summary-x", Confidence: 0.25, NeedsReview: true, Limits: []string{"limit-x"},
		Dimensions: []evaluation.ReportDimension{{Key: evaluation.Depth, Score: 44, Assessed: true}},
		Topics:     []evaluation.TopicScore{{Topic: "topic-y", Answers: 2, Score: &seven, Min: &seven, Max: &nine, Strengths: []string{"good-y"}, Gaps: []string{"gap-y"}}},
		Answers:    []evaluation.AnswerScore{{DialogID: "dlg-2", Score: &nine, Confidence: 0.125, Flags: []evaluation.Flag{evaluation.FlagEmpty}}},
		Strengths:  []evaluation.Finding{{Text: "found-y", DialogIDs: []string{"dlg-2", "dlg-3"}}},
	}
	ledger, h := offline(t, nil)
	for _, c := range []struct {
		stored any
		want   []string
	}{
		{evaluation.TopicEvaluation{Language: "en", Answers: []evaluation.AnswerEvaluation{answer}, Evaluated: 1, Total: 2, Confidence: 0.5}, []string{
			"dlg-1", "topic-x", "<b>79</b>", "b-good", "confidence 0.375", "needs review", "completeness", "3.5 / 4", "reason-x", "point-x", "2.5", "p-partial", "0.625",
			"<q>quote-x</q>", "strength-x", "weakness-x", "suggestion-x", "word_list", "evaluated 1 of 2",
		}},
		{report, []string{
			"<b>63</b>", "answered 3 of 5", "evaluated 4 of 5", "summary-x", "limit-x", "confidence 0.25", "depth", "> 44<", "topic-y", "<b>57</b>", "good-y", "gap-y",
			"dlg-2", "<b>79</b>", "confidence 0.125", `"flag">empty`, "found-y (dlg-2, dlg-3)",
		}},
		{json.RawMessage(`{"comment":"comment-x","dimensions":[{"dimension_name":"axis-x","evaluation":"said-x","score":80},{"dimension_name":"axis-y"}]}`), []string{
			"comment-x", `"row">axis-x`, "> 80<", "said-x", `class="muted"><th scope="row">axis-y`,
		}},
	} {
		raw, err := json.Marshal(c.stored)
		if err != nil {
			t.Fatal(err)
		}
		job := ledger.add(tasks.Succeeded, func(j *tasks.Job) { j.Result = raw })
		a := get(h, "/jobs/"+job.ID)
		shown, _, _ := strings.Cut(a.body, "Result as stored")
		for _, want := range c.want {
			if a.status != http.StatusOK || !strings.Contains(shown, want) {
				t.Errorf("%T: answer %d, the page lacks %s", c.stored, a.status, want)
			}
		}
	}
}
