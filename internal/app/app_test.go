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
		InterviewWait: time.Hour, Retention: time.Hour, ShutdownTimeout: 3 * time.Minute, Roles: []string{"all"},
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

func TestASubmittedInterviewBecomesAStoredReport(t *testing.T) {
	t.Parallel()
	a := start(t, settings(t, nil), Extras{})
	doc := `{"user_id":7,"language":"en","answers":[{"question":"What is a slice in Go?","answer":"A slice is a view of an underlying array with a length and a capacity","key_points":[{"text":"view of an underlying array"},{"text":"length and capacity"}]}]}`
	if status, body := call(t, "PUT", a.URL()+"/v1/interviews/9223372036854775807", doc); status != 201 {
		t.Fatalf("put: %d %v", status, body)
	}
	status, job := call(t, "POST", a.URL()+"/v1/evaluations", `{"kind":"evaluation_report","user_id":7,"report_id":9223372036854775807}`)
	if status != 202 {
		t.Fatalf("submit: %d %v", status, job)
	}
	_, job = call(t, "GET", a.URL()+"/v1/evaluations/"+job["id"].(string)+"?wait=20s", "")
	result, _ := job["result"].(map[string]any)
	if job["state"] != "succeeded" || result["schema"] != "report/1" || job["report_id"] != json.Number("9223372036854775807") || job["judge"] == "" {
		t.Fatalf("finished as %v", job)
	}
}
