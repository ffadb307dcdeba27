package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"evalq/tasks"
)

const (
	largeUser   = "9223372036854775807"
	largeReport = "9007199254740993" // the first that a float64 cannot hold
)

func TestSubmitPrintsTheJobWithEveryDigit(t *testing.T) {
	t.Parallel()
	w := start(t)
	args := []string{"submit", "topic_evaluation", "--user", largeUser, "--report", largeReport, "--priority", "low", "--at", far, "--json"}
	j := w.run(t, args...).want(t, 0, largeUser, largeReport).job(t)
	if j.UserID != 9223372036854775807 || j.ReportID != 9007199254740993 || j.Priority != tasks.Low || j.State != tasks.Accepted || j.DueAt.Year() != 2100 {
		t.Errorf("%+v", j)
	}
	if again := w.run(t, args...).want(t, 0).job(t); again.ID != j.ID {
		t.Errorf("submitted twice: %s and %s", j.ID, again.ID)
	}
	w.run(t, "submit", "evaluation_report", "--user", largeUser, "--report", "1", "--at", "1h").want(t, 0, "STATE", "accepted", largeUser, "due ")
	w.run(t, "submit", "resume_parse", "--user", "1", "--report", "1").want(t, 2, "kind: unknown", "evaluation_report", "new_kind")
	w.run(t, "submit", "resume_parse", "--user", "1", "--report", "1", "--new-kind").want(t, 0, "resume_parse")
}

func TestSubmitWaitsAndTellsHowItEnded(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", "["+interview(7, 42, "a view of an array")+","+interview(7, 43, "")+"]")).want(t, 0)
	j := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait", "--json").want(t, 0).job(t)
	if j.State != tasks.Succeeded || j.Result == nil {
		t.Errorf("%+v", j)
	}
	e := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "43", "--wait")
	e.want(t, 7, "is dead", tasks.ClassNotAssessable.Sentence("en", true))
}

func TestSubmitReadsManyFromAFile(t *testing.T) {
	t.Parallel()
	w := start(t)
	in := "\ufeff" + `{"kind":"evaluation_report","user_id":` + largeUser + `,"report_id":1,"run_at":"` + far + `"}` + "\r\n\n" +
		`{"kind":"topic_evaluation","user_id":1,"report_id":` + largeReport + `,"priority":"critical","run_at":"` + far + `"}`
	var got []submitted
	run(t, w.environ, in, "submit", "--file", "-", "--json").want(t, 0).decode(t, &got)
	if len(got) != 2 || !*got[0].Created || got[0].Job.UserID != 9223372036854775807 || got[1].Job.ReportID != 9007199254740993 || got[1].Job.Priority != tasks.Critical {
		t.Errorf("%+v", got)
	}
	bad := in + "\n" + `{"kind":"resume_parse","user_id":1,"report_id":1,"data":{"k":1}}`
	var second []submitted
	e := run(t, w.environ, bad, "submit", "--file", "-", "--json").want(t, 2, "request 3", "kind: unknown")
	e.decode(t, &second)
	if len(second) != 3 || *second[0].Created || second[2].Created != nil || second[2].Error == "" {
		t.Errorf("%+v", second)
	}
}

func TestGetShowsAJobItsAttemptsItsEventsAndItsResult(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", interview(7, 42, "a view of an array"))).want(t, 0)
	id := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait", "--json").want(t, 0).job(t).ID
	w.run(t, "get", id).want(t, 0, "succeeded", "score ", "offline/")
	w.run(t, "get", id, "--attempts", "--events", "--wait").want(t, 0, "OUTCOME", "succeeded", "WHO", "accepted")
	var all shown
	w.run(t, "get", id, "--attempts", "--events", "--json").want(t, 0).decode(t, &all)
	if all.Job.ID != id || len(all.Attempts) != 1 || len(all.Events) < 3 || all.Events[0].To != tasks.Accepted {
		t.Errorf("%+v", all)
	}
	var result struct {
		Schema   string
		ReportID int64 `json:"report_id"`
	}
	w.run(t, "get", id, "--result").want(t, 0).decode(t, &result)
	if result.Schema != "report/1" || result.ReportID != 42 {
		t.Errorf("%+v", result)
	}
	w.run(t, "get", "0123456789abcdefghjkmnpq").want(t, 3)
	waiting := w.run(t, "submit", "topic_evaluation", "--user", "7", "--report", "42", "--at", far, "--json").want(t, 0).job(t)
	w.run(t, "get", waiting.ID, "--result").want(t, 1, "no result yet", "--wait")
}

