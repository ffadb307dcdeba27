package tasks

import (
	"fmt"
	"slices"
	"testing"
)

func TestBackfillsAddUpAndNameTheFirstFewJobs(t *testing.T) {
	t.Parallel()
	some := BackfilledKind{Found: 9, Submitted: 1, Underway: 1, Dead: 1, Cancelled: 1, Skipped: 1, Young: 2, Rewritten: 1, Failed: 1}
	page := Backfilled{Looked: 10, Interviews: 2, Kinds: map[Kind]BackfilledKind{KindTopicEvaluation: some}}
	for i := range 15 {
		page.Left = append(page.Left, fmt.Sprint(i))
	}
	later := page
	later.Next = "x"
	got := page.Plus(later)
	twice := BackfilledKind{Found: 18, Submitted: 2, Underway: 2, Dead: 2, Cancelled: 2, Skipped: 2, Young: 4, Rewritten: 2, Failed: 2}
	if got.Looked != 20 || got.Interviews != 4 || got.Next != "x" || got.Kinds[KindTopicEvaluation] != twice || got.Kinds[KindEvaluationReport] != (BackfilledKind{}) {
		t.Errorf("added up to %+v", got)
	}
	if want := append(slices.Clone(page.Left), page.Left[:5]...); !slices.Equal(got.Left, want) || len(page.Left) != 15 {
		t.Errorf("names %v", got.Left)
	}
	if got.Plus(Backfilled{}).Next != "" {
		t.Error("the end is not that of the later one")
	}
}
