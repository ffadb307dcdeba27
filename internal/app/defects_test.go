package app

import (
	"context"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"evalq/internal/config"
	"evalq/internal/redistest"
	"evalq/tasks"
	"evalq/worker"
)

// until runs an app that the test stops by itself.
func until(t *testing.T, cfg config.Config, x Extras) (a *App, stop func()) {
	t.Helper()
	a, err := Open(t.Context(), cfg, x, quiet())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if err := a.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	t.Cleanup(stop)
	return a, stop
}

// only is a handler for the comprehensive evaluation.
func only(h worker.Handler) Extras {
	return Extras{Handlers: map[tasks.Kind]worker.Handler{tasks.KindEvaluationReport: h}}
}

// eventually asks again until ok is true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for !ok() {
		select {
		case <-deadline:
			t.Fatalf("in 30 s it did not happen that %s", what)
		case <-look.C:
		}
	}
}

func report(id string) string {
	return `{"kind":"evaluation_report","user_id":7,"report_id":` + id + `}`
}

// TestWhatIsAskedForDuringTheDrainIsEvaluatedByTheNextStart: the worker stops
// first, and until it has, the API accepts.
func TestWhatIsAskedForDuringTheDrainIsEvaluatedByTheNextStart(t *testing.T) {
	t.Parallel()
	cfg := settings(t, nil)
	started, finish := make(chan struct{}, 1), make(chan struct{})
	a, stop := until(t, cfg, only(func(_ context.Context, job tasks.Job) (json.RawMessage, error) {
		started <- struct{}{}
		<-finish
		return json.RawMessage(`{"by":"the first"}`), nil
	}))
	running := submit(t, a, report("1"), 202)
	<-started
	stopped := make(chan struct{})
	go func() { defer close(stopped); stop() }()
	eventually(t, "the worker drains", func() bool {
		o, err := a.ledger.Overview(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return len(o.Workers) == 1 && o.Workers[0].Draining
	})
	late := submit(t, a, report("2"), 202)
	close(finish)
	<-stopped

	b, _ := until(t, cfg, only(func(context.Context, tasks.Job) (json.RawMessage, error) {
		return json.RawMessage(`{"by":"the second"}`), nil
	}))
	for id, by := range map[string]string{running: "the first", late: "the second"} {
		job := await(t, b, id, state("succeeded"))
		if result := job["result"].(map[string]any); result["by"] != by || job["attempt"] != json.Number("1") {
			t.Errorf("job %s was evaluated by %v at attempt %v", id, result["by"], job["attempt"])
		}
	}
}

// TestReadingStartsNothingAndAskingAgainIsTheSameJob: however often somebody
// loads the page.
func TestReadingStartsNothingAndAskingAgainIsTheSameJob(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	started, finish := make(chan struct{}, 1), make(chan struct{})
	a, _ := until(t, settings(t, nil), only(func(context.Context, tasks.Job) (json.RawMessage, error) {
		calls.Add(1)
		started <- struct{}{}
		<-finish
		return json.RawMessage(`1`), nil
	}))
	call(t, "PUT", a.URL()+"/v1/interviews/42", slice)
	for _, path := range []string{"/v1/reports/42", "/v1/reports/43", "/v1/interviews/42", "/v1/evaluations?report_id=42"} {
		call(t, "GET", a.URL()+path, "")
	}
	if page, err := a.ledger.List(t.Context(), tasks.Filter{Limit: 10}); err != nil || len(page.Jobs) != 0 {
		t.Fatalf("reading made jobs: %+v, %v", page.Jobs, err)
	}
	id := submit(t, a, report("42"), 202)
	<-started
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() { call(t, "GET", a.URL()+"/v1/reports/42", "") })
		wg.Go(func() { call(t, "GET", a.URL()+"/v1/evaluations/"+id+"?wait=100ms", "") })
		wg.Go(func() {
			if status, job := call(t, "POST", a.URL()+"/v1/evaluations", report("42")); status != http.StatusOK || job["id"] != id {
				t.Errorf("asked again: %d, job %v", status, job["id"])
			}
		})
	}
	wg.Wait()
	close(finish)
	if job := await(t, a, id, state("succeeded")); calls.Load() != 1 || job["attempt"] != json.Number("1") {
		t.Fatalf("it was evaluated %d times", calls.Load())
	}
}

func TestARedisThatIsAwayIsSeenFromOutside(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, _ := until(t, settings(t, func(c *config.Config) { c.Engine, c.RedisURL = config.EngineRedis, server.URL }), only(
		func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`1`), nil }))
	ready := func(want int) func() bool {
		return func() bool {
			status, body := call(t, "GET", a.URL()+"/readyz", "")
			check, _ := body["checks"].(map[string]any)["redis"].(map[string]any)
			return status == want && check["ok"] == (want == http.StatusOK)
		}
	}
	eventually(t, "it is ready", ready(http.StatusOK))
	server.Stop()
	eventually(t, "it says that it is not ready, and what is missing", ready(http.StatusServiceUnavailable))
	if status, _ := call(t, "GET", a.URL()+"/healthz", ""); status != http.StatusOK {
		t.Errorf("it says that it is not alive: %d", status)
	}
	id := submit(t, a, report("1"), 202) // jobs are accepted all the same
	server.Restart()
	eventually(t, "it is ready again", ready(http.StatusOK))
	await(t, a, id, state("succeeded"))
}
