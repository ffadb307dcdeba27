package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"

	"evalq/client"
	"evalq/server"
	"evalq/tasks"
	"evalq/worker"
)

// A platform brings a handler for a kind of its own. What it does inside
// Checkpoint is paid for once, however often the job is tried.
func Example() {
	dir, err := os.MkdirTemp("", "evalq")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	calls := 0
	parse := func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		text, err := worker.Checkpoint(ctx, "ocr", func(context.Context) (json.RawMessage, error) {
			calls++
			return json.RawMessage(`"ten years of Go"`), nil
		})
		if err != nil {
			return nil, err
		}
		if job.Attempt == 1 {
			return nil, tasks.NewError(tasks.ClassUnavailable, fmt.Errorf("the summarizer is away"))
		}
		return json.Marshal(map[string]any{"summary": text})
	}

	ctx, stop := context.WithCancel(context.Background())
	s, err := server.Open(ctx, &server.Config{
		Listen: "127.0.0.1:0", DataDir: dir, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Handlers: map[tasks.Kind]worker.Handler{"resume_parse": parse},
	})
	if err != nil {
		panic(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()

	c, err := client.Open(ctx, s.URL(), nil)
	if err != nil {
		panic(err)
	}
	job, err := c.Submit(ctx, tasks.Custom{Name: "resume_parse", UserID: 7, ReportID: 42})
	if err != nil {
		panic(err)
	}
	job, err = c.Wait(ctx, job.ID)
	if err != nil {
		panic(err)
	}
	fmt.Println(job.State, string(job.Result))
	fmt.Println("attempts:", job.Attempt, "paid calls:", calls)

	c.Close()
	stop()
	fmt.Println("stopped:", <-ended, s.Close())
	// Output:
	// succeeded {"summary":"ten years of Go"}
	// attempts: 2 paid calls: 1
	// stopped: <nil> <nil>
}
