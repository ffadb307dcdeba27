package server_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"evalq/client"
	"evalq/internal/redistest"
	"evalq/internal/sandbox"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

func TestWhatTheDatabaseNeverTakesEndsItsAttemptAndOtherJobsGoOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	db, err := sandbox.StartMariaDB(ctx, &sandbox.Config{Args: []string{"--max-allowed-packet=2M"}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	large, _ := json.Marshal(strings.Repeat("x", 5<<20))
	var log lines
	s, stop := serveUntil(t, server.Config{
		LedgerURL: db.URL(), RedisURL: redistest.Start(t).URL, Listen: "127.0.0.1:0", Logger: slog.New(slog.NewTextHandler(&log, nil)),
		Handlers: map[tasks.Kind]worker.Handler{
			"large_result": func(context.Context, tasks.Job) (json.RawMessage, error) { return large, nil },
			"large_step": func(ctx context.Context, _ tasks.Job) (json.RawMessage, error) {
				return worker.Checkpoint(ctx, "step", func(context.Context) (json.RawMessage, error) { return large, nil })
			},
			"small": func(context.Context, tasks.Job) (json.RawMessage, error) { return json.RawMessage(`1`), nil },
		},
		Policies: func(k tasks.Kind) tasks.Policy {
			p := tasks.PolicyFor(k)
			p.Attempts, p.BackoffBase, p.BackoffMax = 2, time.Millisecond, time.Millisecond
			return p
		},
	})
	defer stop()
	c, err := client.Open(ctx, s.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	wait := func(kind tasks.Kind, report int64) tasks.Job {
		t.Helper()
		job, err := c.Submit(ctx, tasks.Custom{Name: kind, UserID: 7, ReportID: report})
		if err != nil {
			t.Fatal(err)
		}
		if job, err = c.Wait(ctx, job.ID); err != nil {
			t.Fatalf("%s: %v: %+v\n%s", kind, err, job, log.String())
		}
		return job
	}
	for _, kind := range []tasks.Kind{"large_result", "large_step"} {
		job := wait(kind, 1)
		if job.State != tasks.Dead || job.Error == nil || !strings.Contains(job.Error.Message, "max_allowed_packet") || len(job.Error.Message) > 5000 {
			t.Errorf("%s: %+v, error %.300v", kind, job.State, job.Error)
		}
	}
	for report := range int64(20) { // more than there are slots
		if job := wait("small", report+1); job.State != tasks.Succeeded {
			t.Fatalf("another job: %+v\n%s", job.Error, log.String())
		}
	}
	// Each fits, and all together do not.
	data, _ := json.Marshal(strings.Repeat("y", 200_000))
	var many []tasks.Request
	for report := range int64(40) {
		many = append(many, tasks.Request{Payload: tasks.Custom{Name: "small", UserID: 7, ReportID: 100 + report, Data: data}})
	}
	answers, err := c.SubmitMany(ctx, many)
	if err != nil {
		t.Error(err)
	}
	for i, a := range answers {
		if a.Err != nil {
			t.Fatalf("request %d of a batch: %v", i, a.Err)
		}
	}
	if strings.Contains(log.String(), "xxxxxxxxxx") {
		t.Error("the log has a part of the value")
	}
}
