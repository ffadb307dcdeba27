package app

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/internal/platform/platformtest"
	"evalq/tasks"
	"evalq/worker"
)

const (
	evaluationAt = "/api/mianshi/evaluation?report_id="
	answersAt    = "/api/mianshi/answer-record?report_id="
)

// read asks one of the platform's addresses and gives the data of its envelope.
func read(t *testing.T, a *App, path string, want int) map[string]any {
	t.Helper()
	status, out := call(t, "GET", a.URL()+path, "")
	if keys := slices.Sorted(maps.Keys(out)); status != want || !slices.Equal(keys, []string{"code", "data", "message"}) || out["message"] == "" {
		t.Fatalf("%s: %d %v, want %d", path, status, out, want)
	}
	if code, _ := out["code"].(json.Number).Int64(); code != int64(want) {
		t.Fatalf("%s: code %d beside status %d", path, code, status)
	}
	data, _ := out["data"].(map[string]any)
	if data == nil {
		return nil
	}
	keys := []string{"comment", "created_at", "dimensions", "id", "report_id", "score", "sentence", "state", "updated_at", "user_id"}
	if strings.Contains(path, "answer-record") {
		keys = []string{"created_at", "deleted", "id", "records", "report_id", "score", "sentence", "state", "updated_at", "user_id"}
	}
	if got := slices.Sorted(maps.Keys(data)); !slices.Equal(got, keys) {
		t.Fatalf("%s: the fields are %v, want %v whatever the state", path, got, keys)
	}
	return data
}

func jobs(t *testing.T, a *App) int {
	t.Helper()
	_, page := call(t, "GET", a.URL()+"/v1/evaluations", "")
	return len(page["jobs"].([]any))
}

func TestThePlatformsAddressesHaveOneShapeInEveryStateAndStartNothing(t *testing.T) {
	t.Parallel()
	a, p := onPlatform(t, platformtest.ByProgram, Extras{Judge: &paid{}}, func(c *config.Config) { c.PlatformEndpoints = true })
	p.Record(41, 7, "completed", time.Now())
	p.Exec(`INSERT INTO answer_report (user_id, report_id, records) VALUES (7, 41, '[]')`)
	for _, path := range []string{evaluationAt + "42", answersAt + "42", answersAt + "41", evaluationAt + "41&user_id=7"} {
		if data := read(t, a, path, 404); data != nil {
			t.Errorf("%s: %v", path, data)
		}
	}
	for _, path := range []string{evaluationAt, evaluationAt + "0", evaluationAt + "1.5", answersAt + "42&user_id=x"} {
		read(t, a, path, 400)
	}
	if n := jobs(t, a); n != 0 {
		t.Fatalf("reading has made %d jobs", n)
	}
	id := submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202)
	await(t, a, id, state("held"))
	if data := read(t, a, evaluationAt+"42", 202); data["state"] != "held" || data["score"] != nil || data["created_at"] != nil || len(data["dimensions"].([]any)) != 0 {
		t.Errorf("while it waits: %v", data)
	}
	p.Record(42, 7, "completed", time.Now())
	p.Say(7, 42, "What is a map?", "A hash table")
	await(t, a, id, state("succeeded"))
	for _, path := range []string{evaluationAt + "42", "/api/interview/evaluation?report_id=42&user_id=7&_t=1"} {
		data := read(t, a, path, 200)
		created, err := time.Parse(time.RFC3339, data["created_at"].(string))
		if data["state"] != "succeeded" || data["score"] != json.Number("50") || data["id"] != json.Number("1") || data["user_id"] != json.Number("7") || len(data["dimensions"].([]any)) != 4 ||
			err != nil || time.Since(created).Abs() > time.Minute {
			t.Errorf("%s: %v", path, data)
		}
	}
	await(t, a, submit(t, a, ask(tasks.KindTopicEvaluation, 7, 42), 202), state("succeeded"))
	if data := read(t, a, "/api/interview/answer-record?report_id=42", 200); len(data["records"].([]any)) != 1 || data["deleted"] != json.Number("0") || data["score"] != json.Number("50") {
		t.Errorf("the answers: %v", data)
	}
	read(t, a, evaluationAt+"42&user_id=8", 404)
	// A row from before evalq has no job and is shown as it is.
	p.Exec(`INSERT INTO interview_evaluation (user_id, report_id, comment, score, dimensions) VALUES (7, 41, 'old', 61.5, '[{"dimension_name":"x","score":61}]')`)
	if data := read(t, a, evaluationAt+"41", 200); data["state"] != "succeeded" || data["score"] != json.Number("61.5") || data["created_at"] != nil {
		t.Errorf("a row from before: %v", data)
	}
	dead := submit(t, a, ask(tasks.KindEvaluationReport, 8, 42), 202)
	await(t, a, dead, state("dead"))
	data := read(t, a, evaluationAt+"42&user_id=8", 200)
	if sentence, _ := data["sentence"].(map[string]any); data["state"] != "dead" || data["score"] != nil || sentence["zh"] == "" || sentence["en"] == "" {
		t.Errorf("a dead one: %v", data)
	}
}

