package app

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"evalq/internal/platform/platformtest"
	"evalq/tasks"
)

// backfill asks for all pages and sums the counts up.
func backfill(t *testing.T, a *App, body map[string]any) (all tasks.Backfilled) {
	t.Helper()
	for {
		raw, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		status, got := call(t, "POST", a.URL()+"/v1/admin/backfill", string(raw))
		if status != 200 {
			t.Fatalf("backfill: %d %v", status, got)
		}
		raw, err = json.Marshal(got)
		if err != nil {
			t.Fatal(err)
		}
		var page tasks.Backfilled
		if err := json.Unmarshal(raw, &page); err != nil {
			t.Fatal(err)
		}
		if all = all.Plus(page); all.Next == "" {
			return all
		}
		body["cursor"] = all.Next
	}
}

// perKind is what was found of each kind.
func perKind(b tasks.Backfilled) string {
	return fmt.Sprintf("%+v %+v", b.Kinds[tasks.KindEvaluationReport], b.Kinds[tasks.KindTopicEvaluation])
}

func both(k tasks.BackfilledKind) string { return fmt.Sprintf("%+v %+v", k, k) }

func TestWhatABackfillDoesIsOnTheAuditLogBeforeItIsDone(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	now := func(dry bool) map[string]any { return map[string]any{"older_than": "0s", "dry_run": dry} }
	if got := backfill(t, a, now(true)); perKind(got) != both(tasks.BackfilledKind{Found: 1, Submitted: 1}) || got.Looked != 1 {
		t.Fatalf("dry run: %+v", got)
	}
	if got := backfill(t, a, map[string]any{"older_than": "0s", "user_id": 8}); got.Looked != 0 {
		t.Fatalf("another user's: %+v", got)
	}
	if got := backfill(t, a, now(false)); perKind(got) != both(tasks.BackfilledKind{Found: 1, Submitted: 1}) {
		t.Fatalf("in earnest: %+v", got)
	}
	_, list := call(t, "GET", a.URL()+"/v1/evaluations", "")
	for _, j := range list["jobs"].([]any) {
		id := j.(map[string]any)["id"].(string)
		if job := await(t, a, id, state("succeeded")); job["priority"] != "low" {
			t.Errorf("submitted as %v", job)
		}
		if _, events := call(t, "GET", a.URL()+"/v1/evaluations/"+id+"/events", ""); events["events"].([]any)[0].(map[string]any)["who"] != "api:local" {
			t.Errorf("its history is %v", events)
		}
	}
	if got := backfill(t, a, now(false)); perKind(got) != both(tasks.BackfilledKind{}) {
		t.Fatalf("when all is there: %+v", got)
	}
	// A run that changes nothing leaves no entry, or watching would bury the others.
	want := "api:local ledger.backfill interviews of all users: dry run\napi:local ledger.backfill interviews of all users: 2 jobs to submit, 0 stored results to write again\n"
	if log := audit(t, a); log != want {
		t.Errorf("the audit log:\n%s", log)
	}
}

func TestAResultWhoseRowIsGoneOrEmptyIsWrittenAgainWithoutACall(t *testing.T) {
	t.Parallel()
	for name, tables := range platformtest.Variants {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			judge := &paid{}
			a, p := onPlatform(t, tables, Extras{Judge: judge}, nil)
			p.Record(42, 7, "completed", time.Now())
			p.Say(7, 42, "什么是切片？", "底层数组的视图")
			now := func() map[string]any { return map[string]any{"older_than": "0s"} }
			if got := backfill(t, a, now()); perKind(got) != both(tasks.BackfilledKind{Found: 1, Submitted: 1}) {
				t.Fatalf("found %+v", got)
			}
			done := func() bool {
				return p.Text(rowsOf) == "1 1" && perKind(backfill(t, a, now())) == both(tasks.BackfilledKind{})
			}
			eventually(t, "both results are in the platform's tables", done)
			const rows = `SELECT concat(comment, dimensions, score, (SELECT group_concat(records) FROM answer_report WHERE deleted = 0)) FROM interview_evaluation WHERE deleted = 0`
			first, calls := p.Text(rows), judge.asked.Load()

			for what, lose := range map[string][]string{
				"gone":    {`DELETE FROM interview_evaluation`, `DELETE FROM answer_report`},
				"deleted": {`UPDATE interview_evaluation SET deleted = 1`, `UPDATE answer_report SET deleted = 1`},
				"empty":   {`UPDATE interview_evaluation SET comment = '', dimensions = '[]', score = 0`, `UPDATE answer_report SET records = '[]'`},
			} {
				for _, s := range lose {
					p.Exec(s)
				}
				body := now()
				body["dry_run"] = true
				if got := backfill(t, a, body); perKind(got) != both(tasks.BackfilledKind{Found: 1, Rewritten: 1}) {
					t.Fatalf("%s, dry run: %+v", what, got)
				}
				if got := backfill(t, a, now()); perKind(got) != both(tasks.BackfilledKind{Found: 1, Rewritten: 1}) || got.Interviews != 1 {
					t.Fatalf("%s: %+v", what, got)
				}
				if got := p.Text(rows); got != first || judge.asked.Load() != calls {
					t.Fatalf("%s: after %d calls more the rows are\n%s\nnot\n%s", what, judge.asked.Load()-calls, got, first)
				}
			}
			if _, list := call(t, "GET", a.URL()+"/v1/evaluations", ""); len(list["jobs"].([]any)) != 2 {
				t.Errorf("the jobs are %v", list)
			}
			if log := audit(t, a); !strings.Contains(log, "0 jobs to submit, 2 stored results to write again") {
				t.Errorf("the audit log:\n%s", log)
			}
		})
	}
}

