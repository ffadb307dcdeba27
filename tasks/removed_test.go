package tasks

import "testing"

func TestScopesAreSpelledAsLedgersHaveThemStored(t *testing.T) {
	t.Parallel()
	j := Job{Kind: "resume_parse", UserID: 7, ReportID: 9223372036854775807, Revision: 2}
	if got := j.Scope(); got != "job:resume_parse:7:9223372036854775807:2" {
		t.Errorf("own: %s", got)
	}
	if got := j.ReportScope(); got != "report:7:9223372036854775807" {
		t.Errorf("shared: %s", got)
	}
}

func TestRemovedAddsUpAndIsAsFarAsTheLaterOne(t *testing.T) {
	t.Parallel()
	first := Removed{Jobs: 1, Results: 2, Attempts: 3, Events: 4, Checkpoints: 5, Interviews: 6, Quarantined: 7, Tasks: 8, Running: 9}
	got := first.Plus(Removed{Jobs: 10, Results: 10, Attempts: 10, Events: 10, Checkpoints: 10, Interviews: 10, Quarantined: 10, Tasks: 10, Done: true})
	want := Removed{Jobs: 11, Results: 12, Attempts: 13, Events: 14, Checkpoints: 15, Interviews: 16, Quarantined: 17, Tasks: 18, Done: true}
	if got != want {
		t.Errorf("%+v", got)
	}
}