func TestWhatThePlatformsOwnFunctionsReturnIsShownAsItIsAndWithAScore(t *testing.T) {
	t.Parallel()
	returns := map[tasks.Kind]string{}
	handler := func(_ context.Context, job tasks.Job) (json.RawMessage, error) {
		return json.RawMessage(returns[job.Kind]), nil
	}
	a := start(t, settings(t, func(c *config.Config) { c.PlatformEndpoints = true }),
		Extras{Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: handler, tasks.KindTopicEvaluation: handler}})
	evaluate := func(report int64, reported, records string) {
		returns[tasks.KindEvaluationReport], returns[tasks.KindTopicEvaluation] = reported, records
		for kind := range returns {
			await(t, a, submit(t, a, ask(kind, 7, report), 202), state("succeeded"))
		}
	}
	evaluate(1, `{"comment":"good","dimensions":[{"dimension_name":"x","evaluation":"y","score":80},{"score":85.5}]}`,
		`{"records":[{"order":1,"comment":{"score":70}}]}`)
	if data := read(t, a, evaluationAt+"1", 200); data["comment"] != "good" || data["score"] != json.Number("82.75") || len(data["dimensions"].([]any)) != 2 {
		t.Errorf("the report: %v", data)
	}
	if data := read(t, a, answersAt+"1", 200); data["score"] != json.Number("70") || len(data["records"].([]any)) != 1 {
		t.Errorf("the answers: %v", data)
	}
	_, both := call(t, "GET", a.URL()+"/v1/reports/1?shape=original", "")
	if result := both["evaluation_report"].(map[string]any)["result"].(map[string]any); result["comment"] != "good" || result["score"] != json.Number("82.75") {
		t.Errorf("the report by its id: %v", result)
	}
	// What cannot be shown in the platform's form is not shown as an empty report.
	for report, result := range map[int64]string{2: `["a list"]`, 3: `{"verdict":"fine"}`, 4: `{"comment":"","dimensions":null,"records":[]}`, 5: `{"dimensions":"many","records":7}`, 6: `null`} {
		evaluate(report, result, result)
		for _, at := range []string{evaluationAt, answersAt} {
			if data := read(t, a, at+strconv.FormatInt(report, 10), 200); data["state"] != "succeeded" || data["score"] != nil {
				t.Errorf("%s: %v", result, data)
			}
		}
		status, both := call(t, "GET", a.URL()+"/v1/reports/"+strconv.FormatInt(report, 10)+"?shape=original", "")
		if shown := both["evaluation_report"].(map[string]any)["result"]; status != 200 || shown != nil {
			t.Errorf("%s: %d, shown as %v", result, status, shown)
		}
	}
}

func TestThePlatformsAddressesAreServedFromTheLedgerToo(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, func(c *config.Config) { c.PlatformEndpoints = true }), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 42), 202), state("succeeded"))
	data := read(t, a, evaluationAt+"42", 200)
	if data["score"] != json.Number("100") || data["comment"] == "" || data["id"] != json.Number("0") || data["created_at"] == nil {
		t.Errorf("the report: %v", data)
	}
	read(t, a, answersAt+"42", 404)
	call(t, "PUT", a.URL()+"/v1/interviews/43", `{"user_id":7,"answers":[]}`)
	await(t, a, submit(t, a, ask(tasks.KindEvaluationReport, 7, 43), 202), state("skipped"))
	if data := read(t, a, evaluationAt+"43", 200); data["state"] != "skipped" || data["score"] != nil || data["sentence"] != nil {
		t.Errorf("a skipped one: %v", data)
	}
}

func TestThePlatformsAddressesNeedATokenAndAreOffUnlessAskedFor(t *testing.T) {
	t.Parallel()
	off := start(t, settings(t, nil), Extras{})
	if resp, err := http.Get(off.URL() + evaluationAt + "42"); err != nil || resp.StatusCode != 404 || resp.Header.Get("Content-Type") == "application/json; charset=utf-8" {
		t.Errorf("not asked for: %v, %v", resp, err)
	} else {
		resp.Body.Close()
	}
	a := start(t, settings(t, func(c *config.Config) {
		c.PlatformEndpoints, c.OperatorToken, c.ViewerToken = true, "operator1", "viewer111"
	}), Extras{})
	if data := read(t, a, evaluationAt+"42", 401); data != nil {
		t.Errorf("without a token: %v", data)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", a.URL()+evaluationAt+"42", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer viewer111")
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != 404 || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("a viewer: %v, %v", resp, err)
	}
	resp.Body.Close()
}

func TestWhileThePlatformIsAwayItsAddressesSaySo(t *testing.T) {
	t.Parallel()
	a, _ := onPlatform(t, platformtest.ByProgram, Extras{}, func(c *config.Config) { c.PlatformEndpoints = true })
	if err := a.mirror.platform.Close(); err != nil {
		t.Fatal(err)
	}
	if data := read(t, a, evaluationAt+"42", 503); data != nil {
		t.Errorf("got %v", data)
	}
	if _, err := (rows{a.mirror, a.ledger.Ledger}).Row(context.Background(), tasks.KindTopicEvaluation, 7, 42); errors.Is(err, tasks.ErrNotFound) || tasks.ClassOf(err) != tasks.ClassStorage {
		t.Errorf("got %v", err)
	}
}