func TestAResultOfWhichNothingIsKnownIsShownWithoutEmptyPlaces(t *testing.T) {
	t.Parallel()
	overall := json.RawMessage(`{"overall":70}`)
	for want, j := range map[string]tasks.Job{
		"--result prints it":                        {Result: json.RawMessage(`null`)},
		"made by m/1; --result prints it":           {Result: json.RawMessage(`{}`), Judge: "m/1"},
		"score 70; --result prints it":              {Result: overall},
		"score 70, made by m/1; --result prints it": {Result: overall, Judge: "m/1"},
	} {
		if got := summary(j); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := failed(&tasks.Failure{Class: tasks.ClassTimeout}); got != "timeout" {
		t.Errorf("a failure without a message is %q", got)
	}
}

func TestListFiltersAndGoesOn(t *testing.T) {
	t.Parallel()
	w := start(t)
	for _, report := range []string{"1", "2", "3"} {
		w.run(t, "submit", "evaluation_report", "--user", largeUser, "--report", report, "--at", far).want(t, 0)
	}
	w.run(t, "submit", "topic_evaluation", "--user", "1", "--report", "9", "--at", far, "--priority", "critical").want(t, 0)
	list := func(args ...string) (p struct {
		Jobs []tasks.Job
		Next string
	}) {
		t.Helper()
		w.run(t, append([]string{"list", "--json"}, args...)...).want(t, 0).decode(t, &p)
		return p
	}
	first := list("--user", largeUser, "--limit", "2")
	second := list("--user", largeUser, "--limit", "2", "--cursor", first.Next)
	if len(first.Jobs) != 2 || len(second.Jobs) != 1 || second.Next != "" || first.Jobs[0].ReportID != 3 || second.Jobs[0].UserID != 9223372036854775807 {
		t.Errorf("%+v, then %+v", first, second)
	}
	if all := list("--limit", "1", "--all"); len(all.Jobs) != 4 || all.Next != "" {
		t.Errorf("%+v", all)
	}
	if some := list("--kind", "topic_evaluation", "--state", "accepted", "--priority", "critical", "--report", "9"); len(some.Jobs) != 1 {
		t.Errorf("%+v", some)
	}
	if none := w.run(t, "list", "--json", "--class", "timeout").want(t, 0); !strings.Contains(none.out, `"jobs": []`) {
		t.Errorf("no jobs: %s", none.out)
	}
	w.run(t, "list", "--limit", "1").want(t, 0, "STATE", "--cursor")
	w.run(t, "list", "--state", "broken").want(t, 2, "succeeded")
	w.run(t, "list", "--cursor", "!").want(t, 2, "cursor")
}

func TestRetryAndCancelActOnEachJobAndTellTheFirstFailure(t *testing.T) {
	t.Parallel()
	w := start(t)
	submit := func(report string) string {
		return w.run(t, "submit", "evaluation_report", "--user", "1", "--report", report, "--at", far, "--json").want(t, 0).job(t).ID
	}
	a, b := submit("1"), submit("2")
	var done []acted
	w.run(t, "cancel", a, b, "--why", "a slip", "--json").want(t, 0).decode(t, &done)
	if len(done) != 2 || done[0].Job.State != tasks.Cancelled || done[1].ID != b {
		t.Errorf("%+v", done)
	}
	w.run(t, "get", a, "--events").want(t, 0, "a slip")
	w.run(t, "retry", "0123456789abcdefghjkmnpq", a).want(t, 3, "0123456789abcdefghjkmnpq", a)
	w.run(t, "import", file(t, "i.json", interview(1, 1, "a view of an array"))).want(t, 0)
	w.run(t, "get", a, "--wait").want(t, 0, "succeeded")
	w.run(t, "cancel", a).want(t, 4, "succeeded")
	w.run(t, "retry", a).want(t, 4, "succeeded")
	j := w.run(t, "submit", "evaluation_report", "--user", "1", "--report", "2", "--json").want(t, 0).job(t)
	if j.State != tasks.Cancelled {
		t.Errorf("a cancelled job was taken up without being asked to: %s", j.State)
	}
	w.run(t, "submit", "evaluation_report", "--user", "1", "--report", "2", "--wait").want(t, 7, "is cancelled")
	if j = w.run(t, "submit", "evaluation_report", "--user", "1", "--report", "2", "--anew", "--json").want(t, 0).job(t); j.State == tasks.Cancelled {
		t.Error("--anew did nothing")
	}
}

func TestSubmittingAgainTellsWhatWasBroughtForward(t *testing.T) {
	t.Parallel()
	w := start(t)
	args := []string{"submit", "evaluation_report", "--user", "7", "--report", "42", "--at"}
	j := w.run(t, append(args, far, "--priority", "low", "--json")...).want(t, 0).job(t)
	w.run(t, append(args, "2000h", "--priority", "low")...).want(t, 0, "brought forward: run_at")
	if again := w.run(t, append(args, "1000h", "--priority", "critical", "--json")...).want(t, 0, `"changed"`).job(t); again.ID != j.ID || again.Priority != tasks.Critical {
		t.Errorf("%+v", again)
	}
	w.run(t, append(args, far)...).want(t, 0, "due ")
}

func TestRetryEvaluatesAnewWhatHasSucceeded(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "i.json", interview(7, 42, "a view of an array"))).want(t, 0)
	old := w.run(t, "submit", "evaluation_report", "--user", "7", "--report", "42", "--wait", "--json").want(t, 0).job(t)
	w.run(t, "retry", old.ID).want(t, 4, "anew")
	var done []acted
	w.run(t, "retry", old.ID, "--anew", "--reason", "the judge has changed", "--json").want(t, 0).decode(t, &done)
	if len(done) != 1 || done[0].ID != old.ID || done[0].Job.ID == old.ID || done[0].Job.Revision != 2 {
		t.Fatalf("%+v", done)
	}
	w.run(t, "get", done[0].Job.ID, "--wait", "--events").want(t, 0, "succeeded", "revision 2", "evaluated anew: the judge has changed", "kept steps")
	w.run(t, "retry", done[0].Job.ID, "--drop-steps").want(t, 4, "succeeded")
}

