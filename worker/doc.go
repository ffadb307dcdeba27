// Package worker runs jobs: it takes their tasks from Asynq, asks the ledger
// whether it may, calls the handler of the kind, and tells the ledger how it
// ended. The ledger owns budgets and results; Asynq only carries.
//
// A platform plugs its own handlers in:
//
//	cfg := &worker.Config{Handlers: map[tasks.Kind]worker.Handler{
//		"resume_parse": func(ctx context.Context, job tasks.Job) (json.RawMessage, error) {
//			text, err := worker.Checkpoint(ctx, "ocr", func(ctx context.Context) (json.RawMessage, error) {
//				return callPaidOCR(ctx, job.Data)
//			})
//			if err != nil {
//				return nil, err
//			}
//			return summarize(text), nil
//		},
//	}}
//
// Delivery is at least once: a worker can die after a handler's work and before
// the ledger has heard of it. What a handler does inside Checkpoint is kept
// once it is stored, so only the step under way is ever repeated.
package worker