// TestAnEmptyResultFromBeforeIsReplacedInTheRowThatThePlatformReads: the queue
// before stored what it could not read as an empty result, and evaluated it anew
// into a further row at each look, which nobody read.
func TestAnEmptyResultFromBeforeIsReplacedInTheRowThatThePlatformReads(t *testing.T) {
	t.Parallel()
	judge := &paid{}
	a, p := onPlatform(t, platformtest.ByProgram, Extras{Judge: judge}, nil)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a slice?", "a view of an array")
	p.Exec(`INSERT INTO interview_evaluation (id, user_id, report_id, comment, score, dimensions) VALUES (5, 7, 42, '', 0, '[]')`)
	p.Exec(`INSERT INTO answer_report (id, user_id, report_id, records) VALUES (5, 7, 42, '[]'), (6, 7, 42, '[{"order":1}]')`)
	if got := backfill(t, a, map[string]any{"older_than": "0s"}); perKind(got) != both(tasks.BackfilledKind{Found: 1, Submitted: 1}) {
		t.Fatalf("found %+v", got)
	}
	eventually(t, "nothing is missing", func() bool {
		return perKind(backfill(t, a, map[string]any{"older_than": "0s"})) == both(tasks.BackfilledKind{})
	})
	const rows = `SELECT concat((SELECT group_concat(id, ' ', score, ' ', json_length(dimensions) > 0) FROM interview_evaluation), ', ',
		(SELECT group_concat(id, ' ', json_length(records) ORDER BY id) FROM answer_report))`
	if got := p.Text(rows); got != "5 50.00 1, 5 1,6 1" || judge.asked.Load() != 1 {
		t.Errorf("rows %s, %d calls", got, judge.asked.Load())
	}
}

func TestOnAPlatformABackfillFindsWhatItsTablesAndTheLedgerHaveEachOnce(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, Extras{Judge: &paid{}}, nil)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a slice?", "a view")
	p.Record(43, 7, "completed", time.Now())
	p.Say(7, 43, "What is a map?", "")
	call(t, "PUT", a.URL()+"/v1/interviews/44", slice) // which the platform does not have
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 43), 202), state("skipped"))
	now := map[string]any{"older_than": "0s", "limit": 1}
	if got := backfill(t, a, now); perKind(got) != both(tasks.BackfilledKind{Found: 2, Submitted: 2}) || got.Interviews != 2 {
		t.Fatalf("found %+v", got)
	}
	eventually(t, "all results are stored", func() bool {
		return perKind(backfill(t, a, map[string]any{"older_than": "0s"})) == both(tasks.BackfilledKind{})
	})
	if n := p.Text(rowsOf); n != "1 1" {
		t.Errorf("rows %s", n)
	}
	// What was skipped because nothing was answered is evaluated once something is.
	p.Exec(`UPDATE interview_dialogues SET answer = 'a hash table' WHERE report_id = 43`)
	if got := backfill(t, a, map[string]any{"older_than": "0s"}); perKind(got) != both(tasks.BackfilledKind{Found: 1, Submitted: 1}) {
		t.Fatalf("after an answer: %+v", got)
	}
	eventually(t, "all results are stored", func() bool {
		return perKind(backfill(t, a, map[string]any{"older_than": "0s"})) == both(tasks.BackfilledKind{})
	})
}

func TestAResultThatHasNoFormForThePlatformKeepsNoOtherBack(t *testing.T) {
	t.Parallel()
	x := only(func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`{"own":true}`), nil })
	x.Judge = &paid{}
	a, p := onPlatform(t, platformtest.ByProgram, x, nil)
	for id := int64(42); id <= 43; id++ {
		p.Record(id, 7, "completed", time.Now())
		p.Say(7, id, "What is a map?", "a hash table")
		for _, kind := range tasks.Kinds() {
			await(t, a, submit(t, a, ask(kind, 7, id), 202), state("succeeded"))
		}
	}
	p.Exec(`DELETE FROM answer_report`)
	got := backfill(t, a, map[string]any{"older_than": "0s"})
	if want := fmt.Sprintf("%+v %+v", tasks.BackfilledKind{Found: 2, Failed: 2}, tasks.BackfilledKind{Found: 2, Rewritten: 2}); perKind(got) != want {
		t.Errorf("found %+v, want %s", perKind(got), want)
	}
	if n := p.Text(rowsOf); n != "0 2" {
		t.Errorf("rows %s", n)
	}
}

func TestWhatAHandlerHasSkippedIsNotSubmittedAgainBeforeItChanges(t *testing.T) {
	t.Parallel()
	x := only(func(context.Context, tasks.Job) (json.RawMessage, error) { return nil, tasks.Skip("not wanted") })
	x.Judge = &paid{}
	a, p := onPlatform(t, platformtest.ByProgram, x, nil)
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "a hash table")
	skipped := fmt.Sprintf("%+v %+v", tasks.BackfilledKind{Found: 1, Skipped: 1}, tasks.BackfilledKind{})
	still := func() bool {
		got := backfill(t, a, map[string]any{"older_than": "0s"})
		return perKind(got) == skipped && got.Interviews == 0
	}
	eventually(t, "there is nothing to do any more", still)
	log := audit(t, a)
	if !still() || audit(t, a) != log {
		t.Error("it is submitted at each look")
	}
	p.Exec(`UPDATE interview_dialogues SET answer = 'a tree'`)
	if got := backfill(t, a, map[string]any{"older_than": "0s"}); got.Kinds[tasks.KindEvaluationReport].Submitted != 1 {
		t.Errorf("after a change: %+v", got)
	}
}