func TestImportStoresJSONAndCSVAlike(t *testing.T) {
	t.Parallel()
	csv := "report_id,user_id,title,language,dialog_id,question,answer,key_points\n" +
		"42,7,Go,en,1,What is a slice?,a view of an array with a length and a capacity,a view of an array\n" +
		largeReport + "," + largeUser + ",Empty,,,,,\n"
	json1 := interview(7, 42, "a view of an array")
	for name, path := range map[string]string{"json": file(t, "one.json", json1), "wrapped": file(t, "many", `{"interviews":[`+json1+`]}`), "csv": file(t, "two.csv", csv)} {
		w := start(t)
		var got imported
		w.run(t, "import", path, "--submit", "--priority", "critical", "--json").want(t, 0).decode(t, &got)
		if got.Imported[0].ReportID != 42 || !got.Imported[0].Changed || got.Imported[0].Answers != 1 || len(got.Submitted) != 2*len(got.Imported) ||
			got.Submitted[0].Priority != tasks.Critical || got.Submitted[1].Kind != tasks.KindTopicEvaluation {
			t.Fatalf("%s: %+v", name, got)
		}
		w.run(t, "get", got.Submitted[0].ID, "--wait").want(t, 0, "succeeded")
		if name == "csv" && (got.Imported[1].UserID != 9223372036854775807 || got.Imported[1].ReportID != 9007199254740993) {
			t.Errorf("%+v", got.Imported[1])
		}
		w.run(t, "import", path).want(t, 0, "unchanged")
	}
}

func TestImportStoresNothingOfAFileWithMistakesUnlessTold(t *testing.T) {
	t.Parallel()
	w := start(t)
	path := file(t, "i.json", "[\n"+interview(7, 42, "x")+",\n"+strings.Replace(interview(7, 43, "x"), `"question"`, `"questoin"`, 1)+"\n]")
	w.run(t, "import", path).want(t, 2, "i.json:3: ", "questoin", ": 1 mistake, nothing was stored", "the 1 interview without", "--skip-bad")
	if e := w.run(t, "import", path, "--skip-bad", "--json").want(t, 0, "i.json:3: "); !strings.Contains(e.out, `"report_id": 42`) || strings.Contains(e.out, `"report_id": 43`) {
		t.Errorf("%s", e.out)
	}
	w.run(t, "import", path, "--skip-bad").want(t, 0, "unchanged") // and not stored at the first call
	w.run(t, "import", path, "--skip-bad", "--dry-run").want(t, 0, "1 interview is in order")
}

func TestImportTellsWhatTheServerRefuses(t *testing.T) {
	t.Parallel()
	w := start(t)
	w.run(t, "import", file(t, "a.json", interview(7, 42, "x"))).want(t, 0)
	var got imported
	w.run(t, "import", file(t, "b.json", "["+interview(8, 42, "x")+","+interview(8, 44, "x")+"]"), "--json").want(t, 4, "42").decode(t, &got)
	if len(got.Imported) != 2 || got.Imported[0].Error == "" || !got.Imported[1].Changed {
		t.Errorf("%+v", got)
	}
	var raw map[string]any
	if err := json.Unmarshal([]byte(w.run(t, "list", "--json").want(t, 0).out), &raw); err != nil {
		t.Error(err)
	}
}
