package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"evalq/internal/evaluation"
	"evalq/tasks"
)

const interview = `{"user_id":9007199254740993,"title":"Go","answers":[{"dialog_id":"1","question":"What is a goroutine?","answer":"A light thread.","key_points":[{"text":"scheduled by the runtime","weight":2,"aliases":["GMP"]}]}]}`

func TestAnInterviewIsStoredOnceAndReadBack(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	var first, same, changed StoredInterview
	e := w.do(t, "PUT", "/v1/interviews/9223372036854775807", interview).want(t, 201)
	e.decode(t, &first)
	w.do(t, "PUT", "/v1/interviews/9223372036854775807", interview).want(t, 200).decode(t, &same)
	w.do(t, "PUT", "/v1/interviews/9223372036854775807", strings.Replace(interview, "light", "lightweight", 1)).want(t, 200).decode(t, &changed)
	if !first.Changed || same.Changed || !changed.Changed || first.Hash == "" || same.Hash != first.Hash || changed.Hash == first.Hash {
		t.Errorf("first %+v, same %+v, changed %+v", first, same, changed)
	}
	body := string(w.do(t, "GET", e.header.Get("Location"), "").want(t, 200).body)
	if !strings.Contains(body, `"report_id":9223372036854775807`) || !strings.Contains(body, `"user_id":9007199254740993`) || !strings.Contains(body, "GMP") {
		t.Errorf("read back %s", body)
	}
	other := strings.Replace(interview, "9007199254740993", "8", 1)
	w.do(t, "PUT", "/v1/interviews/9223372036854775807", other).problem(t, 409)
}

func TestAReportShowsTheNewestResultWhileANewRevisionIsOnItsWay(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	done := w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 7, ReportID: 42, Revision: 1, State: tasks.Succeeded, Judge: "offline/1", Result: json.RawMessage(`{"schema":"report/1","overall":71}`)})
	w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 7, ReportID: 42, Revision: 2, State: tasks.Running})
	var got ReportAnswer
	w.do(t, "GET", "/v1/reports/42?user_id=7", "").want(t, 200).decode(t, &got)
	r := got.EvaluationReport
	if r == nil || got.TopicEvaluation != nil || r.Job.Revision != 2 || r.Job.State != tasks.Running || r.Job.Result != nil ||
		r.Revision != 1 || r.Judge != done.Judge || string(r.Result) != string(done.Result) {
		t.Errorf("%+v", r)
	}
}

func TestAReportBelongsToTheOwnerOfTheInterview(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	w.do(t, "PUT", "/v1/interviews/42", strings.Replace(interview, "9007199254740993", "7", 1)).want(t, 201)
	w.do(t, "GET", "/v1/reports/42", "").problem(t, 404)
	w.book.put(tasks.Job{Kind: tasks.KindTopicEvaluation, UserID: 7, ReportID: 42, State: tasks.Succeeded, Result: json.RawMessage(`{"a":1}`)})
	w.book.put(tasks.Job{Kind: tasks.KindTopicEvaluation, UserID: 8, ReportID: 42, State: tasks.Dead})
	var got ReportAnswer
	w.do(t, "GET", "/v1/reports/42", "").want(t, 200).decode(t, &got)
	if got.UserID != 7 || got.TopicEvaluation == nil || got.TopicEvaluation.Result == nil {
		t.Errorf("%+v", got)
	}
	jobs := len(w.book.jobs)
	w.do(t, "GET", "/v1/reports/42?user_id=9", "").problem(t, 404)
	if len(w.book.jobs) != jobs {
		t.Error("reading a report submitted something")
	}
}

func TestTheDocumentedInterviewHasTheFieldsThatAreRead(t *testing.T) {
	t.Parallel()
	if diff := cmp.Diff(evaluation.NamesOf(reflect.TypeFor[evaluation.Interview]()), evaluation.NamesOf(reflect.TypeFor[InterviewBody]())); diff != "" {
		t.Error(diff)
	}
}

func TestAReportIsAlsoGivenInTheOriginalShape(t *testing.T) {
	t.Parallel()
	w := serve(t, Config{})
	w.do(t, "PUT", "/v1/interviews/42", strings.Replace(interview, "9007199254740993", "7", 1)).want(t, 201)
	w.book.put(tasks.Job{Kind: tasks.KindEvaluationReport, UserID: 7, ReportID: 42, State: tasks.Succeeded,
		Result: json.RawMessage(`{"schema":"report/1","language":"en","summary":"Well done.","dimensions":[{"key":"completeness","score":71,"assessed":true,"answers":1}]}`)})
	w.book.put(tasks.Job{Kind: tasks.KindTopicEvaluation, UserID: 7, ReportID: 42, State: tasks.Succeeded,
		Result: json.RawMessage(`{"schema":"topic-eval/1","language":"en","answers":[{"dialog_id":"1","score":66,"difficulty":3,"language":"en"}]}`)})
	var got struct {
		EvaluationReport struct{ Result map[string]any } `json:"evaluation_report"`
		TopicEvaluation  struct {
			Result struct {
				Records []struct {
					Comment struct{ Score int }
					Message []struct{ Answer string }
				}
			}
		} `json:"topic_evaluation"`
	}
	w.do(t, "GET", "/v1/reports/42?shape=original", "").want(t, 200).decode(t, &got)
	if r := got.EvaluationReport.Result; r["score"] != 71.0 || r["dimensions"] == nil || r["schema"] != nil {
		t.Errorf("%v", r)
	}
	records := got.TopicEvaluation.Result.Records
	if len(records) != 1 || records[0].Comment.Score != 66 || records[0].Message[0].Answer != "A light thread." {
		t.Errorf("%+v", records)
	}
}
