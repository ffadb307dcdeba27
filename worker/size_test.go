package worker_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"evalq/tasks"
	"evalq/worker"
)

// A database refuses what is above its largest packet as it would when it is
// away, so nobody may try for ever.
func TestAResultOrStepThatIsTooLargeIsTheHandlersFailure(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(k tasks.Kind) tasks.Policy {
		p := fast(k)
		p.Attempts = 1
		return p
	})
	huge := answer(strings.Repeat("a", worker.MaxResult))
	w.serve(func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
		if job.ReportID == 1 {
			return huge, nil
		}
		return worker.Checkpoint(ctx, "step", func(context.Context) (json.RawMessage, error) { return huge, nil })
	})
	for report := range int64(2) {
		j := w.await(w.submit(report+1).ID, tasks.Dead)
		if j.Charged != 1 || !strings.Contains(j.Error.Message, "bytes") {
			t.Errorf("dead as %+v, %+v", j, j.Error)
		}
	}
}
