package app

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"evalq/internal/config"
)

func settings(t *testing.T, change func(*config.Config)) config.Config {
	t.Helper()
	c := config.Config{
		Listen: "127.0.0.1:0", DataDir: t.TempDir(), Engine: config.EngineEmbedded, Concurrency: 4,
		InterviewWait: time.Hour, KindWait: time.Hour, Retention: time.Hour, ShutdownTimeout: 3 * time.Minute, Roles: []string{"all"},
	}
	if change != nil {
		change(&c)
	}
	return c
}

func quiet() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

// start runs an app until the test ends.
func start(t *testing.T, cfg config.Config, x Extras) *App {
	t.Helper()
	a, err := Open(t.Context(), cfg, x, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return a
}

func call(t *testing.T, method, url, body string) (int, map[string]any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var out map[string]any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&out); err != nil {
		t.Fatalf("%s %s: %d %s", method, url, resp.StatusCode, raw)
	}
	return resp.StatusCode, out
}

const slice = `{"user_id":7,"language":"en","answers":[{"question":"What is a slice in Go?","answer":"A slice is a view of an underlying array with a length and a capacity","key_points":[{"text":"view of an underlying array"},{"text":"length and capacity"}]}]}`

// submit asks for a report and gives the job's id.
func submit(t *testing.T, a *App, body string, want int) string {
	t.Helper()
	status, job := call(t, "POST", a.URL()+"/v1/evaluations", body)
	if status != want {
		t.Fatalf("submit: %d %v", status, job)
	}
	return job["id"].(string)
}

// await long-polls until ok is true of the job.
func await(t *testing.T, a *App, id string, ok func(job map[string]any) bool) map[string]any {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		_, job := call(t, "GET", a.URL()+"/v1/evaluations/"+id+"?wait=1s", "")
		if ok(job) {
			return job
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s the job is %v", job)
		}
	}
}

func state(want string) func(map[string]any) bool {
	return func(job map[string]any) bool { return job["state"] == want }
}

func TestAJobWaitsForItsInterviewAndRunsWhenItArrives(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	id := submit(t, a, `{"kind":"topic_evaluation","user_id":7,"report_id":42}`, 202)
	if job := await(t, a, id, state("held")); job["hold"] != "interview missing" || job["charged"] != json.Number("0") {
		t.Fatalf("held as %v", job)
	}
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	await(t, a, id, state("succeeded"))
}

func TestAJobWhoseInterviewNeverArrivesIsDead(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, func(c *config.Config) { c.InterviewWait = 50 * time.Millisecond }), Extras{})
	id := submit(t, a, `{"kind":"evaluation_report","user_id":7,"report_id":42}`, 202)
	job := await(t, a, id, state("dead"))
	if e := job["error"].(map[string]any); e["class"] != "interview_missing" {
		t.Fatalf("dead as %v", e)
	}
}

func TestAnInterviewWithoutAnswersIsSkipped(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", `{"user_id":7,"answers":[]}`)
	id := submit(t, a, `{"kind":"evaluation_report","user_id":7,"report_id":42}`, 202)
	if job := await(t, a, id, state("skipped")); job["skipped"] != "empty" || job["error"] != nil {
		t.Fatalf("skipped as %v", job)
	}
}

func TestSomebodyElsesInterviewIsNotEvaluated(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	id := submit(t, a, `{"kind":"evaluation_report","user_id":8,"report_id":42}`, 202)
	job := await(t, a, id, state("dead"))
	if e := job["error"].(map[string]any); e["class"] != "wrong_user" {
		t.Fatalf("dead as %v", e)
	}
}

func TestAChangedInterviewIsANewRevisionThatReusesUnchangedAnswers(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	two := strings.Replace(slice, `"answers":[`, `"answers":[{"dialog_id":"a","question":"What is a map?","answer":"A hash table of keys and values","key_points":[{"text":"hash table"}]},`, 1)
	call(t, "PUT", a.URL()+"/v1/interviews/42", two)
	const ask = `{"kind":"evaluation_report","user_id":7,"report_id":42}`
	first := submit(t, a, ask, 202)
	await(t, a, first, state("succeeded"))
	if again := submit(t, a, ask, 200); again != first {
		t.Fatalf("asked again: %s", again)
	}
	call(t, "PUT", a.URL()+"/v1/interviews/42", strings.Replace(two, "A hash table of keys", "A table", 1))
	second := submit(t, a, ask, 202)
	job := await(t, a, second, state("succeeded"))
	p := job["progress"].(map[string]any)
	if second == first || job["revision"] != json.Number("2") || p["done"] != json.Number("2") || p["kept"] != json.Number("1") {
		t.Fatalf("revision %v, progress %v", job["revision"], p)
	}
}

func TestASubmittedInterviewBecomesAStoredReport(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	if status, body := call(t, "PUT", a.URL()+"/v1/interviews/9223372036854775807", slice); status != 201 {
		t.Fatalf("put: %d %v", status, body)
	}
	id := submit(t, a, `{"kind":"evaluation_report","user_id":7,"report_id":9223372036854775807}`, 202)
	job := await(t, a, id, state("succeeded"))
	result, _ := job["result"].(map[string]any)
	if result["schema"] != "report/1" || job["report_id"] != json.Number("9223372036854775807") || job["judge"] == "" {
		t.Fatalf("finished as %v", job)
	}
}
