package worker_test

import (
	"context"
	"encoding/json"
	"fmt"

	"evalq/tasks"
	"evalq/worker"
)

// A handler is a plain function: a test calls it like one, without a worker. Its
// checkpoints then just run.
func ExampleCheckpoint() {
	summarize := func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		text, err := worker.Checkpoint(ctx, "transcribe", func(context.Context) (json.RawMessage, error) {
			return json.RawMessage(`"a goroutine is a light thread"`), nil // the call that costs money
		})
		if err != nil {
			return nil, err
		}
		if err := worker.Progress(ctx, 1, 0, 1); err != nil {
			return nil, err
		}
		return json.Marshal(map[string]any{"report": job.ReportID, "text": text})
	}
	result, err := summarize(context.Background(), tasks.Job{Kind: "summary", UserID: 7, ReportID: 42})
	fmt.Println(string(result), err)
	// Output: {"report":42,"text":"a goroutine is a light thread"} <nil>
}
